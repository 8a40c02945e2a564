"""Lip signals of moving vertices: how far the lips are open, how wide the mouth is, how low the chin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .metrics import ROUNDED, UNROUNDED, label
from .sets import Face, Mouth


@dataclass(frozen=True)
class Signals:
    """Each [T], in mm, minus its value on the resting face."""

    gap: np.ndarray  # distance of the middle inner-lip vertices: the aperture, as one sees it
    height: np.ndarray  # its vertical part, mean over the inner-lip pairs: below 0 where lips are pressed into each other
    width: np.ndarray  # distance of the mouth corners
    jaw: np.ndarray  # drop of the chin


def signals(vertices: np.ndarray, face: Face) -> Signals:
    """vertices [T, V, 3] of a face that has a mouth, in its unit, +y up."""
    if face.mouth is None:
        raise ValueError(f"face {face.name} has no mouth to measure")
    moving, rest = _measured(vertices, face.mouth), _measured(face.neutral[None], face.mouth)
    return Signals(*((m - r) * face.mm for m, r in zip(moving, rest, strict=True)))


def _measured(x: np.ndarray, m: Mouth) -> list[np.ndarray]:
    apart = x[:, list(m.upper)] - x[:, list(m.lower)]  # [T, pairs, 3]
    width = np.linalg.norm(x[:, m.corners[0]] - x[:, m.corners[1]], axis=-1)
    return [np.linalg.norm(apart[:, 0], axis=-1), apart[..., 1].mean(1), width, -x[:, m.chin, 1]]


def narrowness(width: np.ndarray, fps: float, phones: list) -> tuple[list[float], list[float]]:
    """How narrow the mouth is (minus its width) in the middle of each rounded and of each unrounded vowel or glide.

    width [T] at i / fps s; phones [[ipa, start_s, end_s]] -> (rounded, unrounded).
    """
    times, found = np.arange(len(width)) / fps, ([], [])
    for ipa, start, end in phones:
        kind = label(ipa)
        middle = (start + end) / 2
        if (kind in ROUNDED or kind in UNROUNDED) and middle <= times[-1]:
            found[kind in UNROUNDED].append(-float(np.interp(middle, times, width)))
    return found
