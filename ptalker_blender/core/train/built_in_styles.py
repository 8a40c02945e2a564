"""Styles that ship with the model, with names that an artist understands.

    python -m ptalker_blender.core.train.built_in_styles --data DATA [--assets FOLDER]
Each is a preset of the teacher's parameters, shown to the trained motion encoder as reference motion of many sentences on
several heads. What is kept is how that differs from the teacher at rest, added to the model's own neutral style, so that
a built-in style is neutral's speaker in another manner and strength 0 is neutral itself.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..channels import UPPER_FACE
from ..data.motion_set import REFERENCE_FPS, REFERENCE_SECONDS
from ..data.teacher import TeacherStyle, curves
from ..data.windows import read_clips
from ..mesh.rig import Rigger
from ..model.ptalker import PTalker
from ..runtime import ASSETS
from ..styles import NEUTRAL
from .heads import Head, ict_heads
from .pack import write_sums

PRESETS: dict[str, dict[str, float]] = {
    "clear": {
        "strength": 1.4, "contrast": 1.4, "jaw": 1.15, "lips": 1.3, "spread": 1.4, "rounding": 1.3, "closure": 0.65,
        "carry_over": 0.8,
    },
    "mumbled": {
        "strength": 0.55, "contrast": 0.65, "jaw": 0.7, "lips": 0.6, "spread": 0.5, "rounding": 0.6, "carry_over": 1.4,
        "anticipation": 1.3, "closure": 0.2,
    },
    "wide smile": {"rest_smile": 0.42, "spread": 1.7, "smile_stretch": 1.0, "cheeks": 0.8, "rounding": 0.8},
    "tight-lipped": {"rest_press": 0.38, "strength": 0.8, "jaw": 0.75, "lips": 0.45, "closure": 0.95, "spread": 0.6},
    "asymmetric": {"asymmetry": 0.33, "sideways": 0.1},
    "whisper": {"strength": 0.85, "jaw": 0.6, "lips": 1.4, "rounding": 1.3, "contrast": 1.2, "closure": 0.15},
    "broadcaster": {
        "strength": 1.15, "contrast": 1.3, "lips": 1.15, "rounding": 1.2, "rest_smile": 0.12, "carry_over": 0.8, "closure": 0.55,
    },
    "frowning": {"rest_frown": 0.33, "upper_share": -0.4, "spread": 0.6},
    "pouting": {"rounding": 1.85, "funnel": 0.5, "spread": 0.4},
    "toothy": {"upper_share": 0.7, "lips": 1.6, "sneer": 2.0, "spread": 1.4},
    "clenched": {"jaw": 0.5, "lips": 1.5, "spread": 1.6, "smile_stretch": 0.1, "strength": 0.9},
    "big jaw": {"jaw": 1.55, "strength": 1.2, "lips": 0.7},
}  # fmt: skip
SENTENCES = 48  # in which each is shown
HEADS = 3

Phones = Sequence[Sequence]  # [[ipa, start_s, end_s]]


@torch.no_grad()
def built_in_styles(network: PTalker, heads: Sequence[Head], sentences: Sequence[Phones]) -> dict[str, Tensor]:
    """Name -> vector [s], for a trained network whose neutral style is set. ``heads``: to show motion on, on the network's
    device; ``sentences``: phones of the corpus."""
    plain = shown(network, heads, sentences, TeacherStyle.neutral())
    neutral = network.styles[NEUTRAL].to(plain)
    return {
        name: (neutral + shown(network, heads, sentences, TeacherStyle(**preset)) - plain).cpu()
        for name, preset in PRESETS.items()
    }


def shown(network: PTalker, heads: Sequence[Head], sentences: Sequence[Phones], style: TeacherStyle) -> Tensor:
    """The mean of what the motion encoder says of a teacher style: [s]."""
    z = np.stack([_reference(phones, style) for phones in sentences])
    device = network.audio.mean.device
    weights = torch.from_numpy(z).float().to(device)
    parts = np.array_split(np.arange(len(weights)), len(heads))
    pairs = zip(heads, parts, strict=True)
    return torch.cat([network.motion(head.seen(weights[part]), REFERENCE_FPS)[1] for head, part in pairs if len(part)]).mean(0)


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--assets", type=Path, default=ASSETS)
    args = parser.parse_args()
    path = args.assets / "ptalker.safetensors"
    network, card = PTalker.load(path)
    heads, _ = ict_heads(args.data / "heads" / "ict_facekit.npz", HEADS - 1, 0, Rigger.load(args.assets / "rig.safetensors"))
    network.styles |= built_in_styles(network, heads, sentences_of(args.data))
    network.to(torch.float16).save(path, card)
    write_sums(args.assets)
    print(", ".join(network.styles))


if __name__ == "__main__":
    main()
