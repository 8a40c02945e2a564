"""Validation of motion training on the dev splits: lip gap and lip vertices against real tracks and the teacher."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..channels import UPPER_FACE
from ..data.motion_set import MotionSet
from ..data.teacher import TeacherStyle
from ..data.windows import said
from ..evaluate.metrics import closures, pooled_r
from ..model.decoder import clamp_weights
from ..speech import RATE, WINDOW
from .heads import LipGap

FPS = 25.0
CM = 10.0  # mm: the unit of the ICT head
BATCH = 16


class Validation:
    """Figures of a network on the dev windows: in the neutral style, and against the teacher in the teacher's.

    ``predict(features [B, 2 M, C], feature_times [2 M] s, style [B, s], times [T] s)`` -> weights [B, T, K], unclamped.
    """

    def __init__(self, dev: MotionSet, gap: LipGap, ict: Path) -> None:
        """``ict``: heads/ict_facekit.npz, whose neutral head's lips are moved by true and by found weights."""
        self.dev, self.gap, self.times = dev, gap, np.arange(int(8 * FPS)) / FPS
        with np.load(ict) as z:
            lips = z["arkit"][:, np.asarray(z["is_lips"], bool)].astype(np.float32) * CM
        lips[list(UPPER_FACE)] = 0.0  # a process of its own (core/upper_face.py)
        self.lips, self.shape = torch.from_numpy(lips).flatten(1), lips.shape[1:]  # [K, n 3]
        self.truth: dict[int, np.ndarray] = {}  # the teacher's gap in synthetic windows

    @torch.no_grad()
    def __call__(
        self, predict: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor], style: Tensor, taught: Tensor
    ) -> dict[str, float]:
        """r_s1, r_unseen, r_teacher: correlation of the lip gap; lve_s1, lve_unseen: mm2; closed: share of closures that
        close; score: what the best checkpoint is chosen by. ``style`` [s], neutral, and ``taught`` [s], the teacher's as it is
        compared with him, are on the network's device."""
        groups: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {"s1": [], "unseen": [], "teacher": []}
        errors: dict[str, list[Tensor]] = {"s1": [], "unseen": []}
        met: list[bool] = []
        synthetic = [i for i in range(len(self.dev.windows)) if i not in self.dev.real_set]
        for i, z in self.decoded(predict, style, sorted(self.dev.real_set)):
            for group, ours, true, error in self.real(i, z, self.gap.distance(z).numpy()):
                groups[group].append((ours, true))
                errors[group].append(error)
        for i, z in self.decoded(predict, style, synthetic):
            met += self.met(i, self.gap.distance(z).numpy())
        for i, z in self.decoded(predict, taught, synthetic):
            groups["teacher"].append((self.gap.distance(z).numpy(), self.teacher(i)))
        r = {k: round(pooled_r(v), 4) for k, v in groups.items() if v}
        lve = {k: round(float(torch.cat(v).mean()), 3) for k, v in errors.items() if v}
        score = 0.4 * r.get("s1", 0.0) + 0.3 * r.get("unseen", 0.0) + 0.3 * r.get("teacher", 0.0) - 0.01 * lve.get("s1", 0.0)
        return (
            {f"r_{k}": v for k, v in r.items()}
            | {f"lve_{k}": v for k, v in lve.items()}
            | {"closed": round(sum(met) / max(len(met), 1), 4), "score": round(score, 4)}
        )

    def decoded(self, predict: Callable[..., Tensor], style: Tensor, windows: Sequence[int]) -> Iterable[tuple[int, Tensor]]:
        """Of these windows the numbers and finished weights [T, K] at 25 fps, on the CPU."""
        device = style.device
        audio_times = (torch.arange(WINDOW) / RATE).to(device)
        times = torch.from_numpy(self.times).float().to(device)
        for first in range(0, len(windows), BATCH):
            here = windows[first : first + BATCH]
            heard = torch.from_numpy(np.stack([self.dev.hear(i) for i in here])).to(device)
            z = predict(heard, audio_times, style.expand(len(here), -1), times)
            finish = getattr(predict, "finish", clamp_weights)  # a baseline has no contact step
            yield from zip(here, finish(z.float()).cpu(), strict=True)

    def real(self, i: int, z: Tensor, distance: np.ndarray) -> Iterable[tuple[str, np.ndarray, np.ndarray, Tensor]]:
        """Of each clip of real window i: group, found and tracked lip gap, lip vertex error per frame."""
        dev, times = self.dev, self.times
        for s in dev.windows[i].segments:
            name = dev.ids[s.clip]
            truth = dev.fits.gap[name]
            here = np.nonzero((times >= s.start - 1e-6) & (times < s.end - 1e-6))[0][: len(truth)]
            at = times[here] - s.start  # clean windows put clips at arbitrary phase
            if len(here) > 50 and np.isfinite(truth).all():
                known, ok = dev.fits.at(name, at)
                group = "s1" if dev.clips[s.clip].split == "dev" else "unseen"
                error = self.lip_errors(z[here], torch.from_numpy(known))[torch.from_numpy(ok) > 0]
                yield group, distance[here], np.interp(at, np.arange(len(truth)) / FPS, truth), error

    def lip_errors(self, z: Tensor, true: Tensor) -> Tensor:
        """z, true [T, K] -> the largest squared distance of a lip vertex from its true place, per frame [T], mm2.

        Its mean is the lip vertex error of the field (MeshTalk, Richard et al. 2021), here on the ICT neutral head."""
        return ((z - true) @ self.lips).unflatten(1, self.shape).square().sum(-1).amax(1)

    def teacher(self, i: int) -> np.ndarray:
        """The lip gap [T] that the teacher shows in synthetic window i."""
        if i not in self.truth:
            z_true, _ = self.dev.target(i, self.times, TeacherStyle.neutral())
            self.truth[i] = self.gap.distance(torch.from_numpy(z_true)).numpy()
        return self.truth[i]

    def met(self, i: int, distance: np.ndarray) -> list[bool]:
        """Of each p, b, m of synthetic window i whether the lips meet."""
        rest = float(self.gap.rest[1].norm())
        return closures(distance, self.times, said(self.dev.windows[i].segments, self.dev.clips), rest)
