"""Audio content and audio style from speech features."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .config import Config


class ConvBlock(nn.Module):
    """Depthwise convolution in time, then a gated mix of channels; residual. [B, N, d] -> [B, N, d]."""

    def __init__(self, width: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.depth = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.up = nn.Linear(width, 2 * width)
        self.down = nn.Linear(width, width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        y = self.depth(self.norm(x).transpose(1, 2)).transpose(1, 2)
        a, b = self.up(y).chunk(2, -1)
        return x + self.drop(self.down(a * torch.nn.functional.silu(b)))


class StatisticsPool(nn.Module):
    """Attentive statistics pooling (Okabe et al. 2018): [B, T, d] -> mean and deviation under attention -> [B, 2 d]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(width, width // 2), nn.Tanh(), nn.Linear(width // 2, 1))

    def forward(self, x: Tensor) -> Tensor:
        w = self.score(x).softmax(1)
        mean = (w * x).sum(1)
        spread = ((w * x * x).sum(1) - mean * mean).clamp(min=1e-6).sqrt()
        return torch.cat([mean, spread], -1)


class AudioEncoder(nn.Module):
    """Speech features [B, 2 M, C] at 50 Hz -> content a [B, M, d] at 25 Hz and style s_a [B, s].

    Content hears features without their mean over the neighbouring seconds: voice, microphone and room are mostly in
    that mean, what is said is not. The level as it is reaches content through a narrow passage only.
    """

    REACH = 150  # features each way that the mean is taken over: 3 s

    def __init__(self, c: Config) -> None:
        super().__init__()
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("mean", torch.zeros(c.features))
        self.register_buffer("scale", torch.ones(c.features))
        self.drop = nn.Dropout(c.dropout)
        self.content_in = nn.Linear(2 * c.features, c.width)  # two features, so no detail in time is lost
        self.level = nn.Sequential(nn.Linear(c.features, 12), nn.SiLU(), nn.Linear(12, c.width))
        self.content = nn.Sequential(*[ConvBlock(c.width, c.kernel, c.dropout) for _ in range(2)], nn.LayerNorm(c.width))
        self.style_in = nn.Sequential(nn.Linear(c.features, c.frame_width), nn.SiLU())
        self.pool = StatisticsPool(c.frame_width)
        self.style_out = nn.Sequential(nn.Linear(2 * c.frame_width, c.frame_width), nn.SiLU(), nn.Linear(c.frame_width, c.style))

    def normalise(self, features: Tensor) -> Tensor:
        return (features - self.mean) * self.scale

    def forward(self, features: Tensor) -> Tensor:
        """-> content [B, M, d]; beyond the mean, its receptive field is kernel - 1 steps each way (0.24 s for 7)."""
        x = self.normalise(features)
        pairs = (x - self.local_mean(x)).unflatten(1, (-1, 2)).flatten(2)
        level = self.level(x.unflatten(1, (-1, 2)).mean(2))
        return self.content(self.content_in(self.drop(pairs)) + level)

    def local_mean(self, x: Tensor) -> Tensor:
        """Mean of x [B, N, C] over REACH features each way, as far as there are any."""
        size = 2 * self.REACH + 1
        y = nn.functional.avg_pool1d(x.transpose(1, 2), size, 1, self.REACH, count_include_pad=False)
        return y.transpose(1, 2)

    @staticmethod
    def times(feature_times: Tensor) -> Tensor:
        """Times of content [M]: the middle of each pair of features [2 M], seconds."""
        return feature_times.unflatten(0, (-1, 2)).mean(1)

    def style(self, features: Tensor) -> Tensor:
        """-> s_a [B, s]"""
        return self.style_out(self.pool(self.style_in(self.drop(self.normalise(features)))))
