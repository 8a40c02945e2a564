"""Habits put on real tracks (core/data/restyle.py)."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_corpus import phones

from ptalker_blender.core.channels import INDEX, UPPER_FACE
from ptalker_blender.core.data.restyle import restyled
from ptalker_blender.core.data.teacher import TeacherStyle, curves

TIMES = np.arange(75) / 25.0
JAW, SMILE = INDEX["jawOpen"], [INDEX["mouthSmileLeft"], INDEX["mouthSmileRight"]]


@pytest.fixture(scope="module")
def track() -> np.ndarray:
    """The teacher's curves with some of a tracker's noise: [75, 52]."""
    z = curves(phones(3), TIMES, TeacherStyle.neutral(), seed=1)
    return np.clip(z + np.random.default_rng(0).normal(size=z.shape).astype(np.float32) * 0.01, 0, 1)


def test_neutral_habits_change_next_to_nothing(track: np.ndarray) -> None:
    cheeks = [INDEX["cheekSquintLeft"], INDEX["cheekSquintRight"]]  # they follow the smile, in the neutral style, too
    others = [i for i in range(track.shape[1]) if i not in cheeks]
    assert np.abs(restyled(track, TeacherStyle.neutral()) - track)[:, others].mean() < 0.002


def test_gains_and_postures_show(track: np.ndarray) -> None:
    wide = restyled(track, TeacherStyle(jaw=1.5, rest_smile=0.3))
    assert np.allclose(wide[:, JAW], np.clip(1.5 * track[:, JAW], 0, 1), atol=1e-5)
    assert (wide[:, SMILE].mean(0) > track[:, SMILE].mean(0) + 0.05).all()
    lopsided = restyled(track, TeacherStyle(asymmetry=0.3, rest_smile=0.3))
    assert lopsided[:, SMILE[0]].mean() > 1.3 * lopsided[:, SMILE[1]].mean()


def test_what_a_style_does_not_touch_stays(track: np.ndarray) -> None:
    style = TeacherStyle.sample(np.random.default_rng(4))
    out = restyled(track, style)
    kept = [i for i in UPPER_FACE if not np.allclose(out[:, i], track[:, i], atol=1e-6)]
    assert kept == [] and out.dtype == np.float32 and ((out >= 0) & (out <= 1)).all()
    assert not np.shares_memory(out, track)


def test_the_same_words_in_the_same_time(track: np.ndarray) -> None:
    """The lips of another person open and close when those of the track do."""
    for seed in range(6):
        out = restyled(track, TeacherStyle.sample(np.random.default_rng(seed)))
        assert np.corrcoef(out[:, JAW], track[:, JAW])[0, 1] > 0.9


def test_a_track_keeps_its_own_time(track: np.ndarray) -> None:
    slow, fast = (restyled(track, TeacherStyle(anticipation=a, carry_over=a)) for a in (0.6, 1.7))
    assert np.array_equal(slow, fast)
