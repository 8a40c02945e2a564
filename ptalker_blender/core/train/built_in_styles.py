"""Styles that ship with the model, with names that an artist understands.

    python -m ptalker_blender.core.train.built_in_styles --data DATA [--assets FOLDER]
Each is a preset of the teacher's parameters, which are the first numbers of a style (train/motion.py), added to the
model's own neutral style, so that a built-in style is neutral's speaker in another manner and strength 0 is neutral itself.
How the decoder then moves is compared with what the preset asks for; what is missing goes into factors and shifts of the
channels, as a person's does (core/personal.py). Their pictures go into FOLDER/styles.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .. import SAMPLE_RATE
from ..audio import load_audio
from ..compare import animated
from ..data.teacher import TeacherStyle, curves
from ..data.windows import Clip, read_clips
from ..explain import HIDDEN
from ..lessons import content_of
from ..model.ptalker import PTalker
from ..personal import personal_of
from ..preview import preview
from ..runtime import ASSETS
from ..runtime import PTalker as Runtime
from ..styles import NEUTRAL, find
from .motion import style_of_habits
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
HEARD = 16  # sentences in which the decoder is compared with the preset
FPS = 25.0

Phones = Sequence[Sequence]  # [[ipa, start_s, end_s]]


def built_in_styles(network: PTalker) -> dict[str, Tensor]:
    """Name -> vector [s], for a trained network whose neutral style is set."""
    neutral = network.styles[NEUTRAL].cpu()
    habits = torch.from_numpy(np.stack([replace(TeacherStyle(), **preset).told() for preset in PRESETS.values()]))
    told = style_of_habits(habits, len(neutral))
    return {name: neutral + row for name, row in zip(PRESETS, told, strict=True)}


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
        wanted = (neutral + taught(replace(TeacherStyle(), **preset)) - plain).clip(0, 1)
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


def write_previews(model: Runtime, folder: Path) -> None:
    """A picture of every built-in style that artists see, FOLDER/NAME.png."""
    folder.mkdir(exist_ok=True)
    for name in model.network.styles.keys() - set(HIDDEN):
        style = find(name, model.network.styles, model.fingerprint, model.network.personal)
        (folder / f"{name}.png").write_bytes(preview(model, style))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--assets", type=Path, default=ASSETS)
    args = parser.parse_args()
    model = Runtime.load(args.assets, "cpu")
    network = model.network
    made = built_in_styles(network)
    network.personal |= built_in_personal(model, made, spoken(args.data))
    network.styles |= made
    network.to(torch.float16).save(args.assets / "ptalker.safetensors", model.card)
    write_sums(args.assets)
    write_previews(Runtime.load(args.assets, "cpu"), args.assets / "styles")
    print(", ".join(network.styles))


if __name__ == "__main__":
    main()
