# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a reference: what the engine gets is what is seen, and nothing of the scene is touched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
import helpers
import numpy as np
import pytest


def moving_face(rigged: bool = True) -> bpy.types.Object:
    """A selected mesh with two animated keys, a driver's key, and an animated bone that moves its last vertex; 1 to 61."""
    face = helpers.keyed_mesh(["jawOpen", "mouthLeft", "driven"])
    blocks = face.data.shape_keys.key_blocks
    for name, size in (("jawOpen", 1.0), ("mouthLeft", 0.5)):
        for frame, value in ((1, 0.0), (61, size)):
            blocks[name].value = value
            blocks[name].keyframe_insert("value", frame=frame)
    curve = blocks["driven"].driver_add("value")
    curve.driver.expression = "frame / 100"
    if rigged:
        armature = bpy.data.objects.new("Rig", bpy.data.armatures.new("Rig"))
        bpy.context.scene.collection.objects.link(armature)
        helpers.select(armature)
        bpy.ops.object.mode_set(mode="EDIT")
        bone = armature.data.edit_bones.new("jaw")
        bone.tail = (0, 1, 0)
        bpy.ops.object.mode_set(mode="OBJECT")
        pose = armature.pose.bones["jaw"]
        for frame, value in ((1, 0.0), (61, 2.0)):
            pose.location.y = value
            pose.keyframe_insert("location", index=1, frame=frame)
        face.vertex_groups.new(name="jaw").add([3], 1.0, "REPLACE")
        face.modifiers.new("Rig", "ARMATURE").object = armature
    helpers.select(face)
    return face


def read(face: bpy.types.Object, path: Path, first: int = 1, last: int = 61, rate: float = 30.0, slices: float = 1e9) -> dict:
    """The arrays of the clip."""
    reference = helpers.module("scene.reference")
    reader = reference.Reader(face, bpy.context.scene, reference.Span.of(first, last, rate), path)
    try:
        while not reader.read(slices):
            assert 0 < reader.fraction < 1
        reader.finish()
    finally:
        reader.close()
    with np.load(path) as archive:
        return {name: archive[name] for name in archive.files}


def seen(face: bpy.types.Object, frame: int) -> np.ndarray:
    """[V, 3] of the artist's own scene at a frame."""
    bpy.context.scene.frame_set(frame)
    mesh = face.evaluated_get(bpy.context.evaluated_depsgraph_get()).to_mesh()
    return np.array([v.co[:] for v in mesh.vertices])


def test_the_clip_is_what_is_seen(scene: bpy.types.Scene, tmp_path: Path) -> None:
    face = moving_face()
    arrays = read(face, tmp_path / "clip.npz")
    assert arrays["vertices"].shape == (61, 4, 3) and arrays["fps"] == 30.0
    assert arrays["faces"].tolist() == [[0, 1, 2, 3]]
    assert np.array_equal(arrays["rest"], [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    for frame in (1, 20, 61):
        assert np.allclose(arrays["vertices"][frame - 1], seen(face, frame), atol=1e-6)
    assert arrays["vertices"][60, 3, 1] > 1.5, "the bone moves the last vertex"


def test_in_slices_it_is_the_same(scene: bpy.types.Scene, tmp_path: Path) -> None:
    face = moving_face()
    whole, sliced = read(face, tmp_path / "a.npz"), read(face, tmp_path / "b.npz", slices=0.0)
    assert np.array_equal(whole["vertices"], sliced["vertices"])


def state(face: bpy.types.Object) -> Any:
    """Everything of the scene that reading could disturb."""
    blocks, rig = face.data.shape_keys.key_blocks, bpy.data.objects["Rig"]
    counts = [len(getattr(bpy.data, kind)) for kind in ("scenes", "objects", "meshes", "actions", "armatures", "shape_keys")]
    users = [x.users for x in (face, face.data, face.data.shape_keys, rig, rig.animation_data.action)]
    modifiers = [(m.name, m.type, m.show_viewport) for m in face.modifiers]
    chosen = [o.name for o in bpy.context.selected_objects], bpy.context.view_layer.objects.active.name
    scene = bpy.context.scene
    poses = [b.value for b in blocks], tuple(rig.pose.bones["jaw"].location)
    return counts, users, modifiers, chosen, poses, scene.name, scene.frame_current, scene.frame_subframe, face.hide_viewport


def test_the_scene_is_not_touched(scene: bpy.types.Scene, tmp_path: Path) -> None:
    """Frame and sub-frame, selection, modifiers, poses without keys, undo."""
    face = moving_face()
    face.modifiers.new("Smooth", "SUBSURF")
    face.hide_viewport = True
    other = helpers.keyed_mesh([], "Other")
    helpers.select(other)
    scene.frame_set(20, subframe=0.25)
    face.data.shape_keys.key_blocks["jawOpen"].value = 0.87
    bpy.data.objects["Rig"].pose.bones["jaw"].location.y = -3.0
    bpy.context.preferences.edit.use_global_undo = True
    bpy.ops.ed.undo_push(message="before")
    other.location.x = 5.0
    bpy.ops.ed.undo_push(message="moved")
    before = state(face)
    arrays = read(face, tmp_path / "clip.npz", slices=0.001)
    assert arrays["vertices"].shape == (61, 4, 3), "what makes vertices is left out"
    assert state(face) == before
    bpy.ops.ed.undo()
    assert bpy.data.objects["Other"].location.x == 0.0, "one step back is the artist's own last step"
    bpy.ops.ed.redo()
    assert bpy.data.objects["Other"].location.x == 5.0


def test_cache_and_fast_scenes(scene: bpy.types.Scene, tmp_path: Path) -> None:
    """A Mesh Cache is read as it plays; of 60 frames a second every second one is read."""
    face = helpers.keyed_mesh([])
    frames = np.random.default_rng(0).normal(size=(61, 4, 3)).astype("<f4")
    path = tmp_path / "face.pc2"
    header = b"POINTCACHE2\0" + np.array([1, 4], "<i4").tobytes() + np.array([1.0, 1.0], "<f4").tobytes()
    path.write_bytes(header + np.array([61], "<i4").tobytes() + frames.tobytes())
    cache = face.modifiers.new("Cache", "MESH_CACHE")
    cache.cache_format, cache.filepath = "PC2", str(path)
    cache.forward_axis, cache.up_axis, cache.frame_start = "POS_Y", "POS_Z", 1.0
    assert np.allclose(read(face, tmp_path / "clip.npz")["vertices"], frames, atol=1e-6)
    scene.render.fps = 60
    arrays = read(face, tmp_path / "fast.npz", 1, 61, 60.0)
    assert arrays["fps"] == 30.0
    assert np.allclose(arrays["vertices"], frames[::2], atol=1e-6)


@pytest.mark.parametrize("way", ["keys", "driver", "nla"])
def test_hidden_by_animation(scene: bpy.types.Scene, tmp_path: Path, way: str) -> None:
    """What the artist hid by a key or a driver moves all the same, and stays hidden."""
    face = moving_face()
    wanted = read(face, tmp_path / "shown.npz")["vertices"]
    if way == "driver":
        face.driver_add("hide_viewport").driver.expression = "True"
    else:
        face.hide_viewport = True
        face.keyframe_insert("hide_viewport", frame=1)
    if way == "nla":
        animation = face.animation_data
        animation.nla_tracks.new().strips.new("hidden", 1, animation.action)
        animation.action = None
    scene.frame_set(1)
    before = state(face)
    assert np.array_equal(read(face, tmp_path / "hidden.npz", slices=0.0)["vertices"], wanted)
    assert state(face) == before and face.hide_viewport


def test_topology_that_changes(scene: bpy.types.Scene, tmp_path: Path) -> None:
    face = moving_face(rigged=False)
    group = bpy.data.node_groups.new("Grow", "GeometryNodeTree")
    for way in ("INPUT", "OUTPUT"):
        group.interface.new_socket("Geometry", in_out=way, socket_type="NodeSocketGeometry")
    nodes, links = group.nodes, group.links
    ends = nodes.new("NodeGroupInput"), nodes.new("NodeGroupOutput")
    kinds = ("GeometryNodeSubdivideMesh", "GeometryNodeInputSceneTime", "ShaderNodeMath")
    divide, clock, late = (nodes.new(kind) for kind in kinds)
    late.operation = "GREATER_THAN"
    late.inputs[1].default_value = 30.5
    links.new(clock.outputs["Frame"], late.inputs[0])
    links.new(late.outputs[0], divide.inputs["Level"])
    links.new(ends[0].outputs[0], divide.inputs[0])
    links.new(divide.outputs[0], ends[1].inputs[0])
    face.modifiers.new("Nodes", "NODES").node_group = group
    with pytest.raises(helpers.module("core.errors").PTalkerError, match="9 vertices at frame 31 and 4 before"):
        read(face, tmp_path / "clip.npz")
    assert len(bpy.data.scenes) == 1 and len(bpy.data.objects) == 1


def test_a_mirrored_half_is_whole(scene: bpy.types.Scene, tmp_path: Path) -> None:
    face = moving_face(rigged=False)
    face.modifiers.new("Mirror", "MIRROR")
    arrays = read(face, tmp_path / "clip.npz")
    assert arrays["vertices"].shape[1] == 6 and len(arrays["faces"]) == 2
    assert "rest" not in arrays


@pytest.mark.parametrize("what", ["none", "empty", "camera"])
def test_what_cannot_be_read(scene: bpy.types.Scene, what: str) -> None:
    data = {"none": None, "empty": bpy.data.meshes.new("m"), "camera": bpy.data.cameras.new("c")}[what]
    obj = None if what == "none" else bpy.data.objects.new("Thing", data)
    with pytest.raises(helpers.module("core.errors").PTalkerError) as caught:
        helpers.module("scene.reference").check(obj)
    assert caught.value.code == {"none": "reference_none", "empty": "reference_empty", "camera": "reference_no_mesh"}[what]


def test_linked_objects_are_read(scene: bpy.types.Scene, tmp_path: Path) -> None:
    face = moving_face()
    wanted = read(face, tmp_path / "own.npz")["vertices"]
    library = tmp_path / "library.blend"
    bpy.data.libraries.write(str(library), {face, bpy.data.objects["Rig"]})
    bpy.ops.wm.read_homefile(use_empty=True)
    with bpy.data.libraries.load(str(library), link=True) as (_, into):
        into.objects = ["Face"]
    linked = into.objects[0]
    bpy.context.scene.collection.objects.link(linked)
    assert np.allclose(read(linked, tmp_path / "linked.npz")["vertices"], wanted, atol=1e-6)


def test_default_range(scene: bpy.types.Scene) -> None:
    """The Actions of shape keys and rig, NLA strips; else the scene's."""
    default = helpers.module("scene.reference").default_range
    scene.frame_start, scene.frame_end = 5, 99
    still = helpers.keyed_mesh([], "Still")
    assert default(still, scene) == (5, 99)
    face = moving_face()
    assert default(face, scene) == (1, 61)
    action = bpy.data.objects["Rig"].animation_data.action
    bpy.data.objects["Rig"].animation_data.action = None
    track = bpy.data.objects["Rig"].animation_data.nla_tracks.new()
    track.strips.new("late", 100, action)
    assert default(face, scene) == (1, 160)
    track.mute = True
    assert default(face, scene) == (1, 61)


@pytest.mark.skipif(not helpers.HAS_AUDIO, reason="this Blender has no sound strips")
def test_sound_of_its_frames(scene: bpy.types.Scene, speech: helpers.Speech, tmp_path: Path) -> None:
    """The strip that is heard most in the frames, from the first of them on."""
    reference = helpers.module("scene.reference")
    helpers.add_strip(speech.bursts("elsewhere.wav", [0.1], 1.0), 200, 2)
    helpers.add_strip(speech.bursts("voice.wav", [1.0], 3.0), 11, 1).select = False
    scene.sequence_editor.active_strip = None
    found, name = reference.strip_within(bpy.context, 1, 61)
    assert (found.name, name) == (scene.name, "voice")
    assert reference.strip_within(bpy.context, 120, 150) is None
    audio = reference.heard(found, name, reference.Span.of(1, 61, 30.0), tmp_path)
    assert len(audio) == round(61 / 30 * 16000)
    loud = np.flatnonzero(np.abs(audio) > 0.05) / 16000
    assert 10 / 30 + 1.0 - 0.05 <= loud.min() <= 10 / 30 + 1.0 + 0.1


@pytest.mark.skipif(not helpers.HAS_AUDIO, reason="this Blender has no sound strips")
def test_sound_of_frames_before_0(scene: bpy.types.Scene, speech: helpers.Speech, tmp_path: Path) -> None:
    """Also where the strip starts before the frames do."""
    reference = helpers.module("scene.reference")
    helpers.add_strip(speech.bursts("voice.wav", [1.0], 3.0), -70)
    audio = reference.heard(scene, "voice", reference.Span.of(-60, 0, 30.0), tmp_path)
    loud = np.flatnonzero(np.abs(audio) > 0.05) / 16000
    assert -10 / 30 + 1.0 - 0.05 <= loud.min() <= -10 / 30 + 1.0 + 0.1
