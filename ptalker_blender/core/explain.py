"""Pictures that explain styles: where one lies among the others, and what it does to the mouth against its reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from . import SAMPLE_RATE
from .channels import LOWER_FACE
from .clips import Clip
from .errors import Cancelled
from .finetune import FPS, Tuned
from .pictures import Panel, curves, points, save
from .styles import NEUTRAL, Style, find

if TYPE_CHECKING:
    from .reference import Reading
    from .runtime import PTalker

SHOWN = 10.0  # s of curves
HIDDEN = ("natural", "teacher")  # means of training data, which neutral is one of


def plane(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """vectors [n, s] -> their mean [s] and the two directions [2, s] in which they differ most (principal components)."""
    mean = vectors.mean(0)
    _, _, axes = np.linalg.svd(vectors - mean, full_matrices=False)
    axes = np.concatenate([axes, np.zeros((2, vectors.shape[1]))])[:2]
    strongest = np.abs(axes).argmax(1)
    sign = np.sign(axes[np.arange(2), strongest])  # always the same way round
    return mean, axes * np.where(sign == 0, 1, sign)[:, None]


def style_map(built_in: Mapping[str, Tensor], mine: Mapping[str, Tensor]) -> Panel:
    """The plane in which the built-in styles differ most, with styles of one's own in it."""
    shipped = {k: v.float().cpu().numpy() for k, v in built_in.items() if k not in HIDDEN}
    own = {k: v.float().cpu().numpy() for k, v in mine.items()}
    few = len(shipped) < 3  # an older checkpoint
    mean, axes = plane(np.stack([*shipped.values(), *(own.values() if few else [])]))
    groups = {"built in": shipped} | ({"yours": own} if own else {})
    flat = {kind: {k: axes @ (v - mean) for k, v in group.items()} for kind, group in groups.items()}
    return points("Styles", flat)


def explain_styles(model: PTalker, styles: Sequence[str], out: Path) -> None:
    """Raises what styles.find raises."""
    found = [find(each, model.network.styles, model.fingerprint) for each in styles]
    save(out, [style_map(model.network.styles, {s.name: s.vector for s in found})])


def explain_reading(
    model: PTalker, reading: Reading, reference: Clip | np.ndarray, out: Path, cancelled: Callable[[], bool] | None = None
) -> None:
    """The map, and of a clip with sound the lip gap of the reference, of the result and of the neutral style."""
    panels = [style_map(model.network.styles, {reading.style.name: reading.style.vector})]
    if isinstance(reference, Clip) and reference.audio is not None:
        panels.append(_against(model, reading.style, reference, cancelled))
    save(out, panels)


def _against(model: PTalker, style: Style, clip: Clip, cancelled: Callable[[], bool] | None) -> Panel:
    from .mesh.reader import MeshReader

    assert clip.audio is not None and model.network.contact is not None
    gap = model.network.contact.gap[:, 0].cpu().numpy()
    seconds = min(clip.seconds, SHOWN)
    times = np.arange(int(seconds * FPS)) / FPS
    reader = MeshReader.of(model.rigger, clip.first(), clip.faces, cancelled)
    seen = reader.read(clip.at(times, cancelled), clip.rest)
    if cancelled is not None and cancelled():
        raise Cancelled
    assert seen.aligned is not None
    lines = {"reference": seen.aligned[0].numpy() @ gap[list(LOWER_FACE)]}
    audio = clip.audio[: round(seconds * SAMPLE_RATE)]
    for name, each in (("result", style), (NEUTRAL, None)):
        lines[name] = model.generate(audio, FPS, style=each, cancelled=cancelled) @ gap
    return curves("Lip opening", {k: 10 * v for k, v in lines.items()}, FPS, "mm")


def explain_tuning(tuned: Tuned, out: Path) -> None:
    """The lip gap of what was held out: the reference, before, after."""
    lines = {k: 10 * v.numpy()[: int(SHOWN * FPS)] for k, v in tuned.curves.items()}
    title = f"Held out: vertices {tuned.before_mm:.2f} mm off before, {tuned.after_mm:.2f} after; lip opening"
    save(out, [curves(title, lines, FPS, "mm")])
