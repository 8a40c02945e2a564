# SPDX-License-Identifier: GPL-3.0-or-later
"""Lips that meet on a head that speaks with its own shape keys: what its keys do goes to the engine (core/meet_job.py).

Of several objects the head's lips decide: what lies within a head speaks with the head's weights.
"""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np

from ..core.channels import INDEX
from ..core.errors import PTalkerError
from . import followers, landmarks
from .mapping import KEY, Line
from .mesh_export import displacement, export, group_weights
from .rig_map import MOUTH
from .targets import CACHE, FOLLOW, NAMES, NEW, SHAPES, Target

STILL = 0.01  # of the most that a mouth key moves a vertex: what moves less is no lip


def decides(obj: bpy.types.Object, target: Target) -> bool:
    """Whether an object's own keys, by name, move lips: they open the jaw, shape the mouth, and nothing else has a part in it.

    Poses have no channels that could be corrected, and what a bone does to the lips cannot be told.
    """
    if target.mode != NAMES or target.poses or not target.face or not obj.data.polygons or not obj.ptalker.meet_lips:
        return False
    sources = {line.source for line in target.lines if line.kind == KEY}
    elsewhere = [line for line in target.lines if line.kind != KEY and line.source in MOUTH and not _of_other_mesh(obj, line)]
    return "jawOpen" in sources and any(source.startswith("mouth") for source in sources) and not elsewhere


def _of_other_mesh(obj: bpy.types.Object, line: Line) -> bool:
    """Whether a row drives something of another mesh, such as the teeth's own keys."""
    owner = bpy.data.objects.get(line.owner) if line.owner else obj
    return owner is not None and owner != obj and owner.type == "MESH"


def makes(obj: bpy.types.Object, target: Target) -> bool:
    """Whether all shapes of an object's mouth are the engine's, which then meets their lips."""
    own_mouth = MOUTH.intersection(target.keys)
    return obj.ptalker.meet_lips and (target.mode == CACHE or (target.mode == NEW and not own_mouth))


def leaders(objects: list[bpy.types.Object], targets: list[Target]) -> list[int | None]:
    """For every target the number of the one whose lips decide how it speaks (itself, the head that it follows, or the smallest
    that it lies in); None where there is none."""
    found: list[int | None] = []
    heads = [
        number for number, (obj, target) in enumerate(zip(objects, targets, strict=True))
        if decides(obj, target) or makes(obj, target) or (target.mode == SHAPES and target.face and obj.ptalker.meet_lips)
    ]  # fmt: skip
    for number, (obj, target) in enumerate(zip(objects, targets, strict=True)):
        if target.mode == FOLLOW:
            around = [head for head in heads if objects[head].name == target.head]
        elif target.mode == NAMES and not target.poses:
            around = [head for head in heads if head != number and followers.within(obj, objects[head])]
        else:  # it has an answer of its own
            around = []
        around.sort(key=lambda head: followers.size(objects[head]))
        found.append(around[0] if around else number if number in heads else None)
    # A beard that shapes its own mouth may lie in another beard: the outermost decides.
    for number, leader in enumerate(found):
        while leader is not None and found[leader] not in (leader, None):
            leader = found[leader]
        found[number] = leader
    return found


def export_keys(obj: bpy.types.Object, target: Target, path: Path) -> None:
    """The mesh and what each channel of the mouth does on it through its keys, in the arrays that core/meet_job.OwnKeys reads.

    A key counts as far as its slider goes; of the vertices only those that a mouth key moves."""
    keys = obj.data.shape_keys.key_blocks
    groups: dict[str, np.ndarray] = {}

    def moved(name: str) -> np.ndarray:
        block = keys[name]
        if not block.vertex_group:
            return displacement(block)
        if block.vertex_group not in groups:
            groups[block.vertex_group] = group_weights(obj, block.vertex_group)
        return displacement(block) * groups[block.vertex_group]

    gains: dict[tuple[str, str], float] = {}
    for line in target.lines:
        if line.kind == KEY and line.source in MOUTH:  # a channel may drive one key by several rows
            gains[line.source, line.key] = gains.get((line.source, line.key), 0.0) + line.gain
    rows = [(source, name, gain, reach(keys[name], gain)) for (source, name), gain in gains.items()]
    rows = [row for row in rows if row[3] > 0]
    amount = np.zeros(len(obj.data.vertices), np.float32)
    for name in dict.fromkeys(name for source, name, *_ in rows if source.startswith("mouth")):
        np.maximum(amount, np.abs(moved(name)).max(1), out=amount)
    vertices = np.flatnonzero(amount > STILL * amount.max(initial=0.0))
    shapes: dict[int, np.ndarray] = {}
    most: dict[int, float] = {}
    for source, name, gain, far in rows:
        k = INDEX[source]
        shapes[k] = shapes.get(k, 0.0) + gain * moved(name)[vertices]
        most[k] = max(most.get(k, 0.0), far)
    arrays = {
        "key_channels": np.array(list(shapes), np.int64), "key_vertices": vertices,
        "key_shapes": np.array(list(shapes.values()), np.float32).reshape(len(shapes), len(vertices), 3),
        "key_most": np.array(list(most.values()), np.float64),
    }  # fmt: skip
    try:
        said = landmarks.guide(obj)
    except PTalkerError:  # a face group that is gone: own keys speak all the same
        said = {}
    export(obj.data, path, {**said, **arrays})


def reach(block: bpy.types.ShapeKey, gain: float) -> float:
    """The weight at which a key comes to the end of its slider; 0 where it cannot move that way."""
    if block.mute or gain == 0:
        return 0.0
    return max((block.slider_max if gain > 0 else block.slider_min) / gain, 0.0)


def answer(folder: Path, number: int, target: Target, poor: float) -> tuple[np.ndarray, str]:
    """The channels' weights [T, K] that the engine left for a target whose lips decide, and why they do not meet, "" where
    they do. Keys that make less than ``poor`` of the motion may give way to new ones, whose lips meet otherwise."""
    name = {NAMES: "met", SHAPES: "fit"}.get(target.mode, "basis")
    with np.load(folder / f"{name}{number}.npz") as archive:
        if target.mode == SHAPES:
            return archive["met" if target.automatic and archive["explained"] < poor else "spoken"], ""
        return archive["weights"], str(archive["why"]) if "why" in archive else ""
