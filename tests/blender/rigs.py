# SPDX-License-Identifier: GPL-3.0-or-later
"""Rigs for the tests: the demo's head with its own shapes under any names, drivers, bones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bpy
import helpers
import numpy as np
from mathutils import Euler, Matrix


def demo_head(name: Callable[[int, str], str] = lambda _, n: n, object_name: str = "Head") -> bpy.types.Object:
    """The demo's head with its own 52 shape keys, called ``name(number, ARKit name)``."""
    with np.load(helpers.ROOT / "demo" / "head.npz") as data:
        names, basis, vertices = [str(n) for n in data["names"]], data["basis"].astype(np.float32), data["vertices"]
    obj = helpers.head(object_name)
    obj.shape_key_add(name="Basis", from_mix=False)
    for number, (arkit, offsets) in enumerate(zip(names, basis, strict=True)):
        key = obj.shape_key_add(name=name(number, arkit), from_mix=False)
        key.value = 0.0
        key.points.foreach_set("co", (vertices + offsets).astype(np.float32).ravel())
    return obj


def frames(obj: bpy.types.Object, numbers: Any) -> np.ndarray:
    """Evaluated vertices [T, V, 3] at these frames, in the object's own space."""
    scene, out = bpy.context.scene, []
    before = scene.frame_current
    for number in numbers:
        scene.frame_set(int(number))
        evaluated = obj.evaluated_get(bpy.context.evaluated_depsgraph_get())
        mesh = evaluated.to_mesh()
        flat = np.empty(3 * len(mesh.vertices), np.float32)
        mesh.vertices.foreach_get("co", flat)
        out.append(flat.reshape(-1, 3))
        evaluated.to_mesh_clear()
    scene.frame_set(before)
    return np.stack(out)


def vertex_error(made: np.ndarray, wanted: np.ndarray, rest: np.ndarray) -> float:
    """RMS distance of two motions [T, V, 3] over the RMS motion of what was wanted."""
    return float(np.linalg.norm(made - wanted) / np.linalg.norm(wanted - rest))


def rest(obj: bpy.types.Object) -> np.ndarray:
    return helpers.module("scene.mesh_export").rest_positions(obj.data)


def armature(bones: list[str], name: str = "Rig") -> bpy.types.Object:
    """An armature with these bones, each a unit long, upwards."""
    data = bpy.data.armatures.new(name)
    obj = bpy.data.objects.new(name, data)
    bpy.context.scene.collection.objects.link(obj)
    before = bpy.context.view_layer.objects.active
    bpy.context.view_layer.objects.active = obj
    bpy.ops.object.mode_set(mode="EDIT")
    for number, bone in enumerate(bones):
        edit = data.edit_bones.new(bone)
        edit.head, edit.tail = (number, 0, 0), (number, 0, 1)
    bpy.ops.object.mode_set(mode="OBJECT")
    bpy.context.view_layer.objects.active = before
    return obj


def add_row(obj: bpy.types.Object, **values: Any) -> Any:
    """A row of the artist's on top of the list."""
    helpers.select(obj)
    assert bpy.ops.ptalker.mapping_add() == {"FINISHED"}
    row = obj.ptalker.rows[0]
    for name, value in values.items():
        setattr(row, name, value)
    return row


def action_values(owner: bpy.types.ID, path: str, index: int, numbers: Any) -> np.ndarray:
    """An F-curve of a datablock's active Action at these frames."""
    curves = helpers.module("scene.compat").action_curves(owner)
    curve = curves.find(path, index=index)
    assert curve is not None, f"no curve on {path}[{index}]"
    return np.array([curve.evaluate(float(number)) for number in numbers])


def split_head(with_keys: bool = False) -> dict[str, bpy.types.Object]:
    """The demo's head as an object for each of its parts, the face named "Head". Turned, moved and scaled teeth: its mesh
    has other coordinates than the head's, and lies where it belongs all the same."""
    with np.load(helpers.ROOT / "demo" / "head.npz") as data:
        arrays = {name: data[name] for name in data.files}
    matrix = Matrix.Translation((0.3, -0.1, 0.05)) @ Euler((0.2, 0.3, -0.4)).to_matrix().to_4x4() @ Matrix.Scale(0.01, 4)
    objects = {}
    for number, part in enumerate(str(name) for name in arrays["part_names"]):
        mine = arrays["part"] == number
        index = np.cumsum(mine) - 1
        faces = [[int(index[i]) for i in face if i >= 0] for face in arrays["faces"] if mine[face[0]]]
        vertices = arrays["vertices"][mine]
        mesh = bpy.data.meshes.new(part)
        mesh.from_pydata(vertices.tolist(), [], faces)
        obj = bpy.data.objects.new("Head" if part == "face" else part.capitalize(), mesh)
        bpy.context.scene.collection.objects.link(obj)
        if part == "teeth":
            mesh.transform(matrix.inverted())
            obj.matrix_world = matrix
        if part == "face" and with_keys:
            obj.shape_key_add(name="Basis", from_mix=False)
            for name, offsets in zip(arrays["names"], arrays["basis"].astype(np.float32), strict=True):
                key = obj.shape_key_add(name=str(name), from_mix=False)
                key.value = 0.0
                key.points.foreach_set("co", (vertices + offsets[mine]).astype(np.float32).ravel())
        objects[part] = obj
    helpers.select(*sorted(objects.values(), key=lambda obj: obj.name != "Head"))
    return objects


def in_world(obj: bpy.types.Object, numbers: Any) -> np.ndarray:
    """Evaluated vertices [T, V, 3] in the world."""
    matrix = np.array(obj.matrix_world)
    return frames(obj, numbers) @ matrix[:3, :3].T + matrix[:3, 3]
