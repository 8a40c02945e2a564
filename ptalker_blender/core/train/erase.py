"""Takes what a linear reader finds of the style out of the motion encoder's content, after it was trained.

    python -m ptalker_blender.core.train.erase --data DATA --model ptalker.safetensors --out ptalker.safetensors
Concept erasure in closed form (LEACE, Belrose et al. 2023): random styles of the teacher say sentences on several heads; the
directions in which the mean content of a style differs from the others', beyond what the words explain, are projected out,
obliquely, so that the rest moves least. The projection goes into the layer that makes content; decoder, audio and style stay
as they are. Not all of it is taken, and not twice: how far a mouth opens and which vowel it says share directions.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..channels import UPPER_FACE
from ..data.teacher import TeacherStyle, curves
from ..errors import PTalkerError
from ..mesh.rig import ASSET as RIG
from ..mesh.rig import Rigger
from ..model.ptalker import PTalker
from .heads import Head, ict_heads
from .pack import save_packed
from .shown import sentences_of

STYLES, SENTENCES, HEADS = 240, 24, 3
RATES, SECONDS = (8.0, 12.5), (1.0, 3.0)  # at which content is read, and for how long
SHARE = 0.94  # of what styles differ in, so much is taken out
RIDGE = 1e-4


def words(data: Path, rng: np.random.Generator) -> list[tuple[float, np.ndarray, list]]:
    """Stretches of speech: frames a second, times [T] s, phones. Raises PTalkerError data_missing."""
    sentences, out = sentences_of(data, SENTENCES), []
    if not sentences:
        raise PTalkerError("data_missing", "There are no English sentences to say.", "Put the corpus into the data folder.")
    for i in range(SENTENCES):
        phones = sentences[i % len(sentences)]
        rate, seconds = float(rng.choice(RATES)), float(rng.choice(SECONDS))
        first = rng.uniform(0, max(phones[-1][2] - seconds, 0.01))
        out.append((rate, first + np.arange(int(seconds * rate)) / rate, phones))
    return out


@torch.no_grad()
def before_norm(net: PTalker, heads: list[Head], styles: list[TeacherStyle], said: list) -> list[Tensor]:
    """What goes into the layer norm of the content: of each stretch [styles, T, d], played on one of the heads."""
    out, seen = [], []
    hook = net.motion.content_out[1].register_forward_hook(lambda module, inputs, output: seen.append(output))
    try:
        for i, (rate, times, phones) in enumerate(said):
            z = np.stack([curves(phones, times, style) for style in styles])
            z[..., UPPER_FACE] = 0.0
            net.motion(heads[i % len(heads)].seen(torch.from_numpy(z)), rate)
            out.append(seen.pop())
    finally:
        hook.remove()
    return out


def erasure(x: list[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x: of each stretch [styles, T, d] -> projection Q [d, d] on what tells styles, the middle [d], the usual spread within
    a frame, and how much of the spread of normalised frames lies between styles, in parts of it."""
    spread = torch.cat([v.flatten(0, 1).std(1, correction=0) for v in x]).mean().double()
    normal = [(v - v.mean(-1, keepdim=True)).double() / v.double().std(-1, correction=0, keepdim=True) for v in x]
    frames = torch.cat([v.flatten(0, 1) for v in normal])
    middle = frames.mean(0)
    total = (frames - middle).T @ (frames - middle) / len(frames)
    of_style = [torch.stack([v.mean(1) - v.mean((0, 1)) for v in normal[i::2]]).mean(0) for i in (0, 1)]  # [styles, d]
    between = of_style[0].T @ of_style[1] / len(of_style[0])  # of halves of the words: noise does not count
    values, axes = torch.linalg.eigh(total + RIDGE * total.trace() / len(total) * torch.eye(len(total), dtype=total.dtype))
    white, back = axes / values.sqrt() @ axes.T, axes * values.sqrt() @ axes.T
    told, directions = torch.linalg.eigh(white @ (between + between.T) / 2 @ white)
    told, directions = told.flip(0).clamp(min=0), directions.flip(1)
    count = int((torch.cumsum(told, 0) < SHARE * told.sum()).sum()) + 1
    u = directions[:, :count]
    return back @ u @ u.T @ white, middle, spread, told.sum()


def erase(net: PTalker, data: Path, seed: int = 1) -> tuple[float, float]:
    """Change ``net`` -> how much of the content told styles before, and after."""
    rng = np.random.default_rng(seed)
    rigger = Rigger.load(RIG) if RIG.is_file() else None
    heads, _ = ict_heads(data / "heads" / "ict_facekit.npz", HEADS - 1, seed, rigger)
    styles, said = [TeacherStyle.person(rng) for _ in range(STYLES)], words(data, rng)
    layer = net.motion.content_out[1]
    assert isinstance(layer, nn.Linear)
    q, middle, spread, before = erasure(before_norm(net, heads, styles, said))
    with torch.no_grad():
        keep = torch.eye(len(q), dtype=q.dtype) - q
        layer.weight.copy_(keep @ layer.weight.double())
        layer.bias.copy_(keep @ layer.bias.double() + spread * (q @ middle))
    return float(before), float(erasure(before_norm(net, heads, styles, said))[3])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("data", "model", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    net, card = PTalker.load(args.model)
    before, after = erase(net, args.data, args.seed)
    save_packed(net, args.out, card | {"erased": {"before": round(before, 4), "after": round(after, 4)}})
    print(f"of the content told styles: {before:.4f}, now {after:.4f}")


if __name__ == "__main__":
    main()
