"""PTalker's audio, motion and decoder parts as a task of the training loop (``python -m ptalker_blender.core train``).

A speaker adversary and a reader of styles are trained beside them and not kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import losses
from ..data.motion_set import REFERENCE_FPS, MotionSet, find_shards
from ..data.teacher import TeacherStyle, default_parameters
from ..errors import PTalkerError
from ..mesh.rig import ASSET as RIG
from ..mesh.rig import Rigger
from ..model.config import Config
from ..model.ptalker import PTalker
from ..model.time_attention import resample
from ..speech import RATE
from .heads import Head, LipGap, ict_heads
from .motion_batch import CROP, NO_SPEAKER, MotionBatches
from .motion_heads import motion_heads, tracked
from .perturb import perturbed
from .settings import RunSettings
from .validate import Validation

EDGE = 4  # frames at both ends of a crop that its content knows too little about
ALIGNED = 256  # frames of a batch that the contrastive loss compares
HARDEST = 32  # negatives of each
TOLD = 0.5  # of the windows whose style is known are decoded in the style as it is, not as it is read


@dataclass(frozen=True)
class Places:
    """On one device: ``heads`` that losses are measured on, ``shown`` for the motion encoder to read, the lip gap, and the
    metrics [M, K, K] of ``heads``."""

    heads: list[Head]
    shown: list[Head]
    gap: LipGap
    roots: Tensor


class MotionTask:
    """See train/loop.py's Task. The batch is described in MotionBatches.draw."""

    def __init__(self, settings: RunSettings, data: Path, corpus: Path, fits: Path, init: Path | None = None) -> None:
        """data: the folder with grid_s1, grid_dev, speech, heads; corpus: the shards made of it; fits: of data/fit.py;
        init: a model whose weights are the first ones.

        Raises PTalkerError (shards_missing, shards_broken, fits_missing, data_missing, bad_setting, checkpoint_missing,
        checkpoint_broken, run_differs).
        """
        s = settings.data
        self.settings, self.weights = settings, settings.weights
        names = find_shards(corpus, s.shards, s.passes)
        self.set = MotionSet(data, corpus, fits, names)
        dev = MotionSet(data, corpus, fits, find_shards(corpus, s.dev))
        check(s.real, self.set.real, "real")
        check(s.synthetic, self.set.synthetic, "synthetic")
        if not s.real + s.synthetic:
            raise PTalkerError("bad_setting", "data.real and data.synthetic are both 0.", "Set one of them above 0.")
        told_apart = settings.weights["style_nce"] or settings.weights["style_habits"]
        self.batches = MotionBatches(self.set, s if told_apart else replace(s, style_pairs=0))
        ict = data / "heads" / "ict_facekit.npz"
        if not ict.is_file():
            raise PTalkerError("data_missing", f"There is no '{ict}'.", "It holds the heads that losses are measured on.")
        self.heads, self.gap = ict_heads(ict, s.identities, settings.loop.seed)
        rigger = Rigger.load(RIG) if RIG.is_file() else None  # a model can be trained before there is a rig head
        self.shown_on = motion_heads(ict, s.motion_heads, settings.loop.seed, rigger)
        self.validation = Validation(dev, self.gap, ict)
        self.places: dict[torch.device, Places] = {}
        torch.manual_seed(settings.loop.seed)
        net = PTalker(Config(features=self.set.width, **settings.model))
        if not (net.config.graph or net.config.aligned):
            net.motion.linear.set_places(self.heads[0].graph["pos"])
        self.normalise(net)
        if net.contact is not None:
            net.contact.gap.copy_(torch.from_numpy(default_parameters()[0].gap))
        if init is not None:
            begin_with(net, init)
        width = net.config.width
        adversary = nn.Sequential(nn.Linear(width, 64), nn.SiLU(), nn.Linear(64, len(self.set.voices)))
        self.modules: dict[str, nn.Module] = {"net": net, "adversary": adversary}

    def normalise(self, net: PTalker) -> None:
        """The mean and spread of each feature, from some windows of every shard."""
        some = [np.asarray(f[:: max(1, len(f) // 40)], np.float32).reshape(-1, f.shape[-1]) for f in self.set.features]
        every = np.concatenate(some)
        net.audio.mean.copy_(torch.from_numpy(every.mean(0)))
        net.audio.scale.copy_(torch.from_numpy(1 / (every.std(0) + 1e-3)))

    def on(self, device: torch.device) -> Places:
        """What losses are measured on, on a device."""
        if device not in self.places:
            measured, shown = ([h.to(device) for h in heads] for heads in (self.heads, self.shown_on))
            gap = LipGap(self.gap.rest.to(device), self.gap.basis.to(device))
            self.places[device] = Places(measured, shown, gap, torch.stack([h.root for h in measured]))
        return self.places[device]

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        return self.batches.draw(rng)

    def losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Every term whose weight is not 0, unweighted."""
        b, net, on = batch, self.modules["net"], self.weights
        assert isinstance(net, PTalker)
        places = self.on(b["z"].device)
        head, fps = places.heads[int(b["head"])], float(b["fps"])
        out: dict[str, Tensor] = {}
        audio_times = net.audio.times(torch.arange(b["features"].shape[1], device=b["z"].device) / RATE)
        features = perturbed(b["features"], net.audio.mean, net.audio.scale, self.settings.data.perturb)
        a = net.audio(features)
        style_audio = net.audio.style(features)
        styles = self.styles(net, b, "a")
        style_a = styles[: len(a)]
        use_audio = (b["agree"] > 0) & (torch.rand(len(a), device=a.device) < 0.4)
        style = torch.where(use_audio[:, None], style_audio, style_a)
        if on["style_habits"]:
            told = style_of_habits(b["habits"][: len(a)], style.shape[1])
            use_told = told.isfinite().all(1) & ~use_audio & (torch.rand(len(a), device=a.device) < TOLD)
            style = torch.where(use_told[:, None], told.nan_to_num().to(style.dtype), style)
        z = net.decoder(a, audio_times, style, b["times"])
        touched = net.finish(z.float())  # what is shown; outside of 0..1 the gradient is the unfinished one's
        z = z.float() + (touched - z.float().clamp(0, 1))
        out |= self.geometry(z, b["z"], b["mask"], fps)
        if on["style_nce"] or on["style_habits"]:
            with single(a):
                out |= self.telling(styles.float(), self.styles(net, b, "b").float(), b["habits"], b["distinct"])
        if on["style_agree"]:
            error = (style_audio - style_a.detach()).float().square().mean(-1)
            out["style_agree"] = (error * b["agree"]).sum() / b["agree"].sum().clamp(min=1)
        # a crop, in which the same words are shown in another style
        at, n = int(b["crop"]), int(CROP * fps)
        there, inner = b["times"][at : at + n], slice(at + EDGE, at + n - EDGE)
        if on["restyled"]:
            z_other = net.decoder(a, audio_times, style_a[b["other_row"]], there)[:, EDGE : n - EDGE].float()
            with single(a):
                out["restyled"] = losses.vertex_loss(z_other, b["other"][:, inner], places.roots, b["mask"][:, inner])
        contents = [a]
        if any(on[k] for k in ("contrastive", "kl", "content_same", "content_decode", "independence", "adversary")):
            crop = slice(at, at + n, 2)  # motion content is taken at half the frame rate
            m, _ = net.motion(head.seen(b["z"][:, crop]), fps / 2)
            contents.append(m)
            with single(a):
                a_there = resample(a.float(), audio_times, b["times"][crop])
                out |= self.alignment(a_there, m.float(), b["mask"][:, crop])
            if on["content_same"]:
                same, _ = net.motion(head.seen(b["other"][:, crop]), fps / 2)
                apart = 1 - F.cosine_similarity(m.float(), same.float(), dim=-1)
                out["content_same"] = losses.masked_mean(apart, b["mask"][:, crop])
            if on["content_decode"]:
                # cross-reconstruction: this content, another style's rendition, from motion alone
                z_cross = net.decoder(m, b["times"][crop], style_a[b["other_row"]], there)
                found = z_cross[:, EDGE : n - EDGE].float()
                with single(a):
                    out["content_decode"] = losses.vertex_loss(found, b["other"][:, inner], places.roots, b["mask"][:, inner])
        with single(a):
            return out | self.separation(style_a.float(), [c.float().mean(1) for c in contents], b["speaker"])

    def styles(self, net: PTalker, b: dict[str, Tensor], side: str) -> Tensor:
        """The styles [B + P, s] of the batch's references of one ``side``, "a" or "b", each half of them on another head."""
        shown, motion, fps = self.on(b["z"].device).shown, b[f"ref_{side}"], float(b[f"fps_{side}"])
        n = len(motion)
        order = torch.arange(n, device=motion.device)
        order = order if side == "a" else torch.cat([order[::2], order[1::2]])
        found = []
        for i, rows in enumerate(order.chunk(2)):
            head = shown[int(b[f"head_{side}{i}"])]
            found.append(net.motion(tracked(head.seen(motion[rows])), fps)[1])
        return torch.cat(found)[order.argsort()]

    def telling(self, a: Tensor, b: Tensor, habits: Tensor, distinct: Tensor) -> dict[str, Tensor]:
        """Styles a and b [n, s] of the same people in other words on other heads: they are told from the others', and what is
        known of them, ``habits`` [n, TOLD] (NaN: unknown), are the first numbers of each."""
        out = {}
        if self.weights["style_nce"] and len(distinct) > 1:
            out["style_nce"] = losses.info_nce(a[distinct], b[distinct])
        if self.weights["style_habits"]:
            out["style_habits"] = 0.5 * (habits_loss(a, habits) + habits_loss(b, habits))
        return out

    def geometry(self, z: Tensor, target: Tensor, mask: Tensor, fps: float) -> dict[str, Tensor]:
        """What the decoded weights z [B, T, K] do to the heads, in single precision."""
        lips, roots = self.on(z.device).gap, self.on(z.device).roots
        with single(z):
            gap, gap_target = lips(z), lips(target)
            return {
                "vertex": losses.vertex_loss(z, target, roots, mask),
                "velocity": losses.velocity_loss(z, target, roots, mask, fps),
                "channel": losses.masked_mean((z - target).square().mean(-1), mask),
                "gap": losses.gap_loss(gap, gap_target, mask, 0.3),
                "correlation": losses.correlation_loss(gap, gap_target, (mask > 0.5).float()),
                "outside": (F.relu(-z).square() + F.relu(z - 1).square()).mean(),
            }

    def alignment(self, a: Tensor, m: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Audio content a and motion content m [B, T, d] of the same instants, mask [B, T]."""
        out = {}
        if self.weights["contrastive"]:
            known = torch.nonzero((mask > 0.5).flatten())[:, 0]
            pick = known[torch.randperm(len(known), device=a.device)[:ALIGNED]]
            if len(pick) > 1:
                x, y = (c.flatten(0, 1)[pick] for c in (a, m))
                out["contrastive"] = losses.contrastive_loss(x, y, HARDEST)
        if self.weights["kl"]:
            out["kl"] = losses.gaussian_kl(a, m)
        return out

    def separation(self, style: Tensor, contents: list[Tensor], speaker: Tensor) -> dict[str, Tensor]:
        """Style [B, s] and clip means of contents [B, d] know nothing of each other, contents nothing of who speaks."""
        out = {}
        if self.weights["independence"] and len(style) > 1:
            terms = [losses.orthogonality(style, c) for c in contents]
            out["independence"] = torch.stack(terms).sum()
        if self.weights["adversary"]:
            guess = self.modules["adversary"](losses.reverse_gradient(torch.cat(contents)))
            who = speaker.repeat(len(contents))
            lost = F.cross_entropy(guess, who, ignore_index=NO_SPEAKER, reduction="sum")
            out["adversary"] = lost / (who != NO_SPEAKER).sum().clamp(min=1)
        return out

    def validate(self, modules: dict[str, nn.Module]) -> dict[str, float]:
        net = modules["net"]
        assert isinstance(net, PTalker)
        self.set_styles(net)
        return self.validation(net, net.styles["neutral"], net.styles["teacher"])

    def save(self, modules: dict[str, nn.Module], path: Path, figures: dict[str, float]) -> None:
        net = modules["net"]
        assert isinstance(net, PTalker)
        self.set_styles(net)
        net.save(path, {"figures": figures, "recipe": self.settings.to_dict()})

    def set_styles(self, net: PTalker) -> None:
        head = self.on(net.audio.mean.device).heads[0]
        set_styles(net, self.set, head, self.settings.loop.seed, "natural" if self.settings.data.real else "teacher")


@torch.no_grad()
def set_styles(net: PTalker, windows: MotionSet, head: Head, seed: int, neutral: str | None, count: int = 64) -> None:
    """The styles of a model as its motion encoder reads them on ``head``: the mean of the real tracks ("natural") and of the
    teacher at rest ("teacher"). "neutral" is the one of these that is named: the real speaker's; the teacher's where training
    saw no real data. Where ``neutral`` is None it stays: the decoder knows it by the numbers that it was trained with."""
    rng = np.random.default_rng(seed)
    for name, style in (("natural", None), ("teacher", TeacherStyle.neutral())):
        z = np.stack([windows.reference(rng, style) for _ in range(count)])
        net.styles[name] = head.style(net, z, REFERENCE_FPS).mean(0)
    if neutral is not None:
        net.styles["neutral"] = net.styles[neutral].clone()


def style_of_habits(habits: Tensor, size: int) -> Tensor:
    """What is known of people (TeacherStyle.told) [n, TOLD] -> the style [n, size] that says it, as much as there is room for;
    the rest of it is 0. NaN where unknown."""
    told = habits[:, :size]
    return F.pad(told, (0, size - told.shape[1]))


def habits_loss(style: Tensor, habits: Tensor) -> Tensor:
    """Of styles [n, s], whose first numbers are to be ``habits`` [n, TOLD] (TeacherStyle.told; NaN: unknown)."""
    wanted = habits[:, : style.shape[1]]
    known = wanted.isfinite().all(1).float()
    error = (style[:, : wanted.shape[1]] - wanted.nan_to_num()).square().mean(1)
    return (error * known).sum() / known.sum().clamp(min=1)


def single(x: Tensor) -> torch.autocast:
    """Single precision on x's device: similarities and squares of small errors do not bear half."""
    return torch.autocast(x.device.type, enabled=False)


def begin_with(net: PTalker, path: Path) -> None:
    """Put a saved model's weights into a net of the same sizes; its statistics of the features, too.

    Raises PTalkerError (checkpoint_missing, checkpoint_broken, run_differs)."""
    saved, _ = PTalker.load(path)
    sizes = (replace(n.config, dropout=0.0) for n in (saved, net))
    if len(set(sizes)) > 1:
        raise PTalkerError("run_differs", f"'{path}' is a model of other sizes.", "Set [model] as it was trained.")
    net.load_state_dict(saved.state_dict())


def check(wanted: int, windows: list[int], kind: str) -> None:
    """Raises PTalkerError shards_missing where windows are wanted and there are none."""
    if wanted and not windows:
        raise PTalkerError("shards_missing", f"The shards have no {kind} windows.", f"Set data.{kind} to 0, or add some.")
