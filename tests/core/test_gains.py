"""Gains move what they name, and leave p, b, m closed."""

from __future__ import annotations

import numpy as np
import pytest
from style_clips import model, phones, sound

from ptalker_blender.core.channels import CHANNELS, INDEX, LOWER_FACE, UPPER_FACE
from ptalker_blender.core.data.phonemes import BILABIAL
from ptalker_blender.core.errors import PTalkerError
from ptalker_blender.core.gains import Gains

FPS = 50.0


def take(**gains: float) -> np.ndarray:
    return model().generate(sound(), FPS, gains=Gains(**gains), strength=1.0)


def gaps(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lip gap in cm: [T], and the smallest one at each p, b, m."""
    contact = model().network.contact
    assert contact is not None
    gap = weights @ contact.gap[:, 0].numpy()
    times = np.arange(len(gap)) / FPS
    spoken = [(a + b) / 2 for p, a, b in phones() if p in BILABIAL]
    assert len(spoken) > 15
    return gap, np.array([gap[np.abs(times - t) <= 0.04].min() for t in spoken])


@pytest.mark.parametrize(
    "gains", [{"jaw": 0.0}, {"jaw": 3.0}, {"lips": 0.0}, {"lips": 2.5}, {"jaw": 2.0, "lips": 2.0}, {"jaw": 0.3, "lips": 3.0}]
)
def test_closures_stay(gains: dict[str, float]) -> None:
    plain, closed = gaps(take())
    gap, now = gaps(take(**gains))
    met = closed < 0.02
    assert met.mean() >= 0.9 and now[met].max() < 0.04, "what met meets"
    assert gap.min() > min(plain.min(), 0.0) - 0.02  # and lips do not cross


def test_gains_move_what_they_name() -> None:
    plain = take()
    jaw, lips, face = take(jaw=1.5), take(lips=0.5), take(upper_face=2.0)
    assert jaw[:, INDEX["jawOpen"]].std() > 1.3 * plain[:, INDEX["jawOpen"]].std()
    stretch = [INDEX[n] for n in CHANNELS if n.startswith(("mouthSmile", "mouthStretch", "mouthPucker"))]
    np.testing.assert_allclose(lips[:, stretch], 0.5 * plain[:, stretch], atol=1e-4)
    np.testing.assert_array_equal(face[:, list(LOWER_FACE)], plain[:, list(LOWER_FACE)])
    look = INDEX["eyeLookOutLeft"]
    assert face[:, look].max() > 1.5 * plain[:, look].max()
    np.testing.assert_array_equal(jaw[:, list(UPPER_FACE)], plain[:, list(UPPER_FACE)])
    np.testing.assert_array_equal(take(jaw=1.0), plain)


def test_blinks_come_as_often_as_asked_for() -> None:
    lid = INDEX["eyeBlinkLeft"]
    long = np.zeros(16000 * 60, np.float32)
    none, some, many = (model().generate(long, 25.0, gains=Gains(blink=b))[:, lid] for b in (0.0, 1.0, 3.0))
    count = lambda x: int((np.diff((x > 0.6).astype(int)) > 0).sum())  # noqa: E731
    assert count(none) == 0 < count(some) < count(many)


@pytest.mark.parametrize("gains", [{"jaw": -0.1}, {"lips": 3.5}, {"blink": float("nan")}, {"upper_face": float("inf")}])
def test_gains_that_are_none(gains: dict[str, float]) -> None:
    with pytest.raises(PTalkerError) as error:
        take(**gains)
    assert error.value.code == "option_invalid"
