"""Teacher styles shown to the motion encoder: the same sentences in each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..channels import UPPER_FACE
from ..data.motion_set import REFERENCE_FPS, REFERENCE_SECONDS
from ..data.teacher import TeacherStyle, curves
from ..data.windows import read_clips
from ..model.ptalker import PTalker
from .heads import Head

SENTENCES = 48  # in which each is shown

Phones = Sequence[Sequence]  # [[ipa, start_s, end_s]]


def shown(network: PTalker, heads: Sequence[Head], sentences: Sequence[Phones], style: TeacherStyle) -> Tensor:
    """The mean of what a model reads of a teacher style: [s + l]."""
    z = np.stack([_reference(phones, style) for phones in sentences])
    pairs = zip(heads, np.array_split(z, len(heads)), strict=True)
    return torch.cat([head.style(network, part, REFERENCE_FPS) for head, part in pairs if len(part)]).mean(0)


def _reference(phones: Phones, style: TeacherStyle) -> np.ndarray:
    """The first seconds of a sentence [24, K], from its first sound on."""
    begin = next((start for phone, start, _ in phones if phone != "sil"), 0.0)
    times = begin - 0.1 + np.arange(round(REFERENCE_SECONDS * REFERENCE_FPS)) / REFERENCE_FPS
    z = curves(phones, times, style)
    z[:, UPPER_FACE] = 0.0
    return z


def sentences_of(data: Path, count: int = SENTENCES) -> list[Phones]:
    """English sentences of the train split that last as long as a reference, one after another where they do not."""
    clips = [c for c in read_clips(data) if c.kind == "speech" and c.split == "train" and c.language == "en"]
    found, said, phones, end = [], set(), [], 0.0
    for clip in clips:
        if clip.sentence in said:
            continue
        said.add(clip.sentence)
        phones += [(p, a + end, b + end) for p, a, b in clip.phones]
        end = phones[-1][2]
        if end > REFERENCE_SECONDS + 0.5:
            found.append(phones)
            phones, end = [], 0.0
        if len(found) == count:
            break
    return found
