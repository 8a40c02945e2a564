"""Built-in styles from presets: made of a small corpus, put into a checkpoint."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
import torch
from tiny_corpus import write_corpus

from ptalker_blender.core.channels import INDEX
from ptalker_blender.core.data.teacher_style import RANGES, SHOWN
from ptalker_blender.core.model.ptalker import PTalker
from ptalker_blender.core.runtime import ASSETS, check_sums
from ptalker_blender.core.styles import choose, fingerprint
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
    shutil.copytree(ASSETS / "speech_encoder", assets / "speech_encoder")
    before, card = PTalker.load(assets / "ptalker.safetensors")
    monkeypatch.setattr(sys, "argv", ["built_in_styles", "--data", str(data), "--assets", str(assets)])
    built_in_styles.main()
    after, same = PTalker.load(assets / "ptalker.safetensors")
    assert same == card and fingerprint(after) == fingerprint(before)
    assert set(after.styles) == {*before.styles, *built_in_styles.PRESETS}
    torch.testing.assert_close(after.styles["neutral"], before.styles["neutral"])
    for name in built_in_styles.PRESETS:
        assert after.styles[name].isfinite().all() and (after.styles[name] - after.styles["neutral"]).norm() > 1e-3
        assert after.personal[name].shape == (2, 52) and after.personal[name].isfinite().all()
    smile = SHOWN.index("rest_smile")
    wide, jaw = (float((after.styles[n] - after.styles["neutral"])[smile]) for n in ("wide smile", "big jaw"))
    assert wide == pytest.approx(0.42 / RANGES["rest_smile"][3], abs=0.02) and jaw == pytest.approx(0, abs=0.01)
    assert abs(float(after.personal["big jaw"][1, INDEX["mouthSmileLeft"]])) < 0.05
    chosen = choose("wide smile", 1.0, after.styles, personals=after.personal).personal
    assert chosen is not None and torch.equal(chosen.tensor(), after.personal["wide smile"])
    check_sums(assets)
