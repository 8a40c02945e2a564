"""What the one tracked speaker would show with other voices' words: tracks that nobody made, supposed by networks.

Real tracks exist of one speaker. A network that is taught by him and by the teacher (data/teacher.py) tells the two apart by
how a recording sounds, not by the style that it is asked for, and of a voice between the two it makes something between.
Small networks that have learned of tracks alone, for a few minutes each and hence not by heart, know better what real
speakers do with sounds; the mean of several of them and of a network that knows all words is kept here for the windows of the
corpus (distillation of an ensemble, Hinton et al. 2015, into the style that the tracked speaker has).

    python -m ptalker_blender.core.train.supposed --data DATA --corpus SHARDS --models MODEL:0.5 SMALL:0.25 SMALL:0.25
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from ..data.motion_set import SUPPOSED, SUPPOSED_FPS, MotionSet, find_shards
from ..errors import PTalkerError
from ..model.ptalker import PTalker
from ..npz import replacing
from ..speech import RATE, WINDOW
from ..styles import NEUTRAL

BATCH = 8


@torch.no_grad()
def suppose(models: Sequence[tuple[PTalker, float]], features: torch.Tensor) -> torch.Tensor:
    """features [B, 2 M, C] at 50 Hz -> weights [B, T, K] at SUPPOSED_FPS, in each network's neutral style; their mean by
    share, with lips that meet."""
    times = torch.arange(int(features.shape[1] / RATE * SUPPOSED_FPS)) / SUPPOSED_FPS
    heard = torch.arange(features.shape[1]) / RATE
    whole = sum(share for _, share in models)
    found = [net(features, heard, neutral(net).expand(len(features), -1), times).float() * share for net, share in models]
    return models[0][0].finish(torch.stack(found).sum(0) / whole)


def neutral(net: PTalker) -> torch.Tensor:
    """[s] Its style of the tracked speaker. Raises PTalkerError("style_unknown")."""
    if NEUTRAL not in net.styles:
        raise PTalkerError("style_unknown", "A model has no neutral style.", "Train it to its end, or pack it.")
    return net.styles[NEUTRAL].float()


def write(data: Path, corpus: Path, names: Sequence[str], models: Sequence[tuple[PTalker, float]]) -> int:
    """A file beside each shard -> windows in all: those of tracked clips, and the English ones of other voices (of other
    languages the tracked speaker says nothing; their rows are NaN)."""
    done = 0
    for name in names:
        windows = MotionSet(data, corpus, corpus / "fits", [name])
        wanted = [i for i in range(len(windows.windows)) if i in windows.real_set or windows.language(i) == "en"]
        channels = models[0][0].config.channels
        out = np.full((len(windows.windows), int(WINDOW / RATE * SUPPOSED_FPS), channels), np.nan, np.float16)
        for first in range(0, len(wanted), BATCH):
            here = wanted[first : first + BATCH]
            out[here] = suppose(models, torch.from_numpy(np.stack([windows.hear(i) for i in here]))).half().numpy()
        with replacing(corpus / f"{name}{SUPPOSED}") as temporary, temporary.open("wb") as file:
            np.save(file, out)
        done += len(wanted)
        print(f"{name}: {len(wanted)} of {len(windows.windows)} windows", flush=True)
    return done


def shared(given: str) -> tuple[Path, float]:
    """MODEL or MODEL:SHARE -> file and share, which is 1 where none is given."""
    path, _, share = given.rpartition(":")
    try:
        return Path(path), float(share)
    except ValueError:
        return Path(given), 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--models", nargs="+", required=True, metavar="MODEL[:SHARE]")
    parser.add_argument("--shards", nargs="+", default=["real_*", "speech_*"])
    args = parser.parse_args()
    try:
        models = [(PTalker.load(path)[0].eval(), share) for path, share in map(shared, args.models)]
        write(args.data, args.corpus, find_shards(args.corpus, args.shards), models)
    except PTalkerError as error:
        raise SystemExit(f"{error.sentence} {error.fix}".strip()) from error


if __name__ == "__main__":
    main()
