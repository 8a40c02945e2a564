"""Tell a packed rig head how it misreads motion, so that mesh/bounded.py can make up for it.

    python -m ptalker_blender.core.train.rig_reading --data DATA --corpus SHARDS [--rig FILE]
The shapes that the rig head gives a mesh err in the same way on most: lips go less far, a pucker is partly a funnel. Weights
that are found with them are off by as much as people differ, and two thirds of it is one linear map for all faces of
people. Many of them, in parts and densities of all kinds, speak and make faces at random; ridge regression of what they
did on what is found there.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from ..channels import CHANNELS, LOWER_FACE, MIRROR
from ..data.motion_set import REFERENCE_FPS, MotionSet
from ..data.teacher import TeacherStyle
from ..mesh.rig import ASSET, READING, Rigger
from .heads import Head
from .motion_heads import motion_heads
from .rig_pack import put

HEADS, STRENGTHS = 64, (0.0, 0.0, 0.5)  # STRENGTHS: of a warp, in turn (motion_heads.warped)
PEOPLE, SECONDS = 24, 3.5  # of the teacher's; of speech, each
FACES, CHANNELS_AT_ONCE, HIGHEST = 400, 3, 0.6  # faces made at random: how many, of how many channels at most, how far each goes
RIDGE = 1e-4  # of a squared weight, a frame


def spoken(windows: MotionSet, rng: np.random.Generator) -> np.ndarray:
    """Weights [n, K] of speech in many styles, then of faces made at random, in which every lower-face channel is."""
    said = [windows.reference(rng, TeacherStyle.person(rng), SECONDS, REFERENCE_FPS) for _ in range(PEOPLE)]
    faces = np.zeros((FACES, len(CHANNELS)), np.float32)
    for face in faces:
        some = rng.choice(LOWER_FACE, rng.integers(1, CHANNELS_AT_ONCE + 1), replace=False)
        face[some] = rng.uniform(0, HIGHEST, len(some))
    return np.concatenate([*said, faces])


def reading_of(heads: Sequence[Head], z: np.ndarray) -> np.ndarray:
    """Weights z [n, K] that are played on ``heads``, which read by the rig head's shapes -> reading [C, C]."""
    low = list(LOWER_FACE)
    found = np.concatenate([h.solved(z[None])[0][:, low] for h in heads]).astype(np.float64)
    true = np.concatenate([z[:, low]] * len(heads)).astype(np.float64)
    # held to the identity: what no face showed stays as it was found
    ridge = RIDGE * len(found) * np.eye(len(low))
    reading = np.linalg.solve(found.T @ found + ridge, found.T @ true + ridge)
    other = [low.index(MIRROR[i]) for i in low]  # left as right
    return ((reading + reading[np.ix_(other, other)]) / 2).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--rig", type=Path, default=ASSET)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    rigger, rng = Rigger.load(args.rig), np.random.default_rng(args.seed)
    rigger.reading = None
    heads = motion_heads(args.data / "heads" / "ict_facekit.npz", HEADS, args.seed, rigger, STRENGTHS, own=0)
    windows = MotionSet(args.data, args.corpus, args.corpus / "fits", ["dev_real"])  # for the clips: nothing is heard
    reading = reading_of(heads, spoken(windows, rng))
    put(args.rig, {READING: torch.from_numpy(reading).contiguous()})
    print(f"{args.rig.name}: reading of {len(heads)} heads")


if __name__ == "__main__":
    main()
