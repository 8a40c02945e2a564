"""Attention whose positions are seconds: any two sequences, any rates, a fixed reach."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TimeBias(nn.Module):
    """A learned bias per head over the time difference; -inf beyond ``reach`` seconds.

    A table of values at evenly spaced differences, read with linear interpolation, so that it is defined for any rate.
    Starts as a soft preference for the same instant.
    """

    def __init__(self, heads: int, reach: float, bins: int = 25) -> None:
        super().__init__()
        self.reach, self.bins = reach, bins
        grid = torch.linspace(-1, 1, bins)
        slopes = torch.linspace(1, 6, heads)
        self.table = nn.Parameter(-slopes[:, None] * grid.abs())

    def forward(self, q_times: Tensor, k_times: Tensor) -> Tensor:
        """q_times [T], k_times [N] seconds -> [heads, T, N]."""
        delta = (k_times[None, :] - q_times[:, None]) / self.reach
        x = (delta.clamp(-1, 1) + 1) * 0.5 * (self.bins - 1)
        low = x.floor().long().clamp(max=self.bins - 2)
        part = x - low
        bias = self.table[:, low] * (1 - part) + self.table[:, low + 1] * part
        return bias.masked_fill(delta.abs() > 1 + 1e-3, float("-inf"))  # the end itself is in, whatever the rounding


class TimeAttention(nn.Module):
    """Multi-head attention with a TimeBias; keys may be the queries themselves or another sequence."""

    def __init__(self, width: int, heads: int, reach: float) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.bias = TimeBias(heads, reach)

    def forward(self, x: Tensor, memory: Tensor, x_times: Tensor, memory_times: Tensor) -> Tensor:
        """x [B, T, d], memory [B, N, d] -> [B, T, d]."""
        q = self._split(self.q(x))
        k, v = (self._split(y) for y in self.kv(memory).chunk(2, -1))  # [B, h, N, d/h]
        bias = self.bias(x_times, memory_times)[None].to(q.dtype)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.out(y.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class DiagonalAttention(nn.Module):
    """Attention under a strictly diagonal mask, as PTalker's published code has it: a softmax over one key is 1, whatever
    query and key are, so all that is left of it is a look at the same instant. Takes TimeAttention's arguments."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.v = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, memory: Tensor, x_times: Tensor, memory_times: Tensor) -> Tensor:
        """x [B, T, d] (not looked at), memory [B, N, d] -> [B, T, d]."""
        return self.out(self.v(resample(memory, memory_times, x_times)))


def resample(x: Tensor, x_times: Tensor, times: Tensor) -> Tensor:
    """Linear interpolation in time: x [B, N, d] at x_times [N] (evenly spaced) -> [B, T, d] at times [T]; ends held."""
    step = (x_times[-1] - x_times[0]) / max(len(x_times) - 1, 1)
    at = ((times - x_times[0]) / step.clamp(min=1e-9)).clamp(0, len(x_times) - 1)
    low = at.floor().long().clamp(max=max(len(x_times) - 2, 0))
    part = (at - low)[:, None]
    high = (low + 1).clamp(max=len(x_times) - 1)
    return x[:, low] * (1 - part) + x[:, high] * part
