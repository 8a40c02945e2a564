"""The upper face as a seeded process: blinks, small gaze shifts, brows. numpy only; used at inference and for training.

Events are drawn one after another from streams of their own, so that a take depends neither on the frame rate nor on
its length: the first 10 s of a 60 s take are the 10 s take with the same seed. For the same reason whatever follows the
speech level goes through causal filters.

What blinks look like, how pairs come and the tracked speaker's habits are estimated from the train split of the GRID tracks
(data/estimate_upper_face.py writes data/upper_face.json). Blinks don't follow the sound, though the tracked speaker's come
early in a sentence: a clock that the level hurries made blinks depend on the frame rate and the loudness of the recording.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import exp, inf, isfinite
from pathlib import Path

import numpy as np

from .channels import CHANNELS, INDEX

ESTIMATED = json.loads(Path(__file__).with_name("data").joinpath("upper_face.json").read_text("utf-8"))
# What part of the opening between the lids a channel closes on the ICT head. A blink is drawn as a closure, and what the ring
# muscle closes is not closed again by eyeBlink: the lids meet, and do not pass each other.
LIDS = {"eyeBlink": 0.95, "eyeLookDown": 0.54, "eyeSquint": 0.24}
CLOSING = ESTIMATED["closing"]  # s
OPENED, POWER = ESTIMATED["lid"]  # opening: 1 / (1 + (s / OPENED) ** POWER), after Habits' factor
SQUINT, EASED, EASE_POWER = ESTIMATED["squint"]  # the ring muscle pulls in every blink, and lets go later than the lid
FOLLOW_LOOK = ESTIMATED["follow_look"]  # eyeBlink for each eyeLookDown
DEPTHS = np.array(ESTIMATED["depths"])  # quantiles of the deepest closure, evenly spaced
FADE = 0.45, 0.35  # s after the deepest moment, s: what is left of the opening's tail fades out
AGAIN_AFTER = ESTIMATED["again_after"]  # s, median, sigma of its logarithm
SHORTEST_PAUSE = 0.35  # s between blinks that are no pair
PAUSE_SPREAD = 0.6  # sigma of the log-normal pause
FIXATION = 1.1  # s, mean time between gaze shifts; SACCADE: their duration
SACCADE = 0.045
GAZE_SIZE = np.array([0.08, 0.07])  # standard deviation of horizontal, vertical gaze at Habits.gaze = 1
DRIFT_KNOT = 1.3  # s between the knots of the brows' slow drift
FAST, SLOW = 0.18, 1.5  # s, time constants of the level's short and long mean
FOLLOW = 0.35  # s, how fast the brows follow: a phrase, not a syllable
LIMITS = {
    "blink_rate": (0.0, 90.0), "blink_pairs": (0.0, 0.8), "blink_duration": (0.5, 2.5), "gaze": (0.0, 3.0),
    "brow_rest": (-1.0, 1.0), "brow_emphasis": (0.0, 1.0), "brow_drift": (0.0, 0.3), "squint": (0.0, 1.0),
    "asymmetry": (-0.8, 0.8),
}  # fmt: skip


@dataclass(frozen=True)
class Habits:
    """Upper-face habits of a speaker."""

    blink_rate: float = 28.0  # per minute; 26 in conversation (Bentivoglio et al. 1997)
    blink_pairs: float = 0.3  # share of blinks that another follows at once
    blink_duration: float = 1.0  # factor
    gaze: float = 0.9  # factor on GAZE_SIZE
    brow_rest: float = 0.0  # -1 lowered .. 1 raised
    brow_emphasis: float = 0.06  # raise on loud syllables; the tracked commands show none
    brow_drift: float = 0.03
    squint: float = 0.04
    asymmetry: float = 0.0  # + = the left brow moves more

    @classmethod
    def tracked(cls) -> Habits:
        """Those of the tracked speaker (GRID s1), who blinks twice as often as people do in conversation, often in pairs."""
        return cls(**ESTIMATED["habits"])

    @classmethod
    def of(cls, values: Mapping[str, float]) -> Habits:
        """By name, as from a file, held within LIMITS; what is not named is usual, other names are left alone.

        Raises ValueError, TypeError for what is no finite number.
        """
        given = {k: float(values[k]) for k in LIMITS if k in values}
        if not all(isfinite(v) for v in given.values()):
            raise ValueError("habits")
        return cls(**{k: min(max(v, LIMITS[k][0]), LIMITS[k][1]) for k, v in given.items()})

    def mixed(self, others: Sequence[tuple[Habits, float]]) -> Habits:
        """self + sum_i share_i (other_i - self), within LIMITS."""
        own = asdict(self)
        return Habits.of({k: v + sum(share * (getattr(o, k) - v) for o, share in others) for k, v in own.items()})

    def gained(self, movement: float, blinks: float) -> Habits:
        """Brows, gaze and squint move ``movement`` times as far, blinks come ``blinks`` times as often; 0 is none."""
        moved = ("gaze", "brow_rest", "brow_emphasis", "brow_drift", "squint")
        return replace(self, blink_rate=self.blink_rate * blinks, **{k: getattr(self, k) * movement for k in moved})


def lid_closure(weights: np.ndarray) -> np.ndarray:
    """weights [..., 52] -> [...], what part of the opening between the lids is closed, mean of both eyes; about 1 is shut."""
    closed = np.zeros(weights.shape[:-1])
    for name, part in LIDS.items():
        closed += part * (weights[..., INDEX[name + "Left"]] + weights[..., INDEX[name + "Right"]]) / 2
    return closed


def _smoothstep(u: np.ndarray) -> np.ndarray:
    u = np.clip(u, 0, 1)
    return u * u * (3 - 2 * u)


def lid_curve(t: np.ndarray, opened: float = OPENED, power: float = POWER) -> np.ndarray:
    """Closure 0..1 of a blink, t [...] s from its beginning: shuts in CLOSING, opens fast at first, then slowly."""
    s = np.maximum(t - CLOSING, 0)
    opening = 1 / (1 + (s / opened) ** power) * (1 - _smoothstep((s - FADE[0]) / FADE[1]))
    return np.where(t < CLOSING, _smoothstep(t / CLOSING), opening)


class _Blinks:
    """Closure of a renewal process."""

    LENGTH = CLOSING + sum(FADE)

    def __init__(self, rng: np.random.Generator, habits: Habits) -> None:
        self.rng, self.habits = rng, habits
        self.again = min(max(habits.blink_pairs, 0.0), 0.9)
        repeats = self.again / (1 - self.again)
        cycle = 60.0 / max(habits.blink_rate, 1e-3) * (1 + repeats) - repeats * AGAIN_AFTER[0]
        self.mean_pause = max(cycle - SHORTEST_PAUSE, 0.05)
        first = rng.random() * self.mean_pause  # s; the first pause is part of one already running
        self.at = first if habits.blink_rate > 0 else inf
        self.running: list[tuple[float, float, float]] = []  # begin s, factor on the durations, depth

    def next(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """times [T] s -> closure [T], pull of the ring muscle [T], both 0..1."""
        while self.at <= times[-1]:
            self._begin()
        out = np.zeros((2, len(times)))
        for begin, factor, depth in self.running:
            first, last = np.searchsorted(times, (begin, begin + self.LENGTH * factor))
            t = (times[first:last] - begin) / factor
            shape = np.stack([lid_curve(t), lid_curve(t, EASED, EASE_POWER)])
            out[:, first:last] = np.maximum(out[:, first:last], depth * shape)
        self.running = [e for e in self.running if e[0] + self.LENGTH * e[1] > times[-1]]
        return out[0], out[1]

    def _begin(self) -> None:
        """A blink, perhaps others right behind it, and the pause after them."""
        median = self.mean_pause / exp(PAUSE_SPREAD**2 / 2)
        while True:
            stretch, pause, later = self.rng.standard_normal(3)
            depth, again = self.rng.random(2)
            factor = self.habits.blink_duration * exp(0.15 * stretch)
            self.running.append((self.at, factor, float(np.interp(depth, np.linspace(0, 1, len(DEPTHS)), DEPTHS))))
            if again >= self.again:
                break
            self.at += AGAIN_AFTER[0] * exp(AGAIN_AFTER[1] * later)
        self.at += SHORTEST_PAUSE + median * exp(PAUSE_SPREAD * pause)


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


def emphasis(times: np.ndarray, envelope: np.ndarray) -> np.ndarray:
    """What the brows hear in a whole take: times, envelope [T] as in UpperFace.next -> [T] 0..1."""
    return _Emphasis().next(times, envelope)


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
        lid, ring = self.blinks.next(times)
        x, y = self.gaze.next(times).T
        raised = habits.brow_rest + habits.brow_drift * self.outer.next(times)
        if envelope is not None:
            raised = raised + habits.brow_emphasis * self.emphasis.next(times, envelope)
        inner = habits.brow_drift * self.inner.next(times)

        looking = np.maximum(-y, 0)
        shut = (lid * (1 - LIDS["eyeSquint"] * habits.squint) - LIDS["eyeSquint"] * SQUINT * ring) / LIDS["eyeBlink"]
        for side, away in (("Left", 1.0), ("Right", -1.0)):
            out[:, INDEX["eyeBlink" + side]] = np.clip(shut + FOLLOW_LOOK * looking * (1 - lid), 0, 1)
            out[:, INDEX["eyeSquint" + side]] = np.clip(habits.squint + SQUINT * ring, 0, 1)
            out[:, INDEX["eyeLookOut" + side]] = np.maximum(away * x, 0)
            out[:, INDEX["eyeLookIn" + side]] = np.maximum(-away * x, 0)
            out[:, INDEX["eyeLookUp" + side]] = np.maximum(y, 0) * (1 - lid)
            out[:, INDEX["eyeLookDown" + side]] = looking * (1 - lid)  # a shut lid is as low as lids get
            more = 1 + away * habits.asymmetry
            out[:, INDEX["eyeWide" + side]] = np.clip(0.3 * raised * more, 0, 1) * (1 - lid)
            out[:, INDEX["browOuterUp" + side]] = np.clip(raised * more, 0, 1)
            out[:, INDEX["browDown" + side]] = np.clip(-raised * more, 0, 1)
        out[:, INDEX["browInnerUp"]] = np.clip(0.8 * np.maximum(raised, 0) + np.maximum(inner, 0), 0, 1)
        return out


def upper_face(times: np.ndarray, envelope: np.ndarray | None, seed: int, habits: Habits | None = None) -> np.ndarray:
    """A whole take: times [T] s >= 0, ascending; envelope as in UpperFace.next -> additive weights [T, 52]."""
    return UpperFace(seed, habits).next(times, envelope)
