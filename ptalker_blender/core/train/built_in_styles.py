"""Styles that ship with the model, with names that an artist understands.

    python -m ptalker_blender.core.train.built_in_styles --data DATA [--assets FOLDER]
Each is a preset of the teacher's parameters, shown to the trained motion encoder as reference motion of many sentences on
several heads. What is kept is how that differs from the teacher at rest, added to the model's own neutral style, so that
a built-in style is neutral's speaker in another manner and strength 0 is neutral itself. How the decoder then moves is
compared with what the preset asks for; what is missing (a mouth that rests in a smile, most of all) goes into factors and
shifts of the channels, as a person's does (core/personal.py).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .. import SAMPLE_RATE
from ..audio import load_audio
from ..channels import UPPER_FACE
from ..compare import animated
from ..data.motion_set import REFERENCE_FPS, REFERENCE_SECONDS
from ..data.teacher import TeacherStyle, curves
from ..data.windows import Clip, read_clips
from ..lessons import content_of
from ..model.ptalker import PTalker
from ..personal import personal_of
from ..runtime import ASSETS
from ..runtime import PTalker as Runtime
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
HEARD = 16  # sentences in which the decoder is compared with the preset
FPS = 25.0

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


@torch.no_grad()
def built_in_personal(
    model: Runtime, styles: Mapping[str, Tensor], sentences: Sequence[tuple[np.ndarray, Phones]]
) -> dict[str, Tensor]:
    """Name -> what the vector (``styles``) does not say, [2, K]. ``sentences``: sound [n] at 16 kHz and its phones."""
    heard = [(content_of(model, audio), phones, int(len(audio) / SAMPLE_RATE * FPS)) for audio, phones in sentences]

    def made(vector: Tensor) -> np.ndarray:
        return np.concatenate([animated(model, content, vector, frames, FPS) for content, _, frames in heard])

    def taught(style: TeacherStyle) -> np.ndarray:
        return np.concatenate([curves(phones, np.arange(frames) / FPS, style) for _, phones, frames in heard])

    neutral, plain = made(model.network.styles[NEUTRAL]), taught(TeacherStyle.neutral())
    out = {}
    for name, preset in PRESETS.items():
        wanted = (neutral + taught(TeacherStyle(**preset)) - plain).clip(0, 1)
        out[name] = personal_of(made(styles[name]), wanted, FPS).tensor()
    return out


def spoken(data: Path, count: int = HEARD) -> list[tuple[np.ndarray, Phones]]:
    """English sentences of the train split, as many voices as there are, with their sound."""
    clips = [c for c in read_clips(data) if c.kind == "speech" and c.split == "train" and c.language == "en"]
    by_voice: dict[str, list[Clip]] = {}
    for clip in clips:
        by_voice.setdefault(clip.voice, []).append(clip)
    voices = [by_voice[v] for v in sorted(by_voice)]
    chosen = [said[(7 * i) % len(said)] for i, said in enumerate(voices * count)]
    return [(load_audio(data / c.path), c.phones) for c in chosen[:count]]


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
    model = Runtime.load(args.assets, "cpu")
    network = model.network
    heads, _ = ict_heads(args.data / "heads" / "ict_facekit.npz", HEADS - 1, 0, model.rigger)
    made = built_in_styles(network, heads, sentences_of(args.data))
    network.personal |= built_in_personal(model, made, spoken(args.data))
    network.styles |= made
    network.to(torch.float16).save(args.assets / "ptalker.safetensors", model.card)
    write_sums(args.assets)
    print(", ".join(network.styles))


if __name__ == "__main__":
    main()
