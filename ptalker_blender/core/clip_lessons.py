"""Clips made into lessons, and the style that is read from them and comes nearest to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .clips import Clip
from .errors import PTalkerError
from .lessons import Lesson, Shown, lesson_of
from .reference import style_of_motion
from .refine import Example, refined
from .runtime import PTalker


def prepare(
    model: PTalker, clips: Sequence[Clip], tell: Callable[[str, float], None], cancelled: Callable[[], bool] | None
) -> tuple[list[Lesson], Tensor]:
    """-> lessons, and the style [s] that is read from what is learned of them."""
    if not clips:
        raise PTalkerError("option_invalid", "There is no clip to learn from.")
    lessons, vectors, shown = [], [], None
    for i, clip in enumerate(clips):
        tell("reading the clip", i / len(clips))
        if shown is None or not _same_mesh(clip, clips[i - 1]):
            shown = Shown.of(model, clip, cancelled)
        lesson = lesson_of(model, clip, shown, cancelled)
        part = style_of_motion(model, clip.part(lesson.learned), shown.reader, cancelled)
        lessons.append(lesson)
        vectors.append(part.vector * lesson.learned)
    start = (torch.stack(vectors).sum(0) / sum(x.learned for x in lessons)).to(model.device)
    examples = [Example(x.content, x.target[: int(x.learned * x.fps)], x.fps, x.root) for x in lessons]
    return lessons, refined(model, examples, start, all(clip.rest is not None for clip in clips), cancelled)


def _same_mesh(a: Clip, b: Clip) -> bool:
    """Of different rests, or of none, a mesh is made ready again: nobody can know that it is the same."""
    if a.rest is None or b.rest is None or a.rest.shape != b.rest.shape or a.faces.shape != b.faces.shape:
        return False
    return bool((a.rest == b.rest).all() and (a.faces == b.faces).all())
