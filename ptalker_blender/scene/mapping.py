# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of an object that says which source drives what: filled from the names, what the artist edited wins.

A source is a channel or a pose (core/poses.py). A target is a shape key of the mesh, any animatable property, or a
transform of a pose bone. The list lives on the Object (``Object.ptalker.rows``).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import bpy

from ..core.channels import CHANNELS, INDEX
from ..core.poses import POSES
from .rig_map import RigMap, map_rig

SOURCES = (*CHANNELS, *POSES)
KEY, PROPERTY, BONE = "KEY", "PROPERTY", "BONE"
TRANSFORMS = tuple(f"{kind}_{axis}" for kind in ("LOC", "ROT", "SCALE") for axis in "XYZ")

BY_HAND = "\n"  # no key has such a name: a row that was added stands for no row by name

_filling = False  # rows are written by fill(), not by the artist


@dataclass(frozen=True)
class Line:
    """One row as plain data. ``auto`` is the key that the names gave it ("" for a missing key), or BY_HAND."""

    source: str
    kind: str = KEY
    key: str = ""
    owner: str = ""  # name of the object that has the property or the bone; "": the mesh object itself
    path: str = ""  # data path from that object, for PROPERTY
    bone: str = ""
    transform: str = "ROT_X"
    gain: float = 1.0  # at weight 1: of a key's or property's unit; metres, degrees, or the factor less 1 for a bone
    rest: float = 0.0  # at weight 0, for PROPERTY
    enabled: bool = True
    edited: bool = False
    auto: str = ""

    @property
    def complete(self) -> bool:
        return bool({KEY: self.key, PROPERTY: self.path, BONE: self.bone}[self.kind])

    @property
    def target(self) -> str:
        """What it drives, for people; "" where that is not chosen."""
        return {KEY: self.key, PROPERTY: self.path, BONE: f"{self.bone} {self.transform}" if self.bone else ""}[self.kind]


FIELDS = tuple(Line.__dataclass_fields__)


def key_names(mesh: bpy.types.Mesh) -> list[str]:
    keys = mesh.shape_keys
    return [block.name for block in keys.key_blocks if block != keys.reference_key] if keys else []


def stored(obj: bpy.types.Object) -> list[Line]:
    """The rows as they are in the file."""
    return [read(row) for row in obj.ptalker.rows]


def read(row: bpy.types.PropertyGroup) -> Line:
    values = {name: getattr(row, name) for name in FIELDS if name != "owner"}
    return Line(owner=row.owner.name if row.owner else "", **values)


def lines(obj: bpy.types.Object) -> tuple[list[Line], RigMap]:
    """The rows that count now, and what the names say: rows of the artist's, then those by name that none of them changes.

    A row of the artist's stands for the row by name that it was made from (``source`` and ``auto``).
    """
    found = map_rig(key_names(obj.data))
    own = [line for line in stored(obj) if line.edited]
    taken = {(line.source, line.auto) for line in own}
    answered = {line.source for line in own if line.complete}
    by_name = [Line(row.source, key=row.key, gain=row.gain, auto=row.key) for row in found.rows]
    rows = [line for line in by_name if (line.source, line.auto) not in taken]
    rows += [Line(source) for source in found.missing if source not in answered and (source, "") not in taken]
    rows = [*own, *rows]
    rows.sort(key=lambda line: (not line.complete, SOURCES.index(line.source) if line.source in SOURCES else -1))
    return rows, found


def is_stale(obj: bpy.types.Object) -> bool:
    """Whether the stored list is not what ``lines`` says: it was never filled, or keys were added, renamed, removed."""
    return stored(obj) != lines(obj)[0]


def fill(obj: bpy.types.Object, forget: bool = False) -> None:
    """Write the list; ``forget`` what the artist edited."""
    settings = obj.ptalker
    with _quietly():
        if forget:
            settings.rows.clear()
        rows = lines(obj)[0]
        settings.rows.clear()
        for line in rows:
            write(settings.rows.add(), line)
        settings.active_row = min(settings.active_row, max(0, len(rows) - 1))


def replace_all(obj: bpy.types.Object, rows: list[Line]) -> None:
    """Rows of a preset: all count as edited, so that they win over the names. Rows by name that they do not have go off."""
    with _quietly():
        settings = obj.ptalker
        settings.rows.clear()
        for line in rows:
            write(settings.rows.add(), replace(line, edited=True, auto=line.key if line.kind == KEY else ""))
        have = {(line.source, line.key) for line in rows if line.kind == KEY}
        for row in map_rig(key_names(obj.data)).rows:
            if (row.source, row.key) not in have:
                line = Line(row.source, key=row.key, gain=row.gain, auto=row.key, enabled=False, edited=True)
                write(settings.rows.add(), line)
    fill(obj)


def write(row: bpy.types.PropertyGroup, line: Line) -> None:
    for name in FIELDS:
        setattr(row, name, bpy.data.objects.get(line.owner) if name == "owner" else getattr(line, name))


def was_edited(row: bpy.types.PropertyGroup, _context: bpy.types.Context) -> None:
    """Update callback of a row's properties."""
    if not _filling:
        row["edited"] = True


@contextmanager
def _quietly() -> Iterator[None]:
    global _filling
    before, _filling = _filling, True
    try:
        yield
    finally:
        _filling = before


def problem(obj: bpy.types.Object, line: Line) -> str:
    """Why a row cannot be used, in a few words; "" where it can."""
    if line.source not in INDEX and line.source not in POSES:
        return "no such channel or pose"
    if not line.complete:
        return "missing"
    owner = bpy.data.objects.get(line.owner) if line.owner else obj
    if owner is None:
        return f"no object '{line.owner}'"
    if line.kind == KEY:
        return "" if line.key in key_names(obj.data) else "no such shape key"
    if line.kind == BONE:
        return "" if owner.type == "ARMATURE" and line.bone in owner.pose.bones else "no such bone"
    try:
        value = owner.path_resolve(line.path)
    except (ValueError, TypeError):
        return "no such property"
    return "" if isinstance(value, int | float) else "not a number"
