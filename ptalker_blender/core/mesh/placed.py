"""Shapes by place alone: what the template does where a vertex lies, whatever the vertex looks like.

Where an artist has marked a mouth and the network goes on seeing one elsewhere, the artist's word counts.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import KDTree

from .skin import NORMAL

APART = 0.07, 0.16  # face frame: how far the network sees a landmark from where it was marked, for nothing and all of it to count
REACH = 0.4  # face frame, from a landmark: as far as its word goes
SOFT, NEAREST = 0.05, 8  # face frame: template points, a centimetre apart, count by distance


def by_place(points: np.ndarray, normal: np.ndarray, place: np.ndarray, template: np.ndarray) -> np.ndarray:
    """Points and normals [n, 3] in the face frame, the template's ``place`` [M, 6] (the same of its points) and basis
    [K, M, 3] -> [K, n, 3]."""
    tree = KDTree(np.concatenate([place[:, :3], NORMAL * place[:, 3:]], 1))
    far, near = tree.query(np.concatenate([points, NORMAL * normal], 1), NEAREST)
    weight = np.exp((far[:, :1] ** 2 - far**2) / (2 * SOFT**2))
    weight /= weight.sum(1, keepdims=True)
    return np.einsum("vn,kvnc->kvc", weight.astype(np.float32), template[:, near])


def overruled(points: np.ndarray, marked: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """How much places count instead of what the network sees, 0..1, at points [n, 3]: near landmarks that were ``marked``
    [m, 3] and are ``seen`` [m, 3] elsewhere."""
    low, high = APART
    doubt = ((np.linalg.norm(seen - marked, axis=1) - low) / (high - low)).clip(0, 1)  # [m]
    marked, doubt = marked[doubt > 0], doubt[doubt > 0]  # mostly none
    near = np.exp(-((points[:, None] - marked) ** 2).sum(-1) / (2 * REACH**2))  # [n, m]
    return (near * doubt).max(1, initial=0.0)
