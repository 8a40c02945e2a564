# SPDX-License-Identifier: GPL-3.0-or-later
"""Styles in the .blend: one text datablock each, so that saving, appending and linking keep them. And as files.

A text has a line that says what it is, a line of JSON about the style, and the style file (safetensors) in base64. Blender
needs no library for it: the engine reads and writes style files, here they are only kept, and their metadata read.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import bpy

from .. import engine
from ..core.errors import PTalkerError

ASSETS = Path(__file__).resolve().parent.parent / "assets"
MARK = "PTalker style 1"
HIDDEN = ("natural", "teacher")  # means of training data, which neutral is one of
NEUTRAL = "neutral"
ENDING = ".safetensors"
LOW, GOOD = 0.4, 0.7  # confidence, as in core/reference.py
_WIDTH = 100  # base64 characters a line


# ------------------------------------------------------------------------------------------------ style files
def metadata(data: bytes, name: str) -> dict[str, Any]:
    """What a style file says of itself: name, made_from, seconds, confidence, model. Raises PTalkerError style_unreadable."""
    try:
        meta = _header(data)["__metadata__"]
        if "ptalker_style" not in meta:
            raise KeyError("ptalker_style")
        about = json.loads(meta.get("about", "{}"))
        return {"made_from": "", "seconds": 0.0, "confidence": 1.0} | about | {"name": str(meta.get("name", "")) or name}
    except (KeyError, TypeError, ValueError, struct.error, AttributeError) as error:
        raise PTalkerError(
            "style_unreadable", f"'{name}' is not a PTalker style file.", "Choose a .safetensors file that PTalker saved."
        ) from error


def _header(data: bytes) -> dict[str, Any]:
    """The JSON at the beginning of a safetensors file."""
    (size,) = struct.unpack("<Q", data[:8])
    if size > len(data) - 8:
        raise ValueError("header")
    return json.loads(data[8 : 8 + size])


@cache
def _shipped() -> tuple[str, ...]:
    """Names of the styles in the shipped model, for as long as no engine has said which ones it has."""
    with (ASSETS / "ptalker.safetensors").open("rb") as file:
        head = file.read(8)
        header = _header(head + file.read(struct.unpack("<Q", head)[0]))
    return tuple(key.removeprefix("style.") for key in header if key.startswith("style."))


def built_in() -> list[str]:
    """Names, neutral first."""
    current = engine.current()
    names = current.info.get("styles") if current is not None else None
    shown = sorted(set(names or _shipped()) - {NEUTRAL, *HIDDEN})
    return [NEUTRAL, *shown]


# ------------------------------------------------------------------------------------------------ in the .blend
def is_style(text: bpy.types.Text | None) -> bool:
    return text is not None and text.lines[0].body == MARK


def saved() -> list[bpy.types.Text]:
    """The styles of this file, linked ones, too."""
    return [text for text in bpy.data.texts if is_style(text)]


def keep(data: bytes, name: str, figures: dict[str, Any] | None = None) -> bpy.types.Text:
    """A new style in this file. ``figures``: what else the panel may say of it. Raises PTalkerError style_unreadable."""
    about = metadata(data, name) | {k: v for k, v in (figures or {}).items() if k not in ("name", "made_from", "seconds")}
    body = base64.b64encode(data).decode("ascii")
    lines = [body[i : i + _WIDTH] for i in range(0, len(body), _WIDTH)]
    text = bpy.data.texts.new(about["name"])
    text.write("\n".join([MARK, json.dumps(about), *lines]))
    text.use_fake_user = True
    return text


def about(text: bpy.types.Text) -> dict[str, Any]:
    """name, made_from, seconds, confidence and what was found when it was made."""
    try:
        return dict(json.loads(text.lines[1].body))
    except (ValueError, IndexError, TypeError):
        return {}


def data_of(text: bpy.types.Text) -> bytes:
    """The style file. Raises PTalkerError style_unreadable."""
    try:
        data = base64.b64decode("".join(line.body for line in text.lines[2:]), validate=True)
    except (binascii.Error, ValueError) as error:
        raise PTalkerError("style_unreadable", f"The style '{text.name}' of this file is damaged.", "Make it again.") from error
    metadata(data, text.name)
    return data


def picture(text: bpy.types.Text) -> bytes:
    """PNG of the style; empty where it has none, or is damaged."""
    try:
        return base64.b64decode(_header(data_of(text))["__metadata__"].get("preview", ""))
    except (PTalkerError, ValueError):
        return b""


def shipped_picture(name: str) -> Path | None:
    """PNG of a built-in style; None where there is none."""
    path = ASSETS / "styles" / f"{name}.png"
    return path if name in built_in() and path.is_file() else None


def confidence_word(confidence: float) -> str:
    return "low" if confidence < LOW else "fair" if confidence < GOOD else "good"


def sentence(text: bpy.types.Text) -> str:
    """How sure a style is, from what it was made, what fine-tuning brought, and what is plainest in it."""
    known = about(text)
    parts = [f"Confidence {known.get('confidence_word') or confidence_word(float(known.get('confidence', 1.0)))}"]
    if known.get("made_from"):
        parts.append(f"{known.get('seconds', 0.0):.1f} s of {known['made_from']}")
    if "speech" in known:
        parts.append(f"{100 * known['speech']:.0f} % of it speech")
    if "agreement" in known:
        parts.append(f"motion and voice agree by {known['agreement']:.2f}")
    if "before_mm" in known:
        parts.append(f"held out {known['before_mm']:.2f} mm before, {known['after_mm']:.2f} mm after")
    return ", ".join(parts) + "." + (f" Shows: {known['shows']}." if known.get("shows") else "")


# ------------------------------------------------------------------------------------------------ what is chosen
@dataclass(frozen=True)
class Voice:
    """Whose way to speak: styles with their shares, a text's name or a built-in one, and the gains."""

    shares: tuple[tuple[str, float], ...] = ()
    texts: frozenset[int] = frozenset()  # which of the shares are texts
    jaw: float = 1.0
    lips: float = 1.0
    upper_face: float = 1.0
    blink: float = 1.0

    def write(self, folder: Path) -> dict[str, Any]:
        """The styles of this file to ``folder``, and the fields of protocol.Generate. Raises PTalkerError style_missing,
        style_unreadable."""
        blend = []
        for number, (name, share) in enumerate(self.shares):
            blend.append((str(write(name, folder, number)) if number in self.texts else name, share))
        gains = {"jaw": self.jaw, "lips": self.lips, "upper_face": self.upper_face, "blink": self.blink}
        return {"blend": tuple(blend)} | gains


def write(name: str, folder: Path, number: int) -> Path:
    """A style of this file, written where the engine finds it."""
    text = next((t for t in saved() if t.name == name), None)
    if text is None:
        raise PTalkerError("style_missing", f"There is no style '{name}' in this file.", "Choose another style.")
    path = folder / f"style{number}{ENDING}"
    path.write_bytes(data_of(text))
    return path


def shares(rows: Sequence[Any]) -> list[tuple[Any, float]]:
    """Rows that are used, with their weights made to add up to 1. One row alone is all of it."""
    used = [row for row in rows if row.weight > 0 and (row.text is not None or row.name)]
    total = sum(row.weight for row in used)
    return [(row, row.weight / total) for row in used]


def voice(settings: Any) -> Voice:
    """``settings``: the scene's PTalkerStyle. Raises PTalkerError style_missing."""
    found, texts = [], set()
    for number, (row, share) in enumerate(shares(settings.rows)):
        if row.text is not None:
            if not is_style(row.text):
                raise PTalkerError("style_missing", f"'{row.text.name}' is not a style.", "Choose another style.")
            texts.add(number)
        found.append((row.text.name if row.text is not None else row.name, share))
    return Voice(tuple(found), frozenset(texts), settings.jaw, settings.lips, settings.upper_face, settings.blink)


def free_name(wanted: str) -> str:
    """A file's name that every system takes."""
    return re.sub(r"[^\w\- ]", "_", wanted).strip() or "style"
