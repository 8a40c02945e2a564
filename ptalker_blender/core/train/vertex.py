"""Train PTalker on raw vertices of one topology, VOCASET or BIWI, with channels that are learned: the paper's setting.

    python -m ptalker_blender.core.train.vertex --data FOLDER --out RUN [--steps 6000] [--speech-encoder FOLDER|NAME]
    python -m ptalker_blender.core evaluate FOLDER --assets RUN --report OUT
Resumes from RUN/last.pt. RUN/ptalker.safetensors has all that ``core/vertex_runtime.py`` needs but the speech encoder,
which is copied beside it. docs/vocaset.md says how FOLDER looks.
"""

from __future__ import annotations

import argparse
import copy
import os
import shutil
import sys
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import losses
from ..data import biwi, vocaset
from ..data.vertex_clips import VertexSet, find_set
from ..data.vertex_windows import VertexWindows, cache_features
from ..errors import PTalkerError
from ..evaluate import metrics
from ..model.config import Config
from ..model.free_basis import FreeBasis
from ..model.ptalker import PTalker
from ..model.seen import Seen
from ..model.time_attention import resample
from ..runtime import ASSETS
from ..speech import RATE, SpeechEncoder
from ..vertex_runtime import REFERENCE_FPS, VertexTalker
from .loop import LoopSettings, fit

LAYOUTS = (vocaset.LAYOUT, biwi.LAYOUT)
OTHERS = 4096  # vertices beside the lips that a step is measured on: of a dense mesh a random choice
CROP = 2.0  # s of motion whose content is compared with that of the audio
CHECKED = 24  # validation clips at most


@dataclass(frozen=True)
class Recipe:
    """What a step sees, and the weight of each term of the loss."""

    batch: int = 8
    seconds: float = 4.0
    channels: int = 64  # K
    vertex: float = 1.0
    mouth: float = 1.0
    velocity: float = 5.0
    content_decode: float = 0.5
    contrastive: float = 0.05
    kl: float = 0.02
    style_nce: float = 0.05
    style_agree: float = 0.3
    independence: float = 0.05
    adversary: float = 0.03

    def weights(self) -> dict[str, float]:
        return {k: v for k, v in asdict(self).items() if k not in ("batch", "seconds", "channels")}


class VertexTask:
    """train.loop.Task: the network, its free channels and the adversary on one data set.

    Geometry is measured in units of the lips' RMS displacement, so that weights do not depend on the unit of the data.
    """

    def __init__(self, data: VertexSet, recipe: Recipe, encoder: SpeechEncoder, cache: Path, source: str, seed: int = 1) -> None:
        torch.manual_seed(seed)
        self.data, self.recipe, self.source = data, recipe, source
        for split in ("train", "val"):
            if not data.clips[split]:
                raise PTalkerError("data_missing", f"'{data.folder}' has no sentence of the published {split} split.")
        faces = data.faces()
        clips = data.clips["train"] + data.clips["val"]
        features = cache_features(clips, encoder, cache, recipe.seconds)
        self.train = VertexWindows(data, data.clips["train"], features, recipe.seconds)
        self.val = VertexWindows(data, data.clips["val"], features, recipe.seconds)
        rng = np.random.default_rng(seed)
        template = np.mean([data.templates[s] for s in self.train.subjects], axis=0)
        basis = FreeBasis.learn(self.train.sample(rng), template, faces, recipe.channels, data.lips, data.upper)
        self.pooling, self.unit = basis.pooling(), float(basis.unit)
        self.spread = float(basis.start.square().sum()) / basis.vertices  # mean square displacement of a vertex
        net = PTalker(Config(features=encoder.channels, channels=basis.channels, aligned=0))
        some = np.concatenate([np.asarray(features[c.id][::10], np.float32) for c in data.clips["train"]])
        net.audio.mean.copy_(torch.from_numpy(some.mean(0)))
        net.audio.scale.copy_(torch.from_numpy(1 / (some.std(0) + 1e-3)))
        adversary = nn.Sequential(nn.Linear(net.config.width, 64), nn.SiLU(), nn.Linear(64, len(self.train.subjects)))
        self.modules: dict[str, nn.Module] = {"net": net, "basis": basis, "adversary": adversary}
        self.weights = recipe.weights()
        self.others = np.setdiff1d(np.arange(data.count), data.lips)

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """``which`` [n] names the vertices of ``truth`` [B, T, n, 3]: the lips, then some of the others."""
        train = self.train
        picks = train.choose(rng, self.recipe.batch)
        windows = [train.window(c, rng) for c in picks]
        others = self.others if len(self.others) <= OTHERS else np.sort(rng.choice(self.others, OTHERS, replace=False))
        which = np.concatenate([self.data.lips, others])
        shortest = min(w.known for w in windows)
        crop = min(int(CROP * train.fps), shortest) // 2 * 2
        known = np.array([w.known for w in windows])
        references = [np.stack([self.pooling(train.reference(c.subject, rng, c.id)) for c in picks]) for _ in range(2)]
        arrays = {
            "features": np.stack([w.features for w in windows]).astype(np.float32),
            "truth": np.stack([w.displacements[:, which] for w in windows]) / np.float32(self.unit),
            "nodes": np.stack([self.pooling(w.displacements) for w in windows]),
            "mask": (np.arange(train.frames) < known[:, None]).astype(np.float32),
            "reference_a": references[0],
            "reference_b": references[1],
            "which": which,
            "speaker": np.array([train.subjects.index(c.subject) for c in picks]),
        }
        choices = {"at": int(rng.integers(shortest - crop + 1)), "crop": crop}
        return {k: torch.from_numpy(v) for k, v in arrays.items()} | {k: torch.tensor(v) for k, v in choices.items()}

    def losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Every term, unweighted."""
        net, basis, adversary = (self.modules[k] for k in ("net", "basis", "adversary"))
        assert isinstance(net, PTalker) and isinstance(basis, FreeBasis)
        b, fps, graph = batch, self.train.fps, basis.graph()
        device = b["features"].device
        audio_times = net.audio.times(torch.arange(b["features"].shape[1], device=device) / RATE)
        times = torch.arange(b["truth"].shape[1], device=device) / fps
        a, style_audio = net.audio(b["features"]), net.audio.style(b["features"])
        _, style_a = net.motion(Seen.plain(b["reference_a"], graph), REFERENCE_FPS)
        _, style_b = net.motion(Seen.plain(b["reference_b"], graph), REFERENCE_FPS)
        heard = torch.rand(len(a), 1, device=device) < 0.4  # what generation without a reference has
        z = net.decoder(a, audio_times, torch.where(heard, style_audio, style_a), times)
        out = self.geometry(basis(z, b["which"]), b["truth"], b["mask"])

        # motion content of a crop, at half the frame rate: aligned with audio content at the same instants
        at, n = int(b["at"]), int(b["crop"])
        m, _ = net.motion(Seen.plain(b["nodes"][:, at : at + n : 2], graph), fps / 2)
        crop_times = times[at : at + n : 2]
        there = resample(a, audio_times, crop_times)
        pick = torch.randperm(there.shape[0] * there.shape[1], device=device)[:256]
        out["contrastive"] = losses.contrastive_loss(there.flatten(0, 1)[pick], m.flatten(0, 1)[pick], 32)
        out["kl"] = losses.gaussian_kl(there, m)
        # this motion again, from its content and the style of another sentence
        again = basis(net.decoder(m, crop_times, style_b, times[at : at + n]), b["which"])
        part = b["mask"][:, at : at + n]
        out["content_decode"] = self.geometry(again, b["truth"][:, at : at + n], part)["vertex"]
        different = slice(0, min(len(self.train.subjects), len(a)))  # rows of different subjects, see choose
        out["style_nce"] = losses.info_nce(style_a[different], style_b[different])
        out["style_agree"] = (style_audio - style_a.detach()).square().mean()
        contents = torch.cat([a.mean(1), m.mean(1)])
        out["independence"] = losses.orthogonality(style_a, a.mean(1)) + losses.orthogonality(style_a, m.mean(1))
        out["adversary"] = F.cross_entropy(adversary(losses.reverse_gradient(contents)), b["speaker"].repeat(2))
        return out

    def geometry(self, pred: Tensor, truth: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Squared errors of displacements [B, T, n, 3], lips first, relative to the movement of the training data."""
        lips, all_of = len(self.data.lips), self.data.count
        share = lips / all_of
        error = (pred - truth.to(pred.dtype)).square().sum(-1)  # [B, T, n]
        step = torch.diff(pred - truth.to(pred.dtype), dim=1).square().sum(-1)
        mouth, step_mouth = error[..., :lips].mean(-1), step[..., :lips].mean(-1)
        rest = error[..., lips:].mean(-1) if error.shape[-1] > lips else mouth
        both = mask[:, 1:] * mask[:, :-1]
        return {
            "vertex": losses.masked_mean(share * mouth + (1 - share) * rest, mask) / self.spread,
            "mouth": losses.masked_mean(mouth, mask),
            "velocity": losses.masked_mean(step_mouth, both) * (self.train.fps / 25.0) ** 2,
        }

    def talker(self, modules: dict[str, nn.Module], figures: dict[str, float]) -> VertexTalker:
        """The averaged modules on the CPU, with the style of each training subject and their mean, "neutral"."""
        net, basis = (copy.deepcopy(modules[k]).cpu().eval() for k in ("net", "basis"))
        assert isinstance(net, PTalker) and isinstance(basis, FreeBasis)
        card = {
            "data": self.data.layout.name, "fps": self.data.layout.fps, "speech_encoder": self.source,
            "recipe": asdict(self.recipe), "figures": figures,
        }  # fmt: skip
        templates = {k: v.astype(np.float32) for k, v in self.data.templates.items()}
        talker = VertexTalker(net, basis, templates, card, None)
        for subject in self.train.subjects:
            clips = self.train.by_subject[subject][:8]
            net.styles[subject] = torch.stack(
                [talker.style_of_motion(self.train.displacements(c, slice(None)), self.train.fps) for c in clips]
            ).mean(0)
        net.styles["neutral"] = torch.stack([net.styles[s] for s in self.train.subjects]).mean(0)
        return talker

    def validate(self, modules: dict[str, nn.Module]) -> dict[str, float]:
        """LVE and signed FDD of the validation split as papers print them and MVE, each clip in the style of another of its
        subject.

        "score" is minus the LVE relative to the lips' movement.
        """
        talker = self.talker(modules, {})
        lips, vertices, fdd = [], [], []
        for clip in self.val.clips[:: -(-len(self.val.clips) // CHECKED)]:
            rng = np.random.default_rng(clip.sentence)
            nodes = self.pooling(self.val.reference(clip.subject, rng, clip.id))
            style = talker.style_of_nodes(nodes)
            true, template = clip.vertices(), self.data.templates[clip.subject].astype(np.float32)
            pred = talker.animate(self.val.features[clip.id], self.val.fps, template, style, len(true))
            lips.append(metrics.lip_errors(pred, true, self.data.lips))
            vertices.append(metrics.vertex_errors(pred, true))
            fdd.append(metrics.signed_fdd(pred, true, template, self.data.upper))
        lve = float(np.concatenate(lips).mean())
        mve = float(np.concatenate(vertices).mean())
        unit_lve, unit_fdd = self.data.layout.printed
        return {
            "lve": lve / unit_lve, "fdd_signed": float(np.mean(fdd)) / unit_fdd, "mve_mm": mve * self.data.layout.mm,
            "score": -lve / self.unit**2,
        }  # fmt: skip

    def save(self, modules: dict[str, nn.Module], path: Path, figures: dict[str, float]) -> None:
        self.talker(modules, figures).save(path)


def train(data: Path, out: Path, source: str | None, recipe: Recipe, settings: LoopSettings, cache: Path) -> dict[str, float]:
    """-> figures of the best validation. ``source``: a transformers folder or hub name; None: the shipped encoder."""
    found = find_set(data, LAYOUTS)
    if found.silent:
        print(f"{len(found.silent)} sentences without sound are left out, the first is {found.silent[0]}.", file=sys.stderr)
    folder = Path(source) if source else ASSETS / "speech_encoder"
    encoder = SpeechEncoder.from_folder(folder if folder.is_dir() or not source else source)
    task = VertexTask(found, recipe, encoder, cache, source or "speech_encoder", settings.seed)
    out.mkdir(parents=True, exist_ok=True)
    if folder.is_dir() and int(os.environ.get("RANK", "0")) == 0:
        shutil.copytree(folder, out / "speech_encoder", dirs_exist_ok=True)
    return fit(task, settings, out)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache", type=Path, help="speech features; default: OUT/features")
    parser.add_argument("--speech-encoder", help="transformers folder or hub name; default: the shipped one")
    for field in (*fields(Recipe), *fields(LoopSettings)):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=type(field.default), default=field.default)
    args = parser.parse_args()
    recipe = Recipe(**{f.name: getattr(args, f.name) for f in fields(Recipe)})
    settings = LoopSettings(**{f.name: getattr(args, f.name) for f in fields(LoopSettings)})
    try:
        train(args.data, args.out, args.speech_encoder, recipe, settings, args.cache or args.out / "features")
    except PTalkerError as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
