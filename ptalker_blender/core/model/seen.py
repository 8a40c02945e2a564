"""What the motion encoder is shown: clips of one mesh in motion, without that mesh's topology, pose, unit and proportions."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..channels import INDEX, LOWER_FACE

JAW = LOWER_FACE.index(INDEX["jawOpen"])


@dataclass(frozen=True)
class Seen:
    """B clips of T frames on one mesh.

    nodes [B, T, n, 3]: displacements of the coarse graph's nodes, face frame. aligned [B, T, C]: how much of each lower-face
    shape of this very mesh explains them (mesh/aligned.py); None where the mesh has no named shapes. known [B]: 1 where
    displacements are from the face at rest, 0 where rest was guessed (``from_own_rest``). graph: pos [n, 3], normal [n, 3],
    edges [2, e], edge_attr [e, a] and, beside ``aligned``, shapes [n, 3 C]: the mesh's shapes on its nodes.
    """

    nodes: Tensor
    aligned: Tensor | None
    known: Tensor
    graph: dict[str, Tensor]

    @classmethod
    def plain(cls, nodes: Tensor, graph: dict[str, Tensor]) -> Seen:
        """From a known rest, on a mesh without named shapes."""
        return cls(nodes, None, nodes.new_ones(len(nodes)), graph)

    def from_own_rest(self, which: Tensor | None = None) -> Seen:
        """Displacements from each clip's own frame of least jaw instead, as where nobody knows the face at rest.
        ``which`` [B] bool: of these clips only."""
        if self.aligned is None:
            raise ValueError("rest is guessed from the jaw, and this mesh has no shape of that name")
        which = torch.ones_like(self.known, dtype=torch.bool) if which is None else which
        rows = torch.arange(len(self.nodes), device=self.nodes.device)
        calm = self.aligned[..., JAW].argmin(1)
        share = which.to(self.nodes.dtype)
        nodes = self.nodes - self.nodes[rows, calm][:, None] * share[:, None, None, None]
        aligned = self.aligned - self.aligned[rows, calm][:, None] * share[:, None, None]
        return replace(self, nodes=nodes, aligned=aligned, known=self.known * (1 - share))
