"""Clips that cannot be, whose faults are their sound's."""

from __future__ import annotations

import numpy as np
import pytest

from ptalker_blender.core.clips import checked, clip_of
from ptalker_blender.core.errors import PTalkerError

FACES = np.array([[0, 1, 2, 3]])


def frames(count: int = 50) -> np.ndarray:
    return np.random.default_rng(0).random((count, 4, 3))


def test_the_sound_is_as_long_as_the_motion() -> None:
    tone = np.sin(np.arange(16000 * 3) * 0.1)
    for samples in (tone, tone[:8000]):
        clip = clip_of(frames(), FACES, 25.0, audio=samples)
        assert clip.audio is not None and len(clip.audio) == 32000
        np.testing.assert_allclose(clip.audio[:8000], tone[:8000], atol=1e-6)
    assert not clip.audio[8000:].any()


def test_a_sample_rate_that_is_no_number() -> None:
    v = frames()
    small = {"faces": FACES, "fps": np.asarray(25.0), "audio": np.ones(16000), "sample_rate": np.asarray("16 kHz")}
    with pytest.raises(PTalkerError, match="no 'sample_rate'"):
        checked("c", v, v.shape, v.dtype, small)
