"""The upper face as a seeded process: blinks, small gaze shifts, brows. numpy only; used at inference and for training.

Events live in seconds and are drawn one after another from streams of their own, so that a take depends neither on the
frame rate nor on its length: the first 10 s of a 60 s take are the 10 s take with the same seed. For the same reason
the brows follow the speech level through causal filters.

Constants are medians of 1670 blinks in tracked GRID video (train split): lids close in about 70 ms, stay shut for about
50 ms, open in about 200 ms; standard deviation of the open eye's gaze weights 0.04-0.08, of the brow weights 0.02-0.03
within a clip.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .channels import CHANNELS, INDEX

CLOSING, SHUT, OPENING = 0.070, 0.050, 0.200  # s
SHORTEST_PAUSE = 0.35  # s between blinks
PAUSE_SPREAD = 0.6  # sigma of the log-normal pause (GRID: quartiles at 0.7 and 1.6 of the median)
FIXATION = 1.1  # s, mean time between gaze shifts; SACCADE: their duration
SACCADE = 0.045
GAZE_SIZE = np.array([0.08, 0.05])  # standard deviation of horizontal, vertical gaze at Habits.gaze = 1
DRIFT_KNOT = 1.3  # s between the knots of the brows' slow drift
FAST, SLOW = 0.18, 1.5  # s, time constants of the level's short and long mean
FOLLOW = 0.35  # s, how fast the brows follow: a phrase, not a syllable


@dataclass(frozen=True)
class Habits:
    """Upper-face habits of a speaker."""

    blink_rate: float = 18.0  # per minute
    blink_duration: float = 1.0  # factor
    gaze: float = 0.5  # factor on GAZE_SIZE
    brow_rest: float = 0.0  # -1 lowered .. 1 raised
    brow_emphasis: float = 0.25  # raise on loud syllables
    brow_drift: float = 0.05
    squint: float = 0.0
    asymmetry: float = 0.0  # + = the left brow moves more


def _smoothstep(u: np.ndarray) -> np.ndarray:
    u = np.clip(u, 0, 1)
    return u * u * (3 - 2 * u)


def _blinks(times: np.ndarray, rng: np.random.Generator, habits: Habits) -> np.ndarray:
    """[T] lid closure 0..1 of a renewal process."""
    out = np.zeros(len(times))
    mean_pause = max(60.0 / max(habits.blink_rate, 1e-3) - SHORTEST_PAUSE, 0.05)
    median = mean_pause / np.exp(PAUSE_SPREAD**2 / 2)
    # the first pause is part of one already running
    at = rng.random() * mean_pause
    while at < times[-1] + 1:
        pause, stretch, depth = rng.standard_normal(), rng.standard_normal(), rng.random()
        factor = habits.blink_duration * np.exp(0.15 * stretch)
        closing, shut, opening = CLOSING * factor, SHUT * factor, OPENING * factor
        first, last = np.searchsorted(times, (at, at + closing + shut + opening))
        t = times[first:last] - at
        lid = np.minimum(_smoothstep(t / closing), 1 - _smoothstep((t - closing - shut) / opening) ** 0.8)
        out[first:last] = np.maximum(out[first:last], (0.92 + 0.08 * depth) * lid)
        at += closing + shut + opening + SHORTEST_PAUSE + median * np.exp(PAUSE_SPREAD * pause)
    return out


def _gaze(times: np.ndarray, rng: np.random.Generator, habits: Habits) -> np.ndarray:
    """[T, 2] gaze in weights: + to the subject's left, + up. Each fixation returns towards the partner's eyes."""
    moments, places = [-1.0], [np.zeros(2)]
    at = 0.0
    while at < times[-1] + 1:
        at += 0.2 + (FIXATION - 0.2) * rng.standard_exponential()
        moments.append(at)
        places.append(0.3 * places[-1] + GAZE_SIZE * habits.gaze * rng.standard_normal(2))
    where = np.array(places)
    start = np.array(moments)
    i = np.searchsorted(start, times, side="right") - 1
    moved = _smoothstep((times - start[i]) / SACCADE)[:, None]
    return where[np.maximum(i - 1, 0)] * (1 - moved) + where[i] * moved


def _drift(times: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """[T] smooth noise of standard deviation near 1 (cubic value noise)."""
    knots = rng.standard_normal(int(times[-1] / DRIFT_KNOT) + 4)
    position = times / DRIFT_KNOT
    i = position.astype(int)
    u = _smoothstep(position - i)
    return knots[i] * (1 - u) + knots[i + 1] * u


def _emphasis(times: np.ndarray, envelope: np.ndarray) -> np.ndarray:
    """[T] 0..1: how far the speech level stands above its recent mean; causal."""
    fast, slow, raised = 0.0, 0.0, 0.0
    out = np.zeros(len(times))
    steps = np.diff(times, prepend=times[0])
    decay = {tau: np.exp(-steps / tau) for tau in (FAST, SLOW, FOLLOW)}
    for k, level in enumerate(np.asarray(envelope, np.float64)):
        fast += (level - fast) * (1 - decay[FAST][k])
        slow += (level - slow) * (1 - decay[SLOW][k])
        above = max(0.0, fast / (slow + 1e-4) - 1.2) if slow > 1e-4 else 0.0
        raised += (min(above, 1.0) - raised) * (1 - decay[FOLLOW][k])
        out[k] = raised
    return out


def upper_face(times: np.ndarray, envelope: np.ndarray | None, seed: int, habits: Habits | None = None) -> np.ndarray:
    """times [T] s >= 0, ascending; envelope [T] >= 0 speech level in any scale, or None -> additive weights [T, 52].

    Only channels of the eyes and brows are other than 0. Deterministic in `seed`."""
    habits = habits or Habits()
    times = np.asarray(times, np.float64)
    out = np.zeros((len(times), len(CHANNELS)), np.float32)
    if not len(times):
        return out
    streams = [np.random.default_rng([seed & 0x7FFFFFFF, k]) for k in range(4)]
    lid = _blinks(times, streams[0], habits)
    gaze = _gaze(times, streams[1], habits)
    raised = habits.brow_rest + habits.brow_drift * _drift(times, streams[2])
    if envelope is not None:
        raised = raised + habits.brow_emphasis * _emphasis(times, envelope)
    inner = habits.brow_drift * _drift(times, streams[3])

    x, y = gaze.T
    for side, away in (("Left", 1.0), ("Right", -1.0)):
        down = np.maximum(-y, 0)
        out[:, INDEX["eyeBlink" + side]] = np.clip(lid + 0.3 * down * (1 - lid), 0, 1)  # lids follow a downward look
        out[:, INDEX["eyeSquint" + side]] = np.clip(habits.squint + 0.15 * lid, 0, 1)
        out[:, INDEX["eyeLookOut" + side]] = np.maximum(away * x, 0)
        out[:, INDEX["eyeLookIn" + side]] = np.maximum(-away * x, 0)
        out[:, INDEX["eyeLookUp" + side]] = np.maximum(y, 0)
        out[:, INDEX["eyeLookDown" + side]] = down
        more = 1 + away * habits.asymmetry
        out[:, INDEX["eyeWide" + side]] = np.clip(0.3 * raised * more, 0, 1) * (1 - lid)
        out[:, INDEX["browOuterUp" + side]] = np.clip(raised * more, 0, 1)
        out[:, INDEX["browDown" + side]] = np.clip(-raised * more, 0, 1)
    out[:, INDEX["browInnerUp"]] = np.clip(0.8 * np.maximum(raised, 0) + np.maximum(inner, 0), 0, 1)
    return out
