"""What is personal: told from a reference with sound, used in new words, lips that meet still meet."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from style_clips import clip, head, model, moving, sound, weights

from ptalker_blender.core.channels import INDEX, LOWER_FACE
from ptalker_blender.core.clips import Clip, clip_of
from ptalker_blender.core.data.teacher import TeacherStyle
from ptalker_blender.core.data.teacher_style import SHOWN
from ptalker_blender.core.personal import Personal, memory, personal_of
from ptalker_blender.core.reference import read_style
from ptalker_blender.core.styles import load_style, save_style
from ptalker_blender.core.upper_face import Habits, upper_face

JAW, SMILE = INDEX["jawOpen"], INDEX["mouthSmileLeft"]
SMILING = TeacherStyle(rest_smile=0.4, jaw=0.6, strength=1.3, asymmetry=0.2)


@pytest.fixture(scope="module")
def smiling() -> Clip:
    return clip(SMILING, repeats=2)


def curves(seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Weights [T, 52] at 25 fps whose jaw and smile move as in speech."""
    out = np.zeros((round(seconds * 25), 52), np.float32)
    for k in (JAW, SMILE):
        noise = np.convolve(rng.normal(size=len(out) + 4), np.ones(5) / 5, "valid")
        out[:, k] = np.clip(0.2 + 0.2 * noise, 0, 1)
    return out


def test_factors_and_shifts_are_found_the_better_the_longer() -> None:
    left: dict[float, list[float]] = {}  # of what was asked for
    for seconds in (3.0, 30.0):
        rng = np.random.default_rng(0)
        made = curves(seconds, rng)
        shown = made + rng.normal(0, 0.02, made.shape).astype(np.float32)
        shown[:, JAW] += 0.5 * made[:, JAW]
        shown[:, SMILE] += 0.2
        found = personal_of(made, shown, 25.0)
        was, wanted, got = (x.mean(0)[[JAW, SMILE]] for x in (made, shown, found.shaped(torch.from_numpy(made)).numpy()))
        left[seconds] = list(np.abs(got - wanted) / (wanted - was))
        others = [i for i in range(52) if i not in (JAW, SMILE)]
        assert float(found.more[others].abs().max()) < 0.05 and float(found.shift[others].abs().max()) < 0.02
        unknown = personal_of(made, shown, 25.0, rest_known=False)
        assert 0.01 < float(unknown.more[JAW]) < 0.65 and float(unknown.shift.abs().max()) == 0
    for short, long in zip(left[3.0], left[30.0], strict=True):
        assert long < 0.35 and long < 0.5 * short and short < 0.95


def test_what_wanders_tells_less_than_what_stays() -> None:
    rng = np.random.default_rng(1)
    made = curves(30.0, rng)
    steady, wandering = made.copy(), made.copy()
    steady[:, SMILE] += 0.1 + rng.normal(0, 0.1, len(made))
    wandering[:, SMILE] += 0.1 + 0.14 * np.sin(np.arange(len(made)) / 25 * 2 * np.pi / 30)
    told = [float(personal_of(made, shown, 25.0).shift[SMILE]) for shown in (steady, wandering)]
    assert told[0] > 1.2 * told[1] > 0
    slow, fast = np.cumsum(rng.normal(size=(200, 1)), 0), rng.normal(size=(200, 1))
    assert float(memory(slow)[0]) > 5 * float(memory(fast)[0])


def test_lips_that_met_meet() -> None:
    rng, contact = np.random.default_rng(2), model().network.contact
    assert contact is not None
    z = model().network.finish(torch.from_numpy(weights()))
    before = z @ contact.gap
    for _ in range(5):
        low = torch.zeros(52)
        low[list(LOWER_FACE)] = 1.0
        more, shift = (low * torch.from_numpy(rng.normal(0, spread, 52)).float() for spread in (0.5, 0.1))
        personal = Personal(more, shift)
        after = personal(z, contact)
        assert float(after.min()) >= 0 and float(after.max()) <= 1
        met = before[:, 0] < 0.01
        assert met.any() and float((after @ contact.gap)[met, 0].max()) < 0.03


def test_a_reference_with_sound_says_more_than_its_vector(smiling: Clip, tmp_path: Path) -> None:
    reading = read_style(model(), smiling, use="motion")
    assert reading.style.personal is not None and not reading.warnings
    silent = read_style(model(), replace(smiling, audio=None))
    assert silent.style.personal is None and reading.motion and silent.motion
    assert torch.equal(reading.motion.vector, silent.motion.vector) and torch.equal(silent.style.vector, silent.motion.vector)
    assert not torch.allclose(reading.style.vector, reading.motion.vector, atol=0.05), "the sound says more of the vector, too"
    smile = SHOWN.index("rest_smile")
    assert float(reading.style.vector[smile] - model().network.styles["neutral"][smile]) > 1
    save_style(tmp_path / "s.safetensors", reading.style)
    truth, errors = weights(SMILING), []
    for style in (load_style(tmp_path / "s.safetensors"), silent.style):
        made = model().generate(sound(), 25.0, style=style)[: len(truth)]
        off = (made - truth[: len(made)])[:, list(LOWER_FACE)]
        errors.append(np.linalg.norm(np.tensordot(off, head()[2][list(LOWER_FACE)], 1), axis=-1).mean())
    assert errors[0] < 0.95 * errors[1]


def test_sound_of_something_else_is_told_and_left_out(smiling: Clip) -> None:
    z = weights(SMILING)
    other = clip_of(moving(z[::-1].copy()), head()[1], 25.0, rest=head()[0], audio=sound())
    reading = read_style(model(), other, use="motion")
    assert reading.style.personal is None and reading.apart and "hardly belong together" in reading.warnings[0]


def test_habits_of_the_upper_face_are_read_and_used(tmp_path: Path) -> None:
    seldom = Habits(blink_rate=8.0, blink_pairs=0.0, brow_rest=0.25, brow_drift=0.01, asymmetry=0.0)
    z = weights(repeats=4)
    z += upper_face(np.arange(len(z)) / 25, None, 3, seldom)
    moves = clip_of(moving(z.clip(0, 1)), head()[1], 25.0, rest=head()[0])
    style = read_style(model(), moves).style
    assert style.habits is not None and style.habits.blink_rate < 20 and style.habits.brow_rest > 0.12
    save_style(tmp_path / "s.safetensors", style)
    ours, usual = (model().generate(sound(), 25.0, style=each) for each in (load_style(tmp_path / "s.safetensors"), None))
    brow = INDEX["browOuterUpLeft"]
    assert ours[:, brow].mean() > usual[:, brow].mean() + 0.1
    assert read_style(model(), clip(repeats=2)).style.habits is None
