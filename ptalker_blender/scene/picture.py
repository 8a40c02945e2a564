# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures in the panel: what the engine drew last, the curve while fine-tuning learns, and what each style looks like.

A preview belongs to no file, and drawing a panel may use it. The engine's picture is an image of the file, too, to be opened
large; nothing uses it, so it is not saved.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from bpy.utils import previews

from . import style_library

IMAGE = "PTalker Styles"
PLOT, CURVE = "plot", "curve"
WIDTH, HEIGHT = 256, 128  # of the curve
PAPER, LOSS, HELD = (0.13, 0.13, 0.14, 1.0), (0.45, 0.45, 0.48, 1.0), (0.94, 0.67, 0.24, 1.0)  # as core/pictures.py

_previews: Any = None
_bare: set[str] = set()  # styles without a picture, which are not looked into again at every redraw


def show(png: Path) -> None:
    """Keep a picture: in the panel, and as an image."""
    old = bpy.data.images.get(IMAGE)
    if old is not None:
        bpy.data.images.remove(old)
    image = bpy.data.images.load(str(png))
    image.name = IMAGE
    image.pack()  # the file is about to go
    width, height = image.size
    pixels = np.empty(width * height * 4, np.float32)
    image.pixels.foreach_get(pixels)
    _put(PLOT, squared(pixels.reshape(height, width, 4)))


def show_curve(learned: Sequence[tuple[float, float | None]]) -> None:
    """Loss of every step and held-out error where it was measured, both relative to the beginning."""
    _put(CURVE, squared(curve(learned)))


def curve(learned: Sequence[tuple[float, float | None]], width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """-> pixels [height, width, 4] float32, the lowest row first; the line in the middle is 1, where it began."""
    pixels = np.empty((height, width, 4), np.float32)
    pixels[:] = PAPER
    pixels[height // 2] = (0.25, 0.25, 0.26, 1.0)
    if len(learned) < 2:
        return pixels
    steps = np.arange(len(learned))
    x = np.linspace(0, len(learned) - 1, width)
    tested = [(i, held) for i, (_, held) in enumerate(learned) if held is not None]
    lines = [(np.interp(x, steps, [loss for loss, _ in learned]), LOSS, 1)]
    if tested:
        where, values = zip((0, 1.0), *tested, strict=True)
        lines.append((np.where(x <= where[-1], np.interp(x, where, values), np.nan), HELD, 2))
    for y, colour, thick in lines:
        known = np.flatnonzero(np.isfinite(y))
        rows = np.clip(y[known] / 2 * height, 0, height - 1).astype(int)
        for left, (column, row) in zip(np.concatenate([rows[:1], rows]), zip(known, rows, strict=True), strict=False):
            pixels[min(left, row) : max(left, row) + thick, column] = colour
    return pixels


def squared(pixels: np.ndarray) -> np.ndarray:
    """[h, w, 4] -> [s, s, 4], s = max(h, w), the rest clear: a panel's icons are square."""
    height, width = pixels.shape[:2]
    out = np.zeros((max(height, width),) * 2 + (4,), np.float32)
    top, left = (len(out) - height) // 2, (len(out) - width) // 2
    out[top : top + height, left : left + width] = pixels
    return out


def icon(name: str) -> int:
    """For ``template_icon``; 0 where there is no such picture."""
    return _previews[name].icon_id if _previews is not None and name in _previews else 0


def style_icon(name: str, text: bpy.types.Text | None) -> int:
    """Of a built-in style, or of one of this file; 0 where it has no picture."""
    key = f"style {name}" if text is None else f"style {text.name_full} {hash(text.lines[-1].body)}"
    if _previews is None or key in _bare:
        return 0
    if key not in _previews:
        file = style_library.shipped_picture(name) if text is None else _written(style_library.picture(text))
        if file is None:
            _bare.add(key)
            return 0
        _previews.load(key, str(file), "IMAGE")
    return _previews[key].icon_id


def _written(png: bytes) -> Path | None:
    """A file for Blender, which reads it when it draws; None where there is no picture, or no room for it."""
    if not png:
        return None
    file = Path(bpy.app.tempdir) / f"ptalker_{hashlib.sha256(png).hexdigest()[:16]}.png"
    try:
        file.write_bytes(png)
    except OSError:  # a panel is being drawn: it does without
        return None
    return file


def _put(name: str, pixels: np.ndarray) -> None:
    if _previews is None:
        return
    preview = _previews.get(name) or _previews.new(name)
    preview.image_size = pixels.shape[1], pixels.shape[0]
    preview.image_pixels_float = pixels.ravel().tolist()


def register() -> None:
    global _previews
    _previews = previews.new()


def unregister() -> None:
    global _previews
    if _previews is not None:
        previews.remove(_previews)
    _previews = None
    _bare.clear()
