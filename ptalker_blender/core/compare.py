"""What the model makes of a reference's sound against what the reference shows: what is personal (core/personal.py)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from .clips import Clip
from .lessons import STEP, Lesson, content_of
from .personal import TOGETHER, Personal, agreement, personal_of

if TYPE_CHECKING:
    from .runtime import PTalker


def personal_of_clip(
    model: PTalker, clip: Clip, seen: np.ndarray, style: Tensor, cancelled: Callable[[], bool] | None = None
) -> Personal | None:
    """``clip`` with its sound; ``seen`` [T, K] the weights that its motion is made of; style [s] as it was read from it. None
    where sound and motion hardly belong together. Raises Cancelled."""
    assert clip.audio is not None
    content = content_of(model, clip.audio, cancelled)
    made = animated(model, content, style, clip.frames, clip.fps)
    return _found(model, made, seen, clip.fps, clip.rest is not None)


def personal_of_lessons(
    model: PTalker, lessons: Sequence[Lesson], style: Tensor, fps: float, rest_known: bool
) -> Personal | None:
    """Of what is learned of all clips, compared at ``fps``, in the style that was read; on the model's device."""
    made, seen = [], []
    for lesson in lessons:
        frames = int(lesson.learned * fps)
        made.append(animated(model, lesson.content, style, frames, fps))
        seen.append(lesson.at(torch.arange(frames, device=lesson.target.device) / fps).cpu().numpy())
    found = _found(model, np.concatenate(made), np.concatenate(seen), fps, rest_known)
    return None if found is None else found.to(model.device)


@torch.no_grad()
def animated(model: PTalker, content: Tensor, style: Tensor, frames: int, fps: float) -> np.ndarray:
    """content [N, d] in a style [s] -> finished weights [frames, K]."""
    heard = (torch.arange(len(content), device=content.device) + 0.25) * STEP
    times = torch.arange(frames, device=content.device) / fps
    z = model.network.decoder(content[None], heard, style.to(content.device)[None], times)[0]
    return model.network.finish(z.float()).cpu().numpy()


def _found(model: PTalker, made: np.ndarray, seen: np.ndarray, fps: float, rest_known: bool) -> Personal | None:
    contact = model.network.contact
    if contact is not None and agreement(made, seen, contact) < TOGETHER:
        return None
    return personal_of(made, seen, fps, rest_known)
