"""The ridge probe among the rows: fitted on the same training windows, measured on the same dev windows, r only."""

from __future__ import annotations

import numpy as np

from ptalker_blender.core.data.motion_set import MotionSet
from ptalker_blender.core.data.teacher import TeacherStyle
from ptalker_blender.core.evaluate import metrics
from ptalker_blender.core.evaluate.floor import Ridge
from ptalker_blender.core.speech import RATE, WINDOW

from .bench import FPS, Bench
from .figures import aperture


def fit_ridge(windows: MotionSet, seed: int, most: int = 300) -> Ridge:
    """On the tracked clips of ``most`` random training windows (each seed its own)."""
    heard, gaps = [], []
    picks = np.random.default_rng(seed).permutation(windows.real)[:most]
    for i in picks:
        features = windows.hear(int(i))
        for s in windows.windows[int(i)].segments:
            gap = windows.fits.gap[windows.ids[s.clip]]
            first = max(0, int(np.ceil(s.start * RATE)))  # a clip may have begun before its window
            at = (np.arange(int((min(s.end, WINDOW / RATE) - first / RATE) * FPS)) / FPS + first / RATE - s.start) * s.factor
            at = at[at <= (len(gap) - 1) / FPS]
            if len(at) > 25 and np.isfinite(gap).all():
                heard.append(features[first : first + int(len(at) / FPS * RATE) + 1])
                gaps.append(np.interp(at, np.arange(len(gap)) / FPS, gap))
    return Ridge(heard, gaps, FPS)


def measure_ridge(bench: Bench, ridge: Ridge) -> dict[str, float]:
    """r_s1, r_unseen, r_taught and the lag."""

    def predict(window: int) -> np.ndarray:
        return ridge.predict(bench.set.hear(window), len(bench.times), FPS)

    made = {i: predict(i) for i in {c.window for c in bench.clips}}
    pairs: dict[str, list] = {"s1": [], "unseen": []}
    for c in bench.clips:
        pairs[c.group].append((made[c.window][c.frames], c.gap))
    pairs["taught"] = [(predict(i), aperture(bench, bench.truth(i, TeacherStyle.neutral()))) for i in bench.taught]
    out = {f"r_{k}": metrics.pooled_r(v) for k, v in pairs.items() if v}
    if pairs["s1"]:
        curve = metrics.lag_curve(pairs["s1"], FPS)
        out["lag"] = float(abs(metrics.LAGS[int(curve.argmax())]))
    return out
