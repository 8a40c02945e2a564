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
from .lessons import STEP, Example, content_of
from .personal import TOGETHER, Personal, agreement, personal_of
from .refine import refined

if TYPE_CHECKING:
    from .runtime import PTalker

FPS = 25.0  # at which takes are compared


def told_by_sound(
    model: PTalker, examples: Sequence[Example], style: Tensor, rest_known: bool, cancelled: Callable[[], bool] | None = None
) -> tuple[Tensor, Personal] | None:
    """Takes of one person with their sound; style [s + l] as it was read from their motion -> the style that comes nearest,
    and what is personal beyond it, both on the model's device. None where sound and motion hardly belong together. Raises
    Cancelled."""
    style = style.to(model.device)
    made, seen = _compared(model, examples, style)
    if _apart(model, made, seen):
        return None
    style = refined(model, examples, style, rest_known, cancelled)
    made, seen = _compared(model, examples, style)
    return style, personal_of(made, seen, FPS, rest_known).to(model.device)


def example_of(
    model: PTalker, clip: Clip, seen: np.ndarray, root: Tensor, cancelled: Callable[[], bool] | None = None
) -> Example:
    """``clip`` with its sound; ``seen`` [T, K] the weights that its motion is made of; root [K, K] of its mesh
    (losses.factor, cm). Raises Cancelled."""
    assert clip.audio is not None
    target = torch.from_numpy(seen).float().to(model.device)
    target[:, UPPER_FACE] = 0.0
    return Example(content_of(model, clip.audio, cancelled), target, clip.fps, root.to(model.device))


def _compared(model: PTalker, examples: Sequence[Example], style: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """What the model makes of the sounds in a style, and what is shown with them, one after another: [T, K] at FPS, each."""
    made, seen = [], []
    for e in examples:
        frames = int(len(e.target) / e.fps * FPS)
        made.append(animated(model, e.content, style, frames, FPS))
        seen.append(e.at(torch.arange(frames, device=e.target.device) / FPS).cpu().numpy())
    return np.concatenate(made), np.concatenate(seen)


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
