"""Strangers: people whose faces another animator than our teacher makes, so that nothing here was seen in training.

Each has shapes of his own for sixteen visemes (the usual ones, written by hand for this benchmark, each changed by chance),
which a Gaussian blurs in time, as a hand animator's eased keys would; our teacher has phones, estimated from tracks, mixed
by dominance, and habits that he shares with all its people. Only that lips meet at p, b, m is done by the teacher's rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from ptalker_blender.core.channels import CHANNELS, INDEX
from ptalker_blender.core.data.phonemes import BILABIAL, BILABIAL_STOPS, SILENCE, segments
from ptalker_blender.core.data.teacher import close_lips, ramp

SHAPES: dict[str, dict[str, float]] = {
    "sil": {},
    "PP": {"jawOpen": 0.06, "mouthPress": 0.2},
    "FF": {"jawOpen": 0.07, "mouthRollLower": 0.4, "mouthUpperUp": 0.14},
    "TH": {"jawOpen": 0.13, "mouthLowerDown": 0.12},
    "DD": {"jawOpen": 0.11, "mouthLowerDown": 0.1, "mouthUpperUp": 0.04},
    "SS": {"jawOpen": 0.05, "mouthStretch": 0.14, "mouthLowerDown": 0.12, "mouthSmile": 0.06},
    "CH": {"jawOpen": 0.08, "mouthFunnel": 0.34, "mouthPucker": 0.12},
    "kk": {"jawOpen": 0.14, "mouthLowerDown": 0.08},
    "RR": {"jawOpen": 0.1, "mouthFunnel": 0.18, "mouthPucker": 0.2},
    "aa": {"jawOpen": 0.4, "mouthLowerDown": 0.14, "mouthUpperUp": 0.08},
    "ae": {"jawOpen": 0.31, "mouthStretch": 0.12, "mouthLowerDown": 0.14, "mouthSmile": 0.05},
    "E": {"jawOpen": 0.21, "mouthStretch": 0.14, "mouthLowerDown": 0.12, "mouthUpperUp": 0.06, "mouthSmile": 0.05},
    "I": {"jawOpen": 0.1, "mouthStretch": 0.18, "mouthSmile": 0.1, "mouthLowerDown": 0.1},
    "schwa": {"jawOpen": 0.17, "mouthLowerDown": 0.06},
    "O": {"jawOpen": 0.24, "mouthFunnel": 0.32, "mouthPucker": 0.14},
    "U": {"jawOpen": 0.08, "mouthPucker": 0.5, "mouthFunnel": 0.18},
}
SOUNDS = {
    "sil": (SILENCE,), "PP": ("p", "b", "m"), "FF": ("f", "v", "β"), "TH": ("θ", "ð"),
    "DD": ("t", "d", "n", "l", "ɾ", "r", "ɫ", "ɲ", "ʎ"), "SS": ("s", "z"), "CH": ("tʃ", "dʒ", "ʃ", "ʒ", "ʝ", "ɟ", "c"),
    "kk": ("k", "ɡ", "ŋ", "h", "ʔ", "ɣ", "x", "ʁ"), "RR": ("ɹ", "ɜ"), "aa": ("ɑ", "a", "aɪ1", "aʊ1", "ʌ", "ɐ", "ɒ"),
    "ae": ("æ",), "E": ("ɛ", "e", "eɪ1"), "I": ("i", "ɪ", "j", "eɪ2", "aɪ2"), "schwa": ("ə",),
    "O": ("ɔ", "o", "oʊ1", "œ", "ø"), "U": ("u", "ʊ", "w", "y", "ɥ", "oʊ2", "aʊ2"),
}  # fmt: skip
VISEME = {phone: i for i, phones in enumerate(SOUNDS.values()) for phone in phones}
PARTS = sorted({part for shape in SHAPES.values() for part in shape})
RESTS = {"mouthSmile": 0.1, "mouthFrown": 0.06, "mouthPress": 0.06, "mouthDimple": 0.05, "jawOpen": 0.02}  # spreads
SLOW = {"jaw": 0.05, "mouthFunnel": 0.065, "mouthPucker": 0.065, "mouthS": 0.06}  # s, width of the blur; the others:
QUICK = 0.04
RATE = 100  # a second, at which the blur works
RAMP = 0.04  # s from open to closed


@dataclass(frozen=True)
class Stranger:
    """``shapes`` [visemes, parts] weights, ``rest`` [K], ``side`` how much more the left one moves, ``slow`` factor of all
    widths, ``lead`` s by which the face is ahead of the sound, ``wander`` how much no two sounds are alike."""

    shapes: np.ndarray
    rest: np.ndarray
    side: float
    slow: float
    lead: float
    wander: float
    seed: int

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Stranger:
        usual = np.array([[shape.get(part, 0.0) for part in PARTS] for shape in SHAPES.values()])
        gain = np.exp(0.3 * rng.standard_normal(len(PARTS)))
        own = np.exp(0.25 * rng.standard_normal(usual.shape))
        more = 0.02 * np.abs(rng.standard_normal(usual.shape)) * (np.arange(len(usual)) > 0)[:, None]
        rest = np.zeros(len(CHANNELS))
        for part, spread in RESTS.items():
            rest[channels(part)] = max(0.0, spread * rng.standard_normal())
        return cls(
            usual * own * gain + more, rest, 0.1 * rng.standard_normal(), float(np.exp(0.2 * rng.standard_normal())),
            0.03 + 0.012 * rng.standard_normal(), 0.1, int(rng.integers(1 << 30)),
        )  # fmt: skip

    def __call__(self, phones: Sequence[Sequence], times: np.ndarray) -> np.ndarray:
        """phones [[ipa | "sil", start_s, end_s]] in order, times [T] s -> weights [T, K], 0..1; the upper face is still."""
        spans = segments(phones)
        rng = np.random.default_rng([self.seed, len(spans)])
        louder = np.exp(self.wander * rng.standard_normal((len(spans), 1)))
        targets = self.shapes[[VISEME[label] for label, _, _ in spans]] * louder
        grid = np.arange(times[0] - 1.0, times[-1] + 1.0, 1 / RATE)
        which = np.searchsorted([start for _, start, _ in spans], grid + self.lead, "right") - 1
        steps, x = targets[which], np.zeros((len(times), len(CHANNELS)), np.float32)
        for i, part in enumerate(PARTS):
            width = next((w for name, w in SLOW.items() if part.startswith(name)), QUICK) * self.slow
            moving = np.interp(times, grid, gaussian_filter1d(steps[:, i], width * RATE))
            for channel in channels(part):
                x[:, channel] = moving * (1 + self.side * side_of(channel))
        x = np.clip(x + self.rest, 0, 1).astype(np.float32)
        met = [(a, max(a + 0.03, b - (0.022 if label in BILABIAL_STOPS else 0.0))) for label, a, b in spans if label in BILABIAL]
        close_lips(x, ramp(times, met, RAMP))
        return np.clip(x, 0, 1)


def channels(part: str) -> list[int]:
    """Numbers of a part's channels: itself, or its two sides."""
    return [INDEX[part]] if part in INDEX else [INDEX[part + "Left"], INDEX[part + "Right"]]


def side_of(channel: int) -> float:
    """1 left, -1 right, 0 neither."""
    name = CHANNELS[channel]
    return 1.0 if name.endswith("Left") else -1.0 if name.endswith("Right") else 0.0
