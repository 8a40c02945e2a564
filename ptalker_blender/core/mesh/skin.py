"""The template face's skin in full: what each channel does at any place of it.

The rig head's attention tells where on the template a vertex belongs (RigHead.chosen), but carries the shapes of its 1024
points only, a centimetre apart: lids and lips are blurred. Here that place is smoothed along the mesh, the nearest of the
skin's 14,000 vertices are looked up, and their shapes take over where the place lies on the skin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_matrix
from scipy.spatial import KDTree
from torch import Tensor

from ..model.mesh_encoder import GraphBatch
from .graph import averaged

NORMAL = 0.15  # how much normals count in looking up, face frame
NEAREST = 4
FAR = 0.2  # a place so far from the skin (normals count) is not on it, face frame
NEAR, ROUNDS = 0.1, 15  # how far along the mesh places are smoothed, face frame
PREFIX = "skin."  # of the tensors in a checkpoint


@dataclass(frozen=True)
class Found:
    """For each vertex its ``near`` [V, n] skin vertices, their ``weight`` [V, n], and how much they count, ``share`` [V]."""

    near: np.ndarray
    weight: np.ndarray
    share: np.ndarray


class Skin:
    """place [M, 6]: positions and normals, face frame; basis [M, K, 3], face frame; part [M]: which piece of skin.

    Of the rig head's template: where its points are, [template, 3], and the piece on which each lies, [template], -1 where
    it is no skin."""

    def __init__(
        self, place: np.ndarray, basis: np.ndarray, part: np.ndarray, points: np.ndarray, pieces: np.ndarray
    ) -> None:  # fmt: skip
        self.place, self.basis, parts = place, basis, np.unique(part)
        own = pieces[:, None] == np.append(parts, -1)
        self.points = torch.from_numpy(np.concatenate([points, own], 1).astype(np.float32))  # [template, 3 + pieces]
        self.rows = [np.flatnonzero(part == p) for p in parts]
        self.trees = [KDTree(np.concatenate([place[r, :3], NORMAL * place[r, 3:]], 1)) for r in self.rows]

    @classmethod
    def of(cls, state: dict[str, Tensor]) -> Skin | None:
        """From a checkpoint's tensors; None where it has no skin."""
        mine = {k.removeprefix(PREFIX): v.numpy() for k, v in state.items() if k.startswith(PREFIX)}
        if not mine:
            return None
        place, basis = mine["place"].astype(np.float32), mine["basis"].astype(np.float32)
        return cls(place, basis, mine["part"], state["head.place"].numpy()[:, :3], mine["points"])

    def find(self, seen: Tensor, b: GraphBatch) -> Found:
        """What of ``points`` the vertices of a mesh in the face frame have chosen, [V, 3 + pieces] -> where on the skin they
        belong."""
        place = (seen[:, :3] / (seen[:, 3:].sum(1, keepdim=True) + 1e-6)).numpy()
        piece = seen[:, 3:].argmax(1).numpy()
        pos, normal, edges = b.pos.numpy(), b.normal.numpy(), b.edges.numpy()
        # Neighbours belong side by side, but not across folds, where lips and lids turn inwards.
        alike = (normal[edges[0]] * normal[edges[1]]).sum(1).clip(0, 1)
        place = pos + averaged(place - pos, pos, edges, NEAR, ROUNDS, alike)
        spot = np.concatenate([place, NORMAL * normal], 1)
        near, weight = np.zeros((len(spot), NEAREST), int), np.zeros((len(spot), NEAREST), np.float32)
        share = np.zeros(len(spot), np.float32)
        for i, (rows, tree) in enumerate(zip(self.rows, self.trees, strict=True)):
            mine = np.flatnonzero(piece == i)
            if len(mine):
                far, which = tree.query(spot[mine], NEAREST, workers=-1)
                close = 1 / (far + 2e-3) ** 2
                near[mine], weight[mine] = rows[which], close / close.sum(1, keepdims=True)
                share[mine] = (1 - far[:, 0] / FAR).clip(0, 1)
        return Found(near, weight, share)

    def read(self, found: Found, some: slice) -> tuple[Tensor, Tensor]:
        """What the skin does where ``some`` vertices belong, [n, K, 3], and how much that counts, [n]."""
        near, weight = found.near[some], found.weight[some]
        row = np.repeat(np.arange(len(near)), near.shape[1])
        mix = csr_matrix((weight.ravel(), (row, near.ravel())), shape=(len(near), len(self.basis)))
        shapes = mix @ self.basis.reshape(len(self.basis), -1)
        return torch.from_numpy(shapes.reshape(-1, *self.basis.shape[1:])), torch.from_numpy(found.share[some])
