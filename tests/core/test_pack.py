"""Shipping runs: averaged weights in half precision, the encoder they were trained with, sums that hold."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from tiny_corpus import write_encoder

from ptalker_blender.core.errors import PTalkerError
from ptalker_blender.core.evaluate import card
from ptalker_blender.core.model.config import Config
from ptalker_blender.core.model.ptalker import PTalker
from ptalker_blender.core.runtime import check_sums
from ptalker_blender.core.train import pack

SMALL = Config(features=8, width=16, blocks=1, style=4, node_width=8, frame_width=8)


def write_run(folder: Path, seed: int, config: Config = SMALL, name: str = "ptalker") -> PTalker:
    torch.manual_seed(seed)
    net = PTalker(config)
    net.styles = {"neutral": torch.randn(config.style)}
    folder.mkdir(exist_ok=True)
    net.save(folder / f"{name}.safetensors", {"seed": seed})
    return net


def test_runs_are_averaged_and_packed_with_their_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = (write_run(tmp_path / name, seed) for seed, name in enumerate("ab"))
    last = write_run(tmp_path / "b", 2, name="ptalker_final")
    write_encoder(tmp_path / "encoder")
    assets = tmp_path / "assets"
    (assets / "speech_encoder").mkdir(parents=True)
    call = ["pack", "--run", str(tmp_path / "a"), str(tmp_path / "b"), "--assets", str(assets)]
    monkeypatch.setattr(sys, "argv", [*call, "--speech-encoder", str(tmp_path / "encoder")])
    pack.main()
    net, kept = PTalker.load(assets / "ptalker.safetensors")
    assert kept["seed"] == 2
    each = zip(net.named_parameters(), a.parameters(), b.parameters(), last.parameters(), strict=True)
    for (name, packed), x, y, z in each:
        assert torch.allclose(packed, z if name.startswith("motion.") else (x + y + z) / 3, atol=2e-3), name
    assert torch.allclose(net.styles["neutral"], last.styles["neutral"], atol=2e-3)
    shutil.copy(assets / "ptalker.safetensors", assets / "rig.safetensors")
    pack.write_sums(assets)
    check_sums(assets)
    (assets / "speech_encoder" / "model.safetensors").write_bytes(b"other")
    with pytest.raises(PTalkerError, match="damaged"):
        check_sums(assets)


def test_runs_of_different_sizes_are_not_averaged(tmp_path: Path) -> None:
    write_run(tmp_path / "a", 0)
    write_run(tmp_path / "b", 1, Config(features=8, width=32, blocks=1, style=4, node_width=8, frame_width=8))
    with pytest.raises(PTalkerError, match="different sizes"):
        pack.averaged([tmp_path / "a", tmp_path / "b"])


def test_figures_go_into_what_is_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = write_run(tmp_path, 0)
    (tmp_path / "MODEL_CARD.md").write_text(f"a\n{card.BEGIN}\nold\n{card.END}\nb\n")
    figures = {
        "settings": {"seed": 0, "most": None, "rig": False, "style": "neutral"}, "groups": {"real": {"clips": 3, "r": 0.5}},
        "style": {}, "still": {},
    }  # fmt: skip
    (tmp_path / "figures.json").write_text(json.dumps(figures))
    monkeypatch.setattr(sys, "argv", ["pack", "--figures", str(tmp_path / "figures.json"), "--assets", str(tmp_path)])
    pack.main()
    again, kept = PTalker.load(tmp_path / "ptalker.safetensors")
    assert kept["figures"] == figures and kept["seed"] == 0
    assert all(torch.allclose(a, b, atol=2e-3) for a, b in zip(again.parameters(), net.parameters(), strict=True))
    assert torch.allclose(again.styles["neutral"], net.styles["neutral"], atol=2e-3)
    page = (tmp_path / "MODEL_CARD.md").read_text()
    assert "| real | 3 | 0.5 |" in page and "old" not in page and page.endswith("b\n")
    monkeypatch.setattr(sys, "argv", ["pack", "--assets", str(tmp_path)])
    with pytest.raises(SystemExit):
        pack.main()
