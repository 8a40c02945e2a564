"""Who is heard in another voice opens the mouth before the first word, the tracked speaker as tracked."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from ptalker_blender.core.channels import CHANNELS, INDEX
from ptalker_blender.core.data.ready import readied
from ptalker_blender.core.data.windows import Segment

FPS = 25.0
PHONES = [["sil", 0.0, 0.9], ["p", 0.9, 1.0], ["æ", 1.0, 1.4]]
OPEN = 17  # frame in which the mouth of the track is ready


def track() -> tuple[np.ndarray, np.ndarray]:
    """Weights [50, K] of a jaw that opens in the last 0.2 s before the first sound, and the gap [50] with it."""
    z = np.zeros((50, len(CHANNELS)), np.float32)
    z[:, INDEX["jawOpen"]] = np.interp(np.arange(50), [OPEN - 5, OPEN, 22, 24, 28, 40], [0.0, 0.3, 0.3, 0.02, 0.5, 0.0])
    return z, z[:, INDEX["jawOpen"]] * 2


def test_the_mouth_is_open_half_a_second_before_the_word() -> None:
    z, gap = track()
    jaw = readied(z, gap, FPS, PHONES)[:, INDEX["jawOpen"]]
    assert jaw[10] > 0.1 > z[10, INDEX["jawOpen"]]  # 0.4 s
    assert jaw[0] == 0  # 0.9 s before it is too early
    assert np.abs(np.diff(jaw[:OPEN])).max() < 0.1  # and it is no jump


def test_the_word_itself_stays() -> None:
    z, gap = track()
    assert np.array_equal(readied(z, gap, FPS, PHONES)[OPEN:], z[OPEN:])


def test_a_wider_mouth_is_not_made_narrower() -> None:
    z, gap = track()
    z[:8, INDEX["jawOpen"]] = 0.6
    gap[:8] = 1.2
    assert np.array_equal(readied(z, gap, FPS, PHONES)[:8], z[:8])


def test_a_track_without_words_or_without_lips_stays() -> None:
    z, gap = track()
    assert readied(z, gap, FPS, [["sil", 0.0, 2.0]]) is z
    assert readied(z, np.full(50, np.nan), FPS, PHONES) is z


@pytest.mark.parametrize(("voice", "factor", "strange"), [(1.0, 1.0, 0.0), (1.05, 1.0, 0.49), (1.3, 1.0, 1.0), (1.0, 0.88, 1.0)])
def test_another_pitch_is_another_person(voice: float, factor: float, strange: float) -> None:
    segment = Segment(0, 0.0, 1.0, factor, 0.0, voice)
    assert segment.strange == pytest.approx(strange, abs=0.01)
    assert Segment(**asdict(segment)) == segment
