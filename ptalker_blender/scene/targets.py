# SPDX-License-Identifier: GPL-3.0-or-later
"""Which meshes are animated, through which shape keys, and what stands in the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import bpy
import numpy as np

from ..core.channels import CHANNELS, LOWER_FACE
from ..core.errors import PTalkerError
from . import compat
from .mesh_export import rest_positions
from .names import map_names

MOUTH = {CHANNELS[i] for i in LOWER_FACE}
STILL = 1e-5  # of the mesh's size: a channel that moves no vertex further than this gets no shape key


@dataclass
class Target:
    """One mesh. Names only: undo invalidates every reference. ``keys`` are its own (channel -> shape key name)."""

    object_name: str
    mesh_name: str
    vertex_count: int
    keys: dict[str, str]
    create: bool  # the mesh has no keys for the mouth: make what is missing from the model's basis
    warnings: list[str] = field(default_factory=list)


def mesh_objects(context: bpy.types.Context) -> list[bpy.types.Object]:
    """All selected mesh objects, the active one first; the active one alone where none is selected."""
    active = context.view_layer.objects.active
    # Not context.selected_objects: a context without a window, as of "blender -c", has none.
    chosen = [obj for obj in context.view_layer.objects.selected if obj.type == "MESH"]
    if active is not None and active.type == "MESH":
        chosen = [active, *(obj for obj in chosen if obj != active)] if active in chosen or not chosen else chosen
    unique = {obj.data.as_pointer(): obj for obj in reversed(chosen)}  # objects may share a mesh
    return [obj for obj in chosen if unique[obj.data.as_pointer()] == obj]


def examine(obj: bpy.types.Object) -> Target:
    """What a run would do to this object. Raises PTalkerError where it cannot be animated."""
    mesh = obj.data
    _check_writable(obj, mesh)
    keys = mesh.shape_keys
    names = [block.name for block in keys.key_blocks if block != keys.reference_key] if keys else []
    mapped = map_names(names)
    create = not MOUTH.intersection(mapped.keys)
    target = Target(obj.name, mesh.name, len(mesh.vertices), dict(mapped.keys), create)
    if keys and not keys.use_relative:
        raise PTalkerError(
            "keys_absolute", f"The shape keys of '{mesh.name}' are absolute.", "Turn on Relative in its shape keys."
        )
    if create:
        _check_riggable(obj, mesh)
    else:
        if mapped.missing:
            target.warnings.append(
                f"'{obj.name}' has no shape key for {_list(mapped.missing)}."
                if len(mapped.missing) <= 4
                else f"'{obj.name}' has shape keys for {len(mapped.keys)} of {len(CHANNELS)} channels."
            )
        for channel, candidates in mapped.ambiguous.items():
            target.warnings.append(f"'{obj.name}': {_list(candidates)} could all be {channel}; none was used.")
    if keys:
        _look_for_obstacles(obj, keys, target)
    if not target.keys and not create:
        raise PTalkerError(
            "keys_driven",
            f"All face shape keys of '{obj.name}' have drivers.",
            "Remove the drivers, or animate their source.",
        )
    return target


def _check_writable(obj: bpy.types.Object, mesh: bpy.types.Mesh) -> None:
    if mesh.library is not None:
        raise PTalkerError(
            "mesh_linked",
            f"The mesh of '{obj.name}' is linked from another file, so Blender would lose the animation on saving.",
            "Make a library override of the mesh, or make it local.",
        )
    if not mesh.is_editable or (mesh.override_library is not None and mesh.override_library.is_system_override):
        raise PTalkerError("mesh_read_only", f"The mesh of '{obj.name}' cannot be edited.", "Make its library override editable.")
    if obj.mode == "EDIT":
        raise PTalkerError("edit_mode", f"'{obj.name}' is in Edit Mode.", "Leave Edit Mode first.")
    adt = mesh.shape_keys.animation_data if mesh.shape_keys else None
    if adt is not None and adt.use_tweak_mode:
        raise PTalkerError("nla_tweak", f"An NLA strip of '{obj.name}' is in tweak mode.", "Leave tweak mode (Tab).")


def _check_riggable(obj: bpy.types.Object, mesh: bpy.types.Mesh) -> None:
    if mesh.override_library is not None:
        raise PTalkerError(
            "override_without_keys",
            f"'{obj.name}' is a library override without face shape keys, and an override cannot get new ones.",
            "Make the mesh local.",
        )
    if not mesh.polygons:
        raise PTalkerError("mesh_no_faces", f"The mesh of '{obj.name}' has no faces.", "Select a head.")


def _look_for_obstacles(obj: bpy.types.Object, keys: bpy.types.Key, target: Target) -> None:
    """Drivers (their channels are dropped), muted keys, narrow sliders and a pinned key: told, not changed."""
    adt = keys.animation_data
    driven = {driver.data_path for driver in adt.drivers} if adt else set()
    dropped = [channel for channel, name in target.keys.items() if value_path(name) in driven]
    for channel in dropped:
        del target.keys[channel]
    if dropped:
        target.warnings.append(f"'{obj.name}': drivers hold {_list(dropped)}; they were left alone.")
    blocks = [keys.key_blocks[name] for name in target.keys.values()]
    if muted := [block.name for block in blocks if block.mute]:
        target.warnings.append(f"'{obj.name}': muted shape keys do not show: {_list(muted)}.")
    if narrow := [block.name for block in blocks if block.slider_max < 1.0 or block.slider_min > 0.0]:
        target.warnings.append(f"'{obj.name}': the slider range cuts off values of {_list(narrow)}.")
    if obj.show_only_shape_key:
        target.warnings.append(f"'{obj.name}' shows one pinned shape key only; unpin it to see the animation.")


def value_path(key_name: str) -> str:
    """The data path of a shape key's value, as F-curves and drivers spell it."""
    return f'key_blocks["{bpy.utils.escape_identifier(key_name)}"].value'


def _list(names: list[str]) -> str:
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
    obj: bpy.types.Object, target: Target, basis: np.ndarray, names: list[str], undo: list[Callable[[], None]]
) -> dict[str, str]:
    """Shape keys from a basis [K, V, 3] for the channels that the mesh lacks; returns channel -> key name of all.

    Channels that move nothing get no key; raises PTalkerError where that leaves the mouth without any. ``undo``
    receives what takes the keys away again.
    """
    mesh = obj.data
    rest = rest_positions(mesh)
    size = float(np.ptp(rest, axis=0).max())
    added: list[str] = []

    def back() -> None:
        for name in reversed(added):
            obj.shape_key_remove(mesh.shape_keys.key_blocks[name])

    undo.append(back)
    if mesh.shape_keys is None:
        added.append(compat.add_shape_key(obj, "Basis").name)
    keys = dict(target.keys)
    reach = np.abs(basis).max(axis=(1, 2))  # [K]
    for channel, offsets, far in zip(names, basis, reach, strict=True):
        if channel in keys or far <= STILL * size:
            continue
        block = compat.add_shape_key(obj, channel)
        added.append(block.name)
        block.slider_min, block.slider_max = 0.0, 1.0
        block.points.foreach_set("co", (rest + offsets).astype(np.float32).ravel())
        keys[channel] = block.name
    if not MOUTH.intersection(keys):
        raise PTalkerError(
            "no_shapes", f"The model found no mouth to move on '{obj.name}'; nothing was changed.", "Choose a head."
        )
    return keys
