"""What an artist may say of a face: a few landmarks, and which vertices are the face. Checked, from files."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.lib.npyio import NpzFile

from .errors import PTalkerError
from .landmark_places import NAMES, PLACES

FIX = "Use names such as mouth_left with three numbers each; docs/rig.md lists them."


@dataclass(frozen=True)
class Guide:
    """``marks``: name -> position [3] in the mesh's own units and frame; ``face`` [V] bool: where the face is looked for."""

    marks: dict[str, np.ndarray] = field(default_factory=dict)
    face: np.ndarray | None = None

    def __bool__(self) -> bool:
        return bool(self.marks) or self.face is not None

    def first(self, count: int) -> Guide:
        """For a mesh that is this one's first ``count`` vertices; of more vertices than are known the others are no face."""
        if self.face is None:
            return self
        return Guide(self.marks, np.pad(self.face, (0, max(0, count - len(self.face))))[:count])


def checked(marks: object) -> dict[str, np.ndarray]:
    """Landmarks by name, each with its position. Raises PTalkerError landmarks_invalid."""
    if not isinstance(marks, dict):
        raise PTalkerError("landmarks_invalid", "Landmarks must be a table of names and positions.", FIX)
    out = {}
    for name, value in marks.items():
        if name not in PLACES:
            raise PTalkerError("landmarks_invalid", f"There is no landmark named '{name}'.", f"Known are {', '.join(NAMES)}.")
        numbers = np.asarray(value, object).ravel().tolist()
        if len(numbers) != 3 or not all(map(_is_real, numbers)):
            raise PTalkerError("landmarks_invalid", f"The landmark '{name}' is not three finite numbers.", FIX)
        out[name] = np.array(numbers, float)
    return out


def _is_real(x: object) -> bool:
    """Whether a float can hold it: JSON's whole numbers may have any number of digits."""
    return isinstance(x, int | float) and not isinstance(x, bool) and abs(x) <= sys.float_info.max


def read_landmarks(path: str | Path) -> dict[str, np.ndarray]:
    """L.json, ``{"mouth_left": [x, y, z], ...}`` -> landmarks. Raises PTalkerError landmarks_invalid, landmarks_unreadable."""
    try:
        raw = json.loads(Path(path).read_text("utf-8-sig"))  # some editors put a BOM first
    except (OSError, ValueError, RecursionError) as error:
        raise PTalkerError("landmarks_unreadable", f"'{path}' cannot be read as JSON.", FIX) from error
    return checked(raw)


def read_guide(mesh: str | Path, landmarks: str | Path | None = None) -> Guide:
    """What HEAD.npz says beside its mesh: ``landmark_names`` [L] with ``landmarks`` [L, 3], and ``face`` [V] bool or weights
    (above a half is the face). Landmarks of the file ``landmarks`` take the place of the former. Raises PTalkerError."""
    with np.load(mesh, allow_pickle=False) as archive:
        has = {k: _array(archive, k) for k in ("landmark_names", "landmarks", "face") if k in archive.files}
        count = len(archive["vertices"])
    marks: dict[str, np.ndarray] = {}
    if landmarks is not None:
        marks = read_landmarks(landmarks)
    elif "landmark_names" in has and "landmarks" in has:
        names, places = has["landmark_names"].ravel(), np.atleast_1d(has["landmarks"])
        if len(names) != len(places):
            raise PTalkerError("landmarks_invalid", "The mesh file's landmarks and their names differ in number.", FIX)
        marks = checked(dict(zip(map(str, names), places, strict=True)))
    face = has.get("face")
    if face is None:
        return Guide(marks)
    if face.shape[:1] != (count,) or face.size > count or face.dtype.kind not in "biuf":
        raise PTalkerError("face_group_invalid", f"The mesh file's 'face' must have one number for each of {count} vertices.")
    return Guide(marks, face.reshape(count) > 0.5)


def _array(archive: NpzFile, name: str) -> np.ndarray:
    try:
        return archive[name]
    except Exception as error:  # pickled objects and damage show as many kinds of errors
        code = "face_group_invalid" if name == "face" else "landmarks_invalid"
        fix = "Save it again as a plain array, not as Python objects."
        raise PTalkerError(code, f"The mesh file's '{name}' cannot be read.", fix) from error
