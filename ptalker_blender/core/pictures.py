"""Small pictures with Pillow: curves over time and points with names, as PNG.

Not matplotlib: with what it needs it is ten times as large, and an artist's engine draws two kinds of pictures. Pillow is one
wheel of 7 MB without anything behind it, and brings a font.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .errors import PTalkerError
from .npz import replacing

FINE = 2  # drawn so many times as large, then made smaller: smooth lines
PAPER, INK, FAINT = (34, 34, 36), (220, 220, 220), (80, 80, 84)
COLOURS = ((240, 170, 60), (90, 170, 250), (120, 210, 120), (230, 110, 140), (180, 140, 240), (110, 210, 210))
MARGIN = 44


@dataclass
class Panel:
    """A picture, or a part of it, in pixels of the finished size."""

    width: int
    height: int

    def __post_init__(self) -> None:
        self.image = Image.new("RGB", (self.width * FINE, self.height * FINE), PAPER)
        self.draw = ImageDraw.Draw(self.image)
        self.font = ImageFont.load_default(13 * FINE)

    def line(self, points: np.ndarray, colour: tuple[int, int, int], width: float = 1.6) -> None:
        """points [n, 2] pixels."""
        self.draw.line([tuple(p) for p in (points * FINE).tolist()], colour, max(1, round(width * FINE)), joint="curve")

    def dot(self, at: np.ndarray, radius: float, colour: tuple[int, int, int]) -> None:
        x, y = at * FINE
        r = radius * FINE
        self.draw.ellipse((x - r, y - r, x + r, y + r), colour)

    def text(self, at: Sequence[float], text: str, colour: tuple[int, int, int] = INK, anchor: str = "lm") -> None:
        self.draw.text((at[0] * FINE, at[1] * FINE), text, colour, self.font, anchor)

    def size(self, text: str) -> float:
        return self.draw.textlength(text, self.font) / FINE


def curves(title: str, lines: Mapping[str, np.ndarray], fps: float, unit: str, width: int = 760, height: int = 260) -> Panel:
    """Named curves [T] over the same seconds; the first one is drawn boldly."""
    panel = Panel(width, height)
    low = min(0.0, *(float(y.min(initial=0.0)) for y in lines.values()))
    high = max(1e-6, *(float(y.max(initial=0.0)) for y in lines.values()))
    seconds = max(len(y) for y in lines.values()) / fps
    box = (MARGIN + 6, 34, width - 14, height - 30)

    def place(y: np.ndarray) -> np.ndarray:
        x = box[0] + np.arange(len(y)) / fps / max(seconds, 1e-6) * (box[2] - box[0])
        return np.stack([x, box[3] - (y - low) / (high - low) * (box[3] - box[1])], 1)

    panel.text((12, 16), f"{title}, {unit}")
    for value in np.linspace(low, high, 4):
        y = float(place(np.array([value]))[0, 1])
        panel.line(np.array([[box[0], y], [box[2], y]]), FAINT, 0.6)
        panel.text((box[0] - 6, y), f"{value:.1f}", INK, "rm")
    step = next(s for s in (0.5, 1, 2, 5, 10, 30, 60, 600) if seconds / s <= 10 or s == 600)
    for t in np.arange(0, seconds + 1e-6, step):
        x = box[0] + t / max(seconds, 1e-6) * (box[2] - box[0])
        panel.text((x, box[3] + 14), f"{t:g} s", INK, "mm")
    at = width - 14.0
    for i, (name, y) in reversed(list(enumerate(lines.items()))):
        colour = COLOURS[i % len(COLOURS)] if i else INK
        if len(y) > 1:
            panel.line(place(y), colour, 2.2 if i == 0 else 1.4)
        panel.text((at, 16), name, colour, "rm")
        at -= panel.size(name) + 16
    return panel


def points(title: str, groups: Mapping[str, Mapping[str, np.ndarray]], width: int = 760, height: int = 560) -> Panel:
    """Groups of named points [2], each group in a colour of its own; equal scales on both axes."""
    panel = Panel(width, height)
    every = np.array([p for group in groups.values() for p in group.values()]).reshape(-1, 2)
    middle = (every.min(0) + every.max(0)) / 2
    room = np.array([width - 2 * MARGIN - 120, height - 2 * MARGIN - 20])
    scale = float((room / np.maximum(np.ptp(every, axis=0), 1e-6)).min())
    origin = np.array([width / 2 - 30, height / 2 + 10])
    panel.text((12, 16), title)
    spots = {kind: {k: origin + (p - middle) * np.array([1, -1]) * scale for k, p in g.items()} for kind, g in groups.items()}
    taken = [(x - 5, y - 5, x + 5, y + 5) for group in spots.values() for x, y in group.values()]
    at = width - 14.0
    for i, (kind, group) in reversed(list(enumerate(spots.items()))):
        colour = COLOURS[i % len(COLOURS)]
        panel.text((at, 16), kind, colour, "rm")
        at -= panel.size(kind) + 16
        for name, spot in group.items():
            panel.dot(spot, 5 if i else 4, colour)
            _label(panel, spot, name, colour, taken)
    return panel


def _label(panel: Panel, spot: np.ndarray, name: str, colour: tuple[int, int, int], taken: list) -> None:
    """The name beside its point where nothing stands yet, a little lower otherwise."""
    x, y, wide = float(spot[0]) + 8, float(spot[1]), panel.size(name)
    for shift in (0, 14, -14, 28, -28, 42, -42):
        box = (x, y + shift - 7, x + wide, y + shift + 7)
        if all(box[2] < b[0] or box[0] > b[2] or box[3] < b[1] or box[1] > b[3] for b in taken):
            break
    taken.append(box)
    panel.text((x, (box[1] + box[3]) / 2), name, colour)


def save(path: Path, panels: Sequence[Panel]) -> None:
    """The panels below one another. Raises PTalkerError("out_unwritable")."""
    width, height = max(p.width for p in panels), sum(p.height for p in panels)
    page = Image.new("RGB", (width, height), PAPER)
    at = 0
    for p in panels:
        page.paste(p.image.resize((p.width, p.height), Image.Resampling.LANCZOS), (0, at))
        at += p.height
    try:
        with replacing(path) as temporary:
            page.save(temporary, "PNG")
    except OSError as error:
        raise PTalkerError("out_unwritable", f"The picture cannot be written to '{path}'.") from error
