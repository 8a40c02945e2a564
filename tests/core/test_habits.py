"""Habits read from the upper face's own process: known ones are found again, short clips say little."""

from dataclasses import asdict

import numpy as np
import pytest

from ptalker_blender.core.channels import INDEX
from ptalker_blender.core.habits import find_blinks, habits_of, habits_of_clip, usual_width, widths
from ptalker_blender.core.upper_face import Habits, lid_closure, lid_curve, upper_face

CALM = Habits(blink_rate=14.0, blink_pairs=0.1, blink_duration=1.4, gaze=0.4, brow_rest=0.15, brow_emphasis=0.5,
              brow_drift=0.06, squint=0.15, asymmetry=0.3)  # fmt: skip
LIVELY = Habits(blink_rate=45.0, blink_pairs=0.3, blink_duration=0.9, gaze=1.5, brow_rest=-0.1, brow_emphasis=0.1,
                brow_drift=0.02, squint=0.0, asymmetry=-0.2)  # fmt: skip


def frames(seconds: float, fps: float) -> np.ndarray:
    return np.arange(round(seconds * fps)) / fps


def level(times: np.ndarray) -> np.ndarray:
    """Syllables in phrases with pauses."""
    return 1.5 * np.maximum(0, np.sin(2 * np.pi * 3 * times)) * (0.6 + 0.4 * np.sin(0.7 * times)) * (times % 4 < 3)


def read(habits: Habits, seconds: float, fps: float, seed: int) -> Habits:
    t = frames(seconds, fps)
    return habits_of(upper_face(t, level(t), seed, habits), fps, level(t))


@pytest.mark.parametrize("true", [CALM, LIVELY])
@pytest.mark.parametrize("fps", [25.0, 60.0])
def test_a_minute_tells(true: Habits, fps: float) -> None:
    found = [read(true, 60, fps, seed) for seed in range(4)]
    for one in found:
        assert one.gaze == pytest.approx(true.gaze, rel=0.3)
        assert one.brow_rest == pytest.approx(true.brow_rest, abs=0.05)
        assert one.brow_emphasis == pytest.approx(true.brow_emphasis, abs=0.15)
        assert one.brow_drift == pytest.approx(true.brow_drift, abs=0.02)
        assert one.squint == pytest.approx(true.squint, abs=0.03)
        assert one.asymmetry == pytest.approx(true.asymmetry, abs=0.1)
        assert one.blink_rate == pytest.approx(true.blink_rate, rel=0.5)  # so few blinks come as they like
    assert np.mean([h.blink_duration for h in found]) == pytest.approx(true.blink_duration, rel=0.12)
    assert np.mean([h.blink_rate for h in found]) == pytest.approx(true.blink_rate, rel=0.25)


def test_ten_minutes_tell_more() -> None:
    found = read(CALM, 600, 30, 1)
    assert found.blink_rate == pytest.approx(CALM.blink_rate, rel=0.2)
    assert found.blink_duration == pytest.approx(CALM.blink_duration, rel=0.08)
    assert found.blink_pairs < 0.2


def test_short_clips_leave_what_is_usual() -> None:
    usual = asdict(Habits())
    near, far = (asdict(read(LIVELY, seconds, 30, 3)) for seconds in (1.0, 60.0))
    for name in ("blink_rate", "gaze", "brow_rest", "brow_drift", "squint", "asymmetry"):
        assert abs(near[name] - usual[name]) < 0.6 * abs(far[name] - usual[name]), name
    assert near["brow_emphasis"] == pytest.approx(usual["brow_emphasis"], abs=0.03)
    empty = asdict(habits_of(np.zeros((0, 52), np.float32), 30.0))
    assert empty == pytest.approx(usual)
    assert asdict(habits_of(np.zeros((0, 52), np.float32), 30.0, usual=LIVELY)) == pytest.approx(asdict(LIVELY))


def test_without_sound_emphasis_stays_usual() -> None:
    t = frames(60, 30)
    assert habits_of(upper_face(t, level(t), 0, CALM), 30.0).brow_emphasis == Habits().brow_emphasis


def test_a_still_face_has_still_habits() -> None:
    found = habits_of(np.zeros((30 * 300, 52), np.float32), 30.0, np.ones(30 * 300))
    assert found.blink_rate < 1.5 and found.gaze < 0.05 and found.squint < 0.01 and found.brow_drift < 0.01


def test_slow_motion_says_nothing_of_blinks() -> None:
    t = frames(120, 8)
    found = habits_of(upper_face(t, None, 0, LIVELY), 8.0)
    assert (found.blink_rate, found.blink_duration) == (Habits().blink_rate, Habits().blink_duration)
    assert found.gaze > 1.1


def test_any_motion_gives_habits_in_range() -> None:
    rng = np.random.default_rng(0)
    found = habits_of(rng.random((500, 52)), 30.0, rng.random(500) * 5)
    assert all(np.isfinite(v) for v in asdict(found).values())
    x = upper_face(frames(20, 30), None, 0, found)
    assert x.min() >= 0 and x.max() <= 1


def test_several_clips_are_one_person() -> None:
    t = frames(3, 25)
    clips = np.stack([upper_face(t, None, seed, LIVELY) for seed in range(100)])
    assert habits_of(clips, 25.0).blink_rate == pytest.approx(LIVELY.blink_rate, rel=0.25)


@pytest.mark.parametrize("fps", [25.0, 30.0, 60.0])
def test_blinks_and_their_widths(fps: float) -> None:
    t = frames(4, fps)
    weights = np.zeros((1, len(t), 52))
    for side in ("Left", "Right"):
        for begin in (0.5, 1.01, 2.5):
            weights[0, :, INDEX["eyeBlink" + side]] += lid_curve((t - begin) / 1.2)
    lid = lid_closure(weights)
    blinks = find_blinks(lid, fps)
    assert blinks.onset / fps == pytest.approx([0.5, 1.01, 2.5], abs=0.085)
    assert blinks.waits(fps) == pytest.approx([0.51, 1.49], abs=0.085)
    assert np.median(widths(lid, blinks, fps)) / usual_width(fps) == pytest.approx(1.2, abs=0.1)


def test_a_clip_tells_what_its_skin_shows() -> None:
    t = frames(60, 25)
    seen = upper_face(t, None, 5, LIVELY)
    seen[:, INDEX["jawOpen"]] = 0.2 + 0.1 * np.sin(9 * t)
    found, unknown = (habits_of_clip(seen, 25.0, None, rest_known) for rest_known in (True, False))
    assert found is not None and unknown is not None
    assert found.blink_rate > 35 and found.brow_rest == pytest.approx(-0.1, abs=0.03) and found.asymmetry < -0.1
    assert (found.gaze, found.squint, found.brow_emphasis) == (Habits().gaze, Habits().squint, Habits().brow_emphasis)
    assert unknown.brow_rest == Habits().brow_rest and unknown.blink_rate == found.blink_rate
    mouth = np.where(np.isin(np.arange(52), [INDEX["jawOpen"]]), seen, 0)
    assert habits_of_clip(mouth, 25.0, None, True) is None
    lids = [i for name, i in INDEX.items() if name.startswith("eye")]
    awake = seen.copy()
    awake[:, lids] = 0
    only = habits_of_clip(awake, 25.0, None, True)
    assert only is not None and only.blink_rate == Habits().blink_rate
    assert only.brow_rest == pytest.approx(found.brow_rest, abs=0.02)
