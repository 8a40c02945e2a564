"""A style that was read from motion without its sound, brought nearer to how the reference moves on the whole.

What is said in it nobody knows. But on the whole sentences are much alike: the style is the one in which sentences of others
(assets/other_speech.ogg) give each channel of the mouth the mean and the spread that it has in the reference, held where it
was read (Gauss-Newton on the posterior, as core/refine.py). How much they vary from sentence to sentence says how much a
reference of some seconds can tell.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from .channels import LOWER_FACE
from .errors import Cancelled
from .lessons import STEP, other_content
from .refine import DELTA, FARTHEST

if TYPE_CHECKING:
    from .runtime import PTalker

PIECE, FPS = 4.0, 12.5  # s of a sentence of others, frames a second
EVERY = 2  # sentence: eight of them do
ROUNDS = 2
UNSURE = 0.5  # how far the style may lie from where it was read, standard deviation of each number
FLOOR = 0.03  # weights; found weights are no better than that
ALIKE = 1.0  # by how much means and spreads of channels say the same: so many count as one
SHORTEST = 1.0  # s of speech below which nothing is told
SPEAKING, WITHIN = 0.8, 0.25  # cm/s, how fast lips that speak part and meet; s each way that count with it


@torch.no_grad()
def matched(
    model: PTalker, seen: np.ndarray, fps: float, start: Tensor, rest_known: bool = True,
    cancelled: Callable[[], bool] | None = None,
) -> Tensor:  # fmt: skip
    """seen [T, K]: the weights that a clip's motion is made of, ``fps`` frames a second; start [s + l], as it was read from it ->
    style [s + l], on start's device. Where nobody knows the face at rest, only spreads count. Raises Cancelled, PTalkerError
    ("asset_missing")."""
    shown = torch.from_numpy(seen[np.arange(0, len(seen) - 0.5, fps / FPS).astype(int)]).float().to(model.device)
    spoken = speaks(model, shown[None])[0]
    pieces = float(spoken.sum()) / FPS / PIECE
    if pieces * PIECE < SHORTEST:
        return start
    wanted = whole(shown[None], spoken[None], rest_known)[0]
    content = other_content(model, round(PIECE / STEP), cancelled)[::EVERY]
    style, first, n = start.to(model.device).clone(), start.to(model.device), model.network.config.style
    when = speaks(model, _others(model, content, style[None])[0])
    axes = DELTA * torch.eye(n, len(style), device=style.device)
    for _ in range(ROUNDS):
        made, slopes = whole(_others(model, content, style[None])[0], when, rest_known), []
        for some in (style + axes).split(4):
            if cancelled is not None and cancelled():
                raise Cancelled
            slopes += [(whole(z, when, rest_known).mean(0) - made.mean(0)) / DELTA for z in _others(model, content, some)]
        variance = made.var(0) * (1 / pieces + 1 / len(made)) + FLOOR**2
        slope, left = torch.stack(slopes, 1).double(), (wanted - made.mean(0)).double()
        weight, hold = 1 / (ALIKE * variance.double()), torch.eye(n, dtype=slope.dtype, device=slope.device) / UNSURE**2
        pull = slope.T @ (weight * left) - hold @ (style - first)[:n].double()
        move = torch.linalg.solve(slope.T @ (weight[:, None] * slope) + hold, pull).float()
        style[:n] = first[:n] + (style[:n] + move - first[:n]).clamp(-FARTHEST, FARTHEST)
    return style.to(start.device)


def speaks(model: PTalker, z: Tensor) -> Tensor:
    """z [B, T, K] at FPS -> [B, T], 1 where the lips speak."""
    contact = model.network.contact
    if contact is None:
        return z.new_ones(z.shape[:2])
    gap = z @ contact.gap[:, 0].to(z.device)
    fast = (torch.diff(gap, dim=1, append=gap[:, -1:]).abs() * FPS > SPEAKING).float()
    reach = round(WITHIN * FPS)
    return torch.nn.functional.max_pool1d(fast[:, None], 2 * reach + 1, 1, reach)[:, 0]


def whole(z: Tensor, when: Tensor, rest_known: bool) -> Tensor:
    """Takes z [B, T, K], when they speak [B, T] -> the mean and spread of each lower-face channel [B, 2 C]; the spread alone
    where nobody knows the face at rest."""
    low, share = z[..., list(LOWER_FACE)], when[..., None] / when.sum(1).clamp(min=1)[:, None, None]
    mean = (low * share).sum(1)
    spread = ((low - mean[:, None]).square() * share).sum(1).clamp(min=1e-8).sqrt()
    return torch.cat([mean, spread], 1) if rest_known else spread


def _others(model: PTalker, content: Tensor, styles: Tensor) -> list[Tensor]:
    """Sentences of others, content [n, N, d], in each of the styles [m, s] -> m takes [n, T, K]."""
    net, n = model.network, len(content)
    heard = (torch.arange(content.shape[1], device=content.device) + 0.25) * STEP
    times = torch.arange(int(PIECE * FPS), device=content.device) / FPS
    z = net.decoder(content.repeat(len(styles), 1, 1), heard, styles.repeat_interleave(n, 0), times)
    return list(net.finish(z.float()).split(n))
