"""Weights 0..1 of a mesh's own shapes that explain its motion best: bounded least squares over all vertices."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..channels import INDEX, LOWER_FACE
from .aligned import LIPS
from .graph import MeshGraph
from .reader import steadied

RIDGE, FLOOR = 0.01, 0.002  # of a channel's own size; of the mean size
ROUNDS, SMALL = 400, 1e-5


class BoundedSolver:
    """``graph``: of the mesh in the face frame, basis [K, V, 3] its shapes in its own unit and frame, ``still`` [V] weights of
    the vertices that tell what the head as a whole does (mesh/reader.py), ``reading`` [C, C] of the rig head whose shapes they
    are (Rigger.reading), None where they are the mesh's own."""

    def __init__(self, graph: MeshGraph, basis: np.ndarray, still: np.ndarray, reading: np.ndarray | None = None) -> None:
        self.still, self.reading, shapes = still, reading, np.asarray(basis, np.float32)
        amount = np.linalg.norm(shapes[list(LOWER_FACE)], axis=-1).sum(0)
        self.weight = graph.area * (1 + LIPS * amount / max(float(amount.max()), 1e-12))
        self.weighted = (shapes * self.weight[:, None].astype(np.float32)).reshape(len(shapes), -1)
        gram = self.weighted.astype(np.float64) @ shapes.reshape(len(shapes), -1).T
        size = np.diag(gram)
        self.gram = gram + np.diag(RIDGE * size + FLOOR * max(float(size.mean()), 1e-30))

    def __call__(self, chunks: Iterable[np.ndarray], rest: np.ndarray | None) -> np.ndarray:
        """Frames [t, V, 3], chunk by chunk, the face at rest [V, 3] (None: nobody knows it) -> weights [T, K] float32."""
        still, pulls = rest, []
        for chunk in chunks:
            still = chunk[0] if still is None else still
            moved = steadied(chunk, still.astype(np.float32), self.still) - still
            pulls.append(moved.reshape(len(chunk), -1) @ self.weighted.T)
        found = solved(self.gram, np.concatenate(pulls).astype(np.float64), rest is not None)
        return found if self.reading is None else meant(found, self.reading)


def solved(gram: np.ndarray, pull: np.ndarray, rest_known: bool) -> np.ndarray:
    """One clip: gram [K, K] of the shapes, pull [T, K] how much of each its displacements hold -> weights [T, K] float32.
    Where nobody knows the rest, the frame of least jaw stands for it, of those in which the eyes are open."""
    if not rest_known:
        free = np.linalg.solve(gram, pull.T)
        lids = free[INDEX["eyeBlinkLeft"]] + free[INDEX["eyeBlinkRight"]]
        jaw = np.where(lids <= np.median(lids), free[INDEX["jawOpen"]], np.inf)
        pull = pull - pull[int(jaw.argmin())]
    return bounded(gram, pull)


def meant(weights: np.ndarray, reading: np.ndarray) -> np.ndarray:
    """Weights [..., K] of the rig head's shapes -> those of a mesh's true shapes, as far as the rig head errs on all meshes
    alike: reading [C, C] of the lower face (train/rig_reading.py); the upper face stays."""
    out, low = weights.copy(), list(LOWER_FACE)
    out[..., low] = np.clip(weights[..., low] @ reading.astype(np.float32), 0, 1)
    return out


def bounded(gram: np.ndarray, pull: np.ndarray) -> np.ndarray:
    """argmin over 0 <= w <= 1 of w gram w / 2 - pull w, for each row of pull [T, K] -> [T, K] float32.

    Accelerated projected gradient (Beck & Teboulle 2009, FISTA, with O'Donoghue & Candes' restart)."""
    scale = 1 / np.sqrt(np.diag(gram))  # in units in which every channel is as large: converges sooner
    a, b = gram * scale[:, None] * scale[None], pull * scale
    step, upper = 1 / np.linalg.eigvalsh(a)[-1], 1 / scale
    x = np.zeros_like(b)
    y, momentum = x, 1.0
    for _ in range(ROUNDS):
        new = np.clip(y - step * (y @ a - b), 0, upper)
        moved = new - x
        if float(((y - new) * moved).sum()) > 0:  # momentum points uphill
            momentum = 1.0
        following = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        y = new + (momentum - 1) / following * moved
        x, momentum = new, following
        if np.abs(moved * scale).max(initial=0.0) < SMALL:
            break
    return (x * scale).astype(np.float32)
