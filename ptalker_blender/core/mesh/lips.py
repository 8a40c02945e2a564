"""Where the lips of a mesh face each other: pairs of vertices, one of the upper lip and one of the lower, found from its shapes.

The jaw's shape tells which lip a vertex belongs to (the lower goes along, the upper stays), those that shape the mouth tell
where the lips are. A pair is two vertices, one of each, of which either is the other's nearest: that is the line along which
lips meet, whether the mesh has thick lips, a slit or nothing behind them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import KDTree

from ..channels import INDEX

SHAPERS = ("mouthPucker", "mouthFunnel", "mouthRollUpper", "mouthRollLower", "mouthShrugUpper", "mouthShrugLower")
REGION = 0.25  # of the most that SHAPERS move a vertex
UPPER, LOWER = 0.35, 0.65  # of the lower lip's drop with the jaw; between them are the corners
WIDE = 0.3  # face frame: lips farther apart than this at rest are no pair
STILL = 0.02  # face frame: a jaw that drops the lip by less opens no mouth
MIDDLE = 0.25  # of the pairs' extent, to both sides of its middle
CORNERS = 1.2  # the mouth's width, in extents of the pairs: the corners, where the lips are one, are in none
BEHIND = 0.08  # face frame: lips that have passed each other by so much in depth do not touch


@dataclass(frozen=True)
class Seam:
    """upper, lower [P] vertex numbers, from the face's right to its left; ``rest`` [P, 3] from the lower to the upper vertex and
    ``width`` of the mouth, face frame; ``along`` [P] 0 at the face's right, 1 at its left; ``middle`` [P] bool, the pairs
    near the mouth's middle."""

    upper: np.ndarray
    lower: np.ndarray
    rest: np.ndarray
    width: float
    along: np.ndarray
    middle: np.ndarray

    def gap(self, basis: np.ndarray) -> np.ndarray:
        """What each displacement [K, V, 3] (face frame) adds from the lower to the upper vertex: [K, P, 3]."""
        return basis[:, self.upper] - basis[:, self.lower]

    def crossing(self, basis: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """How far the lips cross [T, P] with weights [T, K], face frame: 0 where they do not, or lie one behind the other. What
        crosses at rest is not counted."""
        open_ = np.tensordot(weights, self.gap(basis), 1) + self.rest  # [T, P, 3]
        beside = np.abs(open_[..., 2] - self.rest[:, 2]) < BEHIND
        return np.maximum(np.minimum(self.rest[:, 1], 0) - open_[..., 1], 0) * beside


def movers(basis: np.ndarray) -> np.ndarray:
    """Of a basis [K, V, 3] the vertices [M] that the jaw or a lip shape moves: meshes can be large, mouths are not."""
    return np.flatnonzero(np.abs(basis[[INDEX["jawOpen"], *(INDEX[n] for n in SHAPERS)]]).max((0, 2), initial=0.0) > 0)


def seam(pos: np.ndarray, basis: np.ndarray) -> Seam | None:
    """pos [V, 3] and basis [K, V, 3] in the face frame -> the pairs; None where the mesh has no mouth that opens."""
    jaw = basis[INDEX["jawOpen"]]
    amount = np.linalg.norm(basis[[INDEX[n] for n in SHAPERS]], axis=2).sum(0)
    lips = np.flatnonzero(amount > REGION * amount.max())
    drop = -jaw[lips, 1]
    full = float(np.percentile(drop, 95)) if len(lips) else 0.0
    if full < STILL:
        return None
    up, low = lips[drop < UPPER * full], lips[drop > LOWER * full]
    if len(up) < 3 or len(low) < 3:
        return None
    to_low, to_up = (np.asarray(KDTree(pos[a]).query(pos[b])[1]) for a, b in ((low, up), (up, low)))
    mutual = to_up[to_low] == np.arange(len(up))
    up, low = up[mutual], low[to_low[mutual]]
    rest = pos[up] - pos[low]
    near = np.linalg.norm(rest, axis=1) < max(WIDE / 5, 2 * float(np.median(np.linalg.norm(rest, axis=1))))
    near &= np.linalg.norm(rest, axis=1) < WIDE
    up, low = up[near], low[near]
    if len(up) < 2:
        return None
    order = np.argsort(pos[up, 0])
    up, low, x = up[order], low[order], pos[up[order], 0]
    along = (x - x[0]) / max(float(np.ptp(x)), 1e-9)
    away = np.abs(along - 0.5)
    middle = away <= max(MIDDLE, float(away.min()))
    return Seam(up, low, pos[up] - pos[low], CORNERS * float(np.ptp(x)), along, middle)
