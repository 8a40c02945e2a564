"""What makes people alike: closed-form discriminants of how a mouth moves on the whole, at the end of a style."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_corpus import write_corpus

from ptalker_blender.core.channels import INDEX
from ptalker_blender.core.data.corpus import fit_all
from ptalker_blender.core.data.motion_set import MotionSet
from ptalker_blender.core.evaluate.metrics import triples
from ptalker_blender.core.model.config import Config
from ptalker_blender.core.model.likeness import summary
from ptalker_blender.core.model.ptalker import PTalker
from ptalker_blender.core.train.heads import Head, ict_heads
from ptalker_blender.core.train.likeness import SIZE, SPREAD, discriminants, people, with_likeness


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def windows(data: Path, tmp_path_factory: pytest.TempPathFactory) -> MotionSet:
    corpus = tmp_path_factory.mktemp("corpus")
    fit_all(data, corpus / "fits")
    np.save(corpus / "dev_real.npy", np.zeros((0, 400, 8), np.float16))
    (corpus / "dev_real.jsonl").write_text("")
    return MotionSet(data, corpus, corpus / "fits", ["dev_real"])


@pytest.fixture(scope="module")
def heads(data: Path) -> list[Head]:
    return ict_heads(data / "heads" / "ict_facekit.npz", 2, 0)[0]


def network() -> PTalker:
    torch.manual_seed(0)
    return PTalker(Config(features=8, width=16, blocks=1, style=8, node_width=8, frame_width=16)).eval()


@pytest.fixture(scope="module")
def given(windows: MotionSet, data: Path) -> PTalker:
    return with_likeness(network(), windows, data, count=30, identities=1)


def test_a_summary_knows_means_spreads_speeds_and_heights_but_no_order_of_people() -> None:
    t = torch.arange(32) / 8
    still, slow, fast = 0.2 + 0 * t, 0.2 + 0.1 * torch.sin(2 * t), 0.2 + 0.1 * torch.sin(8 * t)
    x = summary(torch.stack([still, slow, fast], -1)[None], 8.0).unflatten(1, (4, 3))[0]
    assert x[0, 0] == pytest.approx(0.2**0.5) and x[1, 0] == x[2, 0] == 0
    assert x[1, 1] == pytest.approx(float(x[1, 2]), rel=0.15) and x[2, 2] > 1.5 * x[2, 1]
    assert summary(torch.rand(2, 1, 5), 8.0).isfinite().all(), "one frame has no speed"


def test_discriminants_point_where_people_differ_for_what_words_change() -> None:
    rng = torch.Generator().manual_seed(0)
    who, words = torch.randn(200, 1, 3, generator=rng), torch.randn(200, 5, 3, generator=rng)
    x = who * torch.tensor([1.0, 1.0, 0.0]) + words * torch.tensor([0.1, 1.0, 1.0])
    middle, axes = discriminants(x, 2)
    found = (x - middle) @ axes
    spread = (found - found.mean(1, keepdim=True)).flatten(0, 1).std(0)
    torch.testing.assert_close(spread, torch.ones(2), atol=0.15, rtol=0)
    assert found.mean(1).std(0)[0] > 5 * found.mean(1).std(0)[1] and axes[0, 0].abs() > 5 * axes[1:, 0].abs().max()


def test_what_a_head_is_solved_for_is_what_was_played(heads: list[Head]) -> None:
    z = np.zeros((2, 6, 52), np.float32)
    z[0, :, INDEX["jawOpen"]] = np.linspace(0, 0.5, 6)
    z[1, :, INDEX["jawOpen"]] = np.linspace(0.2, 0.5, 6)
    jaw = INDEX["jawOpen"]
    known, guessed = (heads[0].solved(z, rest_known)[..., jaw] for rest_known in (True, False))
    assert known[0, -1] > 0.4 and known[1, 0] > 0.12
    assert guessed[1, 0] < 0.01 and 0.05 < guessed[1, -1] < known[1, -1], "the frame of least jaw stands for the rest"


def test_a_model_gets_its_likeness_and_moves_as_before(given: PTalker) -> None:
    net = network()
    assert net.likeness is None and given.likeness is not None and given.config.likeness == SIZE
    assert all(len(style) == 8 + SIZE for style in given.styles.values())
    inputs = torch.randn(1, 25, 16), torch.arange(25) / 25
    with torch.no_grad():
        style, times = torch.randn(1, 8 + SIZE), torch.arange(20) / 25
        torch.testing.assert_close(given.decoder(*inputs, style, times), net.decoder(*inputs, style[:, :8], times))


def test_people_are_told_apart_in_other_words_on_other_heads(windows: MotionSet, heads: list[Head]) -> None:
    x = people(windows, heads, np.random.default_rng(0), 90)
    assert x.shape[:3] == (2, 90, 6)
    for each in x:
        middle, axes = discriminants(each[:60], SIZE)
        found = SPREAD * (each[60:] - middle) @ axes
        assert triples(found.numpy()) > triples((each[60:] - middle).numpy()) > 0.5


def test_a_saved_model_keeps_it_and_gets_it_anew(given: PTalker, windows: MotionSet, data: Path, tmp_path: Path) -> None:
    given.save(tmp_path / "m.safetensors", {})
    back, _ = PTalker.load(tmp_path / "m.safetensors")
    torch.testing.assert_close(back.state_dict(), given.state_dict())
    again = with_likeness(back, windows, data, count=30, identities=1)
    torch.testing.assert_close(again.state_dict(), given.state_dict())
