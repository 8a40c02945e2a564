"""Train the speech encoder that ships: Whisper tiny.en's, taught to hear what moves a face, in any voice.

    python -m ptalker_blender.core.train.speech --data DATA --fits FITS --out RUN --minutes 40 [--source FOLDER]
Three things at once, on degraded speech in changed voices: the phone of every frame (five languages), what the lower
face does (tracked, or the neutral teacher's), and features near the original encoder's of the *plain* sound in the
speaker's own voice (distillation), so that what it knew of real voices is not forgotten.
RUN/speech_encoder is a transformers folder (WhisperEncoder, float16); ``corpus --speech-encoder`` takes it.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

import numpy as np
import soundfile as sf
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from .. import SAMPLE_RATE
from ..channels import LOWER_FACE
from ..data.corpus import original_encoder
from ..data.sounds import PHONE, PHONES, UNKNOWN, Sounds, group, labels
from ..data.windows import Clip, Segment, read_clips
from ..speech import HOP, WINDOW, SpeechEncoder
from .loop import LoopSettings, fit

SHARE = {"grid": 0.25, "speech": 0.33, "synthetic": 0.2, "foreign": 0.15, "quiet": 0.04}
WEIGHTS = {"phone": 1.0, "face": 1.0, "distil": 2.0}
FACE = 0.05  # channel weights' usual size: errors are counted in it
GAIN = 20.0  # the probe starts from nothing and must learn faster than the encoder, at one rate
CONTEXT = 11  # features, 0.22 s


class Probe(nn.Module):
    """What training asks of features [B, N, C]: phones [B, N, P] frame by frame, lower face [B, N, K'] with context."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.phone = nn.Linear(channels, len(PHONES))
        self.face = nn.Linear(channels, 128)
        self.context = nn.Conv1d(128, len(LOWER_FACE), CONTEXT, padding=CONTEXT // 2)
        for p in self.parameters():
            nn.init.zeros_(p) if p.ndim == 1 else nn.init.normal_(p, std=p[0].numel() ** -0.5 / GAIN)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        face = F.gelu(GAIN * self.face(features)).transpose(1, 2)
        return GAIN * self.phone(features), GAIN * self.context(face).transpose(1, 2)


def mask_bands(mel: Tensor, rng: np.random.Generator) -> Tensor:
    """SpecAugment's frequency masks (Park et al. 2019): mel [B, 80, n], in each clip up to two bands at their mean."""
    mel = mel.clone()
    for clip in mel:
        for _ in range(int(rng.integers(0, 3))):
            width = int(rng.integers(2, 12))
            at = int(rng.integers(0, len(clip) - width))
            clip[at : at + width] = clip[at : at + width].mean()
    return mel


class SpeechTask:
    """Trains ``encoder`` (a Whisper backbone) with a ``probe``; see train/loop.py for what a task is."""

    def __init__(self, source: Path | str, original: Path | str, data: Path, fits: Path, size: int = 6, most: int = 64) -> None:
        """source: the folder to go on from; original: the one that features stay near to; size: windows a batch;
        most: clips of each kind that are validated on."""
        self.speech = SpeechEncoder.from_folder(source)
        self.original = SpeechEncoder.from_folder(original).requires_grad_(False)
        self.modules: dict[str, nn.Module] = {"encoder": self.speech.backbone, "probe": Probe(self.speech.channels)}
        self.weights = dict(WEIGHTS)
        self.sounds, self.size, self.most = Sounds(data, fits, SHARE), size, most

    def mel(self, audio: np.ndarray) -> Tensor:
        """[B, n] -> [B, 80, n / 160]."""
        found = self.speech.extractor(
            list(audio), sampling_rate=SAMPLE_RATE, return_tensors="pt", padding="longest", truncation=False
        )
        return found.input_features

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """mel of ``size`` windows, plain mel of every second one, phone, z (lower face), mask."""
        some = [self.sounds.draw(rng) for _ in range(self.size)]
        rows = {k: np.stack([w[k] for w in some]) for k in some[0]}
        return {
            "mel": mask_bands(self.mel(rows["heard"]), rng),
            "plain": self.mel(rows["plain"][::2]),
            "phone": torch.from_numpy(rows["phone"]),
            "z": torch.from_numpy(rows["z"][..., list(LOWER_FACE)]),
            "mask": torch.from_numpy(rows["mask"]),
        }

    def losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        b = batch
        states = self.speech.whisper_layers(b["mel"], WINDOW)
        self.original.to(b["mel"].device)
        with torch.no_grad():
            original = self.original.whisper_layers(b["plain"], WINDOW)
        phone, face = self.modules["probe"](torch.cat(states, -1))
        error = (face.float() - b["z"] / FACE).square().mean(-1)
        far = [1 - F.cosine_similarity(s[::2].float(), o.float(), dim=-1).mean() for s, o in zip(states, original, strict=True)]
        return {
            "phone": F.cross_entropy(phone.flatten(0, 1).float(), b["phone"].flatten(), ignore_index=UNKNOWN),
            "face": (error * b["mask"]).sum() / b["mask"].sum().clamp(min=1),
            "distil": torch.stack(far).sum(),
        }

    def validate(self, modules: dict[str, nn.Module]) -> dict[str, float]:
        """Share of sounding frames whose phone is heard, on dev clips of each kind."""
        speech = SpeechEncoder(modules["encoder"], self.speech.extractor, self.speech.kind)
        device = next(speech.parameters()).device
        kinds: dict[str, list[Clip]] = {}
        for c in read_clips(self.sounds.data):
            if c.split != "train":
                kinds.setdefault(c.split if c.kind == "grid" else group(c), []).append(c)
        found = {}
        for kind, clips in kinds.items():
            hits = total = 0
            for c in clips[:: max(1, len(clips) // self.most)]:
                audio = sf.read(self.sounds.data / c.path, dtype="float32")[0][: WINDOW * HOP]
                n = len(audio) // HOP
                wanted = torch.from_numpy(labels([Segment(0, 0.0, len(audio) / SAMPLE_RATE, 1.0)], [c])[:n])
                features = torch.cat(speech.whisper_layers(self.mel(audio[None]).to(device), n), -1)
                heard = modules["probe"](features)[0][0].argmax(-1).cpu()
                counts = (wanted != UNKNOWN) & (wanted != PHONE["sil"])
                hits, total = hits + int((heard == wanted)[counts].sum()), total + int(counts.sum())
            found[kind] = round(hits / max(total, 1), 4)
        return found | {"score": sum(found.values()) / max(len(found), 1)}

    def save(self, modules: dict[str, nn.Module], path: Path, figures: dict[str, float]) -> None:
        """The transformers folder beside ``path``; the probe, which only training needs, in ``path``."""
        half = copy.deepcopy(modules["encoder"]).half()
        half.save_pretrained(path.parent / "speech_encoder")  # type: ignore[operator]
        self.speech.extractor.save_pretrained(path.parent / "speech_encoder")
        save_file(modules["probe"].state_dict(), path, {"phones": " ".join(PHONES)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("data", "fits", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--source", type=Path, default=None, help="encoder to go on from; default: Whisper tiny.en's")
    parser.add_argument("--minutes", type=float, default=40.0)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--every", type=int, default=200)
    parser.add_argument("--amp", default="bf16", help="bf16 is twice as fast on a CPU that has it")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--optimiser", default="adamw", help="adamw or muon")
    parser.add_argument("--size", type=int, default=6, help="windows a batch")
    args = parser.parse_args()
    original = original_encoder(args.data)
    task = SpeechTask(args.source or original, original, args.data, args.fits, args.size)
    settings = LoopSettings(
        steps=100_000, minutes=args.minutes, rate=args.rate, decay=0.01, warmup=80, every=args.every, amp=args.amp,
        threads=args.threads, workers=args.workers, optimiser=args.optimiser,
    )  # fmt: skip
    print(fit(task, settings, args.out, file="probe.safetensors"))


if __name__ == "__main__":
    main()
