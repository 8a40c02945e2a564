"""Clips made into lessons, and the style that is read from them and comes nearest to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .clips import Clip
from .compare import told_by_sound
from .errors import PTalkerError
from .lessons import Lesson, Shown, lesson_of
from .personal import Personal
from .reference import likened, style_of_motion
from .runtime import PTalker


@dataclass(frozen=True)
class Prepared:
    """``start`` [s + l]: the style that comes nearest to what is learned of the lessons; ``personal``: what it does not say,
    None where sound and motion hardly belong together."""

    lessons: list[Lesson]
    start: Tensor
    personal: Personal | None


def prepare(
    model: PTalker, clips: Sequence[Clip], tell: Callable[[str, float], None], cancelled: Callable[[], bool] | None
) -> Prepared:
    """Raises PTalkerError (option_invalid, face_not_found, reference_short, reference_silent, reference_still), Cancelled."""
    if not clips:
        raise PTalkerError("option_invalid", "There is no clip to learn from.")
    lessons, vectors, shown = [], [], None
    for i, clip in enumerate(clips):
        tell("reading the clip", i / len(clips))
        if shown is None or not _same_mesh(clip, clips[i - 1]):
            shown = Shown.of(model, clip, cancelled)
        lesson = lesson_of(model, clip, shown, cancelled)
        part, taught = style_of_motion(model, clip.part(lesson.learned), shown.reader, cancelled), lesson.taught
        vector = likened(model, part.vector, taught.target.cpu().numpy(), lesson.fps, clip.rest is not None)
        lessons.append(lesson)
        vectors.append(vector * lesson.learned)
    start = torch.stack(vectors).sum(0) / sum(x.learned for x in lessons)
    rest_known = all(clip.rest is not None for clip in clips)
    told = told_by_sound(model, [x.taught for x in lessons], start, rest_known, cancelled)
    return Prepared(lessons, *told) if told else Prepared(lessons, start.to(model.device), None)


def _same_mesh(a: Clip, b: Clip) -> bool:
    """Of different rests, or of none, a mesh is made ready again: nobody can know that it is the same."""
    if a.rest is None or b.rest is None or a.rest.shape != b.rest.shape or a.faces.shape != b.faces.shape:
        return False
    return bool((a.rest == b.rest).all() and (a.faces == b.faces).all())
