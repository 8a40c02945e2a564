"""The upper-face process: same seed, same take, whatever the frame rate or length."""

import numpy as np
import pytest

from ptalker_blender.core.channels import INDEX, LOWER_FACE
from ptalker_blender.core.data.estimate_upper_face import estimate
from ptalker_blender.core.upper_face import Habits, lid_closure, lid_curve, upper_face

BLINK = INDEX["eyeBlinkLeft"]


def frames(seconds: float, fps: float) -> np.ndarray:
    return np.arange(round(seconds * fps)) / fps


def level(times: np.ndarray) -> np.ndarray:
    """A speech-like level, defined in seconds."""
    return np.maximum(0, np.sin(2 * np.pi * 3 * times)) * (0.6 + 0.4 * np.sin(0.7 * times)) * (times % 4 < 3)


def test_prefix() -> None:
    short, long = frames(10, 30), frames(60, 30)
    a, b = upper_face(short, level(short), 4), upper_face(long, level(long), 4)
    assert np.array_equal(a, b[: len(a)])


def test_frame_rate_does_not_move_events() -> None:
    slow, fast = frames(30, 25), frames(30, 100)
    assert np.abs(upper_face(slow, None, 1) - upper_face(fast, None, 1)[::4]).max() < 1e-5
    with_level = upper_face(slow, level(slow), 1) - upper_face(fast, level(fast), 1)[::4]
    assert np.abs(with_level).max() < 0.1 and np.abs(with_level).mean() < 0.01


def test_seed_decides() -> None:
    t = frames(30, 30)
    assert np.array_equal(upper_face(t, None, 7), upper_face(t, None, 7))
    assert np.abs(upper_face(t, None, 7) - upper_face(t, None, 8)).max() > 0.5


def test_only_the_upper_face_moves_and_in_range() -> None:
    t = frames(60, 30)
    for seed in range(20):
        x = upper_face(t, level(t), seed, Habits(brow_emphasis=0.8, brow_rest=0.2, gaze=1.2, squint=0.3))
        assert not x[:, list(LOWER_FACE)].any()
        assert x.dtype == np.float32 and x.min() >= 0 and x.max() <= 1


def count_blinks(x: np.ndarray) -> int:
    shut = x[:, BLINK] > 0.6
    return int((shut[1:] & ~shut[:-1]).sum())


def test_blink_rate_follows_the_habit() -> None:
    t = frames(600, 60)
    for rate in (8.0, 18.0, 40.0):
        counted = np.mean([count_blinks(upper_face(t, None, seed, Habits(blink_rate=rate))) / 10 for seed in range(4)])
        assert abs(counted - rate) < 0.2 * rate, (rate, counted)


def test_lids_close_faster_than_they_open() -> None:
    t = frames(120, 200)
    lid = upper_face(t, None, 3, Habits(gaze=0.0))[:, BLINK]
    speed = np.diff(lid) * 200
    assert speed.max() > 1.5 * -speed.min()
    assert lid.max() > 0.9


def test_brows_follow_loud_syllables_only_weakly() -> None:
    t = frames(20, 50)
    inner = INDEX["browInnerUp"]
    loud = upper_face(t, level(t), 2, Habits(brow_emphasis=0.8))[:, inner]
    calm = upper_face(t, level(t), 2, Habits(brow_emphasis=0.0))[:, inner]
    assert loud.mean() > calm.mean()
    assert loud.max() < 1.0


def test_nothing_asked_nothing_given() -> None:
    assert upper_face(np.zeros(0), None, 0).shape == (0, 52)


def test_the_tracked_speaker_blinks_more_than_most() -> None:
    t = frames(300, 60)
    usual, tracked = (np.mean([count_blinks(upper_face(t, None, s, h)) / 5 for s in range(4)]) for h in (None, Habits.tracked()))
    assert tracked > 1.3 * usual


def test_half_of_the_blinks_shut_the_eyes_and_most_of_the_time_they_are_open() -> None:
    t = frames(300, 60)
    for seed in range(3):
        x = lid_closure(upper_face(t, None, seed, Habits(gaze=0.0, squint=0.0)))
        tops = (x > 0.3) & (x >= np.roll(x, 1)) & (x > np.roll(x, -1))
        assert (x[tops] > 0.97).mean() > 0.4
        assert np.median(x) < 0.05
        assert (x > 0.3).mean() < 0.15


def test_lids_do_not_pass_each_other() -> None:
    """However much else lowers a lid, on the ICT head it is shut at most."""
    t = frames(120, 60)
    for seed, habits in enumerate((Habits(), Habits.tracked(), Habits(squint=0.6, gaze=2.5), Habits(blink_rate=80))):
        assert lid_closure(upper_face(t, None, seed, habits)).max() < 1.02


def test_what_moves_with_a_blink() -> None:
    """The ring muscle pulls with the lid and lets go later; the eyes turn as if there were no lid; both eyes do the same."""
    t = frames(60, 60)
    x = upper_face(t, None, 5, Habits(gaze=0.0))
    lid = x[:, BLINK]
    assert np.corrcoef(lid, x[:, INDEX["eyeSquintLeft"]])[0, 1] > 0.85
    for name in ("eyeBlink", "eyeSquint"):
        assert np.array_equal(x[:, INDEX[name + "Left"]], x[:, INDEX[name + "Right"]])
    assert not x[:, INDEX["eyeLookDownLeft"]].any()
    top = int(lid.argmax())
    pull = x[:, INDEX["eyeSquintLeft"]] - 0.04
    assert pull[top + 8] / pull[top] > lid[top + 8] / lid[top]


def drawn(rng: np.random.Generator, clips: int) -> tuple[np.ndarray, np.ndarray]:
    """Clips [clips, 75, 52] of 25 fps with a known blink each, and how far it closes the lids."""
    weights, depths = np.zeros((clips, 75, 52)), rng.uniform(0.75, 0.9, clips)
    for i in range(clips):
        lid = depths[i] * lid_curve(frames(3, 25) - rng.uniform(0.8, 1.6), 0.14, 2.2)
        for side in ("Left", "Right"):
            weights[i, :, INDEX["eyeBlink" + side]] = lid
            weights[i, :, INDEX["eyeSquint" + side]] = 0.3 * lid
    return weights, lid_closure(weights).max(1)


def test_the_estimate_finds_what_was_drawn() -> None:
    weights, depths = drawn(np.random.default_rng(0), 80)
    weights[:20, :, :14] += np.roll(weights[:20, :, :14], 12, axis=1)  # pairs, 0.48 s apart
    weights[70:, :, INDEX["eyeLookDownLeft"]] = weights[70:, :, INDEX["eyeLookDownRight"]] = 0.1  # lids follow
    weights[70:, :, [INDEX["eyeBlinkLeft"], INDEX["eyeBlinkRight"]]] += 0.02
    found = estimate(weights, 25.0)
    assert found["seen"]["blinks"] == 100 and found["habits"]["blink_pairs"] == pytest.approx(0.2, abs=0.03)
    assert found["habits"]["blink_rate"] == pytest.approx(25.0, abs=1.0)
    assert abs(found["lid"][0] - 0.14) < 0.025 and abs(found["squint"][0] - 0.3 * np.median(depths)) < 0.04
    assert abs(found["follow_look"] - 0.2) < 0.08 and abs(found["again_after"][0] - 0.48) < 0.05
    assert abs(found["depths"][5] - np.median(depths)) < 0.06
