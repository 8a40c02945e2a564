"""One clip against its truth, and groups of clips summed up. Lengths are mm unless a name says otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from . import lips, metrics
from .sets import Animator, Item


@dataclass
class Clip:
    """What was measured on one clip: T frames, ours beside the truth."""

    group: str
    name: str
    subject: str
    fps: float
    phones: list | None
    lip_errors: np.ndarray  # [T] mm^2, metrics.lip_errors
    vertex_errors: np.ndarray  # [T] mm
    jerk: tuple[float, float]  # ours, truth; lip vertices, m / s^3
    fdd: float | None = None  # mm; None where the truth has no living upper face
    step_error: float | None = None  # mm^2
    signed_fdd: float | None = None  # mm^2
    mm: float | None = None  # set where figures in the data set's own unit are wanted, too
    ours: dict[str, np.ndarray] = field(default_factory=dict)  # "gap", "height", "width", "jaw" [T] mm above rest
    true: dict[str, np.ndarray] = field(default_factory=dict)
    maps: dict[str, np.ndarray] = field(default_factory=dict)  # [V] mm: mean "error"; spread of the motion "ours", "true"


def measure(item: Item, pred: np.ndarray) -> Clip:
    """pred [T', V, 3] in the face's unit, frame i at i / fps; compared as long as both last (as published code does).

    Raises ValueError where the vertices do not match or fewer than two frames are common.
    """
    true = item.truth()
    n = min(len(pred), len(true))
    if pred.shape[1:] != true.shape[1:] or n < 2:
        raise ValueError(f"{item.name}: vertices {pred.shape} against {true.shape}")
    pred, true, face = pred[:n], true[:n], item.face
    mm = face.mm
    shake = [metrics.jerk(x[:, face.lips], item.fps) * mm / 1000 for x in (pred, true)]
    clip = Clip(
        item.group, item.name, item.subject, item.fps, item.phones,
        metrics.lip_errors(pred, true, face.lips) * mm**2, metrics.vertex_errors(pred, true) * mm,
        (shake[0], shake[1]), mm=mm if face.native else None,
    )  # fmt: skip
    if not item.lower_only and len(face.upper):
        clip.fdd = metrics.upper_face_dynamics_deviation(pred, true, face.upper) * mm
        clip.step_error = metrics.step_error(pred, true, face.upper) * mm**2
        clip.signed_fdd = metrics.signed_fdd(pred, true, face.neutral, face.upper) * mm**2
        clip.maps["error"] = np.linalg.norm(true - pred, axis=-1).mean(0) * mm
        for name, x in (("ours", pred), ("true", true)):
            clip.maps[name] = np.linalg.norm(x - face.neutral, axis=-1).std(0) * mm
    if face.mouth:
        for into, x in ((clip.ours, pred), (clip.true, true)):
            s = lips.signals(x, face)
            into.update(gap=s.gap, height=s.height, width=s.width, jaw=s.jaw)
        for name, x in (item.tracked or {}).items():
            clip.true[name] = x[:n] * item.tracked_mm
            if name == "gap":  # a tracker sees one distance between the lips
                clip.true["height"] = clip.true["gap"]
    return clip


def evaluate_items(
    items: Iterable[Item], animate: Animator, progress: Callable[[Item], None] | None = None
) -> dict[str, list[Clip]]:
    """Every item animated and measured -> clips by group, in the order in which they came."""
    groups: dict[str, list[Clip]] = {}
    for item in items:
        if progress:
            progress(item)
        groups.setdefault(item.group, []).append(measure(item, animate(item)))
    return groups


def closure_rates(clips: list[Clip]) -> dict[str, float | int]:
    """p, b, m that meet: by distance, by height, by distance above the clip's own minimum; and in the truth."""
    hits: dict[str, list[bool]] = {"closed": [], "closed_height": [], "closed_clip_floor": [], "closed_truth": []}
    for c in clips:
        times = np.arange(len(c.lip_errors)) / c.fps
        ours = c.ours["gap"]
        for name, gap, floor in (
            ("closed", ours, 0.0), ("closed_height", c.ours["height"], 0.0),
            ("closed_clip_floor", ours, float(ours.min())), ("closed_truth", c.true["gap"], 0.0),
        ):  # fmt: skip
            hits[name] += metrics.closures(gap, times, c.phones or [], floor)
    if not hits["closed"]:
        return {"closures": 0}
    return {"closures": len(hits["closed"])} | {k: float(np.mean(v)) for k, v in hits.items()}


def rounding(clips: list[Clip], which: str) -> tuple[list[float], list[float]]:
    """Narrowness (mm) of the mouth in all rounded and all unrounded sounds; ``which`` is "ours" or "true".

    Each clip's mean width is removed first: a wide or a smiling face is no unrounded one.
    """
    rounded: list[float] = []
    plain: list[float] = []
    for c in clips:
        width = getattr(c, which)["width"]
        for into, found in zip((rounded, plain), lips.narrowness(width - width.mean(), c.fps, c.phones or []), strict=True):
            into += found
    return rounded, plain


def summary(clips: list[Clip]) -> dict[str, float | int]:
    """Figures of a group, full precision. Names with their units are explained in report.LEGEND."""
    frames = lambda name: np.concatenate([getattr(c, name) for c in clips])  # noqa: E731
    out: dict[str, float | int] = {"clips": len(clips), "seconds": float(sum(len(c.lip_errors) / c.fps for c in clips))}
    out["lve_mm2"] = float(frames("lip_errors").mean())
    out["lip_max_mm"] = float(np.sqrt(frames("lip_errors")).mean())
    out["mve_mm"] = float(frames("vertex_errors").mean())
    alive = [c for c in clips if c.fdd is not None]
    if alive:
        for key, name in (("fdd_mm", "fdd"), ("fdd_signed_mm2", "signed_fdd"), ("fdd_step_mm2", "step_error")):
            out[key] = float(np.mean([getattr(c, name) for c in alive]))
    if clips[0].mm:
        out["lve_native"] = float(np.concatenate([c.lip_errors / c.mm**2 for c in clips if c.mm]).mean())
        if alive:
            out["fdd_signed_native"] = float(
                np.mean([c.signed_fdd / c.mm**2 for c in alive if c.mm and c.signed_fdd is not None])
            )
    ours, true = (float(np.mean([c.jerk[i] for c in clips])) for i in (0, 1))
    out |= {"jitter_m_s3": ours, "jitter_truth_m_s3": true, "jitter_ratio": ours / max(true, 1e-12)}
    if not clips[0].ours:
        return out
    pairs = {k: [(c.ours[k], c.true[k]) for c in clips] for k in ("gap", "width", "jaw")}
    curve = metrics.lag_curve(pairs["gap"], clips[0].fps)
    out |= {
        "r": metrics.pooled_r(pairs["gap"]), "r_clips": metrics.mean_r(pairs["gap"]),
        "r_width": metrics.pooled_r(pairs["width"]), "r_jaw": metrics.pooled_r(pairs["jaw"]),
        "gain": metrics.gain(pairs["gap"]), "lag_ms": int(metrics.LAGS[int(curve.argmax())]), "r_best_lag": float(curve.max()),
    }  # fmt: skip
    out |= closure_rates(clips)
    for name, which in (("rounding_auc", "ours"), ("rounding_auc_truth", "true")):
        rounded, plain = rounding(clips, which)
        if rounded and plain:
            out[name] = metrics.auc(rounded, plain)
    return out
