"""Motion decoder: query times, audio content and style -> channel weights. Parallel in time, linear in length."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .config import Config
from .time_attention import DiagonalAttention, TimeAttention, resample


class StyleNorm(nn.Module):
    """Layer norm whose scale and shift come from the style (AdaLN); starts as a plain layer norm."""

    def __init__(self, width: int, style: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.affine = nn.Linear(style, 2 * width)
        nn.init.zeros_(self.affine.weight)
        nn.init.zeros_(self.affine.bias)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        scale, shift = self.affine(style)[:, None].chunk(2, -1)
        return self.norm(x) * (1 + scale) + shift


class Block(nn.Module):
    """Self-attention among frames, cross-attention to audio, feed-forward; each under the style."""

    def __init__(self, c: Config) -> None:
        super().__init__()
        self.norm_self, self.norm_cross, self.norm_feed = (StyleNorm(c.width, c.width) for _ in range(3))
        self.self_attention = TimeAttention(c.width, c.heads, c.reach_self) if c.reach_self > 0 else None
        diagonal = c.cross == "diagonal"
        self.cross_attention = DiagonalAttention(c.width) if diagonal else TimeAttention(c.width, c.heads, c.reach_audio)
        self.feed = nn.Sequential(
            nn.Linear(c.width, 2 * c.width), nn.GELU(), nn.Dropout(c.dropout), nn.Linear(2 * c.width, c.width)
        )

    def forward(self, x: Tensor, times: Tensor, audio: Tensor, audio_times: Tensor, style: Tensor) -> Tensor:
        if self.self_attention is not None:
            y = self.norm_self(x, style)
            x = x + self.self_attention(y, y, times, times)
        x = x + self.cross_attention(self.norm_cross(x, style), audio, times, audio_times)
        return x + self.feed(self.norm_feed(x, style))


class Decoder(nn.Module):
    """a [B, N, d] at audio_times [N], style [B, s + l], query times [T] s -> weights [B, T, K], not yet clamped. Of the style,
    the first s numbers count."""

    def __init__(self, c: Config) -> None:
        super().__init__()
        self.size = c.style
        self.style = nn.Sequential(nn.Linear(c.style, c.width), nn.SiLU(), nn.Linear(c.width, c.width))
        self.query = nn.Linear(c.width, c.width)
        self.blocks = nn.ModuleList(Block(c) for _ in range(c.blocks))
        self.norm = StyleNorm(c.width, c.width)
        self.head = nn.Linear(c.width, c.channels)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.halo = c.blocks * (c.reach_self + c.reach_audio) + 0.3  # seconds that one frame can be influenced from

    def forward(self, audio: Tensor, audio_times: Tensor, style: Tensor, times: Tensor) -> Tensor:
        s = self.style(style[:, : self.size])
        x = self.query(resample(audio, audio_times, times))
        for block in self.blocks:
            x = block(x, times, audio, audio_times, s)
        return self.head(self.norm(x, s))


def clamp_weights(z: Tensor) -> Tensor:
    """Shape keys live in 0..1."""
    return torch.clamp(z, 0.0, 1.0)
