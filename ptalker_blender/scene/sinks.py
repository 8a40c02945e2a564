# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of sources to curves: which datablock, which data path, which values, for every row of a mapping."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import bpy
import numpy as np
from mathutils import Euler

from .drivers import driver_of, obvious_source
from .mapping import BONE, KEY, Line

_INDEXED = re.compile(r"^(.*[^\[\]'\"])\[(\d+)\]$")  # location[0], but not ["prop"]

Place = tuple[str, int]  # data path and index


@dataclass
class Curves:
    """Curves of several datablocks. What drives one place twice is added up; what only a driver would want there (``through``)
    gives way to it: a key that drives its mirror image, or the teeth's, has a row of its own."""

    owners: list[bpy.types.ID] = field(default_factory=list)
    values: list[dict[Place, np.ndarray]] = field(default_factory=list)
    through: set[tuple[int, Place]] = field(default_factory=set)  # number of the owner, place

    def of(self, owner: bpy.types.ID) -> dict[Place, np.ndarray]:
        if owner not in self.owners:
            self.owners.append(owner)
            self.values.append({})
        return self.values[self.owners.index(owner)]

    def add(self, owner: bpy.types.ID, place: Place, values: np.ndarray) -> None:
        mine = self.of(owner)
        mine[place] = mine[place] + values if place in mine else values

    def add_through(self, owner: bpy.types.ID, place: Place, values: np.ndarray) -> None:
        """After everything that is added directly."""
        mine = self.of(owner)
        if place not in mine:
            mine[place] = values
            self.through.add((self.owners.index(owner), place))

    def merge(self, other: Curves) -> None:
        """Another object's curves; what both drive is the other's, where neither or both do so through a driver."""
        for number, (owner, values) in enumerate(zip(other.owners, other.values, strict=True)):
            mine = self.of(owner)
            own = self.owners.index(owner)
            for place, value in values.items():
                through = (number, place) in other.through
                if through and place in mine and (own, place) not in self.through:
                    continue
                mine[place] = value
                (self.through.add if through else self.through.discard)((own, place))

    @property
    def count(self) -> int:
        return sum(len(values) for values in self.values)


def value_path(key_name: str) -> str:
    """The data path of a shape key's value, as F-curves and drivers spell it."""
    return f'key_blocks["{bpy.utils.escape_identifier(key_name)}"].value'


def find(obj: bpy.types.Object, line: Line) -> tuple[bpy.types.ID, str, int]:
    """(datablock, data path, index) of a row of the kind PROPERTY: F-curves belong to the datablock that has the property."""
    owner: bpy.types.ID = bpy.data.objects[line.owner] if line.owner else obj
    path, index = line.path, 0
    if hit := _INDEXED.match(path):
        path, index = hit[1], int(hit[2])
    if not isinstance(owner, bpy.types.Object) or owner.data is None:
        return owner, path, index
    if path.startswith("data.shape_keys."):
        return owner.data.shape_keys, path.removeprefix("data.shape_keys."), index
    if path.startswith(("data.", "data[")):
        return owner.data, path[4:].removeprefix("."), index
    return owner, path, index


def held_by_driver(obj: bpy.types.Object, line: Line) -> bool:
    """Whether a driver stands in the way: one on a property, or one on a shape key that is not as simple as can be."""
    if line.kind == KEY:
        curve = driver_of(obj.data.shape_keys, value_path(line.key))
        return curve is not None and obvious_source(curve) is None
    if line.kind == BONE:
        return False
    owner, path, _ = find(obj, line)
    return driver_of(owner, path) is not None


def collect(obj: bpy.types.Object, lines: Iterable[Line], columns: Mapping[str, np.ndarray]) -> Curves:
    """Curves of one object: ``columns`` are the sources' values [T]. Rows that cannot be used were dropped before."""
    curves = Curves()
    through: dict[tuple[str, str], list[np.ndarray]] = {}
    owners: dict[tuple[str, str], bpy.types.ID] = {}
    bones: dict[tuple[str, str], dict[str, np.ndarray]] = {}
    for line in lines:
        values = line.gain * columns[line.source].astype(np.float64)
        if line.kind == KEY:
            keys = obj.data.shape_keys
            driver = driver_of(keys, value_path(line.key))
            if driver is None:
                curves.add(keys, (value_path(line.key), 0), values)
            elif source := obvious_source(driver):
                place = (source.owner.name_full, source.path)
                owners[place] = source.owner
                through.setdefault(place, []).append((values - source.offset) / source.slope)
        elif line.kind == BONE:
            moves = bones.setdefault((line.owner or obj.name, line.bone), {})
            moves[line.transform] = moves.get(line.transform, 0.0) + values
        else:
            owner, path, index = find(obj, line)
            before = curves.of(owner).get((path, index))
            curves.add(owner, (path, index), values if before is not None else values + line.rest)
    for (owner, bone), moves in bones.items():
        _move(curves, bpy.data.objects[owner], bone, moves)
    for place, values in through.items():  # one property that drives several keys: what they want on average
        curves.add_through(owners[place], (place[1], 0), np.mean(values, axis=0))
    return curves


def _move(curves: Curves, armature: bpy.types.Object, name: str, moves: Mapping[str, np.ndarray]) -> None:
    """A bone's transforms [T] as curves; a rotation in the mode that the bone has."""
    bone = armature.pose.bones[name]
    base = f'pose.bones["{bpy.utils.escape_identifier(name)}"].'
    for axis, letter in enumerate("XYZ"):
        if (values := moves.get(f"LOC_{letter}")) is not None:
            curves.add(armature, (base + "location", axis), values)
        if (values := moves.get(f"SCALE_{letter}")) is not None:
            curves.add(armature, (base + "scale", axis), 1.0 + values)
    turns = [moves.get(f"ROT_{letter}") for letter in "XYZ"]
    if all(turn is None for turn in turns):
        return
    if bone.rotation_mode not in ("QUATERNION", "AXIS_ANGLE"):
        for axis, turn in enumerate(turns):
            if turn is not None:
                curves.add(armature, (base + "rotation_euler", axis), np.radians(turn))
        return
    length = max(len(turn) for turn in turns if turn is not None)
    angles = np.stack([np.zeros(length) if turn is None else np.radians(turn) for turn in turns], axis=1)
    turned = [Euler(angle).to_quaternion() for angle in angles]
    if bone.rotation_mode == "QUATERNION":
        quads, path = np.array([tuple(q) for q in turned]), "rotation_quaternion"
    else:
        pairs = [q.to_axis_angle() for q in turned]
        quads = np.array([(angle if math.isfinite(angle) else 0.0, *axis) for axis, angle in pairs])
        path = "rotation_axis_angle"
    for index in range(4):
        curves.add(armature, (base + path, index), quads[:, index])
