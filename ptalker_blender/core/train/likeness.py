"""Give a trained model its Likeness (model/likeness.py): in closed form, in a minute.

    python -m ptalker_blender.core.train.likeness --data DATA --corpus SHARDS --model MODEL --out MODEL
Many people of the teacher's, half of them with an idiolect, say different sentences on different heads, and are seen by the
shapes that the rig head sees there. The directions in which people differ most for what one person differs from sentence to
sentence and from head to head become the last numbers of a style. Neutral and the means of training get theirs, too; built-in
styles are made after this (built_in_styles.py).
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..channels import LOWER_FACE
from ..data.motion_set import REFERENCE_FPS, MotionSet
from ..data.teacher import TeacherStyle
from ..mesh.rig import ASSET as RIG
from ..mesh.rig import Rigger
from ..model.likeness import summary
from ..model.ptalker import PTalker
from .heads import Head, ict_heads
from .motion import set_styles
from .pack import save_packed

SIZE = 8  # more of them tell strangers apart worse
SPREAD = 0.5  # of each number over the words of one person
PEOPLE, WORDS, HEADS = 720, 6, 12
SECONDS = 3.5, 5.0  # of a reference
RIDGE = 1e-3  # of the mean variance within a person


@torch.no_grad()
def people(windows: MotionSet, heads: list[Head], rng: np.random.Generator, count: int) -> Tensor:
    """Summaries of people's motion, where nobody knows the face at rest and where it is known: [2, count, WORDS, n]."""
    styles, words = [TeacherStyle.person(rng) for _ in range(count)], []
    for _ in range(WORDS):
        order, found = rng.permutation(count), []
        for head, mine in zip(heads, np.array_split(order, len(heads)), strict=True):
            seconds = float(rng.uniform(*SECONDS))
            z = np.stack([windows.reference(rng, styles[i], seconds, REFERENCE_FPS) for i in mine])
            seen = [torch.from_numpy(head.solved(z, known)[..., list(LOWER_FACE)]) for known in (False, True)]
            found.append(torch.stack([summary(each, REFERENCE_FPS) for each in seen]))
        words.append(torch.cat(found, 1)[:, torch.from_numpy(np.argsort(order))])
    return torch.stack(words, 2)


def discriminants(x: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """x [people, words, n] -> middle [n], axes [n, size]: what differs most between people, in spreads of what differs between
    the words of one."""
    x = x.double()
    mean = x.mean(1)
    middle, inner = mean.mean(0), (x - mean[:, None]).flatten(0, 1)
    within = inner.T @ inner / (len(x) * (x.shape[1] - 1))
    between = (mean - middle).T @ (mean - middle) / len(x)
    ridge = RIDGE * within.trace() / len(within) * torch.eye(len(within), dtype=x.dtype)
    values, vectors = torch.linalg.eigh(within + ridge)
    white = vectors / values.sqrt()
    _, axes = torch.linalg.eigh(white.T @ between @ white)
    return middle.float(), (white @ axes.flip(1)[:, :size]).float()


def with_likeness(
    net: PTalker, windows: MotionSet, data: Path, seed: int = 1, count: int = PEOPLE, identities: int = HEADS
) -> PTalker:
    """The model with a Likeness found on so many people and heads, its other one forgotten."""
    ict = data / "heads" / "ict_facekit.npz"
    heads = ict_heads(ict, identities, seed, Rigger.load(RIG) if RIG.is_file() else None)[0][1:]
    torch.manual_seed(seed)
    found = [discriminants(x, SIZE) for x in people(windows, heads, np.random.default_rng(seed), count)]
    out = PTalker(replace(net.config, likeness=SIZE)).eval()
    kept = {k: v for k, v in net.state_dict().items() if not k.startswith("likeness.")}
    middle, axes = (torch.stack(pair) for pair in zip(*found, strict=True))
    out.load_state_dict(kept | {"likeness.middle": middle, "likeness.axes": SPREAD * axes})
    set_styles(out, windows, ict_heads(ict, 0, seed)[0][0], seed, None)
    own = net.config.style
    out.styles["neutral"] = torch.cat([net.styles["neutral"][:own], out.styles["natural"][own:]])
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("data", "corpus", "model", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    net, card = PTalker.load(args.model)
    windows = MotionSet(args.data, args.corpus, args.corpus / "fits", ["dev_real"])  # for the clips: nothing is heard
    save_packed(with_likeness(net, windows, args.data, args.seed), args.out, card)


if __name__ == "__main__":
    main()
