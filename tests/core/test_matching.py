"""A style from motion without sound: the one whose sentences move the mouth on the whole as the reference does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_corpus import DEMO

from ptalker_blender.core.audio import load_audio
from ptalker_blender.core.channels import CHANNELS
from ptalker_blender.core.errors import Cancelled
from ptalker_blender.core.lessons import STEP, content_of
from ptalker_blender.core.matching import matched, speaks, whole
from ptalker_blender.core.runtime import PTalker

FPS = 25.0


@pytest.fixture(scope="module")
def model() -> PTalker:
    return PTalker.load(device="cpu")


def spoken(model: PTalker, style: torch.Tensor, seconds: float = 8.0) -> np.ndarray:
    """The demo's speech in a style: weights [T, K] at FPS."""
    content = content_of(model, load_audio(DEMO)[: int(seconds * 16000)])
    heard = (torch.arange(len(content)) + 0.25) * STEP
    with torch.no_grad():
        z = model.network.decoder(content[None], heard, style[None], torch.arange(int(seconds * FPS)) / FPS)
        return model.network.finish(z.float())[0].numpy()


@pytest.mark.parametrize("rest_known", [True, False])
def test_it_comes_nearer_to_the_style_that_was_shown(model: PTalker, rest_known: bool) -> None:
    neutral, true = model.network.styles["neutral"].float(), model.network.styles["clear"].float()
    half = neutral + 0.4 * (true - neutral)  # what was read told less than half of it
    found = matched(model, spoken(model, true), FPS, half, rest_known)
    wanted, before, after = (spoken(model, s) for s in (true, half, found))
    assert np.abs(after - wanted).mean() < 0.8 * np.abs(before - wanted).mean()
    assert torch.equal(found[model.network.config.style :], half[model.network.config.style :])  # likeness stays


def test_a_face_that_hardly_speaks_tells_nothing(model: PTalker) -> None:
    start = model.network.styles["neutral"].float()
    still = np.zeros((100, len(CHANNELS)), np.float32)
    assert torch.equal(matched(model, still, FPS, start), start)


def test_pauses_do_not_count(model: PTalker) -> None:
    z = torch.from_numpy(spoken(model, model.network.styles["neutral"].float()))[None, ::2]
    quiet = torch.cat([z, torch.zeros_like(z)], 1)
    plain, padded = (whole(x, speaks(model, x), True)[0] for x in (z, quiet))
    assert (plain - padded).abs().max() < 0.02
    assert (z.mean(1) - quiet.mean(1)).abs().max() > 0.05


def test_it_can_be_cancelled(model: PTalker) -> None:
    style = model.network.styles["neutral"].float()
    with pytest.raises(Cancelled):
        matched(model, spoken(model, style), FPS, style, cancelled=lambda: True)
