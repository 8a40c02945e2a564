"""Objects beside the head that move with it: brows and beard with the skin beneath, teeth and eyes as rigid bodies.

A part comes with a kind, because geometry alone does not tell a tooth from a lip's inside: ``SKIN`` takes the motion of the
nearest skin, fading out with the distance (a hat stays); ``RIGID`` the rigid motion, island by island, that is closest to what
the rig network predicts for head and parts together; ``SOFT`` (tongue) that prediction itself. numpy and scipy only.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from ptalker_blender.core.errors import PTalkerError

SKIN, RIGID, SOFT = 0, 1, 2
NEAREST = 8  # vertices of the head that a follower's vertex takes its motion from
NEAR, FAR = 0.05, 0.2  # of the face's size: full motion up to here, none from there on
STILL = 0.3  # of the head's largest motion in a channel; a rigid island that would move less stays (the upper teeth)

Rig = Callable[[np.ndarray, np.ndarray], np.ndarray]


def follow(
    vertices: np.ndarray, faces: np.ndarray, part: np.ndarray, kinds: np.ndarray, rig: Rig, own: np.ndarray | None = None
) -> np.ndarray:
    """vertices [V, 3], faces [F, 4] (-1 pads) and part [V] of all, 0 the head; kinds [P] of parts 1 .. P -> basis [K, V, 3].

    ``rig(vertices, faces)`` is the network; ``own`` [K, V0, 3] the head's own shapes, if it has them. Raises PTalkerError.
    """
    if part.shape != (len(vertices),) or (np.diff(part) < 0).any() or part[0] != 0 or part[-1] != len(kinds):
        raise PTalkerError("mesh_invalid", "The parts of the mesh are not numbered as they lie in it.")
    head = np.flatnonzero(part == 0)
    predicted = rig(vertices[head], faces[(faces < len(head)).all(1)])
    skin = predicted if own is None else own
    out = np.zeros((len(predicted), len(vertices), 3), np.float32)
    out[:, head] = skin
    together = rig(vertices, faces) if (kinds != SKIN).any() else None
    for number, kind in enumerate(kinds, 1):
        mine = np.flatnonzero(part == number)
        own_faces = faces[np.isin(faces[:, 0], mine)]
        if kind == SKIN or together is None:
            out[:, mine] = from_skin(vertices[head], skin, vertices[mine])
        elif kind == SOFT:
            out[:, mine] = together[:, mine]
        else:
            out[:, mine] = rigid(vertices[mine], islands(own_faces - mine[0], len(mine)), together[:, mine], skin)
    return out


def from_skin(head: np.ndarray, basis: np.ndarray, points: np.ndarray) -> np.ndarray:
    """head [V, 3] with basis [K, V, 3], points [N, 3] -> [K, N, 3]."""
    moving = np.linalg.norm(basis, axis=2).max(axis=0)
    face = head[moving > 0.02 * moving.max(initial=0.0)]
    size = float(np.ptp(face, axis=0).max()) if len(face) else 0.0
    if size == 0:
        return np.zeros((len(basis), len(points), 3), np.float32)
    distance, index = KDTree(head).query(points, k=min(NEAREST, len(head)))
    weight = 1.0 / np.maximum(distance, 1e-3 * size) ** 2
    weight /= weight.sum(1, keepdims=True)
    fade = np.clip((FAR - distance[:, 0] / size) / (FAR - NEAR), 0, 1)
    return (np.einsum("knmc,nm->knc", basis[:, index], weight) * fade[:, None]).astype(np.float32)


def islands(faces: np.ndarray, count: int) -> np.ndarray:
    """faces [F, 4] (negative pads) -> the connected piece of each vertex [count]."""
    corners = [(faces[:, a], faces[:, b]) for a, b in ((0, 1), (1, 2), (2, 0), (2, 3), (3, 0))]
    rows, columns = (np.concatenate([pair[i] for pair in corners]) for i in (0, 1))
    good = (rows >= 0) & (columns >= 0)
    graph = coo_matrix((np.ones(good.sum()), (rows[good], columns[good])), shape=(count, count))
    return connected_components(graph, directed=False)[1]


def rigid(points: np.ndarray, island: np.ndarray, basis: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """The rigid motions (shift and small turn, least squares) closest to basis [K, N, 3], one for each island and channel."""
    out = np.zeros_like(basis)
    largest = np.linalg.norm(skin, axis=2).max(axis=1, initial=0.0)
    for number in np.unique(island):
        mine = island == number
        arm = points[mine] - points[mine].mean(0)
        a = np.zeros((mine.sum(), 3, 6))
        a[:, range(3), range(3)] = 1
        a[:, 0, 4], a[:, 0, 5] = arm[:, 2], -arm[:, 1]  # turn x arm
        a[:, 1, 3], a[:, 1, 5] = -arm[:, 2], arm[:, 0]
        a[:, 2, 3], a[:, 2, 4] = arm[:, 1], -arm[:, 0]
        a = a.reshape(-1, 6)
        flat = basis[:, mine].reshape(len(basis), -1)
        made = (flat @ np.linalg.pinv(a).T @ a.T).reshape(len(basis), -1, 3)
        reach = np.linalg.norm(made, axis=2).max(axis=1)
        out[:, mine] = made * (reach > STILL * largest)[:, None, None]
    return out
