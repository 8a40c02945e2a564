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


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["generate", "--audio", "nowhere.wav"], "does not exist"),
        (["generate"], "There is no sound strip"),
        (["generate", "--strip", "x"], "no sound strip named 'x'"),
        (["generate", "--audio", "a.wav", "--object", "Nobody"], "no mesh object named 'Nobody'"),
        (["generate", "--audio", "a.wav", "--save"], "no name yet"),
        (["generate", "--audio", "a.wav", "--output", "/nonexistent/x.blend"], "does not exist"),
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


def test_help(scene: bpy.types.Scene, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("generate", "--help") == 0
    assert "--strip" in capsys.readouterr().out
