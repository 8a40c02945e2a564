# SPDX-License-Identifier: GPL-3.0-or-later
"""A vertex motion as a few shapes with curves from 0 to 1. numpy only.

Begins with the best affine approximation (truncated SVD about the mean), whose curves are shifted above 0; then semi-NMF
(Ding, Li, Jordan, "Convex and Semi-Nonnegative Matrix Factorizations", 2010), whose updates never make it worse. Signed curves
would be closer at the same number, but importers of glTF cut negative weights off. All of it happens on the products of
frames [T, T], gathered a part of the vertices at a time, so memory does not grow with the mesh.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

_CHUNK = 8192  # vertices at a time
ROUNDS = 150  # of semi-NMF


@dataclass(frozen=True)
class LowRank:
    """motion ~ weights [T, K] x shapes [K, V, 3]; weights within 0 .. 1. Errors in the motion's unit, over all vertices that
    move: ``rms``, and ``worst`` of any vertex in any frame."""

    shapes: np.ndarray
    weights: np.ndarray
    rms: float
    worst: float


def decompose(positions: np.ndarray, rest: np.ndarray, count: int, mask: np.ndarray | None = None) -> LowRank:
    """positions [T, V, 3], rest [V, 3], mask [V] of how much of the motion counts -> at most ``count`` shapes."""
    frames, vertices = positions.shape[:2]

    def parts() -> Iterator[tuple[slice, np.ndarray]]:
        """Yields displacements [T, 3v]."""
        for start in range(0, vertices, _CHUNK):
            some = slice(start, start + _CHUNK)
            part = positions[:, some] - rest[some]
            yield some, (part if mask is None else part * mask[some, None]).reshape(frames, -1).astype(np.float64)

    gram = np.zeros((frames, frames))
    for _, part in parts():
        gram += part @ part.T
    weights = _curves(gram, count)
    solved = np.linalg.pinv(weights)  # [K, T]
    shapes = np.empty((weights.shape[1], vertices, 3), np.float32)
    total, moving, worst = 0.0, 0, 0.0
    for some, part in parts():
        own = solved @ part  # [K, 3v]
        shapes[:, some] = own.reshape(len(own), part.shape[1] // 3, 3)
        left = np.linalg.norm((part - weights @ own).reshape(frames, -1, 3), axis=2)  # [T, v]
        moves = np.linalg.norm(part.reshape(frames, -1, 3), axis=2).max(axis=0) > 0
        total, moving = total + float((left[:, moves] ** 2).sum()), moving + int(moves.sum())
        worst = max(worst, float(left.max(initial=0.0)))
    rms = float(np.sqrt(total / max(1, moving * frames)))
    return LowRank(shapes, weights.astype(np.float32), rms, worst)


def _curves(gram: np.ndarray, count: int) -> np.ndarray:
    """Products of frames [T, T] -> weights [T, K] in 0 .. 1, K <= count; none where nothing moves."""
    frames = len(gram)
    size = float(np.trace(gram))
    if size <= 0:
        return np.zeros((frames, 0))
    middle = np.eye(frames) - 1.0 / frames
    values, vectors = np.linalg.eigh(middle @ gram @ middle)
    order = np.argsort(values)[::-1][: max(0, count - 1)]
    signed = vectors[:, order[values[order] > 1e-10 * size]]
    weights = np.concatenate([np.ones((frames, 1)), signed - signed.min(axis=0, initial=0.0)], axis=1)
    weights /= np.maximum(weights.max(axis=0), 1e-30)
    for _ in range(ROUNDS if weights.shape[1] == count else 0):  # fewer: it is exact already
        inner = np.linalg.pinv(weights.T @ weights)
        a = gram @ weights @ inner  # motion x shapes
        b = inner @ (weights.T @ gram @ weights) @ inner  # shapes x shapes
        up = np.maximum(a, 0) + weights @ np.maximum(-b, 0)
        down = np.maximum(-a, 0) + weights @ np.maximum(b, 0)
        weights = weights * np.sqrt(up / np.maximum(down, 1e-30 * size))
        weights /= np.maximum(weights.max(axis=0), 1e-30)
    return weights
