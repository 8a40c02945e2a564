"""The report's pictures as PNG bytes. matplotlib is of requirements/train.txt, not of the engine: imported when needed."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from ..data.phonemes import BILABIAL
from ..errors import PTalkerError
from . import measure, metrics
from .measure import Clip
from .sets import Face

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OURS, TRUTH, FLOOR = "#c2571a", "#1f4e79", "#9aa5b1"
Groups = dict[str, list[Clip]]


def require() -> None:
    """Raises PTalkerError("matplotlib_missing")."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        fix = "Install requirements/train.txt (pip install -r requirements/train.txt)."
        raise PTalkerError("matplotlib_missing", "The report's plots need matplotlib, which is not installed.", fix) from error


def _figure(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = [figure.add_subplot(rows, columns, i + 1) for i in range(rows * columns)]
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    return figure, axes


def png(figure: Figure) -> bytes:
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=100)
    return out.getvalue()


def aperture(summaries: dict[str, dict]) -> bytes:
    """r by group beside the floor."""
    names = [g for g in summaries if "r" in summaries[g]][::-1]
    figure, (ax,) = _figure(8, 0.5 * len(names) + 1)
    at = np.arange(len(names))
    ax.barh(at + 0.18, [summaries[g]["r"] for g in names], 0.36, color=OURS, label="ours")
    floor = [summaries[g].get("r_floor", 0.0) for g in names]
    if any(floor):
        ax.barh(at - 0.18, floor, 0.36, color=FLOOR, label="ridge floor")
    for y, g in zip(at, names, strict=True):
        ax.text(max(summaries[g]["r"], 0) + 0.01, y + 0.18, f"{summaries[g]['r']:.3f}", va="center", fontsize=8)
    ax.set_yticks(at, names)
    ax.set(xlim=(0, 1.08), xlabel="lip aperture, r at zero lag")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=2, frameon=False)
    return png(figure)


def lags(groups: Groups) -> bytes:
    """r over the shift between ours and the truth."""
    figure, (ax,) = _figure(8, 3.2)
    for name, clips in groups.items():
        curve = metrics.lag_curve([(c.ours["gap"], c.true["gap"]) for c in clips], clips[0].fps)
        ax.plot(metrics.LAGS, curve, ".-", label=name, lw=1.2)
    ax.axvspan(-20, 20, color="k", alpha=0.06)
    ax.set(xlabel="how late ours is, ms", ylabel="lip aperture r")
    ax.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return png(figure)


def traces(groups: Groups) -> bytes:
    """Aperture of a typical clip (the one of median r) of each group, ours over the truth; p, b, m shaded."""
    figure, axes = _figure(9, 1.7 * len(groups), rows=len(groups))
    for ax, (name, clips) in zip(axes, groups.items(), strict=True):
        r = [metrics.pearson(c.ours["gap"], c.true["gap"]) for c in clips]
        clip = clips[int(np.argsort(r)[len(r) // 2])]
        t = np.arange(len(clip.ours["gap"])) / clip.fps
        ax.plot(t, clip.true["gap"], color=TRUTH, lw=1.6, label="truth")
        ax.plot(t, clip.ours["gap"], color=OURS, lw=1.2, label="ours")
        for ipa, start, end in clip.phones or []:
            if metrics.label(ipa) in BILABIAL:
                ax.axvspan(start, end, color="k", alpha=0.1, lw=0)
        ax.set_title(f"{name}: {clip.name}", fontsize=8, loc="left")
        ax.set_ylabel("gap, mm", fontsize=8)
        ax.set_xlim(0, t[-1])
    axes[0].legend(fontsize=7, ncol=2, frameon=False, loc="upper right")
    axes[-1].set_xlabel("seconds (grey: p, b, m)")
    return png(figure)


def errors(groups: Groups) -> bytes:
    """Distribution over clips of the lips' largest error."""
    figure, (ax,) = _figure(8, 0.45 * len(groups) + 1)
    names = list(groups)[::-1]
    values = [[float(np.sqrt(c.lip_errors).mean()) for c in groups[g]] for g in names]
    ax.boxplot(values, orientation="horizontal", widths=0.6, flierprops={"ms": 3}, medianprops={"color": OURS})
    ax.set_yticks(np.arange(len(names)) + 1, names)
    ax.set(xlabel="farthest lip vertex, mm, mean over the clip's frames", xlim=(0, None))
    return png(figure)


def faces(clips: list[Clip], face: Face) -> bytes:
    """Where the error is, and where the truth and ours move, seen from the front (only clips that carry maps)."""
    maps = [c.maps for c in clips if "error" in c.maps]
    names = {"error": "mean error", "true": "truth: spread of the motion", "ours": "ours: spread of the motion"}
    figure, axes = _figure(10, 4.6, columns=3)
    mean = {k: np.mean([m[k] for m in maps], axis=0) for k in names}
    top = max(float(np.quantile(mean[k], 0.995)) for k in ("true", "ours"))
    order = np.argsort(face.neutral[:, 2])
    x, y = face.neutral[order, 0], face.neutral[order, 1]
    for ax, (key, title) in zip(axes, names.items(), strict=True):
        limit = float(np.quantile(mean[key], 0.995)) if key == "error" else top
        dots = ax.scatter(x, y, c=mean[key][order], s=5, cmap="magma_r", vmin=0, vmax=max(limit, 1e-9), linewidths=0)
        ax.set_aspect("equal")
        ax.set_axis_off()
        ax.set_title(f"{title}, mm", fontsize=9)
        figure.colorbar(dots, ax=ax, shrink=0.6)
    return png(figure)


def rounding(groups: Groups) -> bytes:
    """Width of the mouth in rounded and in unrounded sounds, of the largest group."""
    name, clips = max(groups.items(), key=lambda g: len(g[1]))
    figure, axes = _figure(8, 2.8, columns=2)
    for ax, (which, title) in zip(axes, (("true", "truth"), ("ours", "ours")), strict=True):
        rounded, plain = measure.rounding(clips, which)
        if rounded and plain:
            width = [-np.array(rounded), -np.array(plain)]
            low, high = (float(np.quantile(np.concatenate(width), q)) for q in (0.005, 0.995))
            bins = np.linspace(low, high, 30).tolist()
            ax.hist(width[0], bins, color=OURS, alpha=0.6, density=True, label="rounded")
            ax.hist(width[1], bins, color=TRUTH, alpha=0.6, density=True, label="unrounded")
            ax.set_title(f"{title}, {name}: AUC {metrics.auc(rounded, plain):.3f}", fontsize=9)
        ax.set(xlabel="mouth width against the clip's mean, mm", yticks=[])
    axes[0].legend(fontsize=8, frameon=False)
    return png(figure)


def languages(rows: dict[str, dict]) -> bytes:
    """Aperture r of each language as a share of English."""
    figure, (ax,) = _figure(5, 2.6)
    ax.bar(list(rows), [r["to_english"] for r in rows.values()], color=OURS, width=0.6)
    ax.axhline(0.85, color="k", lw=0.8, ls=":")
    ax.set(ylabel="r / r of English", ylim=(0, 1.1))
    return png(figure)


def style(similarity: np.ndarray) -> bytes:
    """Cosine of the style vectors: rows query, columns gallery, other words in each."""
    figure, (ax,) = _figure(4.6, 4)
    image = ax.imshow(similarity, cmap="RdBu_r", vmin=-1, vmax=1)
    ax.set(xlabel="gallery: the style in one sentence", ylabel="query: the style in another")
    figure.colorbar(image, ax=ax, shrink=0.8)
    return png(figure)


def still(curves: dict[str, np.ndarray], fps: float) -> bytes:
    """Lip gap under sound without a voice."""
    figure, (ax,) = _figure(8, 2.8)
    for name, gap in curves.items():
        ax.plot(np.arange(len(gap)) / fps, gap, lw=1.2, label=name)
    ax.set(xlabel="seconds", ylabel="lip gap, mm", ylim=(min(-1.0, *(float(g.min()) for g in curves.values())), None))
    ax.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return png(figure)
