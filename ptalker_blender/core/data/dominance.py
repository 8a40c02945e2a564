"""The articulators of the teacher and its dominance mixture (after Cohen & Massaro 1993), with its parameters.

Every segment s has, for each articulator group g, a dominance that is flat inside the segment and decays outside,

    D_sg(t) = alpha_sg exp(-(b / rise_sg)^c_g - (a / fall_sg)^c_g)

with b and a the soft distance in seconds before its start and after its end, and the channel value is the
dominance-weighted mean of the segments' targets. Anticipation is `rise` (a segment acts before it sounds), carry-over
is `fall`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..channels import CHANNELS, INDEX

# (articulator, channels it drives); left and right are one articulator, asymmetry is a matter of style
ARTICULATORS: tuple[str, ...] = (
    "jawOpen", "mouthClose", "mouthShrugLower", "mouthPress", "mouthLowerDown", "mouthRollLower", "mouthUpperUp",
    "mouthRollUpper", "mouthShrugUpper", "noseSneer", "mouthFunnel", "mouthPucker", "mouthSmile", "mouthFrown",
    "mouthDimple", "mouthStretch",
)  # fmt: skip
ARTICULATOR = {name: i for i, name in enumerate(ARTICULATORS)}
GROUPS: tuple[str, ...] = ("jaw", "closing", "lower", "upper", "rounding", "corner")
GROUP_OF = np.array([0, 1, 1, 1, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 5, 5])  # [16] group of each articulator
SOFT = 0.02  # s, softness of the segments' edges


def spread() -> np.ndarray:
    """[16, 52] 1 where the articulator drives the channel."""
    out = np.zeros((len(ARTICULATORS), len(CHANNELS)), np.float32)
    for i, name in enumerate(ARTICULATORS):
        for channel in (name,) if name in INDEX else (name + "Left", name + "Right"):
            out[i, INDEX[channel]] = 1.0
    return out


@dataclass(frozen=True)
class Parameters:
    """Parameters of S segment labels; G groups, M articulators."""

    labels: tuple[str, ...]
    target: np.ndarray  # [S, M] 0..1
    log_alpha: np.ndarray  # [S, G]
    log_rise: np.ndarray  # [S, G] log seconds
    log_fall: np.ndarray  # [S, G] log seconds
    edges: np.ndarray  # [S, 2] seconds by which the acting segment starts, ends later than the sound
    power: np.ndarray  # [G] exponent c
    gap: np.ndarray  # [52, 2] inner-lip gap that a channel opens at weight 1: vertical, in depth; cm on the ICT head

    def mixed(self, mixture: dict[str, float], factor: float) -> tuple[np.ndarray, ...]:
        """Average of several labels (of logarithms for the positive parameters); `factor` scales the dominance."""
        rows, weights = [self.labels.index(k) for k in mixture], np.array(list(mixture.values()))
        mean = lambda a: np.tensordot(weights / weights.sum(), a[rows], 1)  # noqa: E731
        return (
            mean(self.target), mean(self.log_alpha) + np.log(factor), mean(self.log_rise), mean(self.log_fall),
            mean(self.edges),
        )  # fmt: skip

    def extended(self, neighbours: dict[str, tuple[dict[str, float], float]]) -> Parameters:
        """With one more label for each neighbour mixture."""
        rows = [self.mixed(*spec) for spec in neighbours.values()]
        join = lambda a, i: np.concatenate([a, np.stack([r[i] for r in rows])]).astype(np.float32)  # noqa: E731
        return Parameters(
            self.labels + tuple(neighbours), join(self.target, 0), join(self.log_alpha, 1), join(self.log_rise, 2),
            join(self.log_fall, 3), join(self.edges, 4), self.power, self.gap,
        )  # fmt: skip

    def save(self, path: Path, note: dict) -> None:
        arrays = {k: np.round(getattr(self, k).astype(float), 4).tolist() for k in _ARRAYS}
        head = {"note": note, "articulators": ARTICULATORS, "groups": GROUPS, "labels": self.labels}
        items = {**head, **arrays}.items()
        body = ",\n".join(f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in items)
        path.write_text("{" + body + "}\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Parameters:
        data = json.loads(path.read_text(encoding="utf-8"))
        if tuple(data["articulators"]) != ARTICULATORS or tuple(data["groups"]) != GROUPS:
            raise ValueError(f"{path.name} was estimated for other articulators; run estimate_teacher again")
        return cls(tuple(data["labels"]), **{k: np.array(data[k], np.float32) for k in _ARRAYS})


_ARRAYS = ("target", "log_alpha", "log_rise", "log_fall", "edges", "power", "gap")


def soft_positive(u: np.ndarray) -> np.ndarray:
    """Smooth max(u, 0) for u in seconds."""
    return 0.5 * (u + np.sqrt(u * u + SOFT * SOFT))


def mixture(
    times: np.ndarray, start: np.ndarray, end: np.ndarray, target: np.ndarray, alpha: np.ndarray, rise: np.ndarray,
    fall: np.ndarray, power: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """times [T]; per segment start, end [S], target [S, M], alpha, rise, fall [S, G]; power [G] -> [T, M]."""
    single = np.float32  # of differences: float32 of a time in a long take would be too coarse
    before = soft_positive((start - times[:, None]).astype(single))[..., None] / rise.astype(single)
    after = soft_positive((times[:, None] - end).astype(single))[..., None] / fall.astype(single)
    dominance = alpha * np.exp(-(before**power) - after**power)  # [T, S, G]
    share = dominance / dominance.sum(1, keepdims=True)
    out = np.empty((len(times), target.shape[1]), np.float32)
    for g in range(len(GROUPS)):
        mine = GROUP_OF == g
        out[:, mine] = share[..., g] @ target[:, mine]
    return out
