# SPDX-License-Identifier: GPL-3.0-or-later
"""Meshes of all kinds: spellings, partial and missing shape keys, linked data, drivers, several at once."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import bpy
import helpers
import numpy as np
import pytest
import rigs

SPELLINGS: dict[str, Callable[[str], str]] = {
    "arkit": lambda n: n,
    "capital": lambda n: n[0].upper() + n[1:],
    "lower": str.lower,
    "snake": lambda n: re.sub(r"([A-Z])", r"_\1", n).lower(),
    "_L": lambda n: re.sub("Right$", "_R", re.sub("Left$", "_L", n)),
    ".L": lambda n: re.sub("Right$", ".R", re.sub("Left$", ".L", n)),
    "_left": lambda n: re.sub("Right$", "_right", re.sub("Left$", "_left", n)),
    "L_": lambda n: re.sub(r"^(\w{5,})(Left|Right)$", lambda m: f"{m[2][0]}_{m[1]}", n) if n[:5] == "mouth" else n,
    "vroid": lambda n: "Face.M_F00_" + n[0].upper() + n[1:],
    "prefix": lambda n: "ARKit_" + n,
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_spellings(scene: bpy.types.Scene, speech: helpers.Speech, spelling: str) -> None:
    channels = helpers.module("core.channels").CHANNELS
    spell = SPELLINGS[spelling]
    # "L_mouth" is no spelling of mouthLeft that anybody uses: those two stay as they are.
    names = {c: c if spelling == "L_" and c in ("mouthLeft", "mouthRight") else spell(c) for c in channels}
    mapped = helpers.module("scene.names").map_names([*names.values(), "Basis", "Smile big", "vrc.v_aa"])
    assert mapped.keys == names and not mapped.missing and not mapped.ambiguous
    face = helpers.keyed_mesh(list(names.values()))
    helpers.from_file(speech.bursts("spell.wav", [0.5], 1.5))
    helpers.generate()
    assert helpers.values(face, names["jawOpen"], range(1, 46)).max() > 0.05
    assert set(helpers.curves(face)) <= set(names.values())


def test_partial_and_ambiguous_names(scene: bpy.types.Scene, speech: helpers.Speech) -> None:
    face = helpers.keyed_mesh(["jawOpen", "JawOpen", "MouthFunnel", "mouth_funnel", "mouthPucker", "Smile"])
    helpers.from_file(speech.wav)
    helpers.generate()
    assert set(helpers.curves(face)) == {"jawOpen", "mouthPucker"}
    said = " ".join(helpers.run_state().warnings)
    assert "2 of 52 channels" in said and "could all be mouthFunnel" in said
    assert len(face.data.shape_keys.key_blocks) == 7


def test_keys_made_for_a_head_without(scene: bpy.types.Scene, speech: helpers.Speech) -> None:
    """The model's basis becomes shape keys: jawOpen lowers the chin, the scalp stays, n-gons are no obstacle."""
    helpers.from_file(speech.wav)
    head = helpers.head()
    count = len(head.data.vertices)
    positions = np.array([v.co for v in head.data.vertices])
    assert helpers.generate() == {"FINISHED"}
    keys = head.data.shape_keys.key_blocks
    assert keys[0].name == "Basis" and len(head.data.vertices) == count
    assert all(key.slider_min == 0.0 and key.slider_max == 1.0 for key in keys)
    moved = np.array([p.co for p in keys["jawOpen"].points]) - positions
    size = np.ptp(positions[:, 2])
    assert moved[:, 2].min() < -0.02 * size
    top = positions[:, 2] > positions[:, 2].max() - 0.1 * size
    assert np.abs(moved[top]).max() < 0.005 * size
    assert np.allclose([p.co for p in keys["Basis"].points], positions)
    assert helpers.values(head, "jawOpen", range(1, 250)).max() > 0.1
    helpers.generate()
    assert len(head.data.shape_keys.key_blocks) == len(keys)


def test_keys_made_beside_others(scene: bpy.types.Scene, speech: helpers.Speech) -> None:
    """Keys with other names stay as they are; the new ones come beside them."""
    helpers.from_file(speech.bursts("beside.wav", [0.5], 1.5))
    head = helpers.head()
    head.shape_key_add(name="Basis", from_mix=False)
    head.shape_key_add(name="Smirk", from_mix=False).value = 0.25
    helpers.generate()
    keys = head.data.shape_keys.key_blocks
    assert keys["Smirk"].value == 0.25 and "jawOpen" in keys and "Smirk" not in helpers.curves(head)


def test_mesh_that_is_no_face(scene: bpy.types.Scene, speech: helpers.Speech) -> None:
    """No shapes can be made for a triangle or for loose points: a sentence, and nothing is changed."""
    helpers.from_file(speech.bursts("noface.wav", [0.5], 1.5))
    mesh = bpy.data.meshes.new("Triangle")
    mesh.from_pydata([(0, 0, 0), (1, 0, 0), (0, 1, 0)], [], [(0, 1, 2)])
    obj = bpy.data.objects.new("Triangle", mesh)
    scene.collection.objects.link(obj)
    helpers.select(obj)
    helpers.error_of_generate()
    assert obj.data.shape_keys is None
    mesh.clear_geometry()
    assert "has no faces" in helpers.error_of_generate()


def test_several_meshes(scene: bpy.types.Scene, speech: helpers.Speech) -> None:
    """All selected ones, those without keys too; objects that share a mesh count once."""
    helpers.from_file(speech.bursts("several.wav", [0.5], 1.5))
    a, b = helpers.keyed_mesh(name="A"), helpers.keyed_mesh(["jawOpen"], name="B")
    twin = bpy.data.objects.new("Twin", a.data)
    scene.collection.objects.link(twin)
    head, other = helpers.head(), helpers.keyed_mesh(name="Other")
    helpers.select(a, b, head, twin)
    helpers.generate()
    assert len(helpers.run_state().result) == 3
    assert not helpers.has_action(other.data.shape_keys)
    opened = [helpers.values(obj, "jawOpen", range(1, 46)) for obj in (a, b, head)]
    assert np.allclose(opened[0], opened[1])
    # New keys are made to close this very mouth: the jaw helps a little.
    assert np.corrcoef(opened[0], opened[2])[0, 1] > 0.98 and np.abs(opened[0] - opened[2]).max() < 0.08


def test_all_or_nothing(scene: bpy.types.Scene, speech: helpers.Speech) -> None:
    """One of two meshes cannot be animated: neither is."""
    helpers.from_file(speech.bursts("nothing.wav", [0.5], 1.5))
    face = helpers.keyed_mesh()
    mesh = bpy.data.meshes.new("Triangle")
    mesh.from_pydata([(0, 0, 0), (1, 0, 0), (0, 1, 0)], [], [(0, 1, 2)])
    bad = bpy.data.objects.new("Triangle", mesh)
    scene.collection.objects.link(bad)
    helpers.select(face, bad)
    helpers.error_of_generate()
    assert not helpers.has_action(face.data.shape_keys)


def test_drivers(scene: bpy.types.Scene, speech: helpers.Speech) -> None:
    helpers.from_file(speech.bursts("drivers.wav", [0.5], 1.5))
    face = helpers.keyed_mesh()
    face.data.shape_keys.key_blocks["jawOpen"].driver_add("value").driver.expression = "0.5"
    helpers.generate()
    assert "jawOpen" not in helpers.curves(face) and "mouthPucker" in helpers.curves(face)
    assert any("drivers hold jawOpen" in warning for warning in helpers.run_state().warnings)
    only = helpers.keyed_mesh(["jawOpen"], name="Only")
    only.data.shape_keys.key_blocks["jawOpen"].driver_add("value").driver.expression = "0.5"
    assert "have drivers" in helpers.error_of_generate()


def test_absolute_keys(scene: bpy.types.Scene, speech: helpers.Speech) -> None:
    helpers.from_file(speech.wav)
    helpers.keyed_mesh().data.shape_keys.use_relative = False
    assert "absolute" in helpers.error_of_generate()


def test_linked_mesh_and_override(scene: bpy.types.Scene, speech: helpers.Speech, tmp_path: Path) -> None:
    """Linked: a sentence, because Blender would lose the result. Overridden: works, and survives saving."""
    helpers.keyed_mesh(name="Actor")
    library = str(tmp_path / "library.blend")
    bpy.ops.wm.save_as_mainfile(filepath=library)
    bpy.ops.wm.read_homefile(use_empty=True)
    with bpy.data.libraries.load(library, link=True) as (_, wanted):
        wanted.objects = ["Actor"]
    scene = bpy.context.scene
    linked = bpy.data.objects["Actor"]
    scene.collection.objects.link(linked)
    helpers.select(linked)
    helpers.from_file(speech.bursts("linked.wav", [0.5], 1.5))
    assert "is linked" in helpers.error_of_generate()

    mine = linked.override_create(remap_local_usages=True)
    mine.data.override_create(remap_local_usages=True)
    helpers.select(mine)
    helpers.generate()
    path = str(tmp_path / "shot.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    before = helpers.values(mine, "jawOpen", range(1, 46))
    bpy.ops.wm.open_mainfile(filepath=path)
    actor = next(obj for obj in bpy.context.scene.objects if obj.type == "MESH")
    assert actor.data.library is None
    assert before.max() > 0.05 and np.allclose(helpers.values(actor, "jawOpen", range(1, 46)), before)


def test_mesh_that_another_object_edits(scene: bpy.types.Scene, speech: helpers.Speech) -> None:
    """New keys would be lost when the other object leaves Edit Mode."""
    helpers.from_file(speech.bursts("edited.wav", [0.2], 1.0))
    head = helpers.head()
    twin = bpy.data.objects.new("Twin", head.data)
    scene.collection.objects.link(twin)
    helpers.select(twin)
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.context.view_layer.objects.active = head
    head.select_set(True)
    twin.select_set(False)
    assert "is in Edit Mode" in helpers.error_of_generate() and head.data.shape_keys is None
    bpy.context.view_layer.objects.active = twin
    bpy.ops.object.mode_set(mode="OBJECT")


def test_the_object_without_a_face_is_named(scene: bpy.types.Scene, speech: helpers.Speech) -> None:
    """Of several that are selected."""
    helpers.from_file(speech.bursts("ball.wav", [0.3], 1.0))
    head = helpers.head()
    with bpy.context.temp_override(selected_objects=[]):
        bpy.ops.mesh.primitive_uv_sphere_add(segments=32, ring_count=16, radius=1.0, location=(9.0, 0.0, 0.0))
    ball = bpy.context.view_layer.objects.active
    ball.name = "Ball"
    helpers.select(head, ball)
    assert "Making shapes for Ball: no face was found on the mesh." in helpers.error_of_generate()


def test_keys_that_ptalker_made_lack_nothing(scene: bpy.types.Scene, speech: helpers.Speech) -> None:
    """The demo's head without its tongue gets no key for one, and the next run does not miss it."""
    helpers.from_file(speech.bursts("again.wav", [0.3], 1.0))
    head = rigs.split_head()["face"]
    helpers.select(head)
    helpers.generate()
    assert "tongueOut" not in head.data.shape_keys.key_blocks and "jawOpen" in head.data.shape_keys.key_blocks
    helpers.generate()
    assert not [warning for warning in helpers.run_state().warnings if "no shape key for" in warning]
