"""What all rows of the ablation table are measured on: the same dev windows, heads and never-seen styles for all.

Real: every clip of the cached dev windows (GRID s1 dev and unseen speakers), the truth being the fitted tracks, the lip
gap that of the tracked landmarks. Taught: a fixed choice of synthetic dev windows, the truth being the teacher.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ptalker_blender.core.channels import CHANNELS, UPPER_FACE
from ptalker_blender.core.data.motion_set import REFERENCE_FPS, MotionSet
from ptalker_blender.core.data.teacher import TeacherStyle
from ptalker_blender.core.data.windows import said
from ptalker_blender.core.evaluate.corpus import ict_face, read_ict
from ptalker_blender.core.evaluate.sets import Face
from ptalker_blender.core.mesh.rig import Rigger
from ptalker_blender.core.model.ptalker import PTalker
from ptalker_blender.core.speech import RATE, WINDOW
from ptalker_blender.core.train.heads import Head, LipGap, head_of, ict_heads, lip_gap

FPS = 25.0
FOREIGN = Path(__file__).resolve().parents[2] / "demo" / "head.npz"
REAL, TAUGHT = "real", "taught"  # whose speaking is asked for: the real speaker's, the teacher's at rest


class Animate(Protocol):
    """A model as the table sees it."""

    def __call__(self, features: Tensor, times: Tensor, who: str) -> Tensor:
        """features [B, WINDOW, C] at 50 Hz, times [T] s at FPS, ``who`` REAL or TAUGHT -> whole-face weights [B, T, K]."""
        ...


@dataclass(frozen=True)
class Amount:
    """How much is measured."""

    taught: int = 24  # synthetic dev windows
    styles: int = 48  # never seen, each in two sentences
    crops: int = 6  # pieces of speech of each of ``probed`` styles, for the linear probes
    probed: int = 12
    references: int = 32  # of which the mean is a speaker's style


@dataclass
class Clip:
    """A real clip within a dev window: frames [a, b) of the window's grid, where it is known."""

    group: str  # "s1" | "unseen"
    window: int
    frames: slice
    weights: np.ndarray  # [T, K], the upper face too
    gap: np.ndarray  # [T] tracked


class Bench:
    """The material. ``heads``: the ICT neutral, two people of its topology, all unseen in training but for the first;
    ``foreign``: a head of another topology and maker, placed by the product's own pose network."""

    def __init__(self, data: Path, fits: Path, cache: Path, amount: Amount, dev: tuple[str, ...] = ("dev_real", "dev_speech")):
        ict = read_ict(data)
        self.amount, self.set = amount, MotionSet(data, cache, fits, list(dev))
        self.face: Face = ict_face(ict)
        self.gap: LipGap = lip_gap(ict)
        rigger = Rigger.load()
        self.heads = ict_heads(data / "heads" / "ict_facekit.npz", 2, 99, rigger)[0]
        self.foreign = foreign_head(FOREIGN, rigger)
        self.times = np.arange(int(WINDOW / RATE * FPS)) / FPS
        rng = np.random.default_rng(11)
        speech = rng.permutation(self.set.synthetic)
        self.taught = [int(i) for i in speech[: amount.taught]]
        self.clips = [c for i in self.set.real for c in self._clips(i)]
        self.styles = [TeacherStyle.sample(rng) for _ in range(amount.styles)]
        self.spoken = [np.stack([self.set.reference(rng, s) for s in self.styles]) for _ in range(2)]  # [S, 24, K] each
        self.calm = {
            who: np.stack([self.set.reference(rng, style) for _ in range(amount.references)])
            for who, style in ((REAL, None), (TAUGHT, TeacherStyle.neutral()))
        }

    def _clips(self, window: int) -> list[Clip]:
        """Those that are tracked throughout and lie in the window for more than 2 s."""
        found, fits = [], self.set.fits
        for s in self.set.windows[window].segments:
            clip, name = self.set.clips[s.clip], self.set.ids[s.clip]
            here = np.flatnonzero((self.times >= s.start - 1e-6) & (self.times < s.end - 1e-6))
            at = (self.times[here] - s.start) * s.factor
            inside = at <= (len(fits.weights[name]) - 1) / FPS
            here, at = here[inside], at[inside]
            gap = fits.gap[name]
            if len(here) > 50 and fits.ok[name].all() and np.isfinite(gap).all():
                truth = np.interp(at, np.arange(len(gap)) / FPS, gap)
                frames = slice(int(here[0]), int(here[-1]) + 1)
                group = "s1" if clip.split == "dev" else "unseen"
                found.append(Clip(group, window, frames, fits.at(name, at)[0], truth))
        return found

    def hear(self, windows: list[int]) -> Tensor:
        """[B, WINDOW, C]"""
        return torch.from_numpy(np.stack([self.set.hear(i) for i in windows]))

    def phones(self, window: int) -> list[tuple[str, float, float]]:
        """What is said in a synthetic window, in window seconds."""
        return said(self.set.windows[window].segments, self.set.clips)

    def truth(self, window: int, style: TeacherStyle, times: np.ndarray | None = None) -> np.ndarray:
        """The teacher's weights [T, K] of a synthetic window."""
        return self.set.target(window, self.times if times is None else times, style)[0]


def style_of(net: PTalker, weights: np.ndarray, head: Head) -> Tensor:
    """References [n, 24, K] played on a head -> style vectors [n, s]."""
    z = torch.from_numpy(weights).float()
    return torch.cat([net.motion(head.seen(part), REFERENCE_FPS)[1] for part in z.split(16)])


def lower(weights: np.ndarray) -> np.ndarray:
    """The same weights with the upper face at rest."""
    weights = weights.copy()
    weights[..., UPPER_FACE] = 0.0
    return weights


def foreign_head(path: Path, rigger: Rigger) -> Head:
    """A head file of the demo's layout, read by the rig head's shapes; its ``root`` is empty."""
    with np.load(path) as z:
        vertices, faces, names = z["vertices"], z["faces"], [str(n) for n in z["names"]]
        basis = z["basis"][[names.index(c) for c in CHANNELS]].astype(np.float32)
    graph = rigger.find(vertices, faces).graph
    return head_of(path.stem, graph, basis, rigger.shapes(graph))
