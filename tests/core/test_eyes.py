"""Eyes fitted to the lids: a lid's height is explained once, whatever the tracker's scores say."""

import numpy as np
import pytest

from ptalker_blender.core.channels import CHANNELS, INDEX
from ptalker_blender.core.data.eyes import EYES, fit_eyes, held
from ptalker_blender.core.upper_face import lid_curve

UNIT, OPEN = 9.0, 0.8  # cm between the outer corners; between the lids
SIDES = "Left", "Right"


def head() -> dict[str, np.ndarray]:
    """A made-up head of 68 points of which only the lids move, as on the ICT head."""
    neutral, arkit = np.zeros((68, 3), np.float32), np.zeros((52, 68, 3), np.float32)
    for side, (outer_upper, outer_lower, inner_upper, inner_lower, _, _) in EYES.items():
        neutral[[outer_upper, inner_upper], 1] = OPEN / 2
        neutral[[outer_lower, inner_lower], 1] = -OPEN / 2
        for name, upper, lower in (
            ("eyeBlink", -0.77, 0.02), ("eyeLookDown", -0.62, -0.18), ("eyeSquint", -0.01, 0.19), ("eyeWide", 0.28, 0.02),
            ("eyeLookUp", 0.3, 0.14), ("noseSneer", 0.0, 0.1),
        ):  # fmt: skip
            arkit[INDEX[name + side], [outer_upper, inner_upper], 1] = upper
            arkit[INDEX[name + side], [outer_lower, inner_lower], 1] = lower
    return {"neutral": neutral, "arkit": arkit, "landmarks68": np.arange(68)}


def true_weights(clips: int = 4) -> np.ndarray:
    """[clips, 75, 52]: a blink each, and in every other clip a look down through it."""
    t, weights = np.arange(75) / 25, np.zeros((clips, 75, 52))
    for i in range(clips):
        lid = lid_curve(t - 1.2 - 0.007 * i)
        for side in SIDES:
            weights[i, :, INDEX["eyeBlink" + side]] = 0.9 * lid
            weights[i, :, INDEX["eyeSquint" + side]] = 0.35 * lid
            weights[i, :, INDEX["eyeLookDown" + side]] = 0.08 * (i % 2)
    return weights


def as_tracked(weights: np.ndarray, tall: float = 1.0, noise: float = 0.0) -> np.ndarray:
    """[clips, T, 68, 3] in units, of a person whose eyes are ``tall`` times as open."""
    h = head()
    points = h["neutral"] + np.tensordot(weights, h["arkit"], 1)
    return points * tall / UNIT + np.random.default_rng(0).normal(size=points.shape) * noise


def scores_of(weights: np.ndarray) -> np.ndarray:
    """What a tracker says: a shut eye is shut, looks down and squints."""
    scores = weights.copy()
    for side in SIDES:
        shut = weights[..., INDEX["eyeBlink" + side]]
        scores[..., INDEX["eyeLookDown" + side]] += 0.55 * shut
        scores[..., INDEX["eyeSquint" + side]] += 0.1 * shut
    return scores.clip(0, 1)


def fitted(true: np.ndarray, **kind: float) -> np.ndarray:
    ok = np.ones(true.shape[:2], bool)
    return fit_eyes(np.zeros_like(true), as_tracked(true, **kind), scores_of(true), ok, ["a"] * len(true), head())


def test_a_blink_is_a_blink_and_no_look_down() -> None:
    true = true_weights()
    found = fitted(true, noise=0.002)
    for side in SIDES:
        blink, down, squint = (INDEX[name + side] for name in ("eyeBlink", "eyeLookDown", "eyeSquint"))
        assert np.abs(found - true)[..., blink].max() < 0.15
        assert np.abs(found - true)[..., blink].mean() < 0.015
        assert found[::2, :, down].max() < 0.12  # the scores say 0.5
        assert found[1::2, 10:25, down].mean() == pytest.approx(0.08, abs=0.01)
        assert found[..., squint].max() == pytest.approx(0.35, abs=0.1)


def test_the_lids_are_where_they_were_seen() -> None:
    true, h = true_weights(), head()
    true[:, 40:50, INDEX["eyeWideLeft"]] = 0.5
    found = fitted(true)
    lids = [m for marks in EYES.values() for m in marks[:4]]
    moved = [np.tensordot(w, h["arkit"][:, lids, 1], 1) for w in (found, true)]
    gaps = [m[..., 0::2] - m[..., 1::2] for m in moved]
    assert np.abs(gaps[0] - gaps[1]).max() < 0.06
    assert (gaps[0] > -OPEN - 0.03).all()  # shut, not crossed


def test_the_shape_of_the_eye_does_not_matter() -> None:
    true = true_weights()
    assert np.abs(fitted(true) - fitted(true, tall=1.4)).max() < 0.01


def test_only_eyes_change_and_the_rest_of_the_face_is_heard() -> None:
    """What a sneer does to the lids is none of the eyes' business."""
    true = true_weights()
    known = np.zeros_like(true)
    for side in SIDES:
        true[:, 30:60, INDEX["noseSneer" + side]] = known[:, 30:60, INDEX["noseSneer" + side]] = 0.5
    ok = np.ones(true.shape[:2], bool)
    found = fit_eyes(known, as_tracked(true), scores_of(true_weights()), ok, ["a"] * len(true), head())
    others = [i for i, n in enumerate(CHANNELS) if not n.startswith("eye")]
    assert np.array_equal(found[..., others], known[..., others])
    assert np.abs(found - true)[:, 50:60, INDEX["eyeSquintLeft"]].max() < 0.05


def test_untracked_frames_are_bridged() -> None:
    true = true_weights()
    ok = np.ones(true.shape[:2], bool)
    ok[0, 45:50] = False
    points, scores = as_tracked(true), scores_of(true)
    points[0, 45:50], scores[0, 45:50] = np.nan, np.nan
    found = fit_eyes(np.zeros_like(true), points, scores, ok, ["a"] * len(true), head())
    assert np.isfinite(found).all() and np.abs(found - true)[0].max() < 0.12


def test_held_gaze_goes_from_what_was_seen_to_what_is_seen() -> None:
    score, seen = np.full((1, 30, 1), 0.2), np.ones((1, 30))
    score[0, 18:] = 0.4
    score[0, 10:18], seen[0, 10:18] = 0.9, 0.0
    found = held(score, seen)[0, :, 0]
    assert found[:8] == pytest.approx(0.2, abs=0.01) and found[20:] == pytest.approx(0.4, abs=0.01)
    assert found.max() < 0.41 and (np.diff(found[9:19]) > 0).all()
