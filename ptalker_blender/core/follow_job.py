"""The engine's job Rig for a head with parts: what of the mesh's file says so, and their motion (mesh/follow.py)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from .channels import CHANNELS
from .errors import PTalkerError

Rig = Callable[[np.ndarray, np.ndarray], np.ndarray]


def rig_parts(path: str | Path, vertices: np.ndarray, faces: np.ndarray, rig: Rig) -> np.ndarray:
    """The basis [K, V, 3] of a mesh whose file may have ``part`` [V] (0 the head, then its followers in order), ``kinds``
    [P] of those (mesh/follow.py) and ``own`` [K, V0, 3], the head's own shapes; a mesh without parts is rigged as it is.

    Raises PTalkerError mesh_invalid.
    """
    with np.load(path, allow_pickle=False) as archive:
        part, kinds, own = (archive[name] if name in archive.files else None for name in ("part", "kinds", "own"))
    if part is None or kinds is None:
        return rig(vertices, faces)
    from .mesh.follow import follow

    if own is not None and own.shape != (len(CHANNELS), int((part == 0).sum()), 3):
        raise PTalkerError("mesh_invalid", "The head's own shapes do not belong to the head.")
    return follow(vertices, faces, part, kinds, rig, own)
