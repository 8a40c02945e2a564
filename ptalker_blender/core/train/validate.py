"""Validation of motion training on the dev splits: lip-gap correlation with real tracks and with the teacher."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch

from ..data.motion_set import MotionSet
from ..data.teacher import TeacherStyle
from ..model.decoder import clamp_weights
from ..model.ptalker import PTalker
from ..speech import RATE, WINDOW
from .heads import LipGap

FPS = 25.0
LIPS_MEET = 0.08  # of the clip's 95th percentile


def pooled_r(pairs: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """Pearson r of all clips together after each clip's mean is removed (as in the corpus' ridge probe)."""
    x = np.concatenate([a - a.mean() for a, _ in pairs])
    y = np.concatenate([b - b.mean() for _, b in pairs])
    return float(np.corrcoef(x, y)[0, 1])


def lips_meet(gap: np.ndarray, times: np.ndarray, phones: Iterable[Sequence]) -> tuple[int, int]:
    """How many p, b, m meet, of how many: gap [T] at times [T] s gets below 8 % of its range within 45 ms of their middle.

    phones [[ipa, start_s, end_s]]; those outside of the times are not counted.
    """
    floor, top = gap.min(), np.quantile(gap, 0.95)
    hits = total = 0
    for phone, a, b in phones:
        near = np.abs(times - (a + b) / 2) <= 0.045
        if phone in ("p", "b", "m") and near.any():
            total += 1
            hits += bool(gap[near].min() - floor < LIPS_MEET * (top - floor))
    return hits, total


def validate(net: PTalker, dev: MotionSet, gap: LipGap) -> dict[str, float]:
    """Figures in the neutral style: r on s1 dev, on unseen speakers, against the teacher; closures that close.

    ``score`` is what best-checkpoint selection uses.
    """
    groups: dict[str, list] = {"s1": [], "unseen": [], "teacher": []}
    closed, closures = 0, 0
    audio_times = torch.arange(WINDOW) / RATE
    times = np.arange(int(8 * FPS)) / FPS
    for i, w in enumerate(dev.windows):
        with torch.no_grad():
            style = net.styles["neutral"][None]
            z = net(torch.from_numpy(dev.hear(i))[None], audio_times, style, torch.from_numpy(times).float())
            distance = gap.distance(clamp_weights(z)[0]).numpy()
        if i in dev.real_set:
            for s in w.segments:
                clip, truth = dev.clips[s.clip], dev.fits.gap[dev.ids[s.clip]]
                here = np.nonzero((times >= s.start - 1e-6) & (times < s.end - 1e-6))[0]
                here = here[: len(truth)]
                at = times[here] - s.start  # clean windows put clips at arbitrary phase
                ok = np.isfinite(truth)
                y = np.interp(at, np.arange(len(truth))[ok] / FPS, truth[ok])
                if len(here) > 50 and ok.all():
                    groups["s1" if clip.split == "dev" else "unseen"].append((distance[here], y))
        else:
            z_true, _ = dev.target(i, times, TeacherStyle.neutral())
            truth = gap.distance(torch.from_numpy(z_true)).numpy()
            groups["teacher"].append((distance, truth))
            phones = [
                (p, a / s.factor + s.start, b / s.factor + s.start) for s in w.segments for p, a, b in dev.clips[s.clip].phones
            ]
            met, of = lips_meet(distance, times, phones)
            closed, closures = closed + met, closures + of
    r = {k: round(pooled_r(v), 4) for k, v in groups.items() if v}
    score = 0.4 * r["s1"] + 0.3 * r["unseen"] + 0.3 * r.get("teacher", 0.0)
    return {f"r_{k}": v for k, v in r.items()} | {
        "closed": round(closed / max(closures, 1), 4),
        "score": round(score, 4),
    }
