# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of an object that says which source drives what: filled from the names, what the artist edited wins.

A source is a channel or a pose (core/poses.py). A target is a shape key of the mesh, any animatable property, or a
transform of a pose bone. The list lives on the Object (``Object.ptalker.rows``).

On a library override the rows of the library stay where they are: Blender keeps what is changed of them and what is added at
the end, each told by its name, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import bpy

from ..core.channels import CHANNELS, INDEX
from ..core.errors import PTalkerError
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
    have, wanted = stored(obj), lines(obj)[0]
    if obj.override_library is not None:  # where rows of the library are in no order of ours, and stay without their keys
        return any(line not in have for line in wanted)
    return have != wanted


def locked(obj: bpy.types.Object) -> PTalkerError | None:
    """Why Blender would not keep the rows that are written to an object's list; None where it would."""
    override = obj.override_library
    if obj.library is not None or (override is not None and override.is_system_override):
        return PTalkerError(
            "list_linked", f"The list of '{obj.name}' is linked from another file, so it cannot be changed here.",
            "Make an editable library override of the object, or make it local.",
        )  # fmt: skip
    reference = override.reference if override is not None else None
    if reference is not None and not all(row.name for row in reference.ptalker.rows):
        where = reference.library.filepath if reference.library else "its library"
        return PTalkerError(
            "list_old", f"The list of '{obj.name}' is of an earlier PTalker, so rows cannot be added to it here.",
            f"Press Map Again in '{where}' and save it.",
        )  # fmt: skip
    return None


def _check_open(obj: bpy.types.Object) -> None:
    """Raises PTalkerError list_linked, list_old."""
    if (reason := locked(obj)) is not None:
        raise reason


def fill(obj: bpy.types.Object, forget: bool = False) -> None:
    """Write the list; ``forget`` what the artist edited. Raises PTalkerError list_linked, list_old."""
    _check_open(obj)
    settings = obj.ptalker
    with _quietly():
        if forget:
            _forget(settings.rows)
        _store(settings.rows, lines(obj)[0])
        settings.active_row = min(settings.active_row, max(0, len(settings.rows) - 1))


def replace_all(obj: bpy.types.Object, rows: list[Line]) -> None:
    """Rows of a preset: all count as edited, so that they win over the names. Rows by name that they do not have go off.
    Raises PTalkerError list_linked, list_old."""
    _check_open(obj)
    wanted = [replace(line, edited=True, auto=line.key if line.kind == KEY else "") for line in rows]
    have = {(line.source, line.key) for line in rows if line.kind == KEY}
    for row in map_rig(key_names(obj.data)).rows:
        if (row.source, row.key) not in have:
            wanted.append(Line(row.source, key=row.key, gain=row.gain, auto=row.key, enabled=False, edited=True))
    with _quietly():
        _store(obj.ptalker.rows, wanted)
    fill(obj)


def add(obj: bpy.types.Object, line: Line) -> None:
    """A row on top of the list, or at the end of an override's; it is the active one then. Raises PTalkerError list_linked,
    list_old."""
    _check_open(obj)
    settings = obj.ptalker
    with _quietly():
        write(_new_row(settings.rows, line), line)
    settings.active_row = len(settings.rows) - 1
    if obj.override_library is None:
        settings.rows.move(settings.active_row, 0)
        settings.active_row = 0


def remove(obj: bpy.types.Object, index: int) -> None:
    """A row that was added goes; one by name is turned off, or it would come again, and so is one of an override's library.
    Raises PTalkerError list_linked, list_old."""
    _check_open(obj)
    settings = obj.ptalker
    row = settings.rows[index]
    if row.auto == BY_HAND:
        try:
            settings.rows.remove(index)
            settings.active_row = max(0, settings.active_row - 1)
            return
        except TypeError:  # it is the library's
            pass
    row.enabled = False  # its update callback marks it as edited


def _store(rows: bpy.types.bpy_prop_collection, wanted: list[Line]) -> None:
    """Let a list say this. Of an override's only what was added can be cleared: the library's rows are written over where
    they stand for the same, and turned off where they are edited ones that are not wanted."""
    rows.clear()
    free = [(row.source, row.auto) for row in rows]
    for line in wanted:
        mark = (line.source, line.auto)
        if mark not in free:
            write(_new_row(rows, line), line)
            continue
        number = free.index(mark)
        free[number] = ("", "")  # no line stands for it
        if read(rows[number]) != line:
            write(rows[number], line)
    for number, mark in enumerate(free):
        if mark != ("", "") and rows[number].edited:
            rows[number].enabled = False


def _forget(rows: bpy.types.bpy_prop_collection) -> None:
    rows.clear()
    for row in rows:  # an override's library's
        row.enabled = row.enabled and row.auto != BY_HAND
        row.edited = False


def _new_row(rows: bpy.types.bpy_prop_collection, line: Line) -> bpy.types.PropertyGroup:
    """Blender keeps but one of the rows without a name that an override adds."""
    base = f"{line.source} {line.auto}".strip()
    number, name = 1, base
    while name in rows:
        number, name = number + 1, f"{base} {number + 1}"
    row = rows.add()
    row.name = name
    return row


def write(row: bpy.types.PropertyGroup, line: Line) -> None:
    for name in FIELDS:
        setattr(row, name, _object(line.owner) if name == "owner" else getattr(line, name))


def _object(name: str) -> bpy.types.Object | None:
    """The one of this file before a linked one of the same name."""
    return bpy.data.objects.get((name, None)) or bpy.data.objects.get(name)


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
    owner = _object(line.owner) if line.owner else obj
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
