# SPDX-License-Identifier: GPL-3.0-or-later
"""Mapping presets: the rows of a list as a JSON file that can be shared. Standard library only."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import PTalkerError

if TYPE_CHECKING:
    from .mapping import Line

FORMAT, VERSION = "ptalker mapping", 1
LARGEST = 4 << 20  # bytes
ROW_FIELDS = {
    "source": str, "kind": str, "key": str, "owner": str, "path": str, "bone": str, "transform": str, "gain": float,
    "rest": float, "enabled": bool,
}  # fmt: skip
LONGEST = 1000  # characters of a text, rows of a file


def save(path: Path, name: str, rows: list[Line]) -> None:
    """Write the rows that say something. Raises PTalkerError preset_unwritable."""
    plain = [
        {field: _plain(getattr(row, field)) for field in ROW_FIELDS if getattr(row, field) != ""} for row in rows if row.complete
    ]
    text = json.dumps({"format": FORMAT, "version": VERSION, "name": name, "rows": plain}, indent=1, ensure_ascii=False)
    try:
        temporary = path.with_name(path.name + ".part")
        temporary.write_text(text + "\n", "utf-8")
        temporary.replace(path)
    except OSError as error:
        raise PTalkerError("preset_unwritable", f"The preset cannot be written to '{path}': {error.strerror}.") from error


def _plain(value: Any) -> Any:
    return round(value, 6) if isinstance(value, float) else value  # 0.7 in Blender is 0.699999988


def load(path: Path) -> list[dict[str, Any]]:
    """The rows of a file, each checked. Raises PTalkerError preset_unreadable, preset_invalid."""
    try:
        if path.stat().st_size > LARGEST:
            raise PTalkerError("preset_invalid", f"'{path.name}' is too large for a mapping preset.")
        raw = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise PTalkerError("preset_unreadable", f"The preset '{path}' cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise PTalkerError("preset_invalid", f"'{path.name}' is no mapping preset: it is not valid JSON.") from error
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise PTalkerError("preset_invalid", f"'{path.name}' is no mapping preset of PTalker.")
    if raw.get("version") != VERSION:
        raise PTalkerError(
            "preset_invalid", f"'{path.name}' is of version {raw.get('version')!r}, not {VERSION}.", "Update PTalker."
        )
    rows = raw.get("rows")
    if not isinstance(rows, list) or len(rows) > LONGEST:
        raise PTalkerError("preset_invalid", f"'{path.name}' has no list of rows.")
    return [_row(path.name, number, row) for number, row in enumerate(rows, 1)]


def _row(file: str, number: int, row: object) -> dict[str, Any]:
    from .mapping import SOURCES, TRANSFORMS

    where = f"Row {number} of '{file}'"
    if not isinstance(row, dict):
        raise PTalkerError("preset_invalid", f"{where} is no object.")
    out: dict[str, Any] = {}
    for field, kind in ROW_FIELDS.items():
        if field not in row:
            continue
        value = row[field]
        number_like = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not (number_like if kind is float else isinstance(value, kind)):
            raise PTalkerError("preset_invalid", f"{where}: {field!r} is wrong.")
        if isinstance(value, str) and len(value) > LONGEST:
            raise PTalkerError("preset_invalid", f"{where}: {field!r} is too long.")
        out[field] = float(value) if kind is float else value
    if out.get("source") not in SOURCES:
        raise PTalkerError("preset_invalid", f"{where}: {out.get('source')!r} is no channel or pose.")
    if out.get("kind", "KEY") not in ("KEY", "PROPERTY", "BONE") or out.get("transform", "ROT_X") not in TRANSFORMS:
        raise PTalkerError("preset_invalid", f"{where}: the kind or the transform is unknown.")
    return out
