# SPDX-License-Identifier: GPL-3.0-or-later
"""Which meshes are animated, through which shape keys, and what stands in the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import bpy
import numpy as np

from ..core.channels import CHANNELS, INDEX
from ..core.errors import PTalkerError
from . import compat, mapping
from .landmarks import head_of
from .mapping import KEY, Line
from .mesh_export import displacement, rest_positions
from .names import map_names
from .rig_map import MOUTH, RigMap, is_mouth_pose
from .sinks import held_by_driver, value_path

SMALLEST_HEAD = 60  # vertices, as for the engine
FEW = 5  # keys without known names from which on they may be a rig
STILL = 1e-5  # of the mesh's size: a channel that moves no vertex further than this gets no shape key


NAMES, SHAPES, NEW, CACHE, FOLLOW = "NAMES", "SHAPES", "NEW", "CACHE", "FOLLOW"


@dataclass
class Target:
    """One mesh. Names only: undo invalidates every reference.

    ``mode`` is how it is animated. ``lines`` are the rows of its mapping that can be used (NAMES), ``keys`` its own keys
    by channel (NEW: these are kept, the others made) or the keys that may be fitted (SHAPES: name -> name).
    """

    object_name: str
    mesh_name: str
    vertex_count: int
    mode: str
    lines: list[Line] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)
    automatic: bool = False  # the mode was not the artist's choice
    face: bool = True  # large enough for a head: a few vertices are a test's plane, or a button
    head: str = ""  # FOLLOW: the object that it moves with (followers.py)
    warnings: list[str] = field(default_factory=list)

    @property
    def create(self) -> bool:
        return self.mode == NEW

    @property
    def poses(self) -> bool:
        """Whether the weights of channels have to be made into weights of poses."""
        return any(line.source not in INDEX for line in self.lines)


def mesh_objects(context: bpy.types.Context) -> list[bpy.types.Object]:
    """All selected mesh objects, the active one first; the active one alone where none is selected. A landmark stands for the
    head that it lies on."""
    active = head_of(context.view_layer.objects.active)
    # Not context.selected_objects: a context without a window, as of "blender -c", has none.
    selected = dict.fromkeys(head_of(obj) for obj in context.view_layer.objects.selected)
    chosen = [obj for obj in selected if obj is not None and obj.type == "MESH"]
    if active is not None and active.type == "MESH":
        chosen = [active, *(obj for obj in chosen if obj != active)] if active in chosen or not chosen else chosen
    unique = {obj.data.as_pointer(): obj for obj in reversed(chosen)}  # objects may share a mesh
    return [obj for obj in chosen if unique[obj.data.as_pointer()] == obj]


def examine(obj: bpy.types.Object, quick: bool = False) -> Target:
    """What a run would do to this object. Raises PTalkerError where it cannot be animated.

    ``quick`` does not look at the keys' vertices, for a panel that asks at every redraw: of keys without known names it
    then says what they are by their number.
    """
    mesh = obj.data
    check_writable(obj)
    keys = mesh.shape_keys
    if keys and not keys.use_relative:
        raise PTalkerError(
            "keys_absolute", f"The shape keys of '{mesh.name}' are absolute.", "Turn on Relative in its shape keys."
        )
    output = obj.ptalker.output
    target = Target(obj.name, mesh.name, len(mesh.vertices), output, automatic=output == "AUTO")
    target.face = len(mesh.vertices) >= SMALLEST_HEAD
    if output in ("AUTO", NAMES):
        lines, found = mapping.lines(obj)
        wanted = [line for line in lines if line.enabled and line.complete]
        broken = [line for line in wanted if mapping.problem(obj, line)]
        target.lines = [line for line in wanted if line not in broken]
        if any(line.source in MOUTH or is_mouth_pose(line.source) for line in target.lines):
            target.mode = NAMES
            _tell_about_names(obj, target, found, broken)
        elif output == NAMES:
            raise PTalkerError(
                "names_unknown", f"No shape key of '{obj.name}' has a name that PTalker knows.",
                "Choose keys in the list, or take Own Keys by Shape.",
            )  # fmt: skip
        else:
            known = {line.key for line in target.lines if line.kind == KEY}
            target.lines = []
            # Keys that are all known, and none of them a mouth's, are eyes', brows' or made earlier for what follows a head.
            target.mode = SHAPES if set(_free_keys(obj, FEW, quick)) - known else NEW
    if target.mode == SHAPES:
        target.keys = {name: name for name in _free_keys(obj, 1, quick)}
        _check_shapes(obj, mesh, target)
    elif target.mode == NEW:
        target.keys = dict(map_names(mapping.key_names(mesh)).keys)
        check_riggable(obj)
    elif target.mode == CACHE:
        _check_cache(obj, mesh)
    elif target.mode == FOLLOW:
        check_riggable(obj)
        target.keys = dict(map_names(mapping.key_names(mesh)).keys)
    if keys:
        _look_for_obstacles(obj, keys, target)
    if target.mode == NAMES and not target.lines:
        raise PTalkerError(
            "keys_driven",
            f"All face shape keys of '{obj.name}' have drivers.",
            "Remove the drivers, or animate their source.",
        )
    return target


def examine_new(obj: bpy.types.Object) -> Target:
    """What Create PTalker Shape Keys would do. Raises PTalkerError where the mesh cannot get any."""
    check_writable(obj)
    check_riggable(obj)
    if obj.data.shape_keys and not obj.data.shape_keys.use_relative:
        raise PTalkerError("keys_absolute", f"The shape keys of '{obj.data.name}' are absolute.", "Turn on Relative there.")
    keys = dict(map_names(mapping.key_names(obj.data)).keys)
    return Target(obj.name, obj.data.name, len(obj.data.vertices), NEW, keys=keys)


def _tell_about_names(obj: bpy.types.Object, target: Target, found: RigMap, broken: list[Line]) -> None:
    for line in broken[:4]:
        target.warnings.append(f"'{obj.name}': {line.source} is not animated: {mapping.problem(obj, line)} ({line.target}).")
    have = {line.source for line in target.lines}
    missing = [source for source in found.missing if source not in have]
    if missing and not target.poses:
        target.warnings.append(
            f"'{obj.name}' has no shape key for {listed(missing)}."
            if len(missing) <= 4
            else f"'{obj.name}' has shape keys for {len(have)} of {len(CHANNELS)} channels."
        )
    elif missing:
        target.warnings.append(f"'{obj.name}' has no shape key for {listed(missing)}.")
    for channel, candidates in found.ambiguous.items():
        if channel not in have:
            target.warnings.append(f"'{obj.name}': {listed(candidates)} could all be {channel}; none was used.")


def _free_keys(obj: bpy.types.Object, least: int, quick: bool) -> list[str]:
    """Keys that move something, follow no driver and are not muted; none where there are fewer than ``least``."""
    keys = obj.data.shape_keys
    if not keys:
        return []
    adt = keys.animation_data
    driven = {driver.data_path for driver in adt.drivers} if adt else set()
    blocks = [b for b in keys.key_blocks if b != keys.reference_key and not b.mute and value_path(b.name) not in driven]
    if not quick and len(blocks) >= least:
        size = float(np.ptp(rest_positions(obj.data), axis=0).max())
        blocks = [b for b in blocks if np.abs(displacement(b)).max() > STILL * size]
    return [b.name for b in blocks] if len(blocks) >= least else []


def _check_shapes(obj: bpy.types.Object, mesh: bpy.types.Mesh, target: Target) -> None:
    if not target.keys:
        raise PTalkerError(
            "keys_none", f"'{obj.name}' has no shape keys that move anything without a driver.", "Take New Shape Keys."
        )
    if not mesh.polygons:
        raise PTalkerError("mesh_no_faces", f"The mesh of '{obj.name}' has no faces.", "Select a head.")


def _check_cache(obj: bpy.types.Object, mesh: bpy.types.Mesh) -> None:
    if not bpy.data.filepath:
        raise PTalkerError(
            "not_saved", "The file has no name yet, and the vertex cache is written beside it.", "Save the file first."
        )
    if not mesh.polygons:
        raise PTalkerError("mesh_no_faces", f"The mesh of '{obj.name}' has no faces.", "Select a head.")
    if obj.override_library is not None or obj.library is not None:
        raise PTalkerError("object_linked", f"'{obj.name}' is linked, so it cannot get a Mesh Cache modifier.", "Make it local.")


def check_writable(obj: bpy.types.Object) -> None:
    """Raises PTalkerError where what is written to an object's mesh would be lost or refused."""
    mesh = obj.data
    if mesh.library is not None:
        raise PTalkerError(
            "mesh_linked",
            f"The mesh of '{obj.name}' is linked from another file, so Blender would lose the animation on saving.",
            "Make a library override of the mesh, or make it local.",
        )
    if not mesh.is_editable or (mesh.override_library is not None and mesh.override_library.is_system_override):
        raise PTalkerError("mesh_read_only", f"The mesh of '{obj.name}' cannot be edited.", "Make its library override editable.")
    if obj.mode == "EDIT" or mesh.is_editmode:  # or another object that has the same mesh is
        raise PTalkerError("edit_mode", f"The mesh of '{obj.name}' is in Edit Mode.", "Leave Edit Mode first.")
    adt = mesh.shape_keys.animation_data if mesh.shape_keys else None
    if adt is not None and adt.use_tweak_mode:
        raise PTalkerError("nla_tweak", f"An NLA strip of '{obj.name}' is in tweak mode.", "Leave tweak mode (Tab).")


def check_riggable(obj: bpy.types.Object) -> None:
    """Raises PTalkerError where an object cannot get shape keys made from its mesh."""
    mesh = obj.data
    if mesh.override_library is not None:
        raise PTalkerError(
            "override_without_keys",
            f"'{obj.name}' is a library override without face shape keys, and an override cannot get new ones.",
            "Make the mesh local.",
        )
    if not mesh.polygons:
        raise PTalkerError("mesh_no_faces", f"The mesh of '{obj.name}' has no faces.", "Select a head.")


def _look_for_obstacles(obj: bpy.types.Object, keys: bpy.types.Key, target: Target) -> None:
    """Drivers, muted keys, narrow sliders and a pinned key: told, not changed.

    A row behind a simple driver animates what drives it (sinks.py); one behind any other driver is dropped.
    """
    held = [line for line in target.lines if held_by_driver(obj, line)]
    adt = keys.animation_data
    driven = {driver.data_path for driver in adt.drivers} if adt else set()
    if target.mode in (NEW, FOLLOW):
        dropped = [channel for channel, name in target.keys.items() if value_path(name) in driven]
        target.keys = {channel: name for channel, name in target.keys.items() if channel not in dropped}
        mine = list(target.keys.values())
    else:
        dropped = list(dict.fromkeys(line.source for line in held))
        target.lines = [line for line in target.lines if line not in held]
        mine = [line.key for line in target.lines if line.kind == KEY and value_path(line.key) not in driven]
        through = [line.source for line in target.lines if line.kind == KEY and value_path(line.key) in driven]
        if through:
            target.warnings.append(f"'{obj.name}': {listed(through)} move by what drives their shape keys.")
    if dropped:
        target.warnings.append(f"'{obj.name}': drivers hold {listed(dropped)}; they were left alone.")
    if target.mode == CACHE:
        return
    blocks = [keys.key_blocks[name] for name in mine or target.keys.values()]
    if muted := [block.name for block in blocks if block.mute]:
        target.warnings.append(f"'{obj.name}': muted shape keys do not show: {listed(muted)}.")
    if narrow := [block.name for block in blocks if block.slider_max < 1.0 or block.slider_min > 0.0]:
        target.warnings.append(f"'{obj.name}': the slider range cuts off values of {listed(narrow)}.")
    if obj.show_only_shape_key:
        target.warnings.append(f"'{obj.name}' shows one pinned shape key only; unpin it to see the animation.")


def listed(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def resolve(target: Target) -> bpy.types.Object:
    """The object of a target that was examined earlier. Raises PTalkerError where it is gone or another by now."""
    obj = bpy.data.objects.get((target.object_name, None))
    if obj is None or obj.type != "MESH" or obj.data.name != target.mesh_name:
        raise PTalkerError(
            "target_gone",
            f"'{target.object_name}' was deleted or renamed meanwhile; nothing was changed.",
            "Run again.",
        )
    if len(obj.data.vertices) != target.vertex_count:
        raise PTalkerError(
            "target_changed",
            f"The mesh of '{target.object_name}' was edited meanwhile; nothing was changed.",
            "Run again.",
        )
    return obj


def create_keys(
    obj: bpy.types.Object,
    target: Target,
    basis: np.ndarray,
    names: list[str],
    undo: list[Callable[[], None]],
    everything: bool = False,
    mouth: bool = True,
) -> dict[str, str]:
    """Shape keys from a basis [K, V, 3] for the channels that the mesh lacks; returns channel -> key name of all.

    Channels that move nothing get no key, unless ``everything`` is wanted; where a ``mouth`` is wanted and that leaves it
    without any, raises PTalkerError. ``undo`` receives what takes the keys away again.
    """
    mesh = obj.data
    rest = rest_positions(mesh)
    size = float(np.ptp(rest, axis=0).max())
    added: list[str] = []

    def back() -> None:
        for name in reversed(added):
            obj.shape_key_remove(mesh.shape_keys.key_blocks[name])

    undo.append(back)
    reach = np.abs(basis).max(axis=(1, 2), initial=0.0)  # [K]
    if mesh.shape_keys is None and (mouth or everything or (reach > STILL * size).any()):
        added.append(compat.add_shape_key(obj, "Basis").name)
    keys = dict(target.keys)
    for channel, offsets, far in zip(names, basis, reach, strict=True):
        if channel in keys or (far <= STILL * size and not everything):
            continue
        block = compat.add_shape_key(obj, channel)
        added.append(block.name)
        block.slider_min, block.slider_max = 0.0, 1.0
        block.points.foreach_set("co", (rest + offsets).astype(np.float32).ravel())
        keys[channel] = block.name
    if mouth and not MOUTH.intersection(keys):
        raise PTalkerError(
            "no_shapes", f"The model found no mouth to move on '{obj.name}'; nothing was changed.", "Choose a head."
        )
    return keys
