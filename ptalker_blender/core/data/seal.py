"""Tracked motion whose lips really meet at p, b and m.

A 25 fps camera with 65 pixels between the eyes sees a closure of 60 ms as a narrow gap, and what is trained on narrow
gaps never closes. Where the words say p, b or m, the fitted weights are sealed as the teacher seals its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .phonemes import segments
from .teacher import RAMP, close_lips, closures, default_parameters, ramp
from .teacher_style import TeacherStyle

SEARCH = 0.06  # s: the aligner's times are this uncertain; the track's own narrowest moment is better
NARROW = 0.5  # of the gap's range: where no moment is narrower than this the track contradicts the words, and wins


def sealed(z: np.ndarray, times: np.ndarray, phones: Sequence[Sequence]) -> np.ndarray:
    """z [T, K] tracked weights at times [T] s, ascending; phones [[ipa, start_s, end_s]] -> z with closures."""
    gap = default_parameters()[0].gap[:, 0]
    height = z @ gap
    top = float(np.quantile(height, 0.95))
    cores = []
    for a, b in closures(segments(phones), TeacherStyle.neutral())[0]:
        near = np.nonzero((times >= a - SEARCH) & (times <= b + SEARCH))[0]
        if not len(near):
            continue
        lowest = near[int(np.argmin(height[near]))]
        if height[lowest] < NARROW * top:
            middle = float(np.clip(times[lowest], a, b))
            half = min((b - a) / 2, 0.04)
            cores.append((middle - half, middle + half))
    if not cores:
        return z
    out = z.copy()
    close_lips(out, ramp(times, cores, RAMP))
    return np.clip(out, 0, 1)
