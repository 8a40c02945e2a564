# SPDX-License-Identifier: GPL-3.0-or-later
"""What a mesh looks like when its face is at rest: the reference key, with the shape keys that make it this character."""

from __future__ import annotations

import bpy
import numpy as np

from . import compat, mapping
from .mapping import KEY
from .mesh_export import displacement, group_weights, rest_positions
from .names import map_names
from .sinks import value_path


def worn(obj: bpy.types.Object) -> np.ndarray:
    """[V, 3] float32: the reference key and all keys that stand still above 0, are not the face's and follow no driver."""
    positions = rest_positions(obj.data)
    keys = obj.data.shape_keys
    if keys is None:
        return positions
    moving = face_keys(obj) | animated_keys(keys) | _driven(keys)
    for block in keys.key_blocks:
        if block != keys.reference_key and block.value and not block.mute and block.name not in moving:
            positions = positions + block.value * displacement(block) * group_weights(obj, block.vertex_group)
    return positions.astype(np.float32)


def face_keys(obj: bpy.types.Object) -> set[str]:
    """Names of the keys that speech moves: those of the mapping, and those whose names are channels'."""
    lines, _ = mapping.lines(obj)
    return {line.key for line in lines if line.kind == KEY} | set(dict(map_names(mapping.key_names(obj.data)).keys).values())


def animated_keys(keys: bpy.types.Key) -> set[str]:
    """Names of the keys that the active Action has a curve for."""
    curves = compat.action_curves(keys)
    paths = {curve.data_path for curve in curves} if curves is not None else set()
    return {block.name for block in keys.key_blocks if value_path(block.name) in paths}


def _driven(keys: bpy.types.Key) -> set[str]:
    adt = keys.animation_data
    paths = {driver.data_path for driver in adt.drivers} if adt else set()
    return {block.name for block in keys.key_blocks if value_path(block.name) in paths}
