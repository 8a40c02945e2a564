"""Tracks whose lips nearly meet at p, b, m are made to meet there, and nowhere else."""

from __future__ import annotations

import numpy as np

from ptalker_blender.core.channels import CHANNELS, INDEX
from ptalker_blender.core.data.seal import sealed
from ptalker_blender.core.data.teacher import default_parameters

TIMES = np.arange(50) / 25
PHONES = [["æ", 0.4, 0.8], ["b", 0.8, 0.9], ["æ", 0.9, 1.4]]


def track(lowest: float, at: float) -> np.ndarray:
    """[50, K]: the jaw is open while the phones sound, but for a dip to ``lowest`` of it at ``at`` seconds."""
    z = np.zeros((50, len(CHANNELS)), np.float32)
    open_ = ((TIMES >= 0.4) & (TIMES < 1.4)).astype(float)
    z[:, INDEX["jawOpen"]] = 0.25 * open_ * (1 - (1 - lowest) * np.exp(-(((TIMES - at) / 0.05) ** 2)))
    return z


def height(z: np.ndarray) -> np.ndarray:
    return z @ default_parameters()[0].gap[:, 0]


def test_lips_meet_where_the_track_is_narrowest() -> None:
    z = track(0.3, 0.88)
    out = height(sealed(z, TIMES, PHONES))
    assert abs(TIMES[int(np.argmin(np.where((TIMES > 0.5) & (TIMES < 1.3), out, 9)))] - 0.88) <= 0.041
    assert out[22] < 0.03 < height(z)[22]


def test_the_rest_of_the_track_stays() -> None:
    z = track(0.3, 0.88)
    far = np.abs(TIMES - 0.86) > 0.15
    assert np.array_equal(sealed(z, TIMES, PHONES)[far], z[far])


def test_a_track_that_contradicts_the_words_wins() -> None:
    z = track(0.9, 0.88)
    assert sealed(z, TIMES, PHONES) is z


def test_without_closures_nothing_changes() -> None:
    z = track(0.3, 0.88)
    assert sealed(z, TIMES, [["æ", 0.4, 1.4]]) is z
