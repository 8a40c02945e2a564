"""What somebody does beyond what the style vector says: a factor and a shift for each channel of the lower face.

Where a reference has its sound, the model can animate the same words in the style that it read, and what is left between
that and the reference is the person's own. It is found channel by channel by ridge regression. How much a clip can tell is
taken from the clip itself: what the regression leaves over, and for how long it stays the same way (seconds that look alike
are told once). Little told means little changed: the prior says that people differ from what the model makes of them by
``SPREAD``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from .channels import LOWER_FACE

if TYPE_CHECKING:
    from torch import Tensor

    from .model.contact import Contact

SPREAD = 0.1, 0.03  # standard deviation over people of the factor, of the shift (weights)
FLOOR = 0.04  # weights; tracked and fitted weights are no better than that
STEADY = 6.0  # s at least for which what is left over stays the same way; a short clip cannot show it
FIRST = 0.3, 3.0  # ridge of the first regression, which only tells what is left over
TOGETHER = 0.15  # r of the lip gap, reference and model: below this, sound and motion may not belong together
APART = "The sound and the motion hardly belong together: check that they start at the same time."


@dataclass(frozen=True)
class Personal:
    """``more`` [K]: factor - 1; ``shift`` [K] weights. Zero but in the lower face."""

    more: Tensor
    shift: Tensor

    @classmethod
    def of(cls, both: Tensor) -> Personal:
        """From ``tensor``."""
        return cls(both[0], both[1])

    def tensor(self) -> Tensor:
        """[2, K], for files."""
        return torch.stack([self.more, self.shift])

    def scaled(self, amount: float) -> Personal:
        return Personal(self.more * amount, self.shift * amount)

    def __add__(self, other: Personal) -> Personal:
        return Personal(self.more + other.more, self.shift + other.shift)

    def to(self, device: torch.device) -> Personal:
        return Personal(self.more.to(device), self.shift.to(device))

    def shaped(self, z: Tensor) -> Tensor:
        """z [..., K] -> [..., K], not held within 0..1."""
        return z * (1 + self.more) + self.shift

    def __call__(self, z: Tensor, contact: Contact | None) -> Tensor:
        """Finished weights z [..., K] -> the person's, 0..1; lips that met meet."""
        more = self.shaped(z).clamp(0, 1)
        return more if contact is None else contact.kept(more, z)


def personal_of(made: np.ndarray, shown: np.ndarray, fps: float, rest_known: bool = True) -> Personal:
    """``made``, ``shown`` [T, K]: weights that the model makes of the reference's sound in its style, those that the reference
    is made of. Where nobody knows the face at rest, only the factors can be told."""
    low = list(LOWER_FACE)
    x = made[:, low].astype(np.float64)
    y = shown[:, low].astype(np.float64) - x
    if not rest_known:
        x, y = x - x.mean(0), y - y.mean(0)
    more, shift = ridge(x, y, *(np.full(len(low), value) for value in FIRST))
    left = y - x * more - shift
    told = ((left**2).mean(0) + FLOOR**2) * np.maximum(memory(left), STEADY * fps)
    more, shift = ridge(x, y, told / SPREAD[0] ** 2, told / SPREAD[1] ** 2)
    both = np.zeros((2, made.shape[1]), np.float32)
    both[0, low] = np.clip(more, -1.0, 2.0)
    if rest_known:
        both[1, low] = np.clip(shift, -0.5, 0.5)
    return Personal.of(torch.from_numpy(both))


def ridge(x: np.ndarray, y: np.ndarray, hold: np.ndarray, hold_shift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Column by column y ~ slope x + shift, both held at 0: x, y [T, n], hold [n] -> slope, shift [n]."""
    xx, xs, xy, ys = (x * x).sum(0) + hold, x.sum(0), (x * y).sum(0), y.sum(0)
    count = len(x) + hold_shift
    scale = xx * count - xs * xs
    return (xy * count - xs * ys) / scale, (xx * ys - xs * xy) / scale


def memory(left: np.ndarray) -> np.ndarray:
    """left [T, n] -> frames for which each column stays the same way: the sum of its autocorrelation up to where that is
    nearly none (Sokal's integrated autocorrelation time), [n]."""
    left = left - left.mean(0)
    power = (left**2).sum(0) + 1e-9
    out, alive = np.ones(left.shape[1]), np.ones(left.shape[1], bool)
    for lag in range(1, len(left) // 2):
        r = (left[lag:] * left[:-lag]).sum(0) / power
        alive &= r > 0.05
        if not alive.any():
            break
        out += 2 * np.where(alive, r, 0.0)
    return out


def agreement(made: np.ndarray, shown: np.ndarray, contact: Contact) -> float:
    """r of the lip gap of two takes [T, K]; 0 where one of them does not move."""
    gap = contact.gap[:, 0].cpu().numpy()
    a, b = (x @ gap - (x @ gap).mean() for x in (made, shown))
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / size if size > 1e-6 * len(a) else 0.0


