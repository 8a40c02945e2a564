"""Built-in styles from presets: made of a small corpus, put into a checkpoint."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
import torch
from tiny_corpus import write_corpus

from ptalker_blender.core.data.teacher_style import RANGES
from ptalker_blender.core.model.ptalker import PTalker
from ptalker_blender.core.runtime import ASSETS, check_sums
from ptalker_blender.core.styles import fingerprint
from ptalker_blender.core.train import built_in_styles


def test_presets_are_styles_of_the_teacher() -> None:
    for name, preset in built_in_styles.PRESETS.items():
        for key, value in preset.items():
            neutral, low, high, _ = RANGES[key]
            assert low <= value <= high and value != neutral, (name, key)


def test_they_are_added_to_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, assets = write_corpus(tmp_path / "data"), tmp_path / "assets"
    assets.mkdir()
    for name in ("ptalker.safetensors", "rig.safetensors"):
        shutil.copyfile(ASSETS / name, assets / name)
    before, card = PTalker.load(assets / "ptalker.safetensors")
    monkeypatch.setattr(sys, "argv", ["built_in_styles", "--data", str(data), "--assets", str(assets)])
    built_in_styles.main()
    after, same = PTalker.load(assets / "ptalker.safetensors")
    assert same == card and fingerprint(after) == fingerprint(before)
    assert set(after.styles) == {*before.styles, *built_in_styles.PRESETS}
    torch.testing.assert_close(after.styles["neutral"], before.styles["neutral"])
    for name in built_in_styles.PRESETS:
        assert after.styles[name].isfinite().all() and (after.styles[name] - after.styles["neutral"]).norm() > 1e-3
    check_sums(assets)
