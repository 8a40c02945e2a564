# SPDX-License-Identifier: GPL-3.0-or-later
"""A Blender mesh as the npz file that the engine reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import bpy
import numpy as np


def rest_positions(mesh: bpy.types.Mesh) -> np.ndarray:
    """[V, 3] float32: the reference shape key where there is one, else the vertices; without modifiers or animation."""
    keys = mesh.shape_keys
    positions = np.empty(3 * len(mesh.vertices), np.float32)
    stored = mesh.attributes.get("position")
    if keys is not None:
        keys.reference_key.points.foreach_get("co", positions)  # .points is 100 times faster than .data
    elif stored is not None and len(stored.data) == len(mesh.vertices):  # it is empty in Edit Mode
        stored.data.foreach_get("vector", positions)  # 100 times faster than .vertices, and panels ask at every redraw
    else:
        mesh.vertices.foreach_get("co", positions)
    return positions.reshape(-1, 3)


def faces(mesh: bpy.types.Mesh) -> np.ndarray:
    """[F, 4] int32, -1 pads triangles; polygons of more than four corners come as their triangles."""
    count = len(mesh.polygons)
    start, total = np.empty(count, np.int32), np.empty(count, np.int32)
    corners = np.empty(len(mesh.loops), np.int32)
    mesh.polygons.foreach_get("loop_start", start)
    mesh.polygons.foreach_get("loop_total", total)
    mesh.loops.foreach_get("vertex_index", corners)
    out = []
    for size in (3, 4):
        chosen = corners[start[total == size, None] + np.arange(size)]  # [n, size]
        out.append(np.pad(chosen, ((0, 0), (0, 4 - size)), constant_values=-1))
    if (total > 4).any():
        mesh.calc_loop_triangles()
        triangles = np.empty(3 * len(mesh.loop_triangles), np.int32)
        polygon = np.empty(len(mesh.loop_triangles), np.int32)
        mesh.loop_triangles.foreach_get("vertices", triangles)
        mesh.loop_triangles.foreach_get("polygon_index", polygon)
        chosen = triangles.reshape(-1, 3)[total[polygon] > 4]
        out.append(np.pad(chosen, ((0, 0), (0, 1)), constant_values=-1))
    return np.concatenate(out).astype(np.int32)


def displacement(block: bpy.types.ShapeKey) -> np.ndarray:
    """[V, 3] float32: what a shape key adds at value 1, its vertex group's influence included (as in its mesh's data)."""
    count = len(block.points)
    own, base = np.empty(3 * count, np.float32), np.empty(3 * count, np.float32)
    block.points.foreach_get("co", own)
    block.relative_key.points.foreach_get("co", base)
    return (own - base).reshape(-1, 3)


def export_keys(obj: bpy.types.Object, names: list[str], path: Path, extra: Mapping[str, np.ndarray]) -> None:
    """As ``export``, with ``keys`` [J, V, 3] float32, what its shape keys add at value 1, and their ranges ``low``, ``high``."""
    blocks = [obj.data.shape_keys.key_blocks[name] for name in names]
    keys = np.stack([displacement(block) * group_weights(obj, block.vertex_group) for block in blocks])
    low = np.array([min(max(block.slider_min, -1.0), 0.0) for block in blocks])
    high = np.array([max(min(block.slider_max, 1.0), 0.0) for block in blocks])
    np.savez(path, vertices=rest_positions(obj.data), faces=faces(obj.data), keys=keys, low=low, high=high, **extra)


def group_weights(obj: bpy.types.Object, name: str) -> np.ndarray:
    """[V, 1] float32: the weights of a vertex group; 1 where the name is empty or unknown."""
    group = obj.vertex_groups.get(name) if name else None
    if group is None:
        return np.ones((len(obj.data.vertices), 1), np.float32)
    weights = np.zeros((len(obj.data.vertices), 1), np.float32)
    for vertex in obj.data.vertices:
        for element in vertex.groups:
            if element.group == group.index:
                weights[vertex.index] = element.weight
    return weights


def export(mesh: bpy.types.Mesh, path: Path, extra: Mapping[str, np.ndarray]) -> None:
    """Write ``vertices`` [V, 3] float32, ``faces`` [F, 4] int32 and ``extra`` (landmarks.guide) to ``path``."""
    np.savez(path, vertices=rest_positions(mesh), faces=faces(mesh), **extra)
