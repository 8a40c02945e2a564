# SPDX-License-Identifier: GPL-3.0-or-later
"""What is heard at frame f moves the mouth at frame f."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import bpy
import helpers
import numpy as np
import pytest

needs_audio = pytest.mark.skipif(not helpers.HAS_AUDIO, reason="this build of Blender cannot make sound strips")
BURSTS = [1.0, 2.6, 4.2]  # s in the file
SECONDS, BURST = 6.0, 0.6


def lag(obj: bpy.types.Object, burst_frames: list[float], fps: float, first: int, last: int) -> int:
    """By how many frames the mouth moves later than bursts that start at these frames are heard."""
    frames = np.arange(first, last + 1)
    heard = np.zeros(len(frames))
    for start in burst_frames:
        heard[(frames >= start) & (frames < start + BURST * fps)] = 1.0
    moved = helpers.opening(obj, frames)
    lags = range(-15, 16)
    scores = [np.corrcoef(np.roll(heard, shift), moved)[0, 1] for shift in lags]
    assert max(scores) > 0.6, "the mouth does not follow the bursts"
    return lags[int(np.argmax(scores))]


def trim(strip: Any, first: int, last: int) -> None:
    """Move the handles so that frames first .. last are heard."""
    if hasattr(strip, "left_handle"):
        strip.left_handle, strip.right_handle = first, last + 1
    else:
        strip.frame_final_start, strip.frame_final_end = first, last + 1


def key_frames(obj: bpy.types.Object) -> tuple[int, int, int]:
    """(first, last, count) of the keys; the same for every channel."""
    found = set()
    for curve in helpers.curves(obj).values():
        frames = [point.co.x for point in curve.keyframe_points]
        assert frames == [round(f) for f in frames]
        found.add((int(frames[0]), int(frames[-1]), len(frames)))
    assert len(found) == 1
    return found.pop()


@needs_audio
@pytest.mark.parametrize(("fps", "base"), [(24, 1.0), (24, 1.001), (30, 1.001), (60, 1.0)], ids=["24", "23.976", "29.97", "60"])
def test_whole_strip(scene: bpy.types.Scene, speech: helpers.Speech, fps: int, base: float) -> None:
    scene.render.fps, scene.render.fps_base = fps, base
    rate = fps / base
    strip = helpers.add_strip(speech.bursts("whole.wav", BURSTS, SECONDS), start=37)
    face = helpers.keyed_mesh()
    assert helpers.generate() == {"FINISHED"}
    first, last = helpers.module("scene.compat").strip_range(strip)
    assert key_frames(face) == (first, last - 1, last - first)
    assert first == 37 and last - first == round(SECONDS * rate)
    assert abs(lag(face, [37 + t * rate for t in BURSTS], rate, first, last - 1)) <= 0.1 * rate


@needs_audio
def test_trimmed_strip_among_others(scene: bpy.types.Scene, speech: helpers.Speech) -> None:
    """Only the chosen strip is heard, and of it only what is between its handles."""
    helpers.add_strip(speech.long(9), start=1, channel=2, name="other")
    strip = helpers.add_strip(speech.bursts("trim.wav", BURSTS, SECONDS), start=100, name="mine")
    trim(strip, 145, 260)  # the first burst (frame 130) ends at 148
    face = helpers.keyed_mesh()
    before = helpers.snapshot()[2:]
    helpers.generate()
    assert helpers.snapshot()[2:] == before
    assert key_frames(face) == (145, 260, 116)
    assert abs(lag(face, [100 + 30 * t for t in BURSTS[1:]], 30.0, 152, 260)) <= 3


@needs_audio
def test_mutes_volume_and_meta_strips(scene: bpy.types.Scene, speech: helpers.Speech) -> None:
    strip = helpers.add_strip(speech.bursts("quiet.wav", BURSTS, SECONDS), start=1, name="mine")
    face = helpers.keyed_mesh()
    strip.volume = 0.0
    helpers.generate()
    assert any("silent" in warning for warning in helpers.run_state().warnings)
    strip.volume = 0.5
    helpers.generate()
    assert abs(lag(face, [1 + 30 * t for t in BURSTS], 30.0, 1, 180)) <= 3
    strip.mute = True
    assert "'mine' is muted" in helpers.error_of_generate()
    strip.mute = False
    scene.sequence_editor.channels[strip.channel].mute = True
    assert "channel" in helpers.error_of_generate()


@needs_audio
@pytest.mark.parametrize("first", [-20, -400])
def test_strip_from_before_frame_0(scene: bpy.types.Scene, speech: helpers.Speech, first: int) -> None:
    """In step, with its keyed volume; a neighbour in its channel and a muted channel above it do not matter."""
    helpers.add_strip(speech.long(9), start=first + 180, name="next")
    strip = helpers.add_strip(speech.bursts("early.wav", [1.0, 2.0, *BURSTS[1:]], SECONDS), start=first, name="mine")
    scene.sequence_editor.channels[2].mute = True
    for second, volume in ((1.7, 0.0), (2.3, 0.0), (2.5, 1.0)):  # the bursts at 1 and 2 s are silent
        strip.volume = volume
        strip.keyframe_insert("volume", frame=first + 30 * second)
    keyed = scene.animation_data.action
    before = [tuple(point.co) for point in helpers.module("scene.compat").action_curves(scene)[0].keyframe_points]
    face = helpers.keyed_mesh()
    counts = helpers.snapshot()[2:], len(bpy.data.scenes)
    helpers.generate()
    assert (helpers.snapshot()[2:], len(bpy.data.scenes)) == counts
    assert [action.name for action in bpy.data.actions if action is not keyed] == ["Face - mine"]
    assert [tuple(point.co) for point in helpers.module("scene.compat").action_curves(scene)[0].keyframe_points] == before
    assert key_frames(face) == (first, first + 179, 180)
    assert abs(lag(face, [first + 30 * t for t in BURSTS[1:]], 30.0, first, first + 179)) <= 3


@needs_audio
def test_meta_strip_from_before_frame_0(scene: bpy.types.Scene, speech: helpers.Speech) -> None:
    meta = meta_of(scene, speech.bursts("early.wav", BURSTS, SECONDS), -40)
    trim(meta, -5, 139)
    face = helpers.keyed_mesh()
    helpers.generate()
    assert key_frames(face) == (-5, 139, 145)
    assert abs(lag(face, [30 * t - 40 for t in BURSTS[1:]], 30.0, -5, 139)) <= 3


def meta_of(scene: bpy.types.Scene, path: Path, start: int) -> Any:
    """An active meta strip in channel 3 that holds one sound strip."""
    editor = scene.sequence_editor_create()
    strips = editor.strips if hasattr(editor, "strips") else editor.sequences
    meta = strips.new_meta("Meta", 3, start)
    inside = meta.strips if hasattr(meta, "strips") else meta.sequences
    inside.new_sound("inside", str(path), 1, start)
    editor.active_strip = meta
    trim(meta, start, start + 179)
    return meta


@needs_audio
def test_meta_strip_in_a_muted_channel(scene: bpy.types.Scene, speech: helpers.Speech) -> None:
    meta = meta_of(scene, speech.bursts("meta.wav", BURSTS, SECONDS), 1)
    helpers.keyed_mesh()
    meta.channels[1].mute = True
    assert "The channel of the strip 'inside' is muted" in helpers.error_of_generate()
    meta.channels[1].mute = False
    scene.sequence_editor.channels[3].mute = True
    assert "The channel of the strip 'Meta' is muted" in helpers.error_of_generate()


@needs_audio
@pytest.mark.parametrize("keyed", [False, True])
def test_a_scene_that_is_turned_down(scene: bpy.types.Scene, speech: helpers.Speech, keyed: bool) -> None:
    """Without sound, or with the master volume at 0, the strip is heard all the same."""
    helpers.add_strip(speech.bursts("down.wav", BURSTS, SECONDS), start=1)
    face = helpers.keyed_mesh()
    for name, off in (("use_audio", False), ("audio_volume", 0.0)):
        setattr(scene, name, off)
        if keyed:
            scene.keyframe_insert(name, frame=1)
        helpers.generate()
        assert not any("silent" in warning for warning in helpers.run_state().warnings)
        assert abs(lag(face, [1 + 30 * t for t in BURSTS], 30.0, 1, 180)) <= 3
        assert getattr(scene, name) == off


@pytest.mark.parametrize("source", ["STRIP", "COMMAND"])
def test_strip_of_another_blender(scene: bpy.types.Scene, speech: helpers.Speech, tmp_path: Path, source: str) -> None:
    """A strip that this Blender did not make; the 4.2 module, which has no audio, lets the engine cut the file."""
    shutil.copy(Path(__file__).parent / "data" / "strip.blend", tmp_path)
    shutil.copy(speech.bursts("bursts.wav", BURSTS, SECONDS), tmp_path)
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "strip.blend"))
    face = helpers.keyed_mesh()
    if source == "STRIP":
        helpers.generate()
    else:
        assert helpers.module("cli_command").run(["generate", "--strip", "bursts", "--object", face.name]) == 0
    assert key_frames(face) == (100, 219, 120)
    assert abs(lag(face, [88 + 24 * t for t in BURSTS], 24.0, 105, 219)) <= 3


def test_file_starts_at_the_first_frame(scene: bpy.types.Scene, speech: helpers.Speech) -> None:
    scene.frame_start = 11
    scene.ptalker.frame_offset = -3
    helpers.from_file(speech.bursts("file.wav", BURSTS, SECONDS))
    face = helpers.keyed_mesh()
    helpers.generate()
    assert key_frames(face) == (8, 187, 180)
    assert abs(lag(face, [8 + 30 * t for t in BURSTS], 30.0, 8, 187)) <= 3


def test_lips_close_on_p_b_m(scene: bpy.types.Scene, speech: helpers.Speech) -> None:
    """On the demo's own sentences the jaw opens more on open vowels than on bilabials."""
    helpers.from_file(speech.wav)
    face = helpers.keyed_mesh()
    helpers.generate()
    phones = json.loads((helpers.ROOT / "demo" / "speech" / "phones.json").read_text("utf-8"))["phones"]
    frames = np.arange(1, 259)
    gap = helpers.values(face, "jawOpen", frames) - helpers.values(face, "mouthClose", frames)

    def mean_gap(wanted: set[str]) -> float:
        middles = [30 * (start + end) / 2 for ipa, start, end, _ in phones if ipa in wanted]
        assert len(middles) >= 5
        return float(np.mean([gap[round(middle)] for middle in middles]))

    assert mean_gap({"ɑ", "æ", "ɔ", "ʌ", "a"}) > 2 * mean_gap({"p", "b", "m"})


@needs_audio
def test_strip_without_anything_to_hear(scene: bpy.types.Scene, speech: helpers.Speech) -> None:
    """Boundaries: the shortest strip works, and a strip with its file gone is a sentence."""
    strip = helpers.add_strip(speech.bursts("short.wav", [0.2], 2.0), start=10, name="short")
    trim(strip, 20, 20)
    face = helpers.keyed_mesh()
    helpers.generate()
    assert key_frames(face) == (20, 20, 1)
    strip.sound.filepath = "//nowhere.wav"
    assert "is missing" in helpers.error_of_generate()


@needs_audio
def test_packed_sound(scene: bpy.types.Scene, speech: helpers.Speech, tmp_path: Path) -> None:
    path = tmp_path / "packed.wav"
    shutil.copy(speech.bursts("packed.wav", BURSTS, SECONDS), path)
    strip = helpers.add_strip(path, start=1)
    strip.sound.pack()
    path.unlink()
    face = helpers.keyed_mesh()
    helpers.generate()
    assert abs(lag(face, [1 + 30 * t for t in BURSTS], 30.0, 1, 180)) <= 3
    scene.ptalker.source, scene.ptalker.sound = "SOUND", strip.sound
    helpers.generate()
    assert abs(lag(face, [1 + 30 * t for t in BURSTS], 30.0, 1, 180)) <= 3
