"""Train how the model hears a style in a voice alone; nothing else of it changes.

    python -m ptalker_blender.core.train.voice --data DATA --model MODEL.safetensors --out OUT.safetensors --cache FOLDER
What a voice says of how a face moves, nobody has measured; but two recordings of one speaker are to give one style, and two
speakers two. So the same speaker's style in other sentences is told from the other speakers' (InfoNCE), and the styles of
all keep to the mean and the spread of styles that are read from motion, which is what the decoder knows.
FOLDER keeps what the speech encoder hears of the voices (data/voices.py), for the next model. OUT may be MODEL.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor, nn

from .. import losses
from ..data.teacher import TeacherStyle
from ..data.voices import TEST, TEST_SECONDS, TRAIN, Take, cache, read_voices
from ..errors import PTalkerError
from ..evaluate.metrics import retrieval
from ..evaluate.style import drawn_pairs
from ..mesh.rig import ASSET as RIG
from ..mesh.rig import Rigger
from ..model.ptalker import PTalker
from ..runtime import ASSETS
from ..speech import RATE, SpeechEncoder
from .built_in_styles import sentences_of, shown
from .heads import ict_heads
from .loop import LoopSettings, fit
from .pack import write_sums

WEIGHTS = {"told_apart": 1.0, "like_motion": 1.0}
TRAINED = ("style_in", "pool", "style_out")  # of AudioEncoder
SPEAKERS = 64  # in a batch, in two takes each
FRAMES = 40  # of a take that are looked at
SHORTEST = 2.0  # s of a take
STYLES, SENTENCES, HEADS = 200, 12, 2  # that the spread of motion's styles is measured on
LEAST = 0.15  # of the largest spread; what varies less is taken to vary so much
BEGIN = 0.5  # of motion's spread: how far apart styles are before training
FAR = 3.5  # spreads, from the mean, that a style may lie away


class Motion(nn.Module):
    """Mean [s], axes [s, s] and spread [s] of the styles that a model reads from motion."""

    def __init__(self, styles: Tensor) -> None:
        """styles [n, s]"""
        super().__init__()
        self.mean, self.axes, self.spread = (nn.Buffer(x) for x in spread(styles))

    def forward(self, styles: Tensor) -> Tensor:
        """How far styles [n, s] of many speakers together leave what motion's are: 0 where they keep to it."""
        x = (styles - self.mean) @ self.axes / self.spread
        beyond = F.relu(x.mean(0).abs() - 0.1).square() + F.relu(x.std(0) - 1).square()
        return beyond.sum() + 0.1 * F.relu(x.norm(dim=-1) - FAR).square().mean()


def spread(styles: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    mean = styles.mean(0)
    values, axes = torch.linalg.eigh((styles - mean).T @ (styles - mean) / len(styles))
    size = values.clamp(min=0).sqrt()
    return mean, axes, size.clamp(min=LEAST * float(size.max()))


@torch.no_grad()
def motion_styles(net: PTalker, data: Path, seed: int, count: int = STYLES) -> Tensor:
    """[count, s]: random teacher styles as ``net`` reads them from motion."""
    rigger = Rigger.load(RIG) if RIG.is_file() else None
    heads, _ = ict_heads(data / "heads" / "ict_facekit.npz", HEADS - 1, seed, rigger)
    sentences, rng = sentences_of(data, SENTENCES), np.random.default_rng(seed)
    return torch.stack([shown(net, heads, sentences, TeacherStyle.sample(rng)) for _ in range(count)]).float()


class VoiceTask:
    """See train/loop.py's Task."""

    def __init__(
        self, net: PTalker, card: dict, folder: Path, motion: Motion, kind: torch.dtype, held_out: Sequence[str] = (),
        fresh: bool = True,
    ) -> None:  # fmt: skip
        """folder: of data/voices.cache; kind: that weights are saved in; held_out: voices to test on and not to train on,
        none: all are trained on, and tested in other sentences; fresh: forget what the branch knows.

        Raises PTalkerError (run_differs, data_missing).
        """
        features, self.takes = read_voices(folder)
        if features.shape[-1] != net.config.features:
            fix = "Make the cache anew with the model's own speech encoder."
            raise PTalkerError("run_differs", f"The voices in '{folder}' were heard with another speech encoder.", fix)
        self.net, self.card, self.motion, self.kind = net, card, motion, kind
        self.features = features
        self.speakers: dict[tuple[str, float], list[int]] = {}
        for i, take in enumerate(self.takes):
            if take.use == TRAIN and take.voice not in held_out:
                self.speakers.setdefault(take.speaker, []).append(i)
        self.speakers = {k: v for k, v in self.speakers.items() if len(v) > 1}
        self.tested = {seconds: tested(self.takes, seconds, held_out) for seconds in TEST_SECONDS}
        if len(self.speakers) < 2 or any(len(rows) < 2 for rows in self.tested.values()):
            raise PTalkerError("data_missing", "There are too few voices.", "Make more speech: see docs/training.md.")
        for name, p in net.audio.named_parameters():
            p.requires_grad_(name.split(".")[0] in TRAINED)
        if fresh:
            begin_anew(net, motion, self.batch(np.random.default_rng(0))["features"])
        self.modules: dict[str, nn.Module] = {"audio": net.audio}
        self.weights = dict(WEIGHTS)

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """features [2 n, FRAMES, C]: two takes of each of n speakers, one after the other."""
        names = sorted(self.speakers)
        chosen = rng.choice(len(names), min(SPEAKERS, len(names)), replace=False)
        rows = [i for n in chosen for i in rng.choice(self.speakers[names[n]], 2, replace=False)]
        return {"features": torch.from_numpy(np.stack([self.some(int(i), rng) for i in rows]))}

    def some(self, i: int, rng: np.random.Generator) -> np.ndarray:
        """FRAMES features, spread over a random part of take i."""
        count = self.takes[i].count
        length = int(rng.integers(min(round(SHORTEST * RATE), count), count + 1))
        first = int(rng.integers(0, count - length + 1))
        at = first + (np.arange(FRAMES) + rng.uniform(0, 1, FRAMES)) * length / FRAMES
        return np.asarray(self.features[i][np.minimum(at.astype(int), count - 1)], np.float32)

    def losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        audio = self.modules["audio"]
        styles = audio.style(batch["features"]).float()  # type: ignore[operator]
        self.motion.to(styles.device)
        return {"told_apart": losses.info_nce(styles[::2], styles[1::2]), "like_motion": self.motion(styles)}

    def validate(self, modules: dict[str, nn.Module]) -> dict[str, float]:
        """Share of speakers that are found by their style in another sentence, among ``voices`` of them; how far the mean
        style lies from motion's, and the spread, against motion's."""
        figures, score, rng = {}, [], np.random.default_rng(0)
        for seconds, rows in self.tested.items():
            styles = np.stack([[self.heard(modules["audio"], i) for i in takes] for takes in rows])
            score.append(float(np.mean([retrieval(s) for s in drawn_pairs(styles, rng)])))
            figures[f"found_{seconds:g}s"] = score[-1]
            middles = torch.from_numpy(styles.mean(1)) - self.motion.mean.cpu()
            total = self.motion.spread.square().sum().sqrt().cpu()
            figures |= {"voices": float(len(rows)), "off": float(middles.mean(0).norm() / total)}
            figures["spread"] = float(middles.std(0).norm() / total)
        return figures | {"score": float(np.mean(score))}

    @torch.no_grad()
    def heard(self, audio: nn.Module, i: int) -> np.ndarray:
        """The style [s] of all that take i says."""
        features = torch.from_numpy(np.asarray(self.features[i][: self.takes[i].count], np.float32))
        device = next(audio.parameters()).device
        return audio.style(features[None].to(device))[0].float().cpu().numpy()  # type: ignore[operator]

    def save(self, modules: dict[str, nn.Module], path: Path, figures: dict[str, float]) -> None:
        """The model as it was but for the branch."""
        state = {k: v.detach().cpu() for k, v in modules["audio"].state_dict().items()}
        whole = copy.deepcopy(self.net).cpu()
        whole.audio.load_state_dict(state)
        whole.to(self.kind).save(path, self.card | {"voice": figures})


def tested(takes: Sequence[Take], seconds: float, held_out: Sequence[str]) -> list[list[int]]:
    """Takes to test on of each voice: of the voices held out, or of all."""
    rows: dict[str, list[int]] = {}
    for i, take in enumerate(takes):
        if take.use == TEST and take.seconds == seconds and (not held_out or take.voice in held_out):
            rows.setdefault(take.voice, []).append(i)
    return list(rows.values())


@torch.no_grad()
def begin_anew(net: PTalker, motion: Motion, features: Tensor) -> None:
    """A branch that knows nothing yet: its styles of ``features`` [n, T, C] lie about motion's mean, half as far apart as
    motion's. What a voice says of a face nobody knows, so the mean is the likeliest style, and far ones are risks."""
    layers = [m for name in TRAINED for m in net.audio.get_submodule(name).modules() if isinstance(m, nn.Linear)]
    for layer in layers:
        layer.reset_parameters()
    last, found = layers[-1], net.audio.eval().style(features)
    scale = BEGIN * motion.spread / found.std(0).clamp(min=1e-6)
    last.weight.copy_(motion.axes @ (scale[:, None] * last.weight))
    last.bias.copy_(motion.mean - motion.axes @ (scale * (found.mean(0) - last.bias)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("data", "model", "out", "cache"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--speech-encoder", type=Path, default=ASSETS / "speech_encoder")
    parser.add_argument("--hold-out", default="", help="voices to test on instead of training on, with commas")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    name = hashlib.sha256((args.speech_encoder / "model.safetensors").read_bytes()).hexdigest()[:16]
    cache(args.data, args.cache, SpeechEncoder.from_folder(args.speech_encoder), args.seed, name)
    net, card = PTalker.load(args.model)
    with safe_open(args.model, framework="pt") as file:
        kind = file.get_tensor("model.audio.style_in.0.weight").dtype
    torch.manual_seed(args.seed)
    motion = Motion(motion_styles(net, args.data, args.seed))
    task = VoiceTask(net, card, args.cache, motion, kind, [v for v in args.hold_out.split(",") if v])
    settings = LoopSettings(
        steps=args.steps, rate=args.rate, warmup=30, ema=0.98, every=100, seed=args.seed, threads=args.threads, device="cpu"
    )
    run = args.out.with_name(f"{args.out.stem}_voice_run")
    figures = fit(task, settings, run, resume=False)
    shutil.copyfile(run / "ptalker.safetensors", args.out)
    if (args.out.parent / "SHA256SUMS").is_file():
        write_sums(args.out.parent)
    print({k: round(v, 4) for k, v in figures.items()})


if __name__ == "__main__":
    main()
