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
