# SPDX-License-Identifier: GPL-3.0-or-later
"""Styles: read, kept in the file, mixed, saved, taken along, fine-tuned, drawn. With the real engine."""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path
from typing import Any

import bpy
import helpers
import numpy as np
import pytest

SECONDS = 5.4  # fine-tuning wants 5
needs_sound = pytest.mark.skipif(not helpers.HAS_AUDIO, reason="this Blender has no sound strips")


def library() -> Any:
    return helpers.module("scene.style_library")


@pytest.fixture
def talking(scene: bpy.types.Scene, speech: helpers.Speech) -> bpy.types.Object:
    """A head that speaks 6 s, its mouth moved far, as the reference; its sound is a strip where there can be one."""
    head = helpers.head()
    path = speech.long(SECONDS)
    helpers.from_file(path)
    scene.ptalker_style.lips = scene.ptalker_style.jaw = 1.6
    helpers.generate()
    scene.ptalker_style.lips = scene.ptalker_style.jaw = 1.0
    if helpers.HAS_AUDIO:
        helpers.add_strip(path, 1)
    scene.ptalker_style.reference = head
    return head


PICTURE = base64.b64encode((helpers.ROOT / "ptalker_blender" / "assets" / "styles" / "clear.png").read_bytes()).decode()


@pytest.fixture
def style_file(tmp_path: Path) -> Path:
    """A style file made of a vector of the shipped model; safetensors is a JSON header and bytes."""
    shipped = (helpers.ROOT / "ptalker_blender" / "assets" / "ptalker.safetensors").read_bytes()
    (size,) = struct.unpack("<Q", shipped[:8])
    entry = json.loads(shipped[8 : 8 + size])["style.teacher"]
    first, last = (8 + size + offset for offset in entry["data_offsets"])
    about = {"name": "Warm", "made_from": "motion", "seconds": 4.0, "confidence": 0.5, "model": ""}
    header = {
        "__metadata__": {"ptalker_style": "3", "name": "Warm", "about": json.dumps(about), "preview": PICTURE},
        "style": entry | {"data_offsets": [0, last - first]},
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path = tmp_path / "Warm.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + shipped[first:last])
    return path


@pytest.fixture
def loaded(scene: bpy.types.Scene, speech: helpers.Speech, style_file: Path) -> bpy.types.Text:
    """A style in the file, in use, and 1.5 s of speech for a keyed mesh."""
    assert bpy.ops.ptalker.style_load(filepath=str(style_file)) == {"FINISHED"}
    helpers.from_file(speech.bursts("style.wav", [0.3], 1.5))
    helpers.keyed_mesh()
    return bpy.data.texts[0]


def spoken() -> np.ndarray:
    """[T, K] of the mesh after the button was pressed."""
    helpers.generate()
    face, frames = bpy.data.objects["Face"], range(1, 46)
    curves = helpers.curves(face)
    names = list(helpers.module("core.channels").CHANNELS)
    return np.stack([helpers.values(face, n, frames) if n in curves else np.zeros(45) for n in names], 1)


def test_style_from_reference(talking: bpy.types.Object) -> None:
    """A style comes into the file and into use, how sure it is is said, and it changes what is generated on another mesh."""
    scene = bpy.context.scene
    scene.frame_set(17)
    before = helpers.snapshot()
    assert bpy.ops.ptalker.style_from_reference() == {"FINISHED"}
    (text,) = library().saved()
    assert text.name == "Head" and [row.text for row in scene.ptalker_style.rows] == [text]
    about = library().about(text)
    assert library().picture(text).startswith(b"\x89PNG")
    assert about["seconds"] == pytest.approx(SECONDS, abs=0.1) and about["confidence_word"] in ("fair", "good")
    assert about["made_from"] == ("motion and voice" if helpers.HAS_AUDIO else "motion")
    assert "Confidence" in helpers.run_state().result[0]
    keys, counts, *rest = helpers.snapshot()
    assert (keys, rest, counts[:-1]) == (before[0], list(before[2:]), before[1][:-1]), "one text more and nothing else"
    helpers.keyed_mesh()
    styled = spoken()
    scene.ptalker.strength = 0.0
    neutral = spoken()
    assert np.abs(styled - neutral).max() > 0.02


@needs_sound
def test_reference_without_its_sound(talking: bpy.types.Object) -> None:
    settings = bpy.context.scene.ptalker_style
    settings.use_sound = False
    settings.use_range, settings.first, settings.last = True, 1, 90
    bpy.ops.ptalker.style_from_reference()
    about = library().about(library().saved()[0])
    assert about["made_from"] == "motion" and about["seconds"] == pytest.approx(3.0, abs=0.1)
    settings.last = 10
    with pytest.raises(RuntimeError, match="too short for a reference"):
        bpy.ops.ptalker.style_from_reference()


def test_style_from_a_voice(scene: bpy.types.Scene, speech: helpers.Speech) -> None:
    assert bpy.ops.ptalker.style_from_voice(source="FILE", filepath=str(speech.ogg)) == {"FINISHED"}
    assert library().about(bpy.data.texts["demo"])["made_from"] == "voice"
    with pytest.raises(RuntimeError, match="no sound strip"):
        bpy.ops.ptalker.style_from_voice(source="STRIP")
    if helpers.HAS_AUDIO:
        helpers.add_strip(speech.long(4.0))
        assert bpy.ops.ptalker.style_from_voice(source="STRIP") == {"FINISHED"}
        assert library().about(bpy.data.texts["long4"])["seconds"] == pytest.approx(4.0, abs=0.1)


def test_undo_takes_a_style_away(loaded: bpy.types.Text, style_file: Path) -> None:
    bpy.context.preferences.edit.use_global_undo = True
    bpy.ops.ed.undo_push(message="before")
    bpy.ops.ptalker.style_load("EXEC_DEFAULT", True, filepath=str(style_file))
    assert len(library().saved()) == 2
    bpy.ops.ed.undo()
    assert len(library().saved()) == 1


def test_saved_reloaded_appended_linked(loaded: bpy.types.Text, tmp_path: Path) -> None:
    """The style is the same, byte by byte, and in use again; the scene brings it along."""
    data, name = library().data_of(loaded), loaded.name
    path = str(tmp_path / "style.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    assert library().data_of(bpy.data.texts[name]) == data
    assert library().voice(bpy.context.scene.ptalker_style).shares == ((name, 1.0),)
    assert library().sentence(bpy.data.texts[name]) == "Confidence fair, 4.0 s of motion."
    for link in (False, True):
        bpy.ops.wm.read_homefile(use_empty=True)
        with bpy.data.libraries.load(path, link=link) as (_, into):
            into.texts = [name]
        assert library().data_of(into.texts[0]) == data
        assert library().saved() == [into.texts[0]]
        assert bpy.ops.ptalker.style_add(style=name) == {"FINISHED"}
        assert bpy.ops.ptalker.style_delete.poll() is not link
        bpy.ops.wm.read_homefile(use_empty=True)
        with bpy.data.libraries.load(path, link=link) as (_, into):
            into.scenes = ["Scene"]
        row = next(s for s in bpy.data.scenes if s.ptalker_style.rows).ptalker_style.rows[0]
        assert library().data_of(row.text) == data


def test_blend_and_strength(loaded: bpy.types.Text) -> None:
    """Weights are shares; strength 0 is neutral; half of a style and half of neutral lies between them."""
    settings, scene = bpy.context.scene.ptalker_style, bpy.context.scene
    full = spoken()
    assert bpy.ops.ptalker.style_add(style="neutral") == {"FINISHED"}
    voice = library().voice(settings)
    assert voice.shares == ((loaded.name, 0.5), ("neutral", 0.5)) and voice.texts == {0}
    mixed = spoken()
    settings.rows[0].weight = 0.0
    neutral = spoken()
    assert np.abs(full - neutral).max() > 0.01
    assert np.abs(mixed - neutral).sum() < np.abs(full - neutral).sum()
    settings.rows[0].weight, settings.rows[1].weight = 0.4, 0.0
    assert np.allclose(spoken(), full, atol=1e-6)
    scene.ptalker.strength = 0.0
    assert np.allclose(spoken(), neutral, atol=1e-3)
    settings.active_row = 1
    bpy.ops.ptalker.style_remove()
    assert len(settings.rows) == 1
    with pytest.raises(RuntimeError, match="There is no style 'Nobody'"):
        bpy.ops.ptalker.style_add(style="Nobody")


def test_gains(loaded: bpy.types.Text) -> None:
    names = list(helpers.module("core.channels").CHANNELS)
    settings = bpy.context.scene.ptalker_style
    plain = spoken()
    assert plain[:, names.index("jawOpen")].max() > 0.1
    settings.jaw, settings.upper_face, settings.blink = 0.0, 0.0, 0.0
    still = spoken()
    jaw = names.index("jawOpen")
    assert still[:, jaw].max() < 0.2 * plain[:, jaw].max(), "what is left of it keeps lips together that met"
    settings.upper_face = 3.0
    brows = [i for i, n in enumerate(names) if n.startswith("brow")]
    assert spoken()[:, brows].std(0).sum() > 2 * still[:, brows].std(0).sum()


def test_files_and_deleting(loaded: bpy.types.Text, style_file: Path, tmp_path: Path) -> None:
    bpy.ops.ptalker.style_save(filepath=str(tmp_path / "again"))
    assert (tmp_path / "again.safetensors").read_bytes() == style_file.read_bytes()
    assert bpy.ops.ptalker.style_delete() == {"FINISHED"}
    assert not library().saved() and not bpy.context.scene.ptalker_style.rows
    assert not bpy.ops.ptalker.style_save.poll() and not bpy.ops.ptalker.style_delete.poll()


def test_damaged_style(loaded: bpy.types.Text) -> None:
    loaded.lines[2].body = "?" + loaded.lines[2].body
    assert "is damaged" in helpers.error_of_generate()


def test_built_in_styles_are_the_engines(loaded: bpy.types.Text) -> None:
    names = library().built_in()
    assert names[0] == "neutral" and not {"natural", "teacher"} & set(names)
    assert set(names) < set(helpers.engine_process().info["styles"])
    assert set(library()._shipped()) == set(helpers.engine_process().info["styles"])


def test_pictures_of_styles(loaded: bpy.types.Text) -> None:
    """Every built-in style has one, so has a style that was read here, and a style without gets none."""
    picture = helpers.module("scene.picture")
    before = set(picture._previews)
    for name in library().built_in():
        picture.style_icon(name, None)
    picture.style_icon(loaded.name, loaded)
    picture.style_icon("no such style", None)
    new = set(picture._previews) - before  # their icons have numbers in a window only
    assert len(new) == len(library().built_in()) + 1
    assert all(tuple(picture._previews[key].image_size) == (128, 128) for key in new)
    assert base64.b64encode(library().picture(loaded)).decode() == PICTURE


def test_map_of_styles(loaded: bpy.types.Text) -> None:
    """The picture of the engine: an image and, in the panel, a preview with the same pixels."""
    picture = helpers.module("scene.picture")
    assert bpy.ops.ptalker.explain_styles() == {"FINISHED"}
    image = bpy.data.images[picture.IMAGE]
    width, height = image.size
    pixels = np.array(image.pixels[:]).reshape(height, width, 4)
    assert width > 400 and pixels[..., :3].std() > 0.01
    shown = picture._previews[picture.PLOT]
    assert tuple(shown.image_size) == (max(width, height),) * 2
    middle = np.array(shown.image_pixels_float[:]).reshape(width, width, 4)[(width - height) // 2 :][:height]
    assert np.abs(middle - pixels).max() < 0.01


def test_the_curve_of_learning() -> None:
    picture = helpers.module("scene.picture")
    drawn = picture.curve([(1.0 - i / 100, 1.0 - i / 80 if i % 10 == 0 else None) for i in range(60)])
    held = np.argwhere(np.all(np.isclose(drawn, picture.HELD), -1))
    rows = {int(column): int(held[held[:, 1] == column][:, 0].max()) for column in held[:, 1]}
    assert rows[min(rows)] > rows[max(rows)] + 20, "it falls"
    assert np.all(picture.curve([]) <= 1.0)


@needs_sound
def test_fine_tuning(talking: bpy.types.Object) -> None:
    """A style file with an adapter comes of it, with figures of what was held out; it works where styles do."""
    settings = bpy.context.scene.ptalker_style
    settings.minutes = 0.5
    assert bpy.ops.ptalker.finetune_style() == {"FINISHED"}
    (text,) = library().saved()
    about = library().about(text)
    assert about["made_from"] == "fine-tuning" and 0 < about["after_mm"] <= about["before_mm"]
    assert "held out" in helpers.run_state().result[0]
    helpers.from_file(Path(bpy.path.abspath(bpy.context.scene.ptalker.filepath)))
    helpers.keyed_mesh()
    assert np.isfinite(spoken()).all()


def test_fine_tuning_needs_sound(talking: bpy.types.Object) -> None:
    bpy.context.scene.ptalker_style.use_sound = False
    with pytest.raises(RuntimeError, match="needs the sound"):
        bpy.ops.ptalker.finetune_style()
    assert len(bpy.data.scenes) == 1


@needs_sound
def test_cancelled_fine_tuning_keeps_the_best(talking: bpy.types.Object) -> None:
    """The engine's answer to a cancel is a result here, not the end of it."""
    jobs, run_module, protocol = helpers.module("scene.style_jobs"), helpers.module("engine.run"), helpers.module("core.protocol")
    bpy.context.scene.ptalker_style.minutes = 5.0
    spec = helpers.module("preferences").engine_spec()
    job = jobs.FineTuneJob(bpy.context)
    try:
        run = run_module.EngineRun(helpers.module("engine").obtain(spec), job.steps())
        while not run.step(0.1):
            if any(held is not None and held < 1 for _, held in run.learned) and not run.cancelled:
                run.cancel()
        assert run.cancelled and isinstance(run.results[0], protocol.Result)
        report = job.apply(run.results)
    finally:
        job.close()
    assert "the best so far was kept" in report.lines[0] and len(library().saved()) == 1
