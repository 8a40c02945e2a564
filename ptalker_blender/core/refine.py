"""A style that was read from motion, brought nearer to a reference that has its sound.

Reading sees how a face moves, not what is said. With the sound the model can be asked: the style is the one whose animation
of the same words comes nearest to the reference, held where it was read (Gauss-Newton on the posterior; Bishop 2006, 3.3 and
4.4). Its numbers are few and the decoder is smooth in them, so the slopes are differences of a batch of styles.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .errors import Cancelled
from .lessons import STEP, Example

if TYPE_CHECKING:
    from .runtime import PTalker

ROUNDS = 4
DELTA = 0.05  # between two styles of which the slope is taken; one spread over people is about 1
UNSURE = 0.7  # how far the style may lie from where it was read, standard deviation of each number
FLOOR = 0.004  # cm, of what is left over: no fit is better than that
LASTS = 1.0  # s for which what is left over stays the same way: so much counts as seen once
LONGEST, FPS = 20.0, 25.0  # s of a clip, and frames a second, that are looked at
FARTHEST = 3.0  # no number of a style moves farther


@torch.no_grad()
def refined(
    model: PTalker, examples: Sequence[Example], start: Tensor, rest_known: bool = True,
    cancelled: Callable[[], bool] | None = None,
) -> Tensor:  # fmt: skip
    """start [s + l], as it was read -> style [s + l], on start's device. Where nobody knows the face at rest, only what moves
    counts. What the decoder does not ask for stays. Raises Cancelled."""
    style, n = start.clone(), model.network.config.style
    shown = [_picked(e) for e in examples]
    for _ in range(ROUNDS):
        if cancelled is not None and cancelled():
            raise Cancelled
        parts = [_normal(model, e, times, style, rest_known) for e, times in shown]
        slopes, pull = (torch.stack(x).sum(0) for x in zip(*parts, strict=True))
        hold = torch.eye(n, dtype=slopes.dtype, device=slopes.device) / UNSURE**2
        move = torch.linalg.solve(slopes + hold, pull - hold @ (style - start)[:n].double())
        style[:n] = start[:n] + (style[:n] + move.float() - start[:n]).clamp(-FARTHEST, FARTHEST)
    return style


def _picked(e: Example) -> tuple[Example, Tensor]:
    """What is looked at of an example, FPS frames a second or little more, and the times [n] s of these frames."""
    every = max(1, round(e.fps / FPS))
    target, fps = e.target[: int(LONGEST * e.fps) : every], e.fps / every
    return Example(e.content, target, fps, e.root), torch.arange(len(target), device=target.device) / fps


def _normal(model: PTalker, e: Example, times: Tensor, style: Tensor, rest_known: bool) -> tuple[Tensor, Tensor]:
    """What an example says: J^T W J [s, s] and J^T W (what is left over) [s]."""
    net, n = model.network, model.network.config.style
    asked = torch.cat([style[None], style + DELTA * torch.eye(n, len(style), device=style.device)])
    heard = (torch.arange(len(e.content), device=style.device) + 0.25) * STEP
    z = torch.cat([
        net.finish(net.decoder(e.content.expand(len(s), -1, -1), heard, s, times).float()) for s in asked.split(11)
    ])  # fmt: skip
    moved = (z @ e.root.T).double()
    left = (e.target[: len(times)] @ e.root.T).double() - moved[0]
    slope = (moved[1:] - moved[0]) / DELTA
    if not rest_known:
        left, slope = left - left.mean(0), slope - slope.mean(1, keepdim=True)
    weight = 1 / ((left.square().mean(0) + FLOOR**2) * LASTS * e.fps)
    return torch.einsum("atk,k,btk->ab", slope, weight, slope), torch.einsum("atk,k,tk->a", slope, weight, left)
