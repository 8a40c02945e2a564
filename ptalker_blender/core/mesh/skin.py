"""The template face's skin in full: what each channel does at any place of it.

The rig head's attention tells where on the template a vertex belongs (RigHead.chosen), but carries the shapes of its 1024
points only, a centimetre apart: lids and lips are blurred. Here that place is smoothed along the mesh, the nearest of the
skin's 14,000 vertices are looked up, and their shapes take over where the place lies on the skin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_matrix, diags
from scipy.spatial import KDTree
from torch import Tensor

from ..model.mesh_encoder import GraphBatch, RigHead

NORMAL = 0.15  # how much normals count in looking up, face frame
NEAREST = 4
FAR = 0.2  # a place so far from the skin (normals count) is not on it, face frame
NEAR, ROUNDS = 0.1, 15  # how far along the mesh places are smoothed, face frame
BLOCK = 4096
PREFIX = "skin."  # of the tensors in a checkpoint


@dataclass(frozen=True)
class Found:
    """For each vertex its ``near`` [V, n] skin vertices, their ``weight`` [V, n], and how much they count, ``share`` [V]."""

    near: np.ndarray
    weight: np.ndarray
    share: np.ndarray


class Skin:
    """place [M, 6]: positions and normals, face frame; basis [M, K, 3], face frame; part [M]: which piece of skin;
    points [template]: the piece on which each point of the rig head's template lies, -1 where it is no skin."""

    def __init__(self, place: np.ndarray, basis: np.ndarray, part: np.ndarray, points: np.ndarray) -> None:
        self.basis, self.parts = basis, np.unique(part)
        self.points = torch.from_numpy((points[:, None] == np.append(self.parts, -1)).astype(np.float32))
        self.rows = [np.flatnonzero(part == p) for p in self.parts]
        self.trees = [KDTree(np.concatenate([place[r, :3], NORMAL * place[r, 3:]], 1)) for r in self.rows]

    @classmethod
    def of(cls, state: dict[str, Tensor]) -> Skin | None:
        """From a checkpoint's tensors; None where it has no skin."""
        mine = {k.removeprefix(PREFIX): v.numpy() for k, v in state.items() if k.startswith(PREFIX)}
        if not mine:
            return None
        return cls(mine["place"].astype(np.float32), mine["basis"].astype(np.float32), mine["part"], mine["points"])

    @torch.no_grad()
    def find(self, head: RigHead, g: Tensor, b: GraphBatch) -> Found:
        """g [V, h] of a mesh in the face frame -> where on the skin its vertices belong."""
        place, piece = np.empty((len(g), 3), np.float32), np.empty(len(g), int)
        for i in range(0, len(g), BLOCK):
            some = slice(i, i + BLOCK)
            chosen = head.chosen(g[some], b.pos[some], b.normal[some])[:, : head.cfg.template]
            total = chosen.sum(1, keepdim=True) + 1e-6
            place[some] = (chosen @ head.place[:, :3] / total).numpy()
            piece[some] = (chosen @ self.points).argmax(1).numpy()
        place = smoothed(place, b)
        spot = np.concatenate([place, NORMAL * b.normal.numpy()], 1)
        near, weight = np.zeros((len(g), NEAREST), int), np.zeros((len(g), NEAREST), np.float32)
        share = np.zeros(len(g), np.float32)
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


def smoothed(place: np.ndarray, b: GraphBatch) -> np.ndarray:
    """How far each vertex is moved to its place [V, 3], averaged along the mesh: neighbours belong side by side. Not across
    folds, where lips and lids turn inwards."""
    start, end = b.edges.numpy()
    pos, normal = b.pos.numpy(), b.normal.numpy()
    alike = (normal[start] * normal[end]).sum(1).clip(0, 1)
    weight = alike * np.exp(-((pos[start] - pos[end]) ** 2).sum(1) / NEAR**2)
    total = 1 + np.bincount(start, weight, len(pos))
    step = csr_matrix((weight / total[start], (start, end)), shape=(len(pos),) * 2) + diags(1 / total)
    moved = place - pos
    for _ in range(ROUNDS):
        moved = step @ moved
    return (pos + moved).astype(np.float32)
