# SPDX-License-Identifier: GPL-3.0-or-later
"""Landmarks as Empties that can be dragged, and a vertex group that says where the face is."""

from __future__ import annotations

from typing import Any

import bpy
import helpers
import numpy as np
import pytest
import rigs
from mathutils import Matrix


def marks(head: bpy.types.Object) -> dict[str, bpy.types.Object]:
    return helpers.module("scene.landmarks").empties(head)


def propose() -> set[str]:
    return bpy.ops.ptalker.propose_landmarks("EXEC_DEFAULT", True)


def create() -> set[str]:
    return bpy.ops.ptalker.create_keys("EXEC_DEFAULT", True)


def centre(head: bpy.types.Object, key: str) -> np.ndarray:
    """[3] where a shape key moves the mesh most."""
    block = head.data.shape_keys.key_blocks[key]
    size = np.linalg.norm(helpers.module("scene.mesh_export").displacement(block), axis=1) ** 6
    return (size / size.sum()) @ rigs.rest(head)


def drag(head: bpy.types.Object, names: str, shift: tuple[float, float, float]) -> None:
    for name, empty in marks(head).items():
        if name.startswith(tuple(names.split())):
            empty.location = [a + b for a, b in zip(empty.location, shift, strict=True)]
    bpy.context.view_layer.update()


def test_proposed_as_empties_on_the_head(scene: bpy.types.Scene) -> None:
    head = helpers.head()
    head.matrix_world = Matrix.Translation((3, 1, -2)) @ Matrix.Rotation(1.0, 4, "X") @ Matrix.Scale(2.0, 4)
    bpy.context.view_layer.update()
    before = rigs.rest(head)
    assert propose() == {"FINISHED"}
    found = marks(head)
    assert len(found) == 14 and found["mouth_left"].name == "Mouth Left"
    assert all(empty.parent == head for empty in found.values())
    assert set(bpy.data.collections["PTalker Landmarks"].objects) == set(found.values())
    places = {name: helpers.module("scene.landmarks").position(head, empty) for name, empty in found.items()}
    distance = [np.linalg.norm(before - place, axis=1).min() for place in places.values()]
    assert max(distance) < 0.012, "on the mesh, in its own space"
    assert places["mouth_left"][0] > 0.015 and places["eye_left_upper"][2] > places["lip_upper"][2] > places["chin"][2]
    assert np.array_equal(rigs.rest(head), before) and head.data.shape_keys is None
    assert helpers.module("scene.landmarks").moved(head) == {}, "what the model says itself tells it nothing"
    drag(head, "chin", (0, 0, -0.01))
    assert list(helpers.module("scene.landmarks").moved(head)) == ["chin"]
    assert propose() == {"FINISHED"} and len(marks(head)) == 14
    assert list(helpers.module("scene.landmarks").moved(head)) == ["chin"], "a landmark that was dragged stays"


def test_dragged_landmarks_change_the_shapes(scene: bpy.types.Scene) -> None:
    head = helpers.head()
    assert create() == {"FINISHED"}
    own = centre(head, "mouthPucker")
    head.shape_key_clear()
    propose()
    drag(head, "mouth lip", (0.0, 0.0, 0.02))
    empty = marks(head)["mouth_left"]
    helpers.select(empty)
    assert bpy.context.view_layer.objects.active == empty
    assert create() == {"FINISHED"}, "a landmark stands for its head"
    assert centre(head, "mouthPucker")[2] > own[2] + 0.001, "towards where it was dragged: 1.6 to 5 mm, by machine and threads"
    assert bpy.ops.ptalker.remove_landmarks() == {"FINISHED"}
    assert not marks(head) and "PTalker Landmarks" not in bpy.data.collections
    assert bpy.context.view_layer.objects.active == head


def test_generate_uses_them(scene: bpy.types.Scene, speech: helpers.Speech) -> None:
    """The same shapes as those that are created."""
    helpers.from_file(speech.bursts("marks.wav", [0.3], 1.0))
    made = []
    for button in (create, helpers.generate):
        head = helpers.head()
        propose()
        drag(head, "mouth lip", (0.0, 0.0, 0.01))
        helpers.select(head)
        assert button() == {"FINISHED"}
        made.append(helpers.module("scene.mesh_export").displacement(head.data.shape_keys.key_blocks["jawOpen"]))
    assert np.allclose(*made, atol=1e-6)


def test_a_face_group(scene: bpy.types.Scene) -> None:
    """Two heads in one object: which one speaks says a vertex group."""
    head, other = helpers.head(), helpers.head("Other")
    count = len(head.data.vertices)
    other.location.x = 1.0
    helpers.select(head, other)
    bpy.ops.object.join()
    with pytest.raises(RuntimeError, match="more than one face"):
        create()
    head.ptalker.face_group = "Face"
    with pytest.raises(RuntimeError, match="no vertex group 'Face'"):
        create()
    head.vertex_groups.new(name="Face").add(list(range(count, 2 * count)), 1.0, "REPLACE")
    assert create() == {"FINISHED"}
    block = head.data.shape_keys.key_blocks["jawOpen"]
    moved = np.linalg.norm(helpers.module("scene.mesh_export").displacement(block), axis=1)
    assert moved[:count].max() == 0 and moved[count:].max() > 0.01


def test_no_face_to_be_seen(scene: bpy.types.Scene) -> None:
    """The landmarks are laid out to be dragged, that is said, and all of them count."""
    bpy.ops.mesh.primitive_uv_sphere_add(radius=0.12)
    ball = bpy.context.object
    helpers.select(ball)
    assert propose() == {"FINISHED"}
    assert "drag each landmark" in helpers.run_state().warnings[0]
    assert len(helpers.module("scene.landmarks").moved(ball)) == 14
    places: dict[str, Any] = {n: np.array(e.location) for n, e in marks(ball).items()}
    assert places["eye_left_outer"][0] > 0 > places["eye_right_outer"][0] and places["nose_tip"][1] < -0.05
