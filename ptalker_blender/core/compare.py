"""What the model makes of a reference's sound against what the reference shows: the style that comes nearest (core/refine.py),
and what is personal beyond that (core/personal.py)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from .channels import UPPER_FACE
from .clips import Clip
from .lessons import STEP, Lesson, content_of
from .personal import TOGETHER, Personal, agreement, personal_of
from .refine import Example, refined

if TYPE_CHECKING:
    from .runtime import PTalker


def told_by_sound(
    model: PTalker, clip: Clip, seen: np.ndarray, root: Tensor, style: Tensor, cancelled: Callable[[], bool] | None = None
) -> tuple[Tensor, Personal] | None:
    """``clip`` with its sound; ``seen`` [T, K] the weights that its motion is made of; root [K, K] of its mesh
    (losses.factor, cm); style [s] as it was read from its motion -> the style, and what is personal. None where sound and
    motion hardly belong together. Raises Cancelled."""
    assert clip.audio is not None
    content, known = content_of(model, clip.audio, cancelled), clip.rest is not None
    if _apart(model, animated(model, content, style, clip.frames, clip.fps), seen):
        return None
    target = torch.from_numpy(seen).float().to(model.device)
    target[:, UPPER_FACE] = 0.0
    example = Example(content, target, clip.fps, root.to(model.device))
    style = refined(model, [example], style.to(model.device), known, cancelled)
    made = animated(model, content, style, clip.frames, clip.fps)
    return style.cpu(), personal_of(made, seen, clip.fps, known)


def personal_of_lessons(
    model: PTalker, lessons: Sequence[Lesson], style: Tensor, fps: float, rest_known: bool
) -> Personal | None:
    """Of what is learned of all clips, compared at ``fps``, in the style that was read; on the model's device."""
    made, seen = [], []
    for lesson in lessons:
        frames = int(lesson.learned * fps)
        made.append(animated(model, lesson.content, style, frames, fps))
        seen.append(lesson.at(torch.arange(frames, device=lesson.target.device) / fps).cpu().numpy())
    ours, theirs = np.concatenate(made), np.concatenate(seen)
    return None if _apart(model, ours, theirs) else personal_of(ours, theirs, fps, rest_known).to(model.device)


@torch.no_grad()
def animated(model: PTalker, content: Tensor, style: Tensor, frames: int, fps: float) -> np.ndarray:
    """content [N, d] in a style [s] -> finished weights [frames, K]."""
    heard = (torch.arange(len(content), device=content.device) + 0.25) * STEP
    times = torch.arange(frames, device=content.device) / fps
    z = model.network.decoder(content[None], heard, style.to(content.device)[None], times)[0]
    return model.network.finish(z.float()).cpu().numpy()


def _apart(model: PTalker, made: np.ndarray, seen: np.ndarray) -> bool:
    """Whether sound and motion hardly belong together."""
    contact = model.network.contact
    return contact is not None and agreement(made, seen, contact) < TOGETHER
