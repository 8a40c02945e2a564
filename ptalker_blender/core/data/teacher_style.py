"""Speaking style as parameters of the coarticulation teacher: every field is a habit that an observer could name."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..upper_face import Habits
from .idiolect import NUMBERS, Idiolect

# name: (neutral, low, high, spread of the sampled normal). Ranges keep faces human: lips can close, nothing crosses.
RANGES: dict[str, tuple[float, float, float, float]] = {
    "strength": (1.0, 0.5, 1.6, 0.28),  # articulation: mumbled .. over-articulated
    "jaw": (1.0, 0.5, 1.6, 0.25),  # share of the opening done by the jaw
    "lips": (1.0, 0.4, 1.8, 0.30),  # share done by raising and lowering the lips
    "upper_share": (0.0, -0.8, 0.8, 0.35),  # opening by the upper lip (+) or the lower lip (-)
    "rounding": (1.0, 0.3, 1.9, 0.35),  # funnel and pucker
    "funnel": (0.0, -0.8, 0.8, 0.35),  # rounding with open, trumpet lips (+) or closed, kissing lips (-)
    "spread": (1.0, 0.2, 2.2, 0.40),  # corners on front vowels and sibilants
    "smile_stretch": (0.5, 0.0, 1.0, 0.25),  # spreading by smile (1) or by stretch (0)
    "anticipation": (1.0, 0.55, 1.8, 0.28),  # time before a sound at which it shows
    "carry_over": (1.0, 0.55, 1.8, 0.28),  # time that a sound lingers
    "contrast": (1.0, 0.6, 1.6, 0.22),  # how far strong segments dominate weak ones (low: sloppy, blended)
    "closure": (0.4, 0.0, 1.0, 0.25),  # pressed lips on p, b, m
    "closure_length": (0.0, -0.008, 0.03, 0.010),  # s, added to either side of a closure
    "tuck": (0.22, 0.1, 0.5, 0.09),  # lower lip under the teeth on f, v
    "asymmetry": (0.0, -0.35, 0.35, 0.11),  # + = the left side moves more
    "sideways": (0.0, -0.12, 0.12, 0.035),  # lips drawn to the left (+) while open
    "protrusion": (0.0, 0.0, 0.25, 0.05),  # jaw pushed forward while speaking
    "rest_smile": (0.0, 0.0, 0.45, 0.12),
    "rest_frown": (0.0, 0.0, 0.35, 0.08),
    "rest_press": (0.0, 0.0, 0.4, 0.08),
    "rest_open": (0.0, 0.0, 0.12, 0.03),  # jaw of the resting, silent mouth
    "rest_dimple": (0.0, 0.0, 0.3, 0.06),
    "sneer": (1.0, 0.0, 2.5, 0.5),  # nose wings with the upper lip
    "cheeks": (0.3, 0.0, 1.0, 0.25),  # cheeks that follow the smile
    "brow_rest": (0.0, -0.25, 0.25, 0.07),  # + raised, - lowered
    "brow_emphasis": (0.25, 0.0, 0.8, 0.18),  # brow movement with loud syllables
    "brow_drift": (0.05, 0.0, 0.15, 0.03),
    "blink_rate": (18.0, 6.0, 45.0, 8.0),  # blinks a minute
    "blink_duration": (1.0, 0.75, 1.5, 0.15),
    "gaze": (0.5, 0.0, 1.2, 0.25),  # size of the eyes' small movements
    "squint": (0.0, 0.0, 0.35, 0.07),
}

UPPER = ("brow", "blink", "gaze", "squint")  # how the names of the upper face's habits begin
SHOWN = tuple(name for name in RANGES if not name.startswith(UPPER))  # what the lower face shows: the first numbers of a style
_ROWS = [list(RANGES).index(name) for name in SHOWN]
TOLD = len(SHOWN) + NUMBERS  # numbers of a style that have a meaning
OWN = 0.5  # of the people of training have an idiolect


@dataclass(frozen=True)
class TeacherStyle:
    """One speaker's habits; see RANGES for the meaning and bounds of each field. The defaults are speaker s1's."""

    strength: float = 1.0
    jaw: float = 1.0
    lips: float = 1.0
    upper_share: float = 0.0
    rounding: float = 1.0
    funnel: float = 0.0
    spread: float = 1.0
    smile_stretch: float = 0.5
    anticipation: float = 1.0
    carry_over: float = 1.0
    contrast: float = 1.0
    closure: float = 0.4
    closure_length: float = 0.0
    tuck: float = 0.22
    asymmetry: float = 0.0
    sideways: float = 0.0
    protrusion: float = 0.0
    rest_smile: float = 0.0
    rest_frown: float = 0.0
    rest_press: float = 0.0
    rest_open: float = 0.0
    rest_dimple: float = 0.0
    sneer: float = 1.0
    cheeks: float = 0.3
    brow_rest: float = 0.0
    brow_emphasis: float = 0.25
    brow_drift: float = 0.05
    blink_rate: float = 18.0
    blink_duration: float = 1.0
    gaze: float = 0.5
    squint: float = 0.0
    own: Idiolect | None = None  # None: the teacher's

    @classmethod
    def neutral(cls) -> TeacherStyle:
        return cls()

    @classmethod
    def sample(cls, rng: np.random.Generator) -> TeacherStyle:
        """A random person: truncated normals about neutral; a resting smile and a resting frown exclude each other."""
        values = {}
        for name, (neutral, low, high, spread) in RANGES.items():
            values[name] = float(np.clip(neutral + spread * rng.standard_normal(), low, high))
        if rng.random() < 0.5:
            values["rest_frown"] = 0.0
        else:
            values["rest_smile"] = 0.0
        return cls(**values)

    @classmethod
    def person(cls, rng: np.random.Generator) -> TeacherStyle:
        """As ``sample``; OWN of them have an idiolect."""
        style = cls.sample(rng)
        return replace(style, own=Idiolect.sample(rng)) if rng.random() < OWN else style

    def told(self) -> np.ndarray:
        """[TOLD] float32, what a style vector is told: the habits of SHOWN as in ``to_array``, then the idiolect's numbers."""
        own = np.zeros(NUMBERS, np.float32) if self.own is None else self.own.numbers()
        return np.concatenate([self.to_array()[_ROWS], own])

    def to_array(self) -> np.ndarray:
        """[31] float32 in the order of the fields, scaled so that neutral is 0 and a sampled spread is 1."""
        return np.array([(getattr(self, n) - m) / s for n, (m, _, _, s) in RANGES.items()], np.float32)

    @classmethod
    def from_array(cls, array: np.ndarray) -> TeacherStyle:
        """Inverse of to_array, clipped to the ranges."""
        pairs = zip(RANGES.items(), array, strict=True)
        return replace(cls(), **{n: float(np.clip(m + s * v, low, high)) for (n, (m, low, high, s)), v in pairs})

    def blended(self, other: TeacherStyle, share: float) -> TeacherStyle:
        """`share` 0 gives self, 1 gives other."""
        mix = {n: (1 - share) * getattr(self, n) + share * getattr(other, n) for n in RANGES}
        if self.own is None and other.own is None:
            return replace(self, **mix)
        return replace(self, **mix, own=(self.own or Idiolect.none()).blended(other.own or Idiolect.none(), share))

    def habits(self) -> Habits:
        """The upper-face part of the style."""
        return Habits(
            blink_rate=self.blink_rate, blink_duration=self.blink_duration, gaze=self.gaze, brow_rest=self.brow_rest,
            brow_emphasis=self.brow_emphasis, brow_drift=self.brow_drift, squint=self.squint, asymmetry=self.asymmetry,
        )  # fmt: skip
