# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever an artist may point at: files of all kinds, and sentences for what is no sound."""

from __future__ import annotations

from pathlib import Path

import bpy
import helpers
import numpy as np
import pytest


@pytest.mark.parametrize(("name", "rate", "channels"), [("s.mp3", 44100, 2), ("s.ogg", 22050, 1), ("s.flac", 48000, 2)], ids=str)
def test_formats_agree(scene: bpy.types.Scene, speech: helpers.Speech, name: str, rate: int, channels: int) -> None:
    """Stereo 44.1 kHz mp3 and others move the mouth like the plain WAV."""
    face = helpers.keyed_mesh()
    frames = np.arange(1, 250)
    curves = []
    for path in (speech.wav, speech.converted(name, rate, channels)):
        helpers.from_file(path)
        helpers.generate()
        curves.append(helpers.values(face, "jawOpen", frames))
    assert np.corrcoef(*curves)[0, 1] > 0.95


def test_silent_audio(scene: bpy.types.Scene, speech: helpers.Speech) -> None:
    """Silence is a take with a closed mouth, and is told."""
    helpers.from_file(speech.write("silent.wav", np.zeros(32000, np.float32)))
    face = helpers.keyed_mesh()
    assert helpers.generate() == {"FINISHED"}
    assert any("silent" in warning for warning in helpers.run_state().warnings)
    assert helpers.values(face, "jawOpen", np.arange(1, 60)).max() < 0.1


def test_missing_empty_and_damaged_files(scene: bpy.types.Scene, speech: helpers.Speech, tmp_path: Path) -> None:
    helpers.keyed_mesh()
    helpers.from_file(tmp_path / "nowhere.wav")
    assert "does not exist" in helpers.error_of_generate()
    empty = tmp_path / "empty.wav"
    empty.write_bytes(b"")
    helpers.from_file(empty)
    assert "is empty" in helpers.error_of_generate()
    text = tmp_path / "text.wav"
    text.write_text("This is not a sound.")
    helpers.from_file(text)
    assert "cannot be read as sound" in helpers.error_of_generate()
    helpers.from_file(speech.write("no_samples.wav", np.zeros(0, np.float32)))
    assert "empty" in helpers.error_of_generate()
    helpers.from_file(speech.write("too_short.wav", np.zeros(100, np.float32)))
    assert "shorter than one frame" in helpers.error_of_generate()
    scene.ptalker.filepath = ""
    assert "No sound file is chosen" in helpers.error_of_generate()


def test_strip_of_a_file_that_is_no_sound(scene: bpy.types.Scene, tmp_path: Path) -> None:
    """Blender itself would play silence."""
    if not helpers.HAS_AUDIO:
        pytest.skip("this build of Blender cannot make sound strips")
    face = helpers.keyed_mesh()
    text = tmp_path / "letter.wav"
    text.write_text("This is not a sound.")
    helpers.add_strip(text)
    assert "cannot be read as sound" in helpers.error_of_generate()
    assert not helpers.has_action(face.data.shape_keys)


def test_strips_with_nothing_to_hear(scene: bpy.types.Scene, speech: helpers.Speech) -> None:
    if not helpers.HAS_AUDIO:
        pytest.skip("this build of Blender cannot make sound strips")
    face = helpers.keyed_mesh()
    helpers.add_strip(speech.write("nothing.wav", np.zeros(0, np.float32)))
    assert "is empty" in helpers.error_of_generate()
    strip = helpers.add_strip(speech.wav, channel=2)
    strip.frame_offset_start = strip.frame_final_duration + 50
    assert "is empty" in helpers.error_of_generate()
    assert not helpers.has_action(face.data.shape_keys)


def test_no_strip(scene: bpy.types.Scene) -> None:
    helpers.keyed_mesh()
    assert "There is no sound strip" in helpers.error_of_generate()


def test_no_mesh_and_edit_mode(scene: bpy.types.Scene, speech: helpers.Speech) -> None:
    helpers.from_file(speech.wav)
    assert "No mesh is selected" in helpers.error_of_generate()
    helpers.keyed_mesh()
    bpy.ops.object.mode_set(mode="EDIT")
    assert "Edit Mode" in helpers.error_of_generate()
    bpy.ops.object.mode_set(mode="OBJECT")


def test_film_and_aac_are_decoded_by_blender(scene: bpy.types.Scene, speech: helpers.Speech, tmp_path: Path) -> None:
    """The engine reads no AAC; Blender does, where it was built with audio."""
    if not helpers.HAS_AUDIO:
        pytest.skip("this build of Blender has no audio")
    import aud

    film = tmp_path / "speech.mkv"
    sound = aud.Sound(str(speech.wav)).resample(48000, 3)
    sound.write(str(film), 48000, 2, aud.FORMAT_FLOAT32, aud.CONTAINER_MATROSKA, aud.CODEC_AAC)
    face = helpers.keyed_mesh()
    frames, curves = np.arange(5, 250), []
    for path in (speech.wav, film):
        helpers.from_file(path)
        helpers.generate()
        curves.append(helpers.values(face, "jawOpen", frames))
    assert np.corrcoef(*curves)[0, 1] > 0.85


def test_style_file_that_is_none(scene: bpy.types.Scene, speech: helpers.Speech, tmp_path: Path) -> None:
    helpers.keyed_mesh()
    helpers.from_file(speech.wav)
    path = tmp_path / "nobody.safetensors"
    with pytest.raises(RuntimeError, match="cannot be read"):
        bpy.ops.ptalker.style_load(filepath=str(path))
    path.write_bytes(b"nothing")
    with pytest.raises(RuntimeError, match="not a PTalker style file"):
        bpy.ops.ptalker.style_load(filepath=str(path))
    row = scene.ptalker_style.rows.add()
    row.text = bpy.data.texts.new("notes")
    assert "'notes' is not a style" in helpers.error_of_generate()
