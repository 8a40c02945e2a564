# SPDX-License-Identifier: GPL-3.0-or-later
"""`ptalker demo`: its head, and a short real run of its steps."""

from __future__ import annotations

import sys
from pathlib import Path

import bpy
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import helpers  # noqa: E402

from demo import film, run, sheet  # noqa: E402
from demo import scene as demo_scene  # noqa: E402

DEMO_AUDIO = run.SPEECH / "demo.ogg"


def test_head_has_every_channel_and_a_closed_mouth() -> None:
    with np.load(demo_scene.HEAD) as head:
        vertices, basis, names = head["vertices"], head["basis"], [str(n) for n in head["names"]]
        assert len(names) == 52 and basis.shape == (52, len(vertices), 3)
        assert np.isfinite(vertices).all() and np.isfinite(basis).all()
        reach = np.abs(basis.astype(np.float32)).max(axis=(1, 2))
        assert (reach > 1e-3).all(), [n for n, r in zip(names, reach, strict=True) if r <= 1e-3]
        assert head["faces"].max() == len(vertices) - 1
        parts = [str(p) for p in head["part_names"]]
        assert {"face", "eyes", "teeth", "tongue"} <= set(parts)
    assert demo_scene.HEAD.stat().st_size < 4e6


def test_moments_come_from_the_phones() -> None:
    shots = sheet.moments(run.SPEECH / "phones.json")
    assert len(shots) == 2 * sheet.COLUMNS
    closures, vowels = shots[: sheet.COLUMNS], shots[sheet.COLUMNS :]
    assert {shot.sign for shot in closures} <= sheet.CLOSURES
    assert {shot.sign for shot in vowels} <= sheet.OPEN_VOWELS
    assert all(0 < v.time - c.time < 0.3 for c, v in zip(closures, vowels, strict=True))
    assert all(shot.word for shot in shots)


@pytest.mark.skipif(not helpers.HAS_AUDIO, reason="this build of Blender has no sound")
@pytest.mark.parametrize("with_keys", [True, False])
def test_the_head_speaks(scene: bpy.types.Scene, tmp_path: Path, with_keys: bool) -> None:
    made, head = run.build_scene(DEMO_AUDIO, with_keys, pixels=96)
    assert (head.data.shape_keys is not None) == with_keys
    assert "'Head'" in run.generate()
    jaw = head.data.shape_keys.key_blocks["jawOpen"]
    values = []
    for frame in range(made.frame_start, made.frame_end + 1):
        made.frame_set(frame)
        values.append(jaw.value)
    assert np.ptp(values) > 0.1, "the jaw moves"

    made.frame_start, made.frame_end = 8, 13
    path = tmp_path / "lipsync.mp4"
    assert film.playblast(made, path) == 6
    clip = bpy.data.movieclips.load(str(path))
    assert clip.frame_duration == 6 and tuple(clip.size) == (96, 96)
    import aud  # comes with bpy, once that is imported

    assert np.abs(aud.Sound(str(path)).data()).max() > 0.05, "the film has its sound"

    sheet.contact_sheet(made, [sheet.Moment(0.3, "p", "Papa"), sheet.Moment(0.44, "ɑ", "Papa")], tmp_path / "sheet.png")
    image = bpy.data.images.load(str(tmp_path / "sheet.png"))
    assert tuple(image.size) == (sheet.COLUMNS * sheet.TILE, sheet.TILE + sheet.LABEL)
    assert np.std(np.array(image.pixels[:])) > 0.05, "it is not empty"


@pytest.mark.skipif(not helpers.HAS_AUDIO, reason="this build of Blender has no sound")
def test_a_file_without_sound_is_one_sentence(scene: bpy.types.Scene) -> None:
    with pytest.raises(run.DemoError, match="cannot be read as sound"):
        run.build_scene(ROOT / "README.md", False, pixels=96)


def test_a_missing_sound_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(run.DemoError, match="no file"):
        run.main(["--audio", str(tmp_path / "none.wav"), "--out", str(tmp_path)])
