"""The decoder's last layer, solved for a clip at once: where fine-tuning begins.

The last layer is linear in the decoder's last features, so the change of it that comes nearest to a clip is a ridge
regression of what is left over on these features: some seconds of speech, one small system of equations, and no steps. How
far the lips part is one direction of the weights. In that one the change is also held to what others' speech does, or the
clip's words would tell everybody when to open the mouth; the other directions are free.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .lessons import STEP, Lesson
from .model.decoder import Decoder

# ridge, in squares of features: frames that are imagined to change nothing
HOLDS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
ONE = 3.0  # the constant beside the features, which are normalised: how freely the shift follows
KEEP = 100.0  # how much a change of the lip gap counts on others' speech, for each frame of the clip
FPS = 25.0


def head_changes(
    decoder: Decoder, lessons: Sequence[Lesson], style: Tensor, finish: Callable[[Tensor], Tensor],
    other: tuple[Tensor, Tensor, Tensor], gap: Tensor,
) -> list[dict[str, Tensor]]:  # fmt: skip
    """Adapters of ``head`` (core/adapters.py), from free to held, that bring a decoder in a style [s] nearest to what is
    learned of the lessons; ``finish`` makes the weights that are shown of what a decoder gives. ``other``: content [n, N, d] of
    others' speech, its times [N] and those [T] at which it is looked at; gap [K]: what each weight adds to the lip gap."""
    rows, left = [], []
    for lesson in lessons:
        times = torch.arange(int(lesson.learned * FPS), device=style.device) / FPS
        heard = (torch.arange(len(lesson.content), device=style.device) + 0.25) * STEP
        seen, z = features(decoder, lesson.content[None], heard, style, times)
        rows.append(seen[0])
        left.append(lesson.at(times) - finish(z[0].float()))
    x, y = torch.cat(rows).double(), torch.cat(left).double()
    middle = x.mean(0)
    x = torch.cat([x - middle, torch.full_like(x[:, :1], ONE)], 1)
    others = features(decoder, other[0], other[1], style, other[2])[0].double()
    others = (others - others.mean(1, keepdim=True)).flatten(0, 1)  # a shift changes no timing
    square, kept = x.T @ x, torch.zeros(x.shape[1], x.shape[1], dtype=x.dtype, device=x.device)
    kept[:-1, :-1] = others.T @ others * (KEEP * len(x) / len(others))
    opens = (gap / gap.norm()).double()
    out = []
    for hold in HOLDS:
        ridge = square + hold * torch.eye(len(square), dtype=x.dtype, device=x.device)
        free = torch.linalg.solve(ridge, x.T @ (y - torch.outer(y @ opens, opens)))
        solved = free + torch.outer(torch.linalg.solve(ridge + kept, x.T @ (y @ opens)), opens)
        weight, shift = solved[:-1].T, ONE * solved[-1]
        u, s, v = torch.linalg.svd(weight, full_matrices=False)
        pair = {"head.a": s[:, None] * v, "head.b": u, "head.c": shift - weight @ middle}
        out.append({k: t.float().contiguous() for k, t in pair.items()})
    return out


@torch.no_grad()
def features(decoder: Decoder, content: Tensor, heard: Tensor, style: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
    """content [n, N, d] at heard [N] s in a style [s] -> what the last layer sees at times [T] s [n, T, d], and makes of it
    [n, T, K]."""
    seen: list[Tensor] = []
    hook = decoder.norm.register_forward_hook(lambda module, inputs, output: seen.append(output.float()))
    try:
        z = decoder(content, heard, style[None].expand(len(content), -1), times)
    finally:
        hook.remove()
    return seen[0], z
