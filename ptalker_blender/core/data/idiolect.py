"""What is a person's own beside the habits that have names: how far each kind of sound moves each part of the mouth, and when.

Habits (teacher_style.py) say how people differ who would all learn to speak from one teacher. Faces in the world were made by
other hands: another animator, another tracker, another rig give another mouth to the same vowel. A style that knows habits
only cannot even tell such people apart. An idiolect shifts the teacher's targets, class of sounds by class of sounds, by
chance; in training every second person has one (TeacherStyle.person). Its ``numbers`` are what a style vector is told of it:
the principal components of such shifts, as seen on a face, and two of its timing.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache, cached_property
from pathlib import Path

import numpy as np

from .dominance import ARTICULATORS, GROUPS, Parameters
from .phonemes import CLASS_OF, CLASSES, NEIGHBOURS, SILENCE

ESTIMATE = Path(__file__).with_name("teacher.json")
# what mouths do in each class of sounds, least and most; what is not named does next to nothing
OTHERS: dict[str, dict[str, tuple[float, float]]] = {
    "bilabial": {"jawOpen": (0.0, 0.3), "mouthClose": (0.0, 0.2), "mouthPress": (0.0, 0.3), "mouthRollLower": (0.0, 0.2),
                 "mouthRollUpper": (0.0, 0.2), "mouthPucker": (0.0, 0.2)},
    "labiodental": {"jawOpen": (0.0, 0.15), "mouthRollLower": (0.05, 0.5), "mouthUpperUp": (0.0, 0.3), "mouthClose": (0.0, 0.1)},
    "dental": {"jawOpen": (0.02, 0.25), "mouthLowerDown": (0.0, 0.25), "mouthUpperUp": (0.0, 0.15)},
    "alveolar": {"jawOpen": (0.03, 0.25), "mouthLowerDown": (0.0, 0.25), "mouthUpperUp": (0.0, 0.2), "mouthStretch": (0.0, 0.1)},
    "sibilant": {"jawOpen": (0.01, 0.16), "mouthLowerDown": (0.0, 0.3), "mouthUpperUp": (0.0, 0.4), "mouthStretch": (0.0, 0.3),
                 "mouthSmile": (0.0, 0.25)},
    "postalveolar": {"jawOpen": (0.02, 0.2), "mouthFunnel": (0.1, 0.6), "mouthPucker": (0.0, 0.4), "mouthUpperUp": (0.0, 0.4),
                     "mouthLowerDown": (0.0, 0.2)},
    "velar": {"jawOpen": (0.05, 0.3), "mouthLowerDown": (0.0, 0.2), "mouthUpperUp": (0.0, 0.4)},
    "labial glide": {"jawOpen": (0.02, 0.22), "mouthPucker": (0.2, 0.9), "mouthFunnel": (0.0, 0.5)},
    "close vowel": {"jawOpen": (0.03, 0.28), "mouthStretch": (0.0, 0.35), "mouthSmile": (0.0, 0.3), "mouthDimple": (0.0, 0.12),
                    "mouthLowerDown": (0.0, 0.3), "mouthUpperUp": (0.0, 0.5)},
    "open vowel": {"jawOpen": (0.2, 0.65), "mouthLowerDown": (0.0, 0.4), "mouthUpperUp": (0.0, 0.45), "mouthStretch": (0.0, 0.25),
                   "mouthSmile": (0.0, 0.2)},
    "mid vowel": {"jawOpen": (0.1, 0.4), "mouthLowerDown": (0.0, 0.25), "mouthUpperUp": (0.0, 0.3), "mouthFunnel": (0.0, 0.35),
                  "mouthPucker": (0.0, 0.7)},
}  # fmt: skip
ELSE = 0.0, 0.05
WHOLE, EACH = 0.9, 0.9  # where between least and most: spread over articulators, over classes and articulators
AMOUNT = 0.1, 1.0  # how far towards these a person is from the teacher, drawn anew for each
TEMPO, POWER, LEAD = 0.25, 0.15, 0.015  # spreads of logarithms of time constants, of exponents; s by which all comes earlier
AXES = 22  # principal components that a style is told
NUMBERS = AXES + 2
SAMPLES = 2000  # from which these are found
# cm by which an articulator at 1 moves the lips, roughly: what is seen of a shift
SEEN = {"jawOpen": 1.6, "mouthFunnel": 0.6, "mouthPucker": 0.7, "mouthLowerDown": 0.7, "mouthUpperUp": 0.6, "mouthStretch": 0.6,
        "mouthSmile": 0.8, "mouthClose": 0.9}  # fmt: skip
OTHER = 0.4


@dataclass(frozen=True)
class Idiolect:
    """``shift`` [classes, M] is added to the targets; ``rise``, ``fall``, ``power`` [G] to the logarithms of the time constants
    and exponents; ``lead`` s: so much earlier each segment begins and ends to act. All zero: the teacher himself."""

    shift: np.ndarray
    rise: np.ndarray
    fall: np.ndarray
    power: np.ndarray
    lead: float

    @classmethod
    def none(cls) -> Idiolect:
        zero = np.zeros(len(GROUPS))
        return cls(np.zeros((len(CLASSES), len(ARTICULATORS))), zero, zero, zero, 0.0)

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Idiolect:
        """A random one: small ones and large ones."""
        much = float(rng.uniform(*AMOUNT))
        least, most = ranges()
        drawn = WHOLE * rng.standard_normal(least.shape[1]) + EACH * rng.standard_normal(least.shape)
        shift = much * (least + (most - least) / (1 + np.exp(-drawn)) - class_targets())
        shift[list(CLASSES).index(CLASS_OF[SILENCE])] = 0.0
        rise, fall, power = (much * size * rng.standard_normal(len(GROUPS)) for size in (TEMPO, TEMPO, POWER))
        both = much * TEMPO * rng.standard_normal()  # who is slow to begin is slow to end
        return cls(shift, rise + both, fall + both, power, much * LEAD * float(rng.standard_normal()))

    def blended(self, other: Idiolect, share: float) -> Idiolect:
        """``share`` 0 gives self, 1 gives other."""
        return Idiolect(*((1 - share) * getattr(self, f.name) + share * getattr(other, f.name) for f in fields(self)))

    @cached_property
    def parameters(self) -> Parameters:
        """The teacher's, as this person has them, with the neighbour phones."""
        p, place = estimate(), list(CLASSES)
        own = self.shift[[place.index(CLASS_OF[label]) for label in p.labels]]
        return Parameters(
            p.labels, np.clip(p.target + own, 0, 1), p.log_alpha, p.log_rise + self.rise, p.log_fall + self.fall,
            p.edges - self.lead * np.array([[label != SILENCE] for label in p.labels]), p.power * np.exp(self.power), p.gap,
        ).extended(NEIGHBOURS)  # fmt: skip

    def numbers(self) -> np.ndarray:
        """[NUMBERS] float32: 0 for the teacher, spread 1 over people who have an idiolect."""
        axes, spread = principal()
        tempo = (self.rise.mean() + self.fall.mean()) / 2 / TEMPO
        return np.array([*((self.shift * seen()).ravel() @ axes.T / spread), tempo, self.lead / LEAD], np.float32)


@cache
def estimate() -> Parameters:
    """The committed estimate, without the neighbour phones."""
    return Parameters.load(ESTIMATE)


@cache
def class_targets() -> np.ndarray:
    """[classes, M]: the mean target of each class of sounds."""
    p = estimate()
    return np.stack([p.target[[p.labels.index(label) for label in members]].mean(0) for members in CLASSES.values()])


@cache
def ranges() -> tuple[np.ndarray, np.ndarray]:
    """Least and most [classes, M] of OTHERS."""
    rows = [[OTHERS.get(name, {}).get(part, ELSE) for part in ARTICULATORS] for name in CLASSES]
    both = np.array(rows)
    return both[..., 0], both[..., 1]


@cache
def seen() -> np.ndarray:
    """[M] how much a shift of each articulator is seen."""
    return np.array([SEEN.get(name, OTHER) for name in ARTICULATORS])


@cache
def principal() -> tuple[np.ndarray, np.ndarray]:
    """Axes [AXES, classes * M] of what is seen of the shifts of many people, and the spread along each [AXES]."""
    rng = np.random.default_rng(0)
    rows = np.stack([(Idiolect.sample(rng).shift * seen()).ravel() for _ in range(SAMPLES)])
    values, axes = np.linalg.eigh(rows.T @ rows / len(rows))
    order = np.argsort(values)[::-1][:AXES]
    top = axes[:, order].T
    top *= np.sign(top[np.arange(AXES), np.abs(top).argmax(1)])[:, None]  # the same sign on every machine
    return top, np.sqrt(values[order])
