"""What makes people alike, whoever animated them: a linear reading of how each part of a mouth moves on the whole.

Habits are read by a network that has met nothing but our teacher's people, and of strangers it tells much that changes with
their words. What is steady of a person is simpler: means, spreads, speeds and heights of each channel, weighed against how
much they change from sentence to sentence (linear discriminants, Fisher 1936; fitted by train/likeness.py in closed form).
These numbers end a style vector. The decoder does not ask for them; to find a style again, to tell styles apart and to map
them is what they are for.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

HIGH = 0.9  # quantile
RATE = 8.0  # frames a second at which speeds are told


class Likeness(nn.Module):
    """Clips of the mouth's weights -> [B, l]; in words of one person each number spreads by about the same."""

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.middle: Tensor
        self.axes: Tensor
        self.register_buffer("middle", torch.zeros(2, 4 * channels))  # where nobody knows the face at rest, where it is known
        self.register_buffer("axes", torch.zeros(2, 4 * channels, size))

    def forward(self, weights: Tensor, known: Tensor, rate: float) -> Tensor:
        """weights [B, T, C] of the mesh's own shapes (mesh/bounded.py), known [B] 1 where they are from the face at rest,
        ``rate`` frames a second."""
        which = (known > 0.5).long()
        x = summary(weights.float(), rate) - self.middle.float()[which]
        return torch.einsum("bn,bnl->bl", x, self.axes.float()[which])


def summary(weights: Tensor, rate: float) -> Tensor:
    """weights [B, T, C] -> [B, 4 C]: mean, spread, spread of speeds, height of each channel. Roots, so that a large gesture does
    not count for more than many small ones."""
    speed = torch.diff(weights, dim=1, prepend=weights[:, :1])[:, min(1, weights.shape[1] - 1) :] * (rate / RATE)
    parts = [weights.mean(1), weights.std(1, correction=0), speed.std(1, correction=0), weights.quantile(HIGH, dim=1)]
    return torch.cat(parts, -1).clamp(min=0).sqrt()
