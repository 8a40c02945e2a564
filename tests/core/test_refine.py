"""The style that comes nearest to a reference with its sound: found again where the model itself made the reference."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from ptalker_blender.core.audio import load_audio
from ptalker_blender.core.compare import animated
from ptalker_blender.core.errors import Cancelled
from ptalker_blender.core.lessons import OTHER, Example, content_of
from ptalker_blender.core.refine import refined
from ptalker_blender.core.runtime import PTalker

FPS = 25.0


@pytest.fixture(scope="module")
def model() -> PTalker:
    return PTalker.load(device="cpu")


@pytest.fixture(scope="module")
def heard(model: PTalker) -> Tensor:
    return content_of(model, load_audio(OTHER)[: 6 * 16000])


def example(model: PTalker, heard: Tensor, style: Tensor, shift: float = 0.0, seconds: float = 5.0) -> Example:
    made = animated(model, heard, style, int(seconds * FPS), FPS)
    return Example(heard, torch.from_numpy(made) + shift, FPS, torch.eye(52) * 0.5)


def left(model: PTalker, heard: Tensor, style: Tensor, e: Example) -> float:
    made = torch.from_numpy(animated(model, heard, style, len(e.target), FPS))
    return float((made - e.target).square().mean().sqrt())


def test_a_style_that_the_model_knows_is_found(model: PTalker, heard: Tensor) -> None:
    neutral = model.network.styles["neutral"].float()
    for name in ("big jaw", "clear"):
        e = example(model, heard, model.network.styles[name].float())
        found = refined(model, [e], neutral)
        assert left(model, heard, found, e) < 0.6 * left(model, heard, neutral, e), name


def test_what_was_read_is_held_where_nothing_says_otherwise(model: PTalker, heard: Tensor) -> None:
    neutral = model.network.styles["neutral"].float()
    same = refined(model, [example(model, heard, neutral)], neutral)
    assert (same - neutral).abs().max() < 0.02
    far = model.network.styles["big jaw"].float()
    short, long = (refined(model, [example(model, heard, far, seconds=s)], neutral) - neutral for s in (0.5, 5.0))
    assert short.norm() < long.norm(), "half a second says less than five"


def test_without_the_face_at_rest_a_shift_says_nothing(model: PTalker, heard: Tensor) -> None:
    neutral = model.network.styles["neutral"].float()
    e = example(model, heard, neutral, shift=0.1)
    known, unknown = (refined(model, [e], neutral, rest_known=k) - neutral for k in (True, False))
    assert unknown.norm() < 0.1 * known.norm()


def test_more_frames_a_second_say_the_same(model: PTalker, heard: Tensor) -> None:
    neutral, far = (model.network.styles[n].float() for n in ("neutral", "big jaw"))
    slow, fast = (
        Example(heard, torch.from_numpy(animated(model, heard, far, int(3 * fps), fps)), fps, torch.eye(52) * 0.5)
        for fps in (25.0, 60.0)
    )
    found = [refined(model, [e], neutral) - neutral for e in (slow, fast)]
    assert torch.cosine_similarity(*found, dim=0) > 0.95 and 0.8 < float(found[1].norm() / found[0].norm()) < 1.25


def test_several_clips_say_more_and_cancel_ends_it(model: PTalker, heard: Tensor) -> None:
    neutral, far = (model.network.styles[n].float() for n in ("neutral", "big jaw"))
    one = example(model, heard, far, seconds=1.0)
    few, more = (refined(model, [one] * n, neutral) - neutral for n in (1, 3))
    assert np.isfinite(more.numpy()).all() and more.norm() > few.norm()
    with pytest.raises(Cancelled):
        refined(model, [one], neutral, cancelled=lambda: True)
