"""Lips that meet on this very mesh: weights that close ICT-FaceKit's lips are corrected until they close the mesh's.

A mesh's shapes never open and close its mouth in quite the proportions of ICT's, which the network's last step
(model/contact.py) works with. So where ICT's lips meet the mesh's stay a little open, or cross. Here the channels that close lips
with the least change are moved until the middle of the mesh's mouth is as open as ICT's, in proportion, and no two points of
its lips cross. Lips that are clearly apart stay as they are. Each frame on its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..channels import CHANNELS, INDEX, LOWER_FACE
from .lips import Seam, movers, seam

if TYPE_CHECKING:
    from .graph import Frame

NARROW = 0.25  # cm on ICT's head, as in model/contact.py
WILLING = {"mouthClose": 1.0, "jawOpen": 0.06, "mouthLowerDown": 0.5, "mouthUpperUp": 0.5, "mouthShrug": 0.3, "mouthRoll": 0.5}
PRESSED = 0.004  # of the mouth's width, by which soft lips may press into each other
SOFT = 0.003  # of the mouth's width: a crossing that counts fully
BINS = 5  # along the mouth; in each the pairs that cross are uncrossed together, the worst above all
ROUNDS = 6
ROOM = 0.2  # a channel this near to its end helps less
BLOCK = 4096  # frames at a time


def met(
    frame: Frame, vertices: np.ndarray, basis: np.ndarray, weights: np.ndarray, opens: np.ndarray, most: np.ndarray | None = None
) -> np.ndarray | None:
    """As ``meet``, for vertices [V, 3] with a basis [K, V, 3] in the mesh's own units and frame, and where its face is; None
    where they have no mouth that opens."""
    moving = movers(basis)
    basis = frame.displacement(basis[:, moving])
    found = seam(frame.inside(vertices[moving]), basis)
    return None if found is None else meet(found, basis, weights, opens, most)


def meet(seam: Seam, basis: np.ndarray, weights: np.ndarray, opens: np.ndarray, most: np.ndarray | None = None) -> np.ndarray:
    """basis [K, V, 3] of a mesh in its face frame with its ``seam``, weights [T, K], and how far ``opens`` [K] each channel the
    lips of ICT's head (cm) -> weights [T, K] float32, 0..1, whose lips meet on this mesh where those of ICT meet, and do not
    cross. ``most`` [K]: the weight from which on a channel moves nothing more, where that is less than 1."""
    gap = seam.gap(basis)[..., 1].astype(np.float64)  # [K, P]
    middle = gap[:, seam.middle].mean(1)
    jaw = INDEX["jawOpen"]
    if middle[jaw] <= 0 or opens[jaw] <= 0:
        return weights
    willing = np.array([next((v for n, v in WILLING.items() if c.startswith(n)), 0.0) for c in CHANNELS])
    willing[[k for k in range(len(CHANNELS)) if k not in LOWER_FACE]] = 0
    end = np.ones(len(CHANNELS)) if most is None else np.minimum(most, 1.0)
    place = np.clip((BINS * seam.along).astype(int), 0, BINS - 1)
    bins = [np.flatnonzero(place == b) for b in np.unique(place)]
    limit = np.minimum(seam.rest[:, 1], 0) - PRESSED * seam.width - seam.rest[:, 1]  # [P] the least change of each pair's gap
    out = np.empty(weights.shape, np.float32)
    for start in range(0, len(weights), BLOCK):
        z = weights[start : start + BLOCK].astype(np.float64)
        height = np.maximum(z @ opens, 0)
        near = np.clip(height / NARROW, 0, 1)
        near = 1 - near * near * (3 - 2 * near)  # 1 where ICT's lips meet, 0 where they are apart
        goal = height * middle[jaw] / opens[jaw]
        z = np.minimum(z, end)
        for step in range(ROUNDS):
            rows, wants = [np.broadcast_to(middle, z.shape)], [near * (goal - z @ middle) * (step < ROUNDS - 1)]
            for pairs in bins:
                crossed = np.maximum(limit[pairs] - z @ gap[:, pairs], 0)  # [T, p]
                share = crossed**2 / np.maximum((crossed**2).sum(1, keepdims=True), 1e-12)
                mean = (share * crossed).sum(1)
                counts = np.clip(mean / (SOFT * seam.width), 0, 1)  # a pair that begins to cross changes nothing at once
                wants.append(counts * mean)
                rows.append(counts[:, None] * (share @ gap[:, pairs].T))
            row, want = np.stack(rows, 1), np.stack(wants, 1)  # [T, R, K], [T, R]
            if np.abs(want).max(initial=0.0) < 1e-6:
                break
            up = np.einsum("tr,trk->tk", want, row) > 0
            help_ = willing * np.minimum(np.where(up, end - z, z), ROOM) / ROOM
            square = np.einsum("trk,tk,tsk->trs", row, help_, row) + 1e-4 * middle[jaw] ** 2 * np.eye(row.shape[1])
            z = np.clip(z + help_ * np.einsum("trk,tr->tk", row, np.linalg.solve(square, want[..., None])[..., 0]), 0, end)
        # What does not help stays, also where its channel has come to its end.
        out[start : start + BLOCK] = np.where(willing > 0, z, weights[start : start + BLOCK])
    return out
