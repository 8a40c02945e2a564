"""Teach the motion encoder to read styles: many more references a minute than where there is speech to be decoded as well.

    python -m ptalker_blender.core.train.style_reader --data DATA --corpus SHARDS --model MODEL --out RUN --minutes 10
The teacher speaks in random styles on many heads, every second time with an idiolect, and what is known of these people is
to be the first numbers of the style; of real tracks with random habits it is only known which are the same person's.
RUN/ptalker.safetensors is MODEL with another motion encoder, and the means of its training as this one reads them, for
``train --init``, which brings the rest of the model together with it, or to be packed. Its neutral style stays.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from .. import losses
from ..data.motion_set import MotionSet
from ..data.teacher import TeacherStyle
from ..data.teacher_style import SHOWN
from ..mesh.rig import ASSET as RIG
from ..mesh.rig import Rigger
from ..model.ptalker import PTalker
from .heads import ict_heads
from .loop import LoopSettings, fit
from .motion import habits_loss, set_styles
from .motion_batch import REFERENCE_FRAMES, REFERENCE_LENGTHS, REFERENCE_RATES
from .motion_heads import motion_heads, tracked

STYLES, ON_TRACKS = 40, 0.25  # of a batch; share of them on real tracks
WEIGHTS = {"habits": 1.0, "nce": 0.1}
HEADS = 160
TESTED = 200  # styles of a validation


class StyleTask:
    """See train/loop.py's Task. A batch: ref_a, ref_b [n, T, K] with fps_a, fps_b, habits [n, TOLD] (NaN: unknown), heads [2]."""

    def __init__(self, model: Path, data: Path, corpus: Path, fits: Path, seed: int = 1) -> None:
        """Raises PTalkerError (checkpoint_missing, checkpoint_broken, fits_missing, shards_broken)."""
        self.net, self.card = PTalker.load(model)
        self.seed = seed
        rigger = Rigger.load(RIG) if RIG.is_file() else None
        ict = data / "heads" / "ict_facekit.npz"
        self.plain = ict_heads(ict, 0, seed)[0][0]
        self.heads = motion_heads(ict, HEADS, seed, rigger)
        self.set = MotionSet(data, corpus, fits, ["dev_real"])  # for the clips; what is heard in them is not needed
        self.modules: dict[str, nn.Module] = {"motion": self.net.motion}
        self.weights = dict(WEIGHTS)
        self.tested = self._draw(np.random.default_rng(seed), TESTED, 0)

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        return self._draw(rng, STYLES, round(ON_TRACKS * STYLES))

    def _draw(self, rng: np.random.Generator, count: int, on_tracks: int) -> dict[str, Tensor]:
        styles = [TeacherStyle.person(rng) for _ in range(count)]
        out = {}
        for side in "ab":
            fps = float(rng.uniform(*REFERENCE_RATES))
            seconds = min(float(rng.uniform(*REFERENCE_LENGTHS)), REFERENCE_FRAMES / fps)
            shown = [self.set.reference(rng, s, seconds, fps, i < on_tracks) for i, s in enumerate(styles)]
            out |= {f"ref_{side}": torch.from_numpy(np.stack(shown)).float(), f"fps_{side}": torch.tensor(fps)}
        habits = np.stack([s.told() for s in styles])
        habits[:on_tracks] = np.nan
        return out | {"habits": torch.from_numpy(habits), "heads": torch.from_numpy(rng.choice(HEADS, 2, replace=False))}

    def losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        read = []
        for side, i in zip("ab", batch["heads"].tolist(), strict=True):
            head = self.heads[i] = self.heads[i].to(batch["habits"].device)
            read.append(self.modules["motion"](tracked(head.seen(batch[f"ref_{side}"])), float(batch[f"fps_{side}"]))[1])
        habits = 0.5 * (habits_loss(read[0], batch["habits"]) + habits_loss(read[1], batch["habits"]))
        return {"habits": habits, "nce": losses.info_nce(*read)}

    def validate(self, modules: dict[str, nn.Module]) -> dict[str, float]:
        """Share of the variance of what is known of people that is read of one reference, its rest known: of habits, mean and
        least; of idiolects, mean."""
        t = self.tested
        head = self.heads[0].to(next(modules["motion"].parameters()).device)
        style = modules["motion"](head.seen(t["ref_a"].to(head.basis.device)), float(t["fps_a"]))[1].cpu()
        wanted = t["habits"][:, : style.shape[1]]
        told = 1 - (style[:, : wanted.shape[1]] - wanted).square().mean(0) / wanted.var(0)
        habits, own = told[: len(SHOWN)], told[len(SHOWN) :]
        found = {"told": float(habits.mean()), "least": float(habits.min()), "score": float(told.mean())}
        return found | ({"own": float(own.mean())} if len(own) else {})

    def save(self, modules: dict[str, nn.Module], path: Path, figures: dict[str, float]) -> None:
        net = copy.deepcopy(self.net).cpu()
        net.motion.load_state_dict(modules["motion"].state_dict())
        set_styles(net, self.set, self.plain, self.seed, None)
        net.save(path, self.card | {"reader": figures})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("data", "corpus", "model", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    task = StyleTask(args.model, args.data, args.corpus, args.corpus / "fits")
    settings = LoopSettings(
        steps=100_000, minutes=args.minutes, rate=args.rate, ema=0.99, every=200, amp="off", threads=args.threads,
        workers=args.workers, optimiser="muon",
    )  # fmt: skip
    print(fit(task, settings, args.out))


if __name__ == "__main__":
    main()
