"""Train PTalker's audio, motion and decoder parts.

    python -m ptalker_blender.core.data.fit --data DATA --out FITS
    python -m ptalker_blender.core.data.windows --data DATA --cache CACHE
    python -m ptalker_blender.core.train.motion --data DATA --fits FITS --cache CACHE --out RUN
Resumes from RUN/last.pt. Writes RUN/ptalker.safetensors at every best validation and RUN/log.jsonl.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import losses
from ..data.motion_set import REFERENCE_FPS, MotionSet
from ..data.teacher import TeacherStyle
from ..model.config import Config
from ..model.ptalker import PTalker
from ..model.time_attention import resample
from ..speech import RATE, WINDOW
from .heads import ict_heads
from .validate import validate


@dataclass
class Recipe:
    """What is trained, on how much, with which weights."""

    steps: int = 4000
    minutes: float = 0.0  # above 0: the schedule ends after this much training time, if that comes before `steps`
    real: int = 4  # windows a batch
    synthetic: int = 6
    seconds: float = 5.0  # of each window, a random part
    rate: float = 1.5e-3
    decay: float = 0.05
    warmup: int = 60
    ema: float = 0.995
    seed: int = 1
    identities: int = 3
    vertex: float = 5.0
    velocity: float = 10.0
    channel: float = 20.0
    gap: float = 0.6
    correlation: float = 0.3
    contrastive: float = 0.05
    kl: float = 0.02
    style_nce: float = 0.05
    style_agree: float = 0.3
    independence: float = 0.05
    adversary: float = 0.03
    content_decode: float = 0.4  # cross-reconstruction from motion content
    outside: float = 1.0  # weights below 0 or above 1
    passes: int = 3


class Trainer:
    """Holds the network, its training-only parts and the data; ``step`` is one update."""

    def __init__(self, recipe: Recipe, data: Path, fits: Path, cache: Path) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.rng = recipe, np.random.default_rng(recipe.seed)
        names = [n for p in range(recipe.passes) for n in (f"real_{p}", f"speech_{p}")] + ["quiet"]
        names = [n for n in names if (cache / f"{n}.jsonl").exists()]
        self.set = MotionSet(data, cache, fits, names)
        self.dev = MotionSet(data, cache, fits, ["dev_real", "dev_speech"])
        self.net = PTalker(Config(features=self.set.features[0].shape[-1]))
        self.set_normalisation()
        c = self.net.config
        self.speaker = {v: i for i, v in enumerate(self.set.voices)}
        self.adversary = nn.Sequential(nn.Linear(c.width, 64), nn.SiLU(), nn.Linear(64, len(self.speaker)))
        self.heads, self.gap = ict_heads(data / "heads" / "ict_facekit.npz", recipe.identities, recipe.seed)
        self.roots = torch.stack([h.root for h in self.heads])
        self.average = copy.deepcopy(self.net).eval()
        parts = [*self.net.parameters(), *self.adversary.parameters()]
        self.optimiser = torch.optim.AdamW(parts, recipe.rate, betas=(0.9, 0.98), weight_decay=recipe.decay)
        self.done, self.spent, self.best = 0, 0.0, -1.0  # steps, seconds, validation score

    def set_normalisation(self) -> None:
        some = np.concatenate(
            [np.asarray(f[:: max(1, len(f) // 40)], np.float32).reshape(-1, f.shape[-1]) for f in self.set.features]
        )
        self.net.audio.mean.copy_(torch.from_numpy(some.mean(0)))
        self.net.audio.scale.copy_(torch.from_numpy(1 / (some.std(0) + 1e-3)))

    def batch(self) -> dict[str, Tensor]:
        """One batch at one random frame rate and phase. Styles: None is the real speaker's own."""
        r, rng = self.recipe, self.rng
        fps = float(rng.choice([24.0, 25.0, 25.0, 30.0]))
        first = int(rng.integers(0, WINDOW - int(r.seconds * RATE) + 1)) // 2 * 2
        heard = slice(first, first + int(r.seconds * RATE) // 2 * 2)
        times = np.arange(int((r.seconds - 0.1) * fps)) / fps + rng.uniform(0, 1 / fps) + first / RATE
        picks = [int(i) for i in rng.choice(self.set.real, r.real)]
        if r.synthetic:
            quiet = [int(rng.choice(self.set.quiet))] if self.set.quiet and rng.random() < 0.7 else []
            picks += quiet + [int(i) for i in rng.choice(self.set.synthetic, r.synthetic - len(quiet))]
        rows: dict[str, list] = {
            k: [] for k in ("features", "z", "mask", "ref_a", "ref_b", "other", "agree", "speaker")
        }
        styles, agrees = [], []
        for i in picks:
            kind = 3 if i in self.set.real_set else int(rng.choice(3, p=[0.3, 0.25, 0.45]))
            home = self.set.home[self.set.windows[i].voice]
            styles.append((TeacherStyle.neutral(), home, TeacherStyle.sample(rng), None)[kind])
            agrees.append(float(kind in (1, 3)))
        for n, i in enumerate(picks):
            w, style, agree = self.set.windows[i], styles[n], agrees[n]
            z, mask = self.set.target(i, times, style)
            # the same words in the style of the next synthetic row (real tracks exist in one style only)
            other = style if style is None else styles[n + 1 if n + 1 < len(picks) else r.real]
            z_other = z if other is None else self.set.target(i, times, other)[0]
            rows["features"].append(self.set.hear(i)[heard])
            rows["z"].append(z)
            rows["mask"].append(mask)
            rows["other"].append(z_other)
            rows["ref_a"].append(self.set.reference(rng, style))
            rows["ref_b"].append(self.set.reference(rng, style))
            rows["agree"].append(agree)
            rows["speaker"].append(self.speaker[w.voice])
        out = {k: torch.from_numpy(np.stack(v)).float() for k, v in rows.items() if k != "speaker"}
        out["speaker"] = torch.tensor(rows["speaker"])
        out["times"] = torch.from_numpy(times - first / RATE).float()
        return out

    def losses(self, b: dict[str, Tensor]) -> dict[str, Tensor]:
        """Every term, unweighted."""
        net, r = self.net, self.recipe
        fps = 1.0 / float(b["times"][1] - b["times"][0])
        audio_times = net.audio.times(torch.arange(b["features"].shape[1]) / RATE)
        heads = [self.heads[int(i)] for i in self.rng.choice(len(self.heads), 2)]
        a = net.audio(b["features"])
        style_audio = net.audio.style(b["features"])
        _, style_a = net.motion(heads[0].motion(b["ref_a"]), heads[0].graph, REFERENCE_FPS)
        _, style_b = net.motion(heads[1].motion(b["ref_b"]), heads[1].graph, REFERENCE_FPS)
        use_audio = (b["agree"] > 0) & (torch.rand(len(a)) < 0.4)
        style = torch.where(use_audio[:, None], style_audio, style_a)
        z = net.decoder(a, audio_times, style, b["times"])
        out = self.geometry(z, b["z"], b["mask"], fps)

        # motion content of a crop, at half the frame rate: aligned with audio content at the same instants
        n = int(2.0 * fps)
        at = int(self.rng.integers(0, len(b["times"]) - n))
        crop, crop_mask = b["z"][:, at : at + n : 2], b["mask"][:, at : at + n : 2]
        crop_times = b["times"][at : at + n : 2]
        m, _ = net.motion(heads[0].motion(crop), heads[0].graph, fps / 2)
        a_there = resample(a, audio_times, crop_times)
        known = (crop_mask > 0.5).flatten()
        pick = torch.nonzero(known)[:, 0]
        pick = pick[torch.randperm(len(pick))[:256]]
        out["contrastive"] = losses.contrastive_loss(a_there.flatten(0, 1)[pick], m.flatten(0, 1)[pick], 32)
        out["kl"] = losses.gaussian_kl(a_there, m)

        # cross-reconstruction: this content, another style's rendition, from motion alone
        z_other = b["other"][:, at : at + n]
        rows = torch.arange(len(a))
        rows[r.real :] = torch.cat([rows[r.real + 1 :], rows[r.real : r.real + 1]])
        style_o = style_a[rows]
        inner = slice(4, n - 4)
        z_cross = net.decoder(m, crop_times, style_o, b["times"][at : at + n])
        out["content_decode"] = losses.vertex_loss(
            z_cross[:, inner], z_other[:, inner], self.roots, b["mask"][:, at : at + n][:, inner]
        )
        out["style_nce"] = losses.info_nce(
            style_a[r.real - 1 :], style_b[r.real - 1 :]
        )  # real rows share one style: keep one
        out["style_agree"] = ((style_audio - style_a.detach()).square().mean(-1) * b["agree"]).sum() / b[
            "agree"
        ].sum().clamp(min=1)
        both = torch.cat([a.mean(1), m.mean(1)])
        out["independence"] = losses.orthogonality(style_a, a.mean(1)) + losses.orthogonality(style_a, m.mean(1))
        guess = self.adversary(losses.reverse_gradient(both))
        out["adversary"] = F.cross_entropy(guess, b["speaker"].repeat(2))
        return out

    def geometry(self, z: Tensor, target: Tensor, mask: Tensor, fps: float) -> dict[str, Tensor]:
        gap, gap_target = self.gap(z), self.gap(target)
        return {
            "vertex": losses.vertex_loss(z, target, self.roots, mask),
            "velocity": losses.velocity_loss(z, target, self.roots, mask, fps),
            "channel": losses.masked_mean((z - target).square().mean(-1), mask),
            "gap": losses.gap_loss(gap, gap_target, mask, 0.3),
            "correlation": losses.correlation_loss(gap, gap_target, (mask > 0.5).float()),
            "outside": (F.relu(-z).square() + F.relu(z - 1).square()).mean(),
        }

    def progress(self) -> float:
        """How far the schedule is, 0..1."""
        r = self.recipe
        by_time = self.spent / (60 * r.minutes) if r.minutes > 0 else 0.0
        return min(1.0, max(self.done / r.steps, by_time))

    def step(self) -> dict[str, float]:
        r, began = self.recipe, time.time()
        self.net.train()
        lift = min(1.0, (self.done + 1) / r.warmup)
        fall = 0.5 * (1 + np.cos(np.pi * self.progress()))
        for group in self.optimiser.param_groups:
            group["lr"] = float(r.rate * lift * (0.02 + 0.98 * fall))  # a numpy number would not load again
        terms = self.losses(self.batch())
        total = sum(getattr(r, k) * v for k, v in terms.items())
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[union-attr]
        nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimiser.step()
        self.done += 1
        self.spent += time.time() - began
        decay = min(r.ema, (1 + self.done) / (10 + self.done))
        with torch.no_grad():
            for slow, fast in zip(self.average.parameters(), self.net.parameters(), strict=True):
                slow.lerp_(fast, 1 - decay)
        return {k: float(v.detach()) for k, v in terms.items()}

    @torch.no_grad()
    def set_styles(self, count: int = 64) -> None:
        """The shipped styles: the mean style of the real tracks ("natural") and of the teacher at rest ("teacher")."""
        net, head = self.average, self.heads[0]
        for name, style in (("natural", None), ("teacher", TeacherStyle.neutral())):
            z = torch.from_numpy(np.stack([self.dev.reference(self.rng, style) for _ in range(count)])).float()
            net.styles[name] = net.motion(head.motion(z), head.graph, REFERENCE_FPS)[1].mean(0)
        net.styles["neutral"] = net.styles["natural"]

    def state(self) -> dict:
        parts = {"net": self.net, "average": self.average, "adversary": self.adversary, "optimiser": self.optimiser}
        return {k: v.state_dict() for k, v in parts.items()} | {"done": self.done, "spent": self.spent, "best": self.best}

    def resume(self, state: dict) -> None:
        for k, v in (
            ("net", self.net),
            ("average", self.average),
            ("adversary", self.adversary),
            ("optimiser", self.optimiser),
        ):
            v.load_state_dict(state[k])
        self.done, self.spent, self.best = state["done"], state["spent"], state["best"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("data", "fits", "cache", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--every", type=int, default=100, help="steps between validations")
    for name, value in asdict(Recipe()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    recipe = Recipe(**{k: getattr(args, k) for k in asdict(Recipe())})
    args.out.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(recipe, args.data, args.fits, args.cache)
    if (args.out / "last.pt").exists():
        trainer.resume(torch.load(args.out / "last.pt", weights_only=True))
    sums, last = {}, trainer.done
    while trainer.progress() < 1.0:
        for k, v in trainer.step().items():
            sums[k] = sums.get(k, 0.0) + v
        if trainer.done % args.every and trainer.progress() < 1.0:
            continue
        trainer.set_styles()
        figures = validate(trainer.average, trainer.dev, trainer.gap)
        line = {"step": trainer.done, "seconds": round(trainer.spent)} | figures
        line |= {k: round(v / (trainer.done - last), 4) for k, v in sums.items()}
        print(json.dumps(line), flush=True)
        with (args.out / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
        sums, last = {}, trainer.done
        better, trainer.best = figures["score"] > trainer.best, max(figures["score"], trainer.best)
        torch.save(trainer.state(), args.out / "last.pt")
        if better:
            trainer.average.save(args.out / "ptalker.safetensors", {"figures": figures, "recipe": asdict(recipe)})


if __name__ == "__main__":
    main()
