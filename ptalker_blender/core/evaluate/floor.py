"""The floor: ridge regression from speech features to the lip gap, 14 min of one speaker (as the corpus' probe).

Same features as ours (last layer only), contexts of -0.12 .. 0.12 s, ridge 3000. A network that does not beat it has
learned nothing from its size.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..audio import load_audio
from ..data.windows import read_clips
from ..speech import RATE, SpeechEncoder

RIDGE = 3000.0
OFFSETS = (-6, -3, 0, 3, 6)


def design(features: np.ndarray, frames: int, fps: float) -> np.ndarray:
    """features [N, C] at 50 Hz -> rows [frames, 5 C / 2] for frame i at i / fps seconds, interpolated."""
    f = features[:, features.shape[1] // 2 :].astype(np.float32)
    x = np.concatenate([np.roll(f, k, 0) for k in OFFSETS], 1)
    t = np.clip(np.arange(frames) / fps * RATE, 0, len(f) - 1.001)
    a = t.astype(int)
    part = (t - a)[:, None].astype(np.float32)
    return x[a] * (1 - part) + x[a + 1] * part


class Ridge:
    """Fit once, then ``predict(features, frames, fps) -> [frames]``, the lip gap up to an offset."""

    def __init__(self, features: list[np.ndarray], gaps: list[np.ndarray], fps: float) -> None:
        x = np.concatenate([design(f, len(y), fps) for f, y in zip(features, gaps, strict=True)])
        y = np.concatenate([g - np.median(g) for g in gaps])
        self.mean, self.scale = x.mean(0), x.std(0) + 1e-6
        x = (x - self.mean) / self.scale
        self.weights = np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ (y - y.mean()))

    def predict(self, features: np.ndarray, frames: int, fps: float) -> np.ndarray:
        return ((design(features, frames, fps) - self.mean) / self.scale) @ self.weights


def corpus_floor(data: Path, fits: dict[str, dict[str, np.ndarray]], encoder: SpeechEncoder, fps: float) -> Ridge | None:
    """Every third tracked training clip of DATA, its gap from the fits; None where there are none."""
    paths = [c.path for c in read_clips(data) if c.kind == "grid" and c.split == "train" and Path(c.path).stem in fits]
    whole = [p for p in paths if np.isfinite(fits[Path(p).stem]["gap"]).all()][::3]
    if not whole:
        return None
    heard = [encoder.encode(load_audio(data / p)) for p in whole]
    return Ridge(heard, [fits[Path(p).stem]["gap"] for p in whole], fps)
