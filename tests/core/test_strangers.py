"""The people of ``benchmarks.style --strangers``: faces that another animator than the teacher makes."""

from __future__ import annotations

import numpy as np

from benchmarks.style.stranger import PARTS, SHAPES, SOUNDS, Stranger, channels
from ptalker_blender.core.channels import INDEX, UPPER_FACE
from ptalker_blender.core.data.phonemes import DIPHTHONGS, KNOWN, segments
from ptalker_blender.core.data.teacher import TeacherStyle, curves, default_parameters

PHONES = [["sil", 0.0, 0.4], ["m", 0.4, 0.52], ["ɑ", 0.52, 0.8], ["b", 0.8, 0.92], ["u", 0.92, 1.2], ["sil", 1.2, 2.0]]
TIMES = np.arange(50) / 25


def test_every_phone_has_a_shape() -> None:
    assert list(SHAPES) == list(SOUNDS)
    known = {phone for phones in SOUNDS.values() for phone in phones}
    halves = {half for first, second, _ in DIPHTHONGS.values() for half in (first, second)}
    assert known >= (KNOWN - set(DIPHTHONGS)) | halves
    assert all(len(channels(part)) in (1, 2) for part in PARTS)


def test_a_stranger_speaks_as_nobody_of_the_teachers() -> None:
    stranger = Stranger.sample(np.random.default_rng(3))
    z, again = (stranger(PHONES, TIMES) for _ in range(2))
    np.testing.assert_array_equal(z, again)
    assert z.shape == (50, 52) and z.min() >= 0 and z.max() <= 1 and not z[:, UPPER_FACE].any()
    jaw, pucker = z[:, INDEX["jawOpen"]], z[:, INDEX["mouthPucker"]]
    inside = {label: (TIMES > a + 0.04) & (TIMES < b - 0.02) for label, a, b in segments(PHONES)[1:-1]}
    assert jaw[inside["ɑ"]].max() > 2 * jaw[inside["u"]].max()
    assert pucker[inside["u"]].max() > 2 * pucker[inside["ɑ"]].max()
    gap = default_parameters()[0].gap[:, 0]
    assert (z[inside["b"]] @ gap).max() < 0.05, "cm"
    assert np.abs(z - curves(PHONES, TIMES, TeacherStyle.neutral())).max() > 0.1


def test_strangers_differ() -> None:
    rng = np.random.default_rng(0)
    one, two = (Stranger.sample(rng)(PHONES, TIMES) for _ in range(2))
    assert np.abs(one - two).max() > 0.05
