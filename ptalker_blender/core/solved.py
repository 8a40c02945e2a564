"""The decoder's last layer, solved for a clip at once: where fine-tuning begins.

The last layer is linear in the decoder's last features, so the change of it that comes nearest to a clip is a ridge
regression of what is left over on these features: some seconds of speech, one small system of equations, and no steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .lessons import STEP, Lesson
from .model.decoder import Decoder

HOLDS = (10.0, 30.0, 100.0, 300.0, 1000.0)  # ridge, in squares of features: frames that are imagined to change nothing
ONE = 3.0  # the constant beside the features, which are normalised: how freely the shift follows
FPS = 25.0


def head_changes(
    decoder: Decoder, lessons: Sequence[Lesson], style: Tensor, finish: Callable[[Tensor], Tensor]
) -> list[dict[str, Tensor]]:
    """Adapters of ``head`` (core/adapters.py), from free to held, that bring a decoder in a style [s] nearest to what is
    learned of the lessons; ``finish`` makes the weights that are shown of what a decoder gives."""
    rows, left = [], []
    seen: list[Tensor] = []
    hook = decoder.norm.register_forward_hook(lambda module, inputs, output: seen.append(output[0].float()))
    try:
        with torch.no_grad():
            for lesson in lessons:
                times = torch.arange(int(lesson.learned * FPS), device=style.device) / FPS
                heard = (torch.arange(len(lesson.content), device=style.device) + 0.25) * STEP
                z = decoder(lesson.content[None], heard, style[None], times)[0]
                rows.append(seen.pop())
                left.append(lesson.at(times) - finish(z.float()))
    finally:
        hook.remove()
    x, y = torch.cat(rows).double(), torch.cat(left).double()
    middle = x.mean(0)
    x = torch.cat([x - middle, torch.full_like(x[:, :1], ONE)], 1)
    out = []
    for hold in HOLDS:
        solved = torch.linalg.solve(x.T @ x + hold * torch.eye(x.shape[1], dtype=x.dtype, device=x.device), x.T @ y)
        weight, shift = solved[:-1].T, ONE * solved[-1]
        u, s, v = torch.linalg.svd(weight, full_matrices=False)
        pair = {"head.a": s[:, None] * v, "head.b": u, "head.c": shift - weight @ middle}
        out.append({k: t.float().contiguous() for k, t in pair.items()})
    return out
