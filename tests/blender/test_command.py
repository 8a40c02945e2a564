# SPDX-License-Identifier: GPL-3.0-or-later
"""``blender -b file.blend -c ptalker generate``: what it does, says and returns."""

from __future__ import annotations

from pathlib import Path

import bpy
import helpers
import numpy as np
import pytest


def run(*arguments: str) -> int:
    return helpers.module("cli_command").run(list(arguments))


def test_generate_and_output(
    scene: bpy.types.Scene, speech: helpers.Speech, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    helpers.keyed_mesh()
    helpers.select()
    path = speech.bursts("command.wav", [0.4], 1.5)
    output = tmp_path / "out.blend"
    assert run("generate", "--object", "Face", "--audio", str(path), "--seed", "4", "--output", str(output)) == 0
    assert "channels, frames 1 to 45, Action 'Face - command'" in capsys.readouterr().out
    bpy.ops.wm.open_mainfile(filepath=str(output))
    assert helpers.values(bpy.data.objects["Face"], "jawOpen", np.arange(1, 46)).max() > 0.05


def test_save(scene: bpy.types.Scene, speech: helpers.Speech, tmp_path: Path) -> None:
    helpers.keyed_mesh()
    path = str(tmp_path / "saved.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    assert run("generate", "--audio", str(speech.bursts("save.wav", [0.4], 1.0)), "--offset", "10", "--save") == 0
    bpy.ops.wm.open_mainfile(filepath=path)
    points = helpers.curves(bpy.data.objects["Face"])["jawOpen"].keyframe_points
    assert points[0].co.x == 11


def made(face: bpy.types.Object, *arguments: str) -> tuple[np.ndarray, float]:
    """What a run with these arguments makes: values [T, 52], first frame."""
    face.data.shape_keys.animation_data_clear()
    assert run("generate", *arguments) == 0
    return animation(face)


def animation(face: bpy.types.Object) -> tuple[np.ndarray, float]:
    curves = helpers.curves(face)
    points = {name: [point.co.y for point in curve.keyframe_points] for name, curve in curves.items()}
    return np.array([points[name] for name in sorted(points)]), curves["jawOpen"].keyframe_points[0].co.x


def differs(one: np.ndarray, other: np.ndarray) -> bool:
    """Another take may move other channels, too."""
    return one.shape != other.shape or not np.allclose(one, other, atol=1e-4)


def test_the_files_own_settings(scene: bpy.types.Scene, speech: helpers.Speech) -> None:
    """What the button would make; an option takes the place of one setting, and of no other."""
    face = helpers.keyed_mesh()
    path = speech.bursts("own.wav", [0.4], 1.0)
    helpers.from_file(path)
    scene.ptalker.strength, scene.ptalker.seed, scene.ptalker.frame_offset = 1.5, 7, 10
    scene.ptalker_style.jaw = 0.2
    scene.ptalker_style.rows.add().name = helpers.module("scene.style_library").built_in()[1]
    helpers.generate()
    button, first = animation(face)
    assert first == 11
    same, first = made(face)
    assert first == 11 and not differs(same, button)
    same, first = made(face, "--audio", str(path), "--offset", "0", "--seed", "7")
    assert first == 1 and not differs(same, button)
    assert differs(made(face, "--strength", "0")[0], button)
    assert differs(made(face, "--style", "neutral")[0], button), "instead of the scene's styles"


def test_style_of_this_file(scene: bpy.types.Scene, speech: helpers.Speech) -> None:
    """By its name, as if it were the scene's; a name that is nobody's is one sentence."""
    face = helpers.keyed_mesh()
    helpers.from_file(speech.bursts("mine.wav", [0.4], 2.0, burst=1.5))
    assert bpy.ops.ptalker.style_from_voice(source="FILE", filepath=str(speech.wav)) == {"FINISHED"}
    text = helpers.module("scene.style_library").saved()[0]
    assert scene.ptalker_style.rows[0].text == text
    helpers.generate()
    button = animation(face)[0]
    scene.ptalker_style.rows.clear()
    assert differs(made(face)[0], button)
    assert not differs(made(face, "--style", text.name)[0], button)
    text.name = "renamed"
    assert not differs(made(face, "--style", "renamed")[0], button)


def test_output_without_an_ending(scene: bpy.types.Scene, speech: helpers.Speech, tmp_path: Path) -> None:
    helpers.keyed_mesh()
    path = speech.bursts("ending.wav", [0.4], 1.0)
    assert run("generate", "--audio", str(path), "--output", str(tmp_path / "shot.v2")) == 0
    assert [p.name for p in tmp_path.iterdir()] == ["shot.v2.blend"]


def test_a_number_that_is_none(scene: bpy.types.Scene, speech: helpers.Speech, capsys: pytest.CaptureFixture[str]) -> None:
    """Not from the command line, and not from a setting that a driver made so; the next run works, on the same engine."""
    helpers.keyed_mesh()
    path = str(speech.bursts("nan.wav", [0.4], 1.0))
    assert run("generate", "--audio", path) == 0
    engine = helpers.engine_process()
    for text in ("nan", "inf", "-inf"):
        assert run("generate", "--audio", path, f"--strength={text}") == 2
        assert "is no number" in capsys.readouterr().err
    job, request = helpers.module("scene.job"), helpers.module("scene.request")
    work = job.Job(bpy.context, request.Request(source="FILE", filepath=path, strength=float("nan")))
    with pytest.raises(helpers.module("core.errors").PTalkerError, match="not a finite number"):
        helpers.module("operators.running").run_work(work, console=False)
    assert run("generate", "--audio", path) == 0
    assert helpers.engine_process() is engine


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["generate", "--audio", "nowhere.wav"], "does not exist"),
        (["generate"], "There is no sound strip"),
        (["generate", "--strip", "x"], "no sound strip named 'x'"),
        (["generate", "--audio", "a.wav", "--object", "Nobody"], "no mesh object named 'Nobody'"),
        (["generate", "--audio", "a.wav", "--save"], "no name yet"),
        (["generate", "--audio", "a.wav", "--output", "/nonexistent/x.blend"], "does not exist"),
        (["generate", "--audio", "SPEECH", "--output", "."], "is a folder"),
        (["generate", "--audio", "SPEECH", "--output", "/proc/x.blend"], "cannot be written"),
        (["generate", "--audio", "SPEECH", "--style", "nobody"], "nobody"),
        (["generate", "--strength", "strong"], "'strong' is no number"),
        (["generate", "--seed", "many"], "invalid int value"),
        (["generate", "--strength", "99", "--audio", "SPEECH"], "strength"),
        (["dance"], "invalid choice"),
        ([], "required"),
    ],
)  # fmt: skip
def test_bad_input(
    scene: bpy.types.Scene,
    speech: helpers.Speech,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    sentence: str,
) -> None:
    """Exit code 2, one sentence on stderr, no traceback, nothing changed."""
    helpers.keyed_mesh()
    before = helpers.snapshot()
    assert run(*(str(speech.wav) if a == "SPEECH" else a for a in arguments)) == 2
    said = capsys.readouterr().err
    assert sentence.lower() in said.lower() and "Traceback" not in said and len(said.strip().splitlines()) == 1
    assert helpers.snapshot() == before
    assert "SPEECH" not in arguments or "--output" not in arguments or helpers.run_state().stage == "", "before any work"


def test_help(scene: bpy.types.Scene, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("generate", "--help") == 0
    assert "--strip" in capsys.readouterr().out
