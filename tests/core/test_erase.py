"""What tells styles is taken out of motion's content: of numbers with a planted style, and of a checkpoint."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
import torch
from tiny_corpus import write_corpus

from ptalker_blender.core.model.ptalker import PTalker
from ptalker_blender.core.runtime import ASSETS
from ptalker_blender.core.styles import fingerprint
from ptalker_blender.core.train import erase


def test_the_projection_takes_the_style_and_leaves_the_words() -> None:
    torch.manual_seed(0)
    styles, width = 60, 12
    way = torch.nn.functional.normalize(torch.randn(width) - 0.0, dim=0)
    way = way - way.mean()
    habit = torch.randn(styles, 1, 1)
    said = [torch.randn(1, 10, width) for _ in range(16)]  # the same words, whoever says them
    x = [2 * habit * way + words + 0.3 * torch.randn(styles, 10, width) for words in said]
    q, _, _, told = erase.erasure(x)
    torch.testing.assert_close(q @ q, q)  # a projection
    assert torch.trace(q) < 3  # of few directions
    normal = [((v - v.mean(-1, keepdim=True)) / v.std(-1, correction=0, keepdim=True)).double() for v in x]
    kept = [v @ (torch.eye(width, dtype=q.dtype) - q).T for v in normal]
    of_style = [torch.stack([v.mean(1) - v.mean((0, 1)) for v in vs]).mean(0).square().sum() for vs in (normal, kept)]
    assert of_style[1] < 0.15 * of_style[0] and told > 0.05
    of_words = [torch.stack([v.mean(0) for v in vs]).var(0).sum() for vs in (normal, kept)]
    assert of_words[1] > 0.7 * of_words[0]


def test_content_of_a_checkpoint_tells_less_of_the_style(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erase, "STYLES", 24)
    monkeypatch.setattr(erase, "SENTENCES", 6)
    data, out = write_corpus(tmp_path / "data"), tmp_path / "ptalker.safetensors"
    shutil.copyfile(ASSETS / "ptalker.safetensors", out)
    monkeypatch.setattr(sys, "argv", ["erase", "--data", str(data), "--model", str(out), "--out", str(out)])
    erase.main()
    (before, card), (after, told) = PTalker.load(ASSETS / "ptalker.safetensors"), PTalker.load(out)
    assert fingerprint(after) == fingerprint(before) and told["figures"] == card["figures"]
    changed = {k for k, v in after.state_dict().items() if not torch.equal(v, before.state_dict()[k])}
    assert changed == {"motion.content_out.1.weight", "motion.content_out.1.bias"}
    assert told["erased"]["after"] < told["erased"]["before"]
