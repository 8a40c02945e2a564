"""Sound without a voice: how far the mouth opens, which should be not at all."""

from __future__ import annotations

import numpy as np

from .. import SAMPLE_RATE
from ..channels import INDEX
from ..data.windows import voiceless
from . import lips
from .ours import Ours
from .sets import Face, Item

SECONDS = 5.0
FPS = 25.0


def sounds(seed: int) -> dict[str, np.ndarray]:
    """Name -> audio [n] float32."""
    n, rng = int(SECONDS * SAMPLE_RATE), np.random.default_rng([seed, 5])
    t = np.arange(n) / SAMPLE_RATE
    out = {"silence": np.zeros(n)}
    for level in (-60, -40, -20):
        out[f"white noise {level} dB"] = rng.standard_normal(n) * 10 ** (level / 20)
    out["hum 50 Hz"] = 0.1 * np.sin(2 * np.pi * 50 * t) + 0.03 * np.sin(2 * np.pi * 150 * t)
    for name, kind in (("knocks", 3), ("chords", 4)):
        out[name] = voiceless(kind, rng)[:n]
    return {k: np.clip(v, -1, 1).astype(np.float32) for k, v in out.items()}


def stillness(ours: Ours, face: Face, seed: int) -> tuple[dict[str, dict[str, float]], dict[str, np.ndarray]]:
    """Figures by sound: largest jawOpen (0..1) and largest lip gap (mm above rest); and the gap [T] of each, for the plot."""
    figures, curves = {}, {}
    for name, audio in sounds(seed).items():
        item = Item("still", name, "", audio, FPS, face, lower_only=True)
        z = ours.weights(item)
        gap = lips.signals(face.moved(z, ours.basis(face)), face).gap
        figures[name] = {"jaw_open": float(z[:, INDEX["jawOpen"]].max()), "gap_mm": float(max(gap.max(), 0.0))}
        curves[name] = gap
    return figures, curves
