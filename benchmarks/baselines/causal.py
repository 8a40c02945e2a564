"""The transformer decoder of FaceFormer (Fan et al. 2022), which PTalker's published code took over.

Self-attention to what came before with a bias that falls with whole periods of distance, a look at the audio of the
same frame (their cross-attention has a strictly diagonal mask, so its softmax is 1), feed-forward; norms come after.
What a frame gives never changes later, so keys and values of the past are kept (``Past``): the same outputs as running
all frames again for each new one, as the published code does.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Past = tuple[Tensor, Tensor] | None  # keys and values [B, heads, t, d / heads] of the frames before


class CausalBlock(nn.Module):
    """One layer. Frames [B, n, d] that follow on ``past``, each with its own audio [B, n, d]."""

    def __init__(self, width: int, heads: int, period: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.period = heads, period
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.look, self.look_out = nn.Linear(width, width), nn.Linear(width, width)
        self.feed = nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(2 * width, width))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, audio: Tensor, past: Past) -> tuple[Tensor, Past]:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        if past is not None:
            k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
        bias = periodic_bias(x.shape[1], k.shape[2], self.heads, self.period).to(x)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias).transpose(1, 2).flatten(2)
        x = self.norms[0](x + self.drop(self.out(y)))
        x = self.norms[1](x + self.drop(self.look_out(self.look(audio))))
        return self.norms[2](x + self.drop(self.feed(x))), (k, v)


class CausalStack(nn.ModuleList):
    """Layers one after another."""

    def __init__(self, layers: int, width: int, heads: int, period: int, dropout: float) -> None:
        super().__init__(CausalBlock(width, heads, period, dropout) for _ in range(layers))

    def forward(self, x: Tensor, audio: Tensor, past: list[Past]) -> tuple[Tensor, list[Past]]:
        """``past``: one entry a layer, or none at the first frame."""
        kept: list[Past] = []
        for block, before in zip(self, past or [None] * len(self), strict=True):
            x, now = block(x, audio, before)
            kept.append(now)
        return x, kept


def periodic_bias(queries: int, keys: int, heads: int, period: int) -> Tensor:
    """For the last ``queries`` of ``keys`` frames: -slope * (whole periods of distance), -inf to the future:
    [heads, queries, keys]. Slopes 2^(-8 h / heads), h = 1.. (ALiBi, Press et al. 2022; FaceFormer section 3.2.1)."""
    apart = torch.arange(keys - queries, keys)[:, None] - torch.arange(keys)[None]
    slopes = 2.0 ** (-8.0 / heads * torch.arange(1, heads + 1))
    bias = -slopes[:, None, None] * torch.div(apart, period, rounding_mode="floor").float()
    return bias.masked_fill(apart < 0, float("-inf"))


def periodic_positions(frames: int, width: int, period: int) -> Tensor:
    """Sines of the place within a period: [frames, width] (FaceFormer's PPE). width even."""
    place = (torch.arange(frames) % period).float()[:, None]
    angle = place * torch.exp(torch.arange(0, width, 2).float() * (-math.log(10000.0) / width))
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(1)


class SpeechInput(nn.Module):
    """Normalised speech features, linear to the width, interpolated to the frames (published: wav2vec 2.0 or HuBERT,
    fine-tuned; here the same frozen features that ours hears)."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))
        self.map = nn.Linear(features, width)

    def normalise(self, features: Tensor) -> Tensor:
        return (features - self.mean) * self.scale
