"""Heads that motion training measures on: their coarse graphs, shape bases, lip-weighted metrics and lip gap."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..channels import LOWER_FACE
from ..losses import factor
from ..mesh.aligned import solver
from ..mesh.bounded import BoundedSolver, meant, solved
from ..mesh.coarse import pool
from ..mesh.graph import MeshGraph, build_graph
from ..mesh.reader import NODES, coarse_tensors
from ..mesh.rig import Rigger
from ..model.ptalker import PTalker
from ..model.seen import Seen
from .rig_heads import CENTRE, UNIT

INNER_LIPS = ((61, 67), (62, 66), (63, 65))  # Multi-PIE pairs: upper, lower
GOOD = 0.6  # mean cosine of a rig that found the face


@dataclass
class Head:
    """One identity. ``graph``: tensors that the motion encoder takes; ``basis`` [K, n, 3] on its nodes, face frame;
    ``align`` [C, K]: what each channel reads as in the terms of the shapes that the rig head sees on it."""

    name: str
    graph: dict[str, Tensor]
    basis: Tensor
    align: Tensor
    root: Tensor  # [K, K], losses.factor
    gram: np.ndarray  # [K, K] of the shapes that the rig head sees on it (mesh/bounded.py)
    pull: np.ndarray  # [K, K] how much of each of them a channel holds
    reading: np.ndarray | None = None  # [C, C] of the rig head (Rigger.reading) where they are its shapes

    def motion(self, z: Tensor) -> Tensor:
        """z [B, T, K] -> node displacements [B, T, n, 3], face frame."""
        return torch.einsum("btk,knc->btnc", z, self.basis)

    def seen(self, z: Tensor) -> Seen:
        """Weights z [B, T, K] played on the head, from its rest."""
        return Seen(self.motion(z), z @ self.align.T, z.new_ones(len(z)), self.graph)

    def solved(self, z: np.ndarray, rest_known: bool = True) -> np.ndarray:
        """Weights z [B, T, K] played on the head -> weights [B, T, K] that are found with the shapes the rig head sees on it."""
        found = np.stack([solved(self.gram, clip.astype(np.float64) @ self.pull, rest_known) for clip in z])
        return found if self.reading is None else meant(found, self.reading)

    def style(self, net: PTalker, z: np.ndarray, rate: float) -> Tensor:
        """What a model reads of weights z [B, T, K] played on the head, ``rate`` frames a second, rest known: [B, s + l]."""
        device = net.audio.mean.device
        read = net.motion(self.to(device).seen(torch.from_numpy(z).float().to(device)), rate)[1].float()
        if net.likeness is None:
            return read
        seen = torch.from_numpy(self.solved(z)[..., list(LOWER_FACE)]).to(device)
        return torch.cat([read, net.likeness(seen, read.new_ones(len(z)), rate)], -1)

    def to(self, device: torch.device) -> Head:
        graph = {k: v.to(device) for k, v in self.graph.items()}
        return replace(self, graph=graph, **{k: getattr(self, k).to(device) for k in ("basis", "align", "root")})


@dataclass
class LipGap:
    """Vertical inner-lip gap of the ICT neutral head as a function of the weights, cm."""

    rest: Tensor  # [3 pairs, 3] upper minus lower
    basis: Tensor  # [K, 3 pairs, 3]

    def __call__(self, z: Tensor) -> Tensor:
        """z [..., K] -> mean vertical gap above rest [...], cm; negative where lips would cross."""
        return torch.einsum("...k,kp->...p", z, self.basis[..., 1]).mean(-1)

    def distance(self, z: Tensor) -> Tensor:
        """z [..., K] -> distance between the middle inner-lip vertices [...], cm, as it is measured from outside."""
        return (self.rest[1] + torch.einsum("...k,kc->...c", z, self.basis[:, 1])).norm(dim=-1)


def lip_gap(ict: dict[str, np.ndarray]) -> LipGap:
    """``ict``: arrays of heads/ict_facekit.npz."""
    lm, basis = ict["landmarks68"], ict["arkit"].astype(np.float32)
    upper, lower = ([int(lm[p[i]]) for p in INNER_LIPS] for i in (0, 1))
    rest = ict["neutral"][upper] - ict["neutral"][lower]
    return LipGap(torch.from_numpy(rest).float(), torch.from_numpy(basis[:, upper] - basis[:, lower]))


def lip_weight(vertices: np.ndarray, basis: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """1 on the skin, up to 5 more where mouth shapes move it: [V]."""
    amount = np.linalg.norm(basis[list(LOWER_FACE)], axis=-1).sum(0)
    return skin * (1.0 + 5.0 * amount / max(float(amount.max()), 1e-9))


def ict_heads(path: Path, identities: int, seed: int, rigger: Rigger | None = None) -> tuple[list[Head], LipGap]:
    """The ICT neutral and random identities of it, skin only, decimated to NODES coarse nodes. ``rigger``: whose shapes
    motion is read by; None: their own."""
    ict = dict(np.load(path))
    skin = np.asarray(ict["narrow_face"], bool)
    index = np.full(len(skin), -1)
    index[skin] = np.arange(skin.sum())
    faces = index[ict["quads"]]
    faces = faces[(faces >= 0).all(1)]
    basis = ict["arkit"][:, skin].astype(np.float32)
    rng = np.random.default_rng(seed)
    heads = []
    for i in range(identities + 1):
        w = rng.normal(size=100) * (0.7 if i else 0.0)
        vertices = ict["neutral"][skin] + np.tensordot(w, ict["identity"][:, skin].astype(np.float32), 1)
        root = factor(torch.from_numpy(basis), torch.from_numpy(lip_weight(vertices, basis, np.ones(len(vertices)))).float())
        heads.append(make_head(f"ict{i}", (vertices - CENTRE) / UNIT, faces, basis / UNIT, NODES, rigger, root))
    return heads, lip_gap(ict)


def make_head(
    name: str, vertices: np.ndarray, faces: np.ndarray, basis: np.ndarray, nodes: int, rigger: Rigger | None = None,
    root: Tensor | None = None,
) -> Head:  # fmt: skip
    """vertices [V, 3], faces [F, 3|4], basis [K, V, 3] in the face frame, as the motion encoder sees it: on a coarse graph of
    about ``nodes``, by the shapes that ``rigger`` gives it (its own where these are nothing like them)."""
    graph = build_graph(vertices, faces)
    graph = graph.moved(np.eye(3), 1 / graph.frame.scale, graph.frame.origin)  # back into the face frame
    shapes = basis if rigger is None else rigged(rigger, graph, basis)
    return head_of(name, graph, basis, shapes, nodes, root, None if rigger is None or shapes is basis else rigger.reading)


def head_of(
    name: str, graph: MeshGraph, basis: np.ndarray, shapes: np.ndarray, nodes: int = NODES, root: Tensor | None = None,
    reading: np.ndarray | None = None,
) -> Head:  # fmt: skip
    """graph in the face frame; the truth ``basis`` and the ``shapes`` that motion is read by, [K, V, 3] in the mesh's unit."""
    coarse = pool(graph, torch.zeros(len(graph.pos), 1), n=nodes)
    seen = BoundedSolver(graph, shapes, np.zeros(len(graph.pos)))
    align = np.tensordot(solver(shapes, graph.area), basis, ((1, 2), (1, 2)))  # [C, K]
    return Head(
        name, coarse_tensors(coarse, shapes), coarse.motion(basis).float(), torch.from_numpy(align).float(),
        torch.zeros(0) if root is None else root, seen.gram, basis.reshape(len(basis), -1) @ seen.weighted.T,
        reading,
    )  # fmt: skip


def rigged(rigger: Rigger, graph: MeshGraph, basis: np.ndarray) -> np.ndarray:
    """The rig head's shapes [K, V, 3] of a mesh that lies in the face frame, or its own ``basis`` where the rig head does not
    know what it sees."""
    found = rigger.shapes(graph)
    both = (np.linalg.norm(b.reshape(len(b), -1), axis=1) + 1e-9 for b in (found, basis))
    cosine = np.einsum("kvc,kvc->k", found, basis) / np.prod(list(both), axis=0)
    return found if cosine[list(LOWER_FACE)].mean() > GOOD else basis
