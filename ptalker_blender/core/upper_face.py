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


class _Blinks:
    """Lid closure 0..1 of a renewal process."""

    def __init__(self, rng: np.random.Generator, habits: Habits) -> None:
        self.rng, self.habits = rng, habits
        self.mean_pause = max(60.0 / max(habits.blink_rate, 1e-3) - SHORTEST_PAUSE, 0.05)
        self.at = rng.random() * self.mean_pause  # the first pause is part of one already running
        self.running: list[tuple[float, float, float]] = []  # begin s, factor on the durations, depth

    def next(self, times: np.ndarray) -> np.ndarray:
        """[T] closure."""
        out = np.zeros(len(times))
        median = self.mean_pause / np.exp(PAUSE_SPREAD**2 / 2)
        length = CLOSING + SHUT + OPENING
        while self.at <= times[-1]:
            pause, stretch, depth = self.rng.standard_normal(), self.rng.standard_normal(), self.rng.random()
            factor = self.habits.blink_duration * np.exp(0.15 * stretch)
            self.running.append((self.at, factor, 0.92 + 0.08 * depth))
            self.at += length * factor + SHORTEST_PAUSE + median * np.exp(PAUSE_SPREAD * pause)
        for begin, factor, depth in self.running:
            first, last = np.searchsorted(times, (begin, begin + length * factor))
            t = (times[first:last] - begin) / factor
            lid = np.minimum(_smoothstep(t / CLOSING), 1 - _smoothstep((t - CLOSING - SHUT) / OPENING) ** 0.8)
            out[first:last] = np.maximum(out[first:last], depth * lid)
        self.running = [e for e in self.running if e[0] + length * e[1] > times[-1]]
        return out


class _Gaze:
    """Gaze in weights: + to the subject's left, + up. Each fixation returns towards the partner's eyes."""

    def __init__(self, rng: np.random.Generator, habits: Habits) -> None:
        self.rng, self.size = rng, GAZE_SIZE * habits.gaze
        self.moments, self.places = [-2.0, -1.0], [np.zeros(2), np.zeros(2)]

    def next(self, times: np.ndarray) -> np.ndarray:
        """[T, 2]"""
        while self.moments[-1] <= times[-1]:
            wait = 0.2 + (FIXATION - 0.2) * self.rng.standard_exponential()
            self.moments.append(max(self.moments[-1], 0.0) + wait)
            self.places.append(0.3 * self.places[-1] + self.size * self.rng.standard_normal(2))
        where, start = np.array(self.places), np.array(self.moments)
        i = np.searchsorted(start, times, side="right") - 1
        moved = _smoothstep((times - start[i]) / SACCADE)[:, None]
        self.moments, self.places = self.moments[i[-1] - 1 :], self.places[i[-1] - 1 :]
        return where[i - 1] * (1 - moved) + where[i] * moved


class _Drift:
    """Smooth noise of standard deviation near 1 (cubic value noise)."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.knots, self.first = np.zeros(0), 0

    def next(self, times: np.ndarray) -> np.ndarray:
        """[T]"""
        position = times / DRIFT_KNOT
        i = position.astype(int)
        missing = int(i[-1]) + 2 - self.first - len(self.knots)
        self.knots = np.concatenate([self.knots, self.rng.standard_normal(max(missing, 0))])
        u, k = _smoothstep(position - i), i - self.first
        out = self.knots[k] * (1 - u) + self.knots[k + 1] * u
        self.knots, self.first = self.knots[k[-1] :], int(i[-1])
        return out


class _Emphasis:
    """0..1: how far the speech level stands above its recent mean; causal."""

    def __init__(self) -> None:
        self.fast, self.slow, self.raised = 0.0, 0.0, 0.0
        self.time: float | None = None

    def next(self, times: np.ndarray, envelope: np.ndarray) -> np.ndarray:
        """[T]"""
        out = np.zeros(len(times))
        steps = np.diff(times, prepend=times[0] if self.time is None else self.time)
        decay = {tau: np.exp(-steps / tau) for tau in (FAST, SLOW, FOLLOW)}
        for k, level in enumerate(np.asarray(envelope, np.float64)):
            self.fast += (level - self.fast) * (1 - decay[FAST][k])
            self.slow += (level - self.slow) * (1 - decay[SLOW][k])
            above = max(0.0, self.fast / (self.slow + 1e-4) - 1.2) if self.slow > 1e-4 else 0.0
            self.raised += (min(above, 1.0) - self.raised) * (1 - decay[FOLLOW][k])
            out[k] = self.raised
        self.time = float(times[-1])
        return out


class UpperFace:
    """One take, frame after frame: however it is cut up, the frames are the same."""

    def __init__(self, seed: int, habits: Habits | None = None) -> None:
        self.habits = habits or Habits()
        streams = [np.random.default_rng([seed & 0x7FFFFFFF, k]) for k in range(4)]
        self.blinks, self.gaze = _Blinks(streams[0], self.habits), _Gaze(streams[1], self.habits)
        self.outer, self.inner = _Drift(streams[2]), _Drift(streams[3])
        self.emphasis = _Emphasis()

    def next(self, times: np.ndarray, envelope: np.ndarray | None) -> np.ndarray:
        """times [T] s >= 0, ascending, after those of the call before; envelope [T] >= 0 speech level,
        about 1 where speech is loud, or None -> additive weights [T, 52]. Only the eyes and brows are not 0."""
        times, habits = np.asarray(times, np.float64), self.habits
        out = np.zeros((len(times), len(CHANNELS)), np.float32)
        if not len(times):
            return out
        lid = self.blinks.next(times)
        x, y = self.gaze.next(times).T
        raised = habits.brow_rest + habits.brow_drift * self.outer.next(times)
        if envelope is not None:
            raised = raised + habits.brow_emphasis * self.emphasis.next(times, envelope)
        inner = habits.brow_drift * self.inner.next(times)

        for side, away in (("Left", 1.0), ("Right", -1.0)):
            down = np.maximum(-y, 0)
            out[:, INDEX["eyeBlink" + side]] = np.clip(lid + 0.3 * down * (1 - lid), 0, 1)  # lids follow a look down
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


def upper_face(times: np.ndarray, envelope: np.ndarray | None, seed: int, habits: Habits | None = None) -> np.ndarray:
    """A whole take: times [T] s >= 0, ascending; envelope as in UpperFace.next -> additive weights [T, 52]."""
    return UpperFace(seed, habits).next(times, envelope)
