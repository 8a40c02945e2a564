# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run leaves in the file: Actions, undo, saving, the timeline around it."""

from __future__ import annotations

from pathlib import Path

import bpy
import helpers
import numpy as np
import pytest


@pytest.fixture
def face(scene: bpy.types.Scene, speech: helpers.Speech) -> bpy.types.Object:
    """A keyed mesh, and 1.5 s of speech as the source."""
    helpers.from_file(speech.bursts("result.wav", [0.4], 1.5))
    return helpers.keyed_mesh()


def test_new_action_for_every_run(face: bpy.types.Object) -> None:
    helpers.generate()
    keys = face.data.shape_keys
    first = keys.animation_data.action
    assert first.name == "Face - result"
    name, before = first.name, helpers.values(face, "jawOpen", range(1, 46))
    bpy.context.scene.ptalker.seed = 7
    helpers.generate()
    second = keys.animation_data.action
    assert second.name != name
    kept = bpy.data.actions[name]
    assert kept.use_fake_user
    helpers.module("scene.compat").restore_action(keys, kept, kept.slots[0].handle if hasattr(kept, "slots") else None)
    assert np.allclose(helpers.values(face, "jawOpen", range(1, 46)), before)


def test_values_show_at_once(face: bpy.types.Object) -> None:
    """The mesh shows the current frame without the artist having to move in time; strong channels are visible."""
    scene = bpy.context.scene
    scene.frame_set(20)
    helpers.generate()
    shown = face.data.shape_keys.key_blocks["jawOpen"].value
    assert shown == pytest.approx(helpers.values(face, "jawOpen", [20])[0], abs=1e-5)
    assert scene.frame_current == 20


def test_the_rest_of_the_timeline_stays(face: bpy.types.Object, speech: helpers.Speech) -> None:
    """Keys before and after the new frames, other curves and NLA tracks are as they were."""
    keys = face.data.shape_keys
    jaw, blink = keys.key_blocks["jawOpen"], keys.key_blocks["mouthLeft"]
    for frame, value in ((-20, 0.1), (-5, 0.9), (30, 0.5), (80, 0.7), (99, 0.2)):
        jaw.value = value
        jaw.keyframe_insert("value", frame=frame)
    blink.value = 0.3
    blink.keyframe_insert("value", frame=500)
    smile = face.shape_key_add(name="MySmile", from_mix=False)
    smile.value = 0.6
    smile.keyframe_insert("value", frame=10)
    outside = [*range(-20, 1), *range(46, 120)]
    before = helpers.values(face, "jawOpen", outside)
    helpers.generate()
    after = helpers.values(face, "jawOpen", outside)
    exact = [outside.index(frame) for frame in (-20, -5, 0, 46, 80, 99)]
    assert np.abs(after - before)[exact].max() < 1e-5
    assert np.abs(after - before).max() < 0.1
    assert helpers.values(face, "mouthLeft", [500])[0] == pytest.approx(0.3, abs=1e-6)
    assert helpers.values(face, "MySmile", [10])[0] == pytest.approx(0.6)
    assert [p.co.x for p in helpers.curves(face)["MySmile"].keyframe_points] == [10]


def test_two_sentences_one_after_the_other(face: bpy.types.Object, speech: helpers.Speech) -> None:
    """The second run does not hide the first."""
    helpers.generate()
    frames = np.arange(1, 46)
    first = helpers.opening(face, frames)
    bpy.context.scene.ptalker.frame_offset = 100
    helpers.generate()
    assert np.allclose(helpers.opening(face, frames), first, atol=1e-4)
    assert np.allclose(helpers.opening(face, frames + 100), first, atol=1e-4)


def test_a_sentence_in_the_nla_goes_on_playing(face: bpy.types.Object) -> None:
    """What was pushed down plays outside the new frames; what keeps the new Action from showing is told."""
    scene, keys, run = bpy.context.scene, face.data.shape_keys, helpers.run_state()
    helpers.generate()
    frames = np.arange(1, 46)
    first = helpers.values(face, "jawOpen", frames)
    adt = keys.animation_data
    track = adt.nla_tracks.new()
    track.strips.new("one", 100, adt.action)
    adt.action = None
    helpers.generate()

    def shown(frame: int) -> float:
        scene.frame_set(frame)
        return keys.key_blocks["jawOpen"].value

    assert np.allclose([shown(frame) for frame in frames], first, atol=1e-4) and first.max() > 0.05
    assert np.allclose([shown(frame + 99) for frame in frames], first, atol=1e-4) and not run.warnings
    adt.action_influence = 0.3
    helpers.generate()
    assert any("set its influence to 1" in w for w in run.warnings)
    adt.action_influence, track.is_solo = 1.0, True
    helpers.generate()
    assert any("NLA track is solo" in w for w in run.warnings)


def test_modifiers_and_slopes_do_not_bend_the_speech(face: bpy.types.Object) -> None:
    """F-curve modifiers of an earlier run are muted and told; the speech's last frame is held, however the curve ended."""
    jaw = face.data.shape_keys.key_blocks["jawOpen"]
    for frame, value in ((-20, 0.7), (-10, 0.1)):
        jaw.value = value
        jaw.keyframe_insert("value", frame=frame)
    curve = helpers.curves(face)["jawOpen"]
    curve.extrapolation = "LINEAR"
    curve.modifiers.new("NOISE")
    helpers.generate()
    assert any("modifiers on 1 of its curves" in w for w in helpers.run_state().warnings)
    made = helpers.values(face, "jawOpen", range(1, 46))
    other = helpers.values(face, "mouthClose", range(1, 46))
    assert np.corrcoef(made, other)[0, 1] > 0.3, "noise alone would not follow another channel"
    after = helpers.values(face, "jawOpen", [45, 60, 500])
    assert np.allclose(after, after[0], atol=1e-6)


def test_undo_is_one_step(face: bpy.types.Object) -> None:
    bpy.context.preferences.edit.use_global_undo = True
    bpy.ops.ed.undo_push(message="before")
    actions = len(bpy.data.actions)
    helpers.generate()
    assert helpers.has_action(bpy.data.objects["Face"].data.shape_keys)
    bpy.ops.ed.undo()
    assert not helpers.has_action(bpy.data.objects["Face"].data.shape_keys)
    assert len(bpy.data.actions) == actions
    bpy.ops.ed.redo()
    assert helpers.has_action(bpy.data.objects["Face"].data.shape_keys)
    assert bpy.context.window_manager.ptalker.result, "what is shown of the run is not undone"


def test_undo_takes_back_created_keys(scene: bpy.types.Scene, speech: helpers.Speech) -> None:
    helpers.from_file(speech.bursts("undo.wav", [0.4], 1.0))
    helpers.head()
    bpy.ops.ed.undo_push(message="before")
    helpers.generate()
    assert bpy.data.objects["Head"].data.shape_keys is not None
    bpy.ops.ed.undo()
    assert bpy.data.objects["Head"].data.shape_keys is None


def test_save_and_reload(face: bpy.types.Object, tmp_path: Path) -> None:
    helpers.generate()
    bpy.context.scene.ptalker.seed = 3
    helpers.generate()
    before = helpers.values(face, "jawOpen", range(1, 46))
    names = sorted(action.name for action in bpy.data.actions)
    path = str(tmp_path / "saved.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    face = bpy.data.objects["Face"]
    assert np.allclose(helpers.values(face, "jawOpen", range(1, 46)), before)
    assert sorted(action.name for action in bpy.data.actions) == names
    assert bpy.context.scene.ptalker.seed == 3 and bpy.context.scene.ptalker.source == "FILE"
    assert not bpy.context.window_manager.ptalker.running


def test_seed_and_determinism(face: bpy.types.Object) -> None:
    """The same seed gives the same take; another one other blinks and the same lips."""
    takes = []
    for seed in (1, 1, 2):
        bpy.context.scene.ptalker.seed = seed
        helpers.generate()
        takes.append({k: helpers.values(face, k, range(1, 46)) for k in helpers.curves(face)})
    assert all(np.array_equal(takes[0][k], takes[1][k]) for k in takes[0])
    assert np.allclose(takes[0]["jawOpen"], takes[2]["jawOpen"], atol=1e-5)
    assert any(not np.array_equal(takes[0][k], takes[2][k]) for k in takes[0] if k in takes[2])


def test_failure_while_writing_changes_nothing(face: bpy.types.Object, speech: helpers.Speech) -> None:
    """What was written for the first mesh is taken back when the second cannot be written."""
    job = helpers.module("scene.job")
    request = job.Request(source="FILE", filepath=str(speech.wav), objects=("Face", "Head"))
    head = helpers.head()
    helpers.select(face, head)
    before = helpers.snapshot()
    work = job.Job(bpy.context, request)
    names = np.array(helpers.module("core.channels").CHANNELS)
    weights = np.ones((9, 52), np.float32)
    np.savez(work.folder / "weights.npz", names=names, weights=weights)
    basis = np.ones((52, 3, 3), np.float32)  # not this mesh's
    np.savez(work.folder / "basis1.npz", names=names, weights=weights, basis=basis)
    with pytest.raises(ValueError):
        work.apply([])
    work.close()
    assert helpers.snapshot() == before and head.data.shape_keys is None


def test_object_gone_meanwhile(face: bpy.types.Object, speech: helpers.Speech) -> None:
    job = helpers.module("scene.job")
    error = helpers.module("core.errors").PTalkerError
    for change in ("rename", "edit", "delete"):
        work = job.Job(bpy.context, job.Request(source="FILE", filepath=str(speech.wav), objects=("Face",)))
        names = np.array(helpers.module("core.channels").CHANNELS)
        np.savez(work.folder / "weights.npz", names=names, weights=np.ones((9, 52), np.float32))
        if change == "rename":
            face.name = "Visage"
        elif change == "edit":
            face.data.vertices.add(1)
        else:
            bpy.data.objects.remove(face)
        with pytest.raises(error, match=r"meanwhile|edited|deleted"):
            work.apply([])
        work.close()
        assert not len(bpy.data.actions)
        if change == "rename":
            face.name = "Face"
        elif change == "edit":
            bpy.data.objects.remove(face)
            face = helpers.keyed_mesh()
