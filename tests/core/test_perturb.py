"""Features of other voices: changed by clip, by frame and by gaps, in their own spread, and not at all when switched off."""

from __future__ import annotations

import torch

from ptalker_blender.core.train.perturb import GAIN, NOISE, SHIFT, perturbed


def features() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    mean, spread = torch.randn(16) * 5, torch.rand(16) * 3 + 0.5
    return mean + spread * torch.randn(40, 100, 16), mean, 1 / spread


def test_nothing_changes_at_zero() -> None:
    x, mean, scale = features()
    assert torch.equal(perturbed(x, mean, scale, 0.0), x)


def test_clips_are_shifted_and_frames_are_noisy_in_units_of_the_spread() -> None:
    x, mean, scale = features()
    change = (perturbed(x, mean, scale, 1.0) - x) * scale
    by_clip = change.mean(1)
    assert 0.6 * SHIFT < float(by_clip.std()) < 1.6 * SHIFT
    median = (change - by_clip[:, None]).abs().median()  # gaps are few
    assert 0.3 * NOISE < float(median) < 2 * (NOISE + GAIN)
    small = ((perturbed(x, mean, scale, 0.1) - x) * scale).mean(1)
    assert float(small.std()) < 0.2 * float(by_clip.std())


def test_gaps_say_nothing_of_what_was_there() -> None:
    x, mean, scale = features()
    flat = 0
    for clip in perturbed(x, mean, scale, 1.0):
        still = (clip[1:] - clip[:-1]).abs().amax(-1) < 1e-4
        flat += int(still.any())
        assert int(still.sum()) < 20
    assert 10 < flat < 40
