"""Tracked motion as another person would show it: the habits of a teacher style put on a real track.

Real tracks exist of one speaker, so a network could only learn what a style does to the teacher's smooth curves. The gains
and postures of a style work on any weights; what it says of time (anticipation, contrast, ...) the track keeps of its own.
"""

from __future__ import annotations

import numpy as np

from ..channels import INDEX
from .dominance import ARTICULATORS
from .teacher import default_parameters, habitual, styled_targets, uncross
from .teacher_style import TeacherStyle

SIDES = ("Left", "Right")
_COLUMNS = [[INDEX[n if n in INDEX else n + side] for n in ARTICULATORS] for side in SIDES]  # the articulators of each side


def restyled(z: np.ndarray, style: TeacherStyle) -> np.ndarray:
    """z [T, 52] tracked weights -> the same words by somebody with these habits, 0..1 (``seal.sealed`` closes lips anew).

    The neutral style changes next to nothing: its resting postures are 0, and its gains 1."""
    x, closed = np.array(z, np.float32), np.zeros(len(z))
    for columns in _COLUMNS:
        x[:, columns] = styled_targets(z[:, columns], style)
    habitual(x, style, shut=closed, tucked=closed)
    np.clip(x, 0, 1, out=x)
    uncross(x, default_parameters()[0].gap[:, 0])
    return np.clip(x, 0, 1)
