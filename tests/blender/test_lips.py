# SPDX-License-Identifier: GPL-3.0-or-later
"""Own shape keys close the lips of their very mesh: measured on the vertices that Blender shows."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import bpy
import helpers
import numpy as np
import pytest
import rigs

FRAMES = range(1, 91)

# Crossing of the lips and opening of their middle, in % of the mouth's width, of the demo's head in motion; where they face
# each other is found from the head's own shapes, in the engine's interpreter.
_MEASURE = """
import sys, numpy as np
sys.path.insert(0, sys.argv[1])
from ptalker_blender.core.channels import CHANNELS
from ptalker_blender.core.mesh.lips import seam
def face(x):
    return x[..., [0, 2, 1]] * np.array([10, 10, -10])
z = np.load(sys.argv[1] + "/demo/head.npz")
names = z["names"].tolist()
found = seam(face(z["vertices"]), face(z["basis"][[names.index(n) for n in CHANNELS]]))
v = face(np.load(sys.argv[2])["frames"])
gap = v[:, found.upper] - v[:, found.lower]
cross = np.maximum(np.minimum(found.rest[:, 1], 0) - gap[..., 1], 0) * (np.abs(gap[..., 2] - found.rest[:, 2]) < 0.08)
middle = (gap[..., 1] - found.rest[:, 1])[:, found.middle].mean(1)
np.savez(sys.argv[2], cross=100 * cross.max(1) / found.width, middle=100 * middle / found.width)
"""


@pytest.fixture
def spoken(scene: bpy.types.Scene, speech: helpers.Speech) -> bpy.types.Scene:
    """The first 3 s of the demo's sentences, with many p and b, as the source."""
    helpers.from_file(speech.write("lips.wav", speech.samples[: 3 * helpers.RATE]))
    return scene


def lips(obj: bpy.types.Object, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """[T] how far the lips of the demo's head cross in each frame, and how open their middle is, % of the mouth's width."""
    path = folder / "frames.npz"
    np.savez(path, frames=rigs.frames(obj, FRAMES))
    subprocess.run([os.environ["PTALKER_ENGINE_PYTHON"], "-c", _MEASURE, str(helpers.ROOT), str(path)], check=True)
    with np.load(path) as archive:
        return archive["cross"], archive["middle"]


def closures() -> np.ndarray:
    """The frames in the middle of each p, b and m."""
    phones = json.loads((helpers.ROOT / "demo" / "speech" / "phones.json").read_text("utf-8"))["phones"]
    middles = [30 * (start + end) / 2 for sign, start, end, *_ in phones if sign in set("pbm")]
    return np.array([round(frame) for frame in middles if frame < len(FRAMES) - 1])


def plain(index: int, name: str) -> str:
    return name


@pytest.mark.parametrize("name", [plain, lambda index, _: f"key_{index:03}"], ids=["by name", "by shape"])
def test_own_keys_close_their_own_lips(spoken: bpy.types.Scene, tmp_path: Path, name: Callable[[int, str], str]) -> None:
    """Issue 4: lips cross by less than 1 % of the mouth's width, and are shut where they are meant to be."""
    head = rigs.demo_head(name)
    head.ptalker.meet_lips = False
    helpers.generate()
    before, was_open = lips(head, tmp_path)
    head.ptalker.meet_lips = True
    assert helpers.generate() == {"FINISHED"}
    after, is_open = lips(head, tmp_path)
    at = closures()
    assert before.max() > after.max() and after.max() < 0.6
    assert len(at) > 4 and np.median(np.abs(is_open[at])) < 0.5
    assert not any("meet" in warning for warning in helpers.run_state().warnings)
    assert np.abs(is_open[was_open > 8] - was_open[was_open > 8]).max() < 1, "open vowels stay open"


def test_keys_as_far_as_they_go(spoken: bpy.types.Scene, tmp_path: Path) -> None:
    """Gains, sliders that end early, a vertex group and a muted key are what the lips are met with; a channel without a key
    is not counted on."""
    head = rigs.demo_head()
    keys = head.data.shape_keys.key_blocks
    keys["mouthClose"].slider_max = 0.1
    keys["mouthShrugLower"].mute = True
    head.shape_key_remove(keys["mouthRollUpper"])
    everything = head.vertex_groups.new(name="all")
    everything.add(range(len(head.data.vertices)), 0.5, "REPLACE")
    keys["jawOpen"].vertex_group = "all"
    bpy.ops.ptalker.map_again()
    rows = {row.source: row for row in head.ptalker.rows}
    rows["mouthPucker"].gain, rows["mouthShrugUpper"].gain = 1.3, 0.0
    found = {}
    for meet in (False, True):
        head.ptalker.meet_lips = meet
        helpers.generate()
        found[meet] = lips(head, tmp_path)
    at = closures()
    without, with_it = (found[meet][0].max() for meet in (False, True))  # per cent of the mouth's width
    assert with_it < 0.3 * without and with_it < 1.5, "what is left of the keys cannot do more"
    assert np.median(np.abs(found[True][1][at])) < 0.5 < np.median(np.abs(found[False][1][at]))


def test_the_heads_lips_decide(spoken: bpy.types.Scene) -> None:
    """Teeth with keys of their own, and what follows, speak with the weights that close the head's lips."""
    parts = rigs.split_head(with_keys=True)
    teeth = parts["teeth"]
    teeth.shape_key_add(name="Basis", from_mix=False)
    lower = teeth.shape_key_add(name="jawOpen", from_mix=False)
    lower.value = 0.0
    lower.points[0].co.z -= 0.1
    alone = {}
    for meet in (False, True):
        parts["face"].ptalker.meet_lips = meet
        assert helpers.generate() == {"FINISHED"}
        jaw = [helpers.values(parts[name], "jawOpen", FRAMES) for name in ("face", "teeth", "tongue")]
        assert np.allclose(jaw[0], jaw[1], atol=1e-6) and np.allclose(jaw[0], jaw[2], atol=1e-6)
        alone[meet] = jaw[0]
    assert np.abs(alone[True] - alone[False]).max() > 1e-3


def test_a_mesh_without_a_face_speaks_as_it_did(spoken: bpy.types.Scene) -> None:
    """One sentence says that its lips were left alone; poses, bones and a switched off option ask for nothing."""
    bpy.ops.mesh.primitive_uv_sphere_add(segments=24, ring_count=16)
    ball = bpy.context.object
    ball.name = "Ball"
    ball.shape_key_add(name="Basis", from_mix=False)
    for number, name in enumerate(("jawOpen", "mouthPucker", "mouthClose")):
        key = ball.shape_key_add(name=name, from_mix=False)
        key.value = 0.0
        key.points[number].co.z -= 0.1
    helpers.select(ball)
    assert helpers.generate() == {"FINISHED"}
    said = [warning for warning in helpers.run_state().warnings if "not made to meet" in warning]
    assert len(said) == 1 and said[0].startswith("'Ball'")
    jaw = helpers.values(ball, "jawOpen", FRAMES)
    ball.ptalker.meet_lips = False
    helpers.generate()
    assert np.array_equal(jaw, helpers.values(ball, "jawOpen", FRAMES))
    assert not any("meet" in warning for warning in helpers.run_state().warnings)
    ball.ptalker.meet_lips, ball.ptalker.face_group = True, "gone"
    assert helpers.generate() == {"FINISHED"}
    rig = rigs.armature(["jaw"])
    rigs.add_row(ball, source="jawOpen", kind="BONE", owner=rig, bone="jaw", gain=20.0)
    helpers.generate()
    assert not any("meet" in warning for warning in helpers.run_state().warnings), "what a bone does cannot be told"
