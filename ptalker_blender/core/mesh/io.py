"""HEAD.npz in: vertices and faces, checked so that nothing behind this has to doubt them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.npyio import NpzFile

from ..errors import PTalkerError

_FARTHEST = 1e9  # units; beyond this float32 keeps no face


def read_head(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """HEAD.npz -> vertices [V, 3] float64, faces [F, 4] int64 (-1 in the last column pads triangles).

    Raises PTalkerError (mesh_missing, mesh_unreadable, mesh_invalid). Pickled arrays are refused.
    """
    path = Path(path)
    try:
        if not path.exists():
            raise PTalkerError("mesh_missing", f"The mesh file '{path}' does not exist.")
        if not path.is_file():
            raise PTalkerError("mesh_unreadable", f"'{path}' is not a file.")
    except (OSError, ValueError) as error:
        raise PTalkerError("mesh_unreadable", f"The mesh file '{path}' cannot be opened.") from error
    arrays = _read_arrays(path)
    return check_head(arrays["vertices"], arrays["faces"], f"The mesh '{path.name}'")


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    unreadable = PTalkerError("mesh_unreadable", f"'{path.name}' cannot be read as an npz file of numbers.")
    try:
        archive = np.load(path, allow_pickle=False)
    except Exception as error:  # a damaged file raises anything from BadZipFile to SyntaxError; all mean the same
        raise unreadable from error
    if not isinstance(archive, NpzFile):
        raise unreadable
    with archive:
        missing = [name for name in ("vertices", "faces") if name not in archive.files]
        if missing:
            raise PTalkerError("mesh_invalid", f"The mesh '{path.name}' has no array '{missing[0]}'.")
        try:
            return {name: archive[name] for name in ("vertices", "faces")}
        except Exception as error:
            raise unreadable from error


def check_head(vertices: Any, faces: Any, what: str = "The mesh") -> tuple[np.ndarray, np.ndarray]:
    """Arrays vertices [V, 3] and faces [F, 3|4] -> float64 [V, 3] and int64 [F, 4], or PTalkerError mesh_invalid."""
    vertices, faces = np.asarray(vertices), np.asarray(faces)
    if vertices.dtype.kind not in "fiu" or vertices.ndim != 2 or vertices.shape[1] != 3:
        raise _invalid(f"{what} needs vertices of shape [V, 3], but has {_described(vertices)}.")
    if faces.dtype.kind not in "iu" or faces.ndim != 2 or faces.shape[1] not in (3, 4):
        raise _invalid(f"{what} needs whole-number faces of shape [F, 3] or [F, 4], but has {_described(faces)}.")
    if len(vertices) < 4 or len(faces) < 1:
        raise _invalid(f"{what} is empty: it has {len(vertices)} vertices and {len(faces)} faces.")
    vertices = vertices.astype(np.float64)
    if not np.isfinite(vertices).all():
        raise _invalid(f"{what} has vertices that are not finite numbers.")
    if np.abs(vertices).max() > _FARTHEST:
        raise _invalid(f"{what} has vertices farther than {_FARTHEST:.0e} units from the origin.")
    if np.ptp(vertices, axis=0).max() == 0:
        raise _invalid(f"{what} has no size: all its vertices are at one point.")
    return vertices, _checked_faces(faces, len(vertices), what)


def _checked_faces(faces: np.ndarray, count: int, what: str) -> np.ndarray:
    if faces.dtype == np.uint64 and faces.max() > np.iinfo(np.int64).max:
        raise _invalid(f"{what} has faces that name vertices it does not have.")
    faces = faces.astype(np.int64)
    if faces.shape[1] == 3:
        faces = np.concatenate([faces, np.full((len(faces), 1), -1)], axis=1)
    if faces.max() >= count or faces[:, :3].min() < 0 or faces[:, 3].min() < -1:
        raise _invalid(f"{what} has faces that name vertices it does not have.")
    return faces


def _described(array: np.ndarray) -> str:
    return f"{array.dtype} of shape {list(array.shape)}"


def _invalid(sentence: str) -> PTalkerError:
    return PTalkerError("mesh_invalid", sentence)
