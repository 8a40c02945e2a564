from __future__ import annotations

import numpy as np
import pytest

from ptalker_blender.core.errors import PTalkerError
from ptalker_blender.core.jobs import between, check_options

SOUND = np.arange(1, 32001, dtype=np.float32)  # two seconds


def test_the_part_of_a_sound_that_is_heard() -> None:
    np.testing.assert_array_equal(between(SOUND, 0.0, None), SOUND)
    np.testing.assert_array_equal(between(SOUND, 0.5, 1.0), SOUND[8000:24000])
    np.testing.assert_array_equal(between(SOUND, 1.5, None), SOUND[24000:])


def test_outside_the_sound_is_silence() -> None:
    heard = between(SOUND, -0.5, 3.0)
    assert len(heard) == 48000 and not heard[:8000].any() and not heard[40000:].any()
    np.testing.assert_array_equal(heard[8000:40000], SOUND)
    assert not between(SOUND, 5.0, 1.0).any() and not between(SOUND, -5.0, 1.0).any()


@pytest.mark.parametrize(("start", "duration"), [(2.0, None), (0.0, 0.0), (0.0, -1.0), (0.0, 1e6)])
def test_a_part_that_cannot_be_heard(start: float, duration: float | None) -> None:
    with pytest.raises(PTalkerError):
        between(SOUND, start, duration)


@pytest.mark.parametrize("options", [(0, 1, 0), (241, 1, 0), (float("nan"), 1, 0), (30, 9, 0), (30, 1, -1)])
def test_bad_options(options: tuple[float, float, int]) -> None:
    with pytest.raises(PTalkerError):
        check_options(*options)
    check_options(23.976, 0.0, 7)
