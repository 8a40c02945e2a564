# SPDX-License-Identifier: GPL-3.0-or-later
"""A vertex cache to shape keys of low rank, with the error in millimetres."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import bpy
import numpy as np

from ..core.errors import PTalkerError
from . import cache, compat, targets
from .actions import write_action
from .low_rank import decompose
from .mesh_export import displacement, group_weights, rest_positions
from .own_shape import animated_keys, worn
from .sinks import value_path

NAME = "PTalker"
MOSTLY = 0.5  # of what a key moves, in squares, that lies where the cache plays: then it was hidden by it


def check(obj: bpy.types.Object | None) -> bpy.types.Modifier:
    """The vertex cache that would be baked. Raises PTalkerError."""
    if obj is None or obj.type != "MESH":
        raise PTalkerError("no_mesh", "No mesh is active.", "Select the head.")
    shown = [m for m in cache.caches(obj) if m.show_viewport]
    if not shown:
        raise PTalkerError("no_cache", f"'{obj.name}' has no vertex cache of PTalker.", "Generate with the output Vertex Cache.")
    targets.check_writable(obj)
    targets.check_riggable(obj)
    if obj.data.shape_keys and not obj.data.shape_keys.use_relative:
        raise PTalkerError("keys_absolute", f"The shape keys of '{obj.data.name}' are absolute.", "Turn on Relative there.")
    return shown[0]


def bake(context: bpy.types.Context, obj: bpy.types.Object, count: int) -> tuple[str, str, list[str]]:
    """At most ``count`` new shape keys with curves in a new Action; the cache is turned off, not removed.

    -> (a line for people, the Action's name, warnings). Raises PTalkerError; then nothing has changed.
    """
    modifier = check(obj)
    positions, _ = cache.read_pc2(Path(bpy.path.abspath(modifier.filepath)))
    rest = worn(obj)
    if positions.shape[1] != len(rest):
        raise PTalkerError(
            "cache_stale", f"The vertex cache has {positions.shape[1]} vertices and '{obj.name}' {len(rest)}.", "Generate again."
        )
    mask = group_weights(obj, modifier.vertex_group)
    found = decompose(positions, rest, count, mask[:, 0])
    if not len(found.shapes):
        raise PTalkerError("cache_still", "Nothing moves in the vertex cache, so there is nothing to bake.")
    first = round(modifier.frame_start)
    undo: list[Callable[[], None]] = []
    warnings: list[str] = []
    try:
        still = np.zeros(len(positions))
        curves = {(value_path(name), 0): still for name in _hidden(obj, mask)}
        names = _add_keys(obj, rest_positions(obj.data), found.shapes, undo)
        curves |= {(value_path(name), 0): values for name, values in zip(names, found.weights.T, strict=True)}
        clip = modifier.name.removeprefix(f"{cache.PREFIX} - ")
        action = write_action(obj.data.shape_keys, f"{obj.name} - {clip} baked", first, curves, undo, warnings)
        modifier.show_viewport = modifier.show_render = False
    except BaseException:
        for back in reversed(undo):
            back()
        raise
    context.scene.frame_set(context.scene.frame_current)
    to_mm = 1000 * context.scene.unit_settings.scale_length * float(np.mean(np.abs(obj.matrix_world.to_scale())))
    line = (
        f"'{obj.name}': {len(names)} shape keys, off by {to_mm * found.rms:.3g} mm on average, {to_mm * found.worst:.3g} mm at "
        f"most, Action '{action.name}'"
    )
    return line, action.name, warnings


def _hidden(obj: bpy.types.Object, mask: np.ndarray) -> list[str]:
    """Animated keys that the cache plays over, mask [V, 1]: without it they would move the face a second time."""
    keys, hidden = obj.data.shape_keys, []
    for name in sorted(animated_keys(keys)) if keys else []:
        block = keys.key_blocks[name]
        square = np.square(displacement(block) * group_weights(obj, block.vertex_group))
        if float((square * mask).sum()) > MOSTLY * float(square.sum()):
            hidden.append(name)
    return hidden


def _add_keys(obj: bpy.types.Object, rest: np.ndarray, shapes: np.ndarray, undo: list[Callable[[], None]]) -> list[str]:
    added: list[str] = []

    def back() -> None:
        for name in reversed(added):
            obj.shape_key_remove(obj.data.shape_keys.key_blocks[name])

    undo.append(back)
    if obj.data.shape_keys is None:
        added.append(compat.add_shape_key(obj, "Basis").name)
    names = []
    for number, shape in enumerate(shapes, 1):
        block = compat.add_shape_key(obj, f"{NAME} {number:02}")
        added.append(block.name)
        names.append(block.name)
        block.slider_min, block.slider_max = 0.0, 1.0
        block.points.foreach_set("co", (rest + shape).astype(np.float32).ravel())
    return names
