"""Speech features of voices that nobody recorded: what a network must not rely on is changed from clip to clip."""

from __future__ import annotations

import torch
from torch import Tensor

GAIN, SHIFT, NOISE = 0.15, 0.3, 0.15  # log gain and shift of each feature in a clip, noise of each frame; in spreads
GAPS, GAP = 2, (3, 8)  # stretches at most, features of 20 ms each, in which nothing is heard


def perturbed(features: Tensor, mean: Tensor, scale: Tensor, amount: float) -> Tensor:
    """features [B, N, C], their mean [C] and one over their spread [C] -> features of other voices in other rooms.

    A voice and a microphone mostly scale and shift features; what is left out for a moment must be told from what is round it
    (as SpecAugment does, Park et al. 2019). ``amount``: 0 changes nothing.
    """
    if amount <= 0:
        return features
    b, n, _ = features.shape
    x = (features - mean) * scale
    gain, shift = torch.randn(2, b, 1, x.shape[-1], device=x.device) * amount
    x = x * (GAIN * gain).exp() + SHIFT * shift + NOISE * amount * torch.randn_like(x)
    at = torch.arange(n, device=x.device)
    for _ in range(GAPS):
        first = torch.randint(0, n, (b, 1), device=x.device)
        length = torch.randint(*GAP, (b, 1), device=x.device) * (torch.rand(b, 1, device=x.device) < 0.5 * amount)
        gap = (at >= first) & (at < first + length)  # [B, N]
        x = torch.where(gap[..., None], x.mean(1, keepdim=True), x)
    return x / scale + mean
