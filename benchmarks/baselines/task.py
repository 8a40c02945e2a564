"""How the rows are trained: our own task with a part changed, and the baselines on the same windows.

Baselines hear the same frozen features of the same windows (drawn by the same code), at 25 frames a second, as they
have a rate of their own. Their style is a number: the real speaker, the teacher at rest, or a synthetic voice in its own
style; styles without a speaker (the teacher's random ones) are nothing that they can be told. They are given the real
speaker's upper face, too, as published; where it is not known (synthetic windows) it costs nothing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ptalker_blender.core import losses
from ptalker_blender.core.channels import CHANNELS, UPPER_FACE
from ptalker_blender.core.data.motion_set import MotionSet
from ptalker_blender.core.data.teacher import TeacherStyle
from ptalker_blender.core.evaluate.corpus import ict_face, read_ict
from ptalker_blender.core.model.ptalker import PTalker
from ptalker_blender.core.speech import RATE, WINDOW
from ptalker_blender.core.train.motion import MotionTask
from ptalker_blender.core.train.settings import RunSettings
from ptalker_blender.core.upper_face import Habits, upper_face

from . import published
from .bench import FPS, REAL, TAUGHT, Animate
from .faceformer import FaceFormer
from .published import PublishedPTalker


class OurTask(MotionTask):
    """Ours. Nothing is chosen by validation, so none is made: the table measures the last averaged weights."""

    def __init__(self, settings: RunSettings, data: Path, corpus: Path, fits: Path, cross: bool = True) -> None:
        """``cross`` False: motion content is decoded in its own style only, not in another row's."""
        super().__init__(settings, data, corpus, fits)
        self.cross = cross

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        b = super().batch(rng)
        return b if self.cross else b | {"other": b["z"], "other_row": torch.arange(len(b["z"]))}

    def validate(self, modules: dict[str, nn.Module]) -> dict[str, float]:
        return {"score": 0.0}

    def animate(self, net: PTalker) -> Animate:
        """As the product animates: "natural" for real faces, "teacher" for the teacher's, a seeded upper face."""

        def run(features: Tensor, times: Tensor, who: str) -> Tensor:
            style = net.styles["natural" if who == REAL else "teacher"].expand(len(features), -1)
            z = net.finish(net(features, torch.arange(WINDOW) / RATE, style, times))
            habits = Habits.tracked() if who == REAL else None
            upper = np.stack([upper_face(times.numpy(), None, seed, habits) for seed in range(len(features))])
            return z + torch.from_numpy(upper)

        return run


class BaselineTask(MotionTask):
    """``kind`` "faceformer" or "published"."""

    def __init__(self, kind: str, settings: RunSettings, data: Path, corpus: Path, fits: Path) -> None:
        super().__init__(settings, data, corpus, fits)
        ours = self.modules["net"]
        assert isinstance(ours, PTalker)
        c = ours.config
        self.numbers = {v: i for i, v in enumerate((REAL, TAUGHT, *self.set.voices))}
        make = {"faceformer": FaceFormer, "published": PublishedPTalker}[kind]
        torch.manual_seed(settings.loop.seed)
        net = make(c.features, len(self.numbers), c.width, c.heads, period=round(FPS), dropout=c.dropout)
        net.audio.mean.copy_(ours.audio.mean)
        net.audio.scale.copy_(ours.audio.scale)
        self.modules = {"net": net}
        constraint = dict.fromkeys(
            ("orthogonal_audio", "orthogonal_motion", "contrastive", "kl", "adversary"), published.CONSTRAINT
        )
        constraint["orthogonal_motion"] /= 10
        self.weights = {"vertex": 1.0, "mouth": 1.2, "velocity": 10.0} | constraint
        face = ict_face(read_ict(data))
        assert face.basis is not None
        basis = torch.from_numpy(face.basis)
        self.root = losses.factor(basis, torch.ones(basis.shape[1]))[None]
        self.mouth = published.coordinate_factor(basis, torch.from_numpy(face.lips))[None]

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """features [B, N, C], times [T] s from the first feature, z, mask, speaker [B], known [B, 1, K]: channels with a
        truth."""
        w, seconds = self.set, self.settings.data.seconds
        first = int(rng.integers(0, WINDOW - int(seconds * RATE) + 1)) // 2 * 2
        heard = slice(first, first + int(seconds * RATE) // 2 * 2)
        times = np.arange(int(seconds * FPS)) / FPS
        rows: dict[str, list] = {k: [] for k in ("features", "z", "mask", "known")}
        speaker = []
        for i in self.batches.picks(rng):
            voice, known = w.windows[i].voice, np.ones((1, len(CHANNELS)), bool)
            own = i not in w.real_set and bool(w.windows[i].segments) and w.own_voice(i) and rng.random() < 0.5
            style = w.home[voice] if own else None if i in w.real_set else TeacherStyle.neutral()
            z, mask = w.target(i, times + first / RATE, style)
            if i in w.real_set:
                add_upper_face(w, i, times + first / RATE, z)
            else:
                known[:, UPPER_FACE] = False
            rows["features"].append(w.hear(i)[heard])
            rows["z"].append(z)
            rows["mask"].append(mask)
            rows["known"].append(known)
            speaker.append(self.numbers[REAL if i in w.real_set else voice if own else TAUGHT])
        out = {k: torch.from_numpy(np.stack(v)) for k, v in rows.items()}
        return out | {"times": torch.from_numpy(times).float(), "speaker": torch.tensor(speaker)}

    def losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        b, net, device = batch, self.modules["net"], batch["z"].device
        hear = (b["features"], torch.arange(b["features"].shape[1], device=device) / RATE, b["speaker"], b["times"])
        root, mouth = self.root.to(device), self.mouth.to(device)
        if isinstance(net, FaceFormer):
            z = net(*hear).float()
            return {"vertex": losses.vertex_loss(z, torch.where(b["known"], b["z"], z.detach()), root, b["mask"])}
        assert isinstance(net, PublishedPTalker)
        p = net.learn(*hear, b["z"])
        z = p.z.float()
        target = torch.where(b["known"], b["z"], z.detach())
        return {
            "vertex": losses.vertex_loss(z, target, root, b["mask"]),
            "mouth": losses.vertex_loss(z, target, mouth, b["mask"]),
            "velocity": losses.velocity_loss(z, target, root, b["mask"], FPS),
            "orthogonal_audio": published.frame_orthogonality(p.audio, p.audio_style),
            "orthogonal_motion": published.frame_orthogonality(p.motion, p.motion_style),
            "contrastive": published.degenerate_contrastive(p.audio, p.motion),
            "kl": published.one_way_kl(p.audio, p.motion),
            "adversary": nn.functional.cross_entropy(p.speaker, b["speaker"]),
        }

    def validate(self, modules: dict[str, nn.Module]) -> dict[str, float]:
        return {"score": 0.0}

    def save(self, modules: dict[str, nn.Module], path: Path, figures: dict[str, float]) -> None:
        save_file(modules["net"].state_dict(), path)

    def load(self, path: Path) -> nn.Module:
        """The saved model, on the CPU."""
        net = self.modules["net"].cpu().eval()
        net.load_state_dict(load_file(path))
        return net

    def animate(self, net: nn.Module) -> Animate:
        def run(features: Tensor, times: Tensor, who: str) -> Tensor:
            speaker = torch.full((len(features),), self.numbers[who])
            return net(features, torch.arange(WINDOW) / RATE, speaker, times)

        return run


def add_upper_face(windows: MotionSet, i: int, times: np.ndarray, z: np.ndarray) -> None:
    """Put the fitted upper face into z [T, K] of a real window, which MotionSet leaves at rest."""
    upper = np.array(UPPER_FACE)
    for s in windows.windows[i].segments:
        here = np.flatnonzero((times >= s.start) & (times < s.end))
        full, _ = windows.fits.at(windows.ids[s.clip], (times[here] - s.start) * s.factor)
        z[np.ix_(here, upper)] = full[:, upper]
