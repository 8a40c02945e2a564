"""The coefficient fit recovers what moved a face, and keeps what must be right: gap, bounds, untracked frames."""

from pathlib import Path

import numpy as np
import pytest

from ptalker_blender.core.channels import CHANNELS, INDEX
from ptalker_blender.core.data import fit as fit_module
from ptalker_blender.core.data.grid import Clip, Tracks
from ptalker_blender.core.data.rig_rows import channel_settings, ict_rows, tracked_rows

UNIT = 9.0  # cm between the outer eye corners of the made-up head


@pytest.fixture(scope="module")
def head() -> dict[str, np.ndarray]:
    """A made-up head of 68 points whose few channels move the mouth as their names say; the others do nothing."""
    rng = np.random.default_rng(0)
    neutral = rng.normal(size=(68, 3)).astype(np.float32) * 4
    neutral[36], neutral[45] = (-UNIT / 2, 3, 0), (UNIT / 2, 3, 0)
    neutral[48], neutral[54], neutral[8] = (-2.5, -3, 0), (2.5, -3, 0), (0, -8, 0)
    neutral[36:48, 1] = 3 + np.array([0, 0.4, 0.4, 0, -0.4, -0.4] * 2)  # lids, which nothing moves
    for upper, lower, x in ((62, 66, 0.0), (61, 67, -1.0), (63, 65, 1.0)):
        neutral[upper], neutral[lower] = (x, -3.3, 0), (x, -3.35, 0)
    arkit = np.zeros((52, 68, 3), np.float32)
    low = [*range(55, 60), 65, 66, 67, 6, 7, 8, 9, 10]
    arkit[INDEX["jawOpen"], low, 1] = -3.0
    arkit[INDEX["mouthClose"], [*range(55, 60), 65, 66, 67], 1] = 3.2
    arkit[INDEX["mouthPucker"], 48, 0], arkit[INDEX["mouthPucker"], 54, 0] = 1.0, -1.0
    for side, corner, sign in (("Left", 54, 1.0), ("Right", 48, -1.0)):
        arkit[INDEX["mouthSmile" + side], corner] = (0.7 * sign, 1.0, 0)
    return {"neutral": neutral, "arkit": arkit, "landmarks68": np.arange(68), "mediapipe68": np.arange(68)}


def tracks_of(weights: np.ndarray, head: dict[str, np.ndarray], noise: float = 0.0) -> Tracks:
    """Tracked clips [n, T, 52] of the head, T at 25 fps, silent for the first second."""
    points = head["neutral"] + np.tensordot(weights, head["arkit"], 1)
    points = points / UNIT + np.random.default_rng(1).normal(size=points.shape) * noise
    n, frames = weights.shape[:2]
    clip = Clip("a", "train", "x", "f", "", [], [("a", 1.3, 2.0), ("b", 2.0, frames / 25 - 0.1)], Path(), "", 0)
    scores = np.zeros((n, frames, 52), np.float32)
    return Tracks([clip] * n, 25.0, np.arange(68), points.astype(np.float32), scores, np.ones((n, frames), bool))


def speech(frames: int = 75) -> np.ndarray:
    """[1, T, 52] jaw and corners that move after a second of rest."""
    t = np.arange(frames) / 25
    talk = np.clip((t - 1.2) * 4, 0, 1)
    weights = np.zeros((1, frames, 52), np.float32)
    weights[0, :, INDEX["jawOpen"]] = talk * (0.3 + 0.15 * np.sin(9 * t))
    weights[0, :, INDEX["mouthSmileLeft"]] = weights[0, :, INDEX["mouthSmileRight"]] = 0.4 * talk * np.sin(2 * t) ** 2
    return weights


def test_fit_recovers_known_weights(head: dict[str, np.ndarray]) -> None:
    true = speech()
    found = fit_module.fit_tracks(tracks_of(true, head, noise=0.002), head)
    for name, bound in (("jawOpen", 0.03), ("mouthSmileLeft", 0.08), ("mouthSmileRight", 0.08)):
        assert np.abs(found.weights - true)[..., INDEX[name]].mean() < bound, name
    figures = fit_module.report(found, head, np.array([True]))
    assert figures["r_gap"] > 0.99 and figures["r_width"] > 0.98 and figures["r_jaw"] > 0.98


def test_weights_stay_in_bounds(head: dict[str, np.ndarray]) -> None:
    found = fit_module.fit_tracks(tracks_of(speech() * 3, head), head)
    assert found.weights.min() >= 0
    assert (found.weights <= channel_settings().upper + 1e-6).all()


def test_closed_lips_over_a_lowered_jaw_use_mouth_close(head: dict[str, np.ndarray]) -> None:
    true = speech()
    true[0, 50:60, INDEX["mouthClose"]] = true[0, 50:60, INDEX["jawOpen"]] * 3.0 / 3.2
    found = fit_module.fit_tracks(tracks_of(true, head), head)
    gap = fit_module.ict_signals(found.weights, head)[0, :, 0]
    assert gap[53:57].max() < 0.15 * gap[60:].max()
    assert found.weights[0, 53:57, INDEX["mouthClose"]].min() > 0.1


def test_untracked_frames_are_bridged(head: dict[str, np.ndarray]) -> None:
    true = speech()
    tracks = tracks_of(true, head)
    tracks.ok[0, 55:58] = False
    tracks.landmarks[0, 55:58] = np.nan
    tracks.scores[0, 55:58] = np.nan
    found = fit_module.fit_tracks(tracks, head)
    assert np.isfinite(found.weights).all()
    assert np.isnan(found.gap[0, 55:58]).all()
    assert np.abs(found.weights - true)[0, 55:58, INDEX["jawOpen"]].max() < 0.12


def test_speaker_size_does_not_matter(head: dict[str, np.ndarray]) -> None:
    """Rest is the speaker's own: a face with another mouth gives the same weights."""
    tracks = tracks_of(speech(), head)
    moved = tracks.landmarks.copy()
    moved[:, :, 48:, 1] -= 0.05  # a longer upper lip
    moved[:, :, 48, 0] -= 0.04
    other = Tracks(tracks.clips, 25.0, tracks.index, moved, tracks.scores, tracks.ok)
    a, b = (fit_module.fit_tracks(t, head).weights for t in (tracks, other))
    assert np.abs(a - b).max() < 0.01


def test_missing_landmarks_are_an_error(head: dict[str, np.ndarray]) -> None:
    tracks = tracks_of(speech(), head)
    few = Tracks(tracks.clips, 25.0, np.arange(60), tracks.landmarks[:, :, :60], tracks.scores, tracks.ok)
    with pytest.raises(ValueError, match="not in the tracks"):
        tracked_rows(few, head, ict_rows(head))


def test_cache_round_trip(head: dict[str, np.ndarray], tmp_path: Path) -> None:
    tracks = tracks_of(speech(), head)
    found = fit_module.fit_tracks(tracks, head)
    fit_module.save(found, tracks, tmp_path / "fit.npz")
    with np.load(tmp_path / "fit.npz") as z:
        assert z["names"].tolist() == list(CHANNELS)
        assert np.abs(z["weights"].astype(np.float32) - found.weights).max() < 1e-3
