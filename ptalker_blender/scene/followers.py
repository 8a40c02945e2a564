# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects without a face that move with the head beside them: teeth, tongue, eyes, beard, brows, lashes."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import bpy
import numpy as np

from ..core.channels import CHANNELS, INDEX
from ..core.errors import PTalkerError
from . import landmarks
from .mapping import KEY
from .mesh_export import displacement, faces, rest_positions
from .targets import FOLLOW, NAMES, NEW, SHAPES, Target

SKIN, RIGID, SOFT = 0, 1, 2  # as in core/mesh/follow.py
_KINDS = (
    (SOFT, re.compile(r"tongue|zunge|langue|lengua|舌", re.I)),
    (SKIN, re.compile(r"brow|lash|beard|must|hair|brauen?|wimper|bart|眉|睫", re.I)),
    (RIGID, re.compile(r"teeth|tooth|gum|dent|jaw|zahn|zähne|歯|(?<![a-z])eyes?(?![a-z])|eyeball|iris|pupil|cornea|auge", re.I)),
)  # fmt: skip
SMALLER = 0.8  # of the head's diagonal: a follower is at most so large
MARGIN = 0.15  # of the head's extents, by which a follower's middle may lie outside of them


def kind_of(name: str) -> int:
    """By what it is called; whatever has another name moves with the nearest skin."""
    return next((kind for kind, pattern in _KINDS if pattern.search(name)), SKIN)


def assign(targets: list[Target]) -> None:
    """Find the head of every target that follows one, or should: no keys of its own, smaller than a head and within it.

    Raises PTalkerError no_head where the artist wants an object to follow and there is nothing to follow.
    """
    if len(targets) > 1:
        corners = {target.object_name: _corners(bpy.data.objects[target.object_name]) for target in targets}
    else:
        corners = {}  # nobody asks: panels come here at every redraw
    for target in targets:
        if target.mode == FOLLOW or (target.automatic and target.mode == NEW):
            heads = [other for other in targets if other is not target and _is_head(other, target, corners)]
            # One that has keys of its own first, then the largest.
            heads.sort(key=lambda other: (other.mode in (NAMES, SHAPES), _size(other.object_name, corners)))
            if heads:
                target.mode, target.head = FOLLOW, heads[-1].object_name
            elif target.mode == FOLLOW:
                raise PTalkerError(
                    "no_head",
                    f"'{target.object_name}' is to follow a head, and none is selected with it.",
                    "Select the head, too.",
                )


def _is_head(other: Target, target: Target, corners: dict[str, np.ndarray]) -> bool:
    if other.mode == FOLLOW or (other.mode in (NAMES, SHAPES) and not other.face):
        return False
    return target.mode == FOLLOW or _inside(target.object_name, other.object_name, corners)


def _inside(name: str, head_name: str, corners: dict[str, np.ndarray]) -> bool:
    """Whether an object's box lies within a head's and is smaller, both at rest."""
    obj, head = bpy.data.objects[name], bpy.data.objects[head_name]
    armatures = _armatures(obj) & _armatures(head)
    mine, its = _box(corners[name], _at_rest(obj, armatures)), _box(corners[head_name], _at_rest(head, armatures))
    inside = np.abs(mine.mean(0) - its.mean(0)) <= (0.5 + MARGIN) * np.ptp(its, axis=0)
    return bool(inside.all()) and _diagonal(mine) < SMALLER * _diagonal(its)


def within(obj: bpy.types.Object, head: bpy.types.Object) -> bool:
    """Whether an object lies in the place of a head and is smaller, as teeth and beards are."""
    return _inside(obj.name, head.name, {part.name: _corners(part) for part in (obj, head)})


def size(obj: bpy.types.Object) -> float:
    """The diagonal of an object's box in the world, at rest."""
    return _size(obj.name, {obj.name: _corners(obj)})


def _size(name: str, corners: dict[str, np.ndarray]) -> float:
    return _diagonal(_box(corners[name], np.array(bpy.data.objects[name].matrix_world)))


def _corners(obj: bpy.types.Object) -> np.ndarray:
    """[8, 3] of an object's box at rest, in its own space; ``bound_box`` is the box of what modifiers made of it."""
    points = rest_positions(obj.data)
    if not len(points):
        return np.zeros((8, 3))
    # One axis after the other is 30 times faster than all at once.
    return np.array(list(product(*((axis.min(), axis.max()) for axis in points.T))), np.float64)


def _box(corners: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """[2, 3] lowest and highest corner in the world."""
    points = _to(matrix, corners)
    return np.stack([points.min(0), points.max(0)])


def _diagonal(box: np.ndarray) -> float:
    return float(np.linalg.norm(box[1] - box[0]))


def _armatures(obj: bpy.types.Object) -> set[bpy.types.Object]:
    """Those whose bones move an object: by a modifier, or as its parents."""
    found = {modifier.object for modifier in obj.modifiers if modifier.type == "ARMATURE" and modifier.object}
    while (parent := obj.parent) is not None:
        if parent.type == "ARMATURE" and obj.parent_type in ("BONE", "ARMATURE"):
            found.add(parent)
        obj = parent
    return found


def _at_rest(obj: bpy.types.Object, armatures: set[bpy.types.Object]) -> np.ndarray:
    """[4, 4] an object's place in the world if the bones that it hangs on were in their rest pose, as the vertices are that
    these armatures deform."""
    matrix = obj.matrix_world.copy()
    while (parent := obj.parent) is not None:
        pose = parent.pose if obj.parent_type == "BONE" and parent in armatures else None
        bone = pose.bones.get(obj.parent_bone) if pose else None
        if bone is not None:
            world, posed = parent.matrix_world, bone.matrix @ bone.bone.matrix_local.inverted_safe()
            matrix = world @ posed.inverted_safe() @ world.inverted_safe() @ matrix
        obj = parent
    return np.array(matrix)


def _to(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def _into_head(head: bpy.types.Object, obj: bpy.types.Object) -> np.ndarray:
    """[4, 4] from an object's space to the head's, at rest. Raises PTalkerError scale_zero."""
    # An armature that moves only one of them put it where the other one is: its pose stays.
    armatures = _armatures(obj) & _armatures(head)
    try:
        matrix = np.linalg.inv(_at_rest(head, armatures)) @ _at_rest(obj, armatures)
        np.linalg.inv(matrix)
    except np.linalg.LinAlgError as error:
        raise PTalkerError("scale_zero", f"'{head.name}' or '{obj.name}' has a scale of 0.", "Give it a size.") from error
    return matrix


def export_parts(head: bpy.types.Object, target: Target, followers: list[bpy.types.Object], path: Path) -> None:
    """Head and followers as one mesh in the head's space, for the engine (core/follow_job.py)."""
    vertices, polygons = [rest_positions(head.data)], [faces(head.data)]
    for obj in followers:
        polygons.append(np.where((own := faces(obj.data)) >= 0, own + sum(map(len, vertices)), -1))
        vertices.append(_to(_into_head(head, obj), rest_positions(obj.data)).astype(np.float32))
    arrays = {
        "vertices": np.concatenate(vertices), "faces": np.concatenate(polygons),
        "part": np.repeat(np.arange(len(vertices)), [len(part) for part in vertices]),
        "kinds": np.array([kind_of(obj.name) for obj in followers]),
    }  # fmt: skip
    if target.mode == NAMES and not target.poses:
        arrays["own"] = _own_shapes(head, target)
    said = landmarks.guide(head)
    if "face" in said:
        said["face"] = np.pad(said["face"], (0, len(arrays["vertices"]) - len(said["face"])))
    np.savez(path, **arrays, **said)


def _own_shapes(head: bpy.types.Object, target: Target) -> np.ndarray:
    """[K, V, 3] what the head's own keys do for each channel, with their gains."""
    out = np.zeros((len(CHANNELS), len(head.data.vertices), 3), np.float32)
    for line in target.lines:
        if line.kind == KEY:
            out[INDEX[line.source]] += line.gain * displacement(head.data.shape_keys.key_blocks[line.key])
    return out


def basis_of(basis: np.ndarray, head: bpy.types.Object, followers: list[bpy.types.Object], obj: bpy.types.Object) -> np.ndarray:
    """The part of the engine's basis [K, all, 3] that is ``obj``'s (the head or a follower), in its own space."""
    start = 0
    for part in (head, *followers):
        end = start + len(part.data.vertices)
        if part == obj:
            mine = basis[:, start:end]
            return mine if part == head else (mine @ np.linalg.inv(_into_head(head, obj))[:3, :3].T).astype(np.float32)
        start = end
    raise ValueError(f"{obj.name} is no part of {head.name}")
