"""Lips that nearly meet, meet: the last step from what the network says to weights.

A regression stops a millimetre short of every closure, because its timing is never certain. Gaps below ``NARROW`` are
squeezed towards none, smoothly, by the channels that close lips with the least change. Each frame on its own.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..channels import CHANNELS, LOWER_FACE

NARROW = 0.3  # cm on the ICT head, about 6 % of the mouth's width
ROUNDS = 3  # a channel that reaches 0 or 1 hands what is left to the others
# How readily a channel helps: mouthClose is made for it, the jaw goes along, the corners stay where they are.
WILLING = {"mouthClose": 1.0, "jawOpen": 0.06, "mouthLowerDown": 0.5, "mouthUpperUp": 0.5, "mouthShrug": 0.3, "mouthRoll": 0.5}


class Contact(nn.Module):
    """Weights [..., K] -> weights [..., K]. ``gap`` [K, 2]: inner-lip gap each channel opens, height and depth, cm."""

    gap: Tensor
    willing: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("gap", torch.zeros(len(CHANNELS), 2))  # zero: nothing is known, nothing is done
        willing = torch.zeros(len(CHANNELS))
        for i in LOWER_FACE:
            willing[i] = next((v for k, v in WILLING.items() if CHANNELS[i].startswith(k)), 0.0)
        self.register_buffer("willing", willing, persistent=False)

    def forward(self, z: Tensor) -> Tensor:
        with torch.autocast(z.device.type, enabled=False):  # half precision is too coarse for gaps of tenths of a millimetre
            return self._met(z.float())

    def _met(self, z: Tensor) -> Tensor:
        height = (z @ self.gap[:, 0]).clamp(min=0)
        near = (height / NARROW).clamp(0, 1)
        left = height * near * near * (3 - 2 * near)  # smoothstep: 0 at 0, unchanged from NARROW on
        meets = (1 - left / height.clamp(min=1e-6)).clamp(0, 1)  # how far they meet: depth follows
        for _ in range(ROUNDS):
            now = z @ self.gap
            want = torch.stack([torch.minimum(left, now[..., 0]), now[..., 1] * (1 - meets)], -1) - now  # [..., 2]
            z = (z + self._move(z, want)).clamp(0, 1)
        return z

    def kept(self, z: Tensor, before: Tensor) -> Tensor:
        """z [..., K] after gains, ``before`` [..., K] without them -> z whose lips meet where they met before, the smoother
        the nearer they were, and never cross farther than they did."""
        had, has = before @ self.gap, z @ self.gap
        near = (had[..., :1] / NARROW).clamp(0, 1)
        free = near * near * (3 - 2 * near)  # 0 where the lips met, 1 where they were apart
        goal = free * has + (1 - free) * had
        height = torch.maximum(goal[..., 0], had[..., 0].clamp(max=0))
        goal = torch.stack([height, goal[..., 1]], -1)
        for _ in range(ROUNDS):
            z = (z + self._move(z, goal - z @ self.gap)).clamp(0, 1)
        return z

    def _move(self, z: Tensor, want: Tensor) -> Tensor:
        """The least change of the willing channels that moves the gap by ``want`` [..., 2], where there is room."""
        up = (want[..., None, :] * self.gap).sum(-1) > 0  # [..., K]: this channel would grow
        room = torch.where(up, (1 - z).clamp(0, 0.2), z.clamp(0, 0.2)) / 0.2
        w = self.willing * room
        a = torch.einsum("...k,ki,kj->...ij", w, self.gap, self.gap)
        a = a + 1e-4 * torch.eye(2, dtype=z.dtype, device=z.device)
        return w * (self.gap @ torch.linalg.solve(a, want[..., None]))[..., 0]
