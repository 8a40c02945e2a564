# SPDX-License-Identifier: GPL-3.0-or-later
"""Landmarks as small Empties on a head, and the vertex group that says where its face is: what the artist tells the model.

An Empty that lies where the model proposed it says nothing new and is not sent; one that was moved is.
"""

from __future__ import annotations

import bpy
import numpy as np
from mathutils import Vector

from ..core.errors import PTalkerError
from ..core.landmark_places import NAMES
from .mesh_export import group_weights

COLLECTION = "PTalker Landmarks"
KIND, PROPOSED = "ptalker_landmark", "ptalker_proposed"  # custom properties of an Empty: its name in core, where it was put
MOVED = 2e-3  # of the distance between the outermost landmarks: one that was dragged farther than this was meant
SIZE = 0.025  # of the same distance


def head_of(obj: bpy.types.Object | None) -> bpy.types.Object | None:
    """The head that a landmark lies on; the object itself where it is no landmark."""
    if obj is not None and obj.type == "EMPTY" and KIND in obj and obj.parent is not None and obj.parent.type == "MESH":
        return obj.parent
    return obj


def empties(obj: bpy.types.Object) -> dict[str, bpy.types.Object]:
    """The landmarks on a head, by their names in core."""
    found = {str(child[KIND]): child for child in obj.children if child.type == "EMPTY" and KIND in child}
    return {name: found[name] for name in NAMES if name in found}


def position(obj: bpy.types.Object, empty: bpy.types.Object) -> np.ndarray:
    """[3] where a landmark lies, in the head's own space. Raises PTalkerError scale_zero."""
    try:
        return np.array(obj.matrix_world.inverted() @ empty.matrix_world.translation)
    except ValueError as error:
        raise PTalkerError("scale_zero", f"'{obj.name}' has a scale of 0.", "Give it a size.") from error


def moved(obj: bpy.types.Object) -> dict[str, np.ndarray]:
    """The landmarks that the artist has put somewhere: name -> position in the head's own space."""
    places = {name: position(obj, empty) for name, empty in empties(obj).items()}
    reach = MOVED * spread(np.array(list(places.values())).reshape(-1, 3))
    found = {}
    for name, empty in empties(obj).items():
        start = empty.get(PROPOSED)
        if start is None or np.linalg.norm(places[name] - np.array(start)) > reach:
            found[name] = places[name]
    return found


def spread(points: np.ndarray) -> float:
    return float(np.linalg.norm(np.ptp(points, axis=0))) if len(points) else 0.0


def guide(obj: bpy.types.Object) -> dict[str, np.ndarray]:
    """What belongs into the mesh's file beside its vertices (core/landmarks.py). Raises PTalkerError face_group_missing."""
    arrays: dict[str, np.ndarray] = {}
    if marks := moved(obj):
        arrays = {"landmark_names": np.array(list(marks)), "landmarks": np.stack(list(marks.values()))}
    if name := obj.ptalker.face_group:
        if name not in obj.vertex_groups:
            raise PTalkerError("face_group_missing", f"'{obj.name}' has no vertex group '{name}'.", "Choose another face group.")
        arrays["face"] = group_weights(obj, name)[:, 0]
    return arrays


def put(context: bpy.types.Context, obj: bpy.types.Object, points: np.ndarray, known: bool) -> int:
    """Empties at points [L, 3] of the head's own space, in the order of NAMES; those that were moved stay where they are.

    ``known``: the model saw the points on the mesh; otherwise they only wait to be dragged, and count as they are. Returns
    how many there are now.
    """
    there, kept = empties(obj), moved(obj)
    size = SIZE * spread(points)
    for name, point in zip(NAMES, points, strict=True):
        empty = there.get(name)
        if empty is None:
            empty = bpy.data.objects.new(name.replace("_", " ").title(), None)
            collection(context).objects.link(empty)
            empty[KIND] = name
            empty.parent = obj
            empty.empty_display_type, empty.empty_display_size = "SPHERE", size
            empty.show_in_front = True
            empty.lock_rotation = empty.lock_scale = (True, True, True)
        elif name in kept:
            continue
        empty.matrix_parent_inverse.identity()
        empty.location = Vector(point.tolist())
        if known:
            empty[PROPOSED] = [float(x) for x in np.array(empty.location)]
        elif PROPOSED in empty:
            del empty[PROPOSED]
    context.view_layer.update()  # or their matrices would still be those of the origin
    return len(empties(obj))


def collection(context: bpy.types.Context) -> bpy.types.Collection:
    """The collection of all landmarks, in this scene."""
    found = bpy.data.collections.get((COLLECTION, None)) or bpy.data.collections.new(COLLECTION)
    if found.name not in context.scene.collection.children:
        context.scene.collection.children.link(found)
    return found


def remove(obj: bpy.types.Object) -> int:
    """Take a head's landmarks away, and their collection where it is empty then. Returns how many there were."""
    gone = list(empties(obj).values())
    for empty in gone:
        bpy.data.objects.remove(empty)
    left = bpy.data.collections.get((COLLECTION, None))
    if left is not None and not left.objects and not left.children:
        bpy.data.collections.remove(left)
    return len(gone)
