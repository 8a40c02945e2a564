"""What fine-tuning learns from: clips with sound as speech content and the weights that their motion is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from .audio import load_audio
from .channels import LOWER_FACE, UPPER_FACE
from .clips import Clip
from .errors import Cancelled, PTalkerError
from .habits import habits_of_clip
from .losses import factor
from .mesh.bounded import BoundedSolver
from .mesh.reader import MeshReader
from .speech import RATE
from .upper_face import Habits

if TYPE_CHECKING:
    from .runtime import PTalker

STEP = 2 / RATE  # s between two pieces of content
OTHER = Path(__file__).resolve().parent.parent / "assets" / "other_speech.ogg"  # train/other_speech.py makes it
HELD_OUT = 0.2  # of a clip: its end
SHORTEST_TEST, SHORTEST = 1.5, 5.0  # s held out at least; of a clip that is learned from
MARGIN = 0.6  # s between what is learned and what is held out, of no use to either
_HEARD: WeakKeyDictionary[PTalker, Tensor] = WeakKeyDictionary()  # OTHER as a model hears it: seconds of work


@dataclass(frozen=True)
class Example:
    """One take. ``content`` [N, d] of its sound at (i + 0.25) * STEP s (AudioEncoder.times), ``target`` [T, K] at i / fps s: the
    weights that its motion is made of, upper face 0. ``root`` [K, K] as in losses.vertex_loss, in cm."""

    content: Tensor
    target: Tensor
    fps: float
    root: Tensor

    @property
    def seconds(self) -> float:
        return len(self.target) / self.fps

    def at(self, times: Tensor) -> Tensor:
        """times [n] s -> target [n, K], linear between frames."""
        x = (times * self.fps).clamp(0, len(self.target) - 1)
        low = x.long().clamp(max=max(len(self.target) - 2, 0))
        part = (x - low)[:, None]
        return self.target[low] * (1 - part) + self.target[(low + 1).clamp(max=len(self.target) - 1)] * part


@dataclass(frozen=True)
class Lesson(Example):
    """A clip of which a part is held out. ``learned`` .. ``tested`` s: what is between the end of what is learned and the
    beginning of what is held out. ``habits`` of the upper face, where it moves."""

    learned: float
    tested: float
    habits: Habits | None = None

    @property
    def taught(self) -> Example:
        """What is learned of it."""
        return Example(self.content, self.target[: int(self.learned * self.fps)], self.fps, self.root)


@dataclass(frozen=True)
class Shown:
    """A mesh made ready: to read its motion's style, to solve for its weights."""

    reader: MeshReader
    solver: BoundedSolver
    root: Tensor  # [K, K]

    @classmethod
    def of(cls, model: PTalker, clip: Clip, cancelled: Callable[[], bool] | None = None) -> Shown:
        """Raises PTalkerError for a mesh without a face, Cancelled."""
        vertices = clip.first()
        basis = model.rig(vertices, clip.faces, cancelled=cancelled)
        graph = model.rigger.find(vertices, clip.faces, cancelled).graph
        reader = MeshReader(graph, basis)
        solver = BoundedSolver(graph, basis, reader.still, model.rigger.reading)
        cm = torch.from_numpy(basis * (graph.frame.scale * 10)).float()
        return cls(reader, solver, factor(cm, torch.from_numpy(solver.weight).float()))


def lesson_of(model: PTalker, clip: Clip, shown: Shown, cancelled: Callable[[], bool] | None = None) -> Lesson:
    """Raises PTalkerError (reference_short, reference_silent, reference_still), Cancelled, and what Clip.chunks raises."""
    if clip.seconds < SHORTEST:
        fix = "Half a minute is good."
        raise PTalkerError("reference_short", f"'{clip.name}' is too short to learn from ({clip.seconds:.1f} s).", fix)
    if clip.audio is None:
        fix = "Fine-tuning needs the animation together with its speech."
        raise PTalkerError("reference_silent", f"'{clip.name}' has no sound.", fix)
    target = shown.solver(clip.chunks(cancelled), clip.rest)
    habits = habits_of_clip(target, clip.fps, clip.audio, clip.rest is not None)
    target[:, UPPER_FACE] = 0.0
    if float(np.ptp(target[:, list(LOWER_FACE)], axis=0).max()) < 0.02:
        raise PTalkerError("reference_still", f"The face in '{clip.name}' does not move.", "Choose a range in which it speaks.")
    end = clip.seconds - max(HELD_OUT * clip.seconds, SHORTEST_TEST)
    content = content_of(model, clip.audio, cancelled)
    wanted, root = torch.from_numpy(target).to(model.device), shown.root.to(model.device)
    return Lesson(content, wanted, clip.fps, root, end - MARGIN, end, habits)


@torch.inference_mode()
def content_of(model: PTalker, audio: np.ndarray, cancelled: Callable[[], bool] | None = None) -> Tensor:
    """audio [n] at 16 kHz -> content [N, d]. Raises Cancelled."""
    features = model.speech.encode(audio, cancelled=cancelled).astype(np.float32)
    features = np.concatenate([features, features[-1:]]) if len(features) % 2 else features
    return model.network.audio(torch.from_numpy(features).to(model.device)[None])[0].clone()


def other_content(model: PTalker, size: int, cancelled: Callable[[], bool] | None = None) -> Tensor:
    """Speech of many others, in which nothing must get worse: content [n, size, d]. Raises PTalkerError("asset_missing")."""
    if not OTHER.is_file():
        raise PTalkerError("asset_missing", f"The file '{OTHER.name}' is not there.", "Install the extension again.")
    content = _HEARD.get(model)
    if content is None:
        audio = load_audio(OTHER, cancelled)
        if cancelled is not None and cancelled():
            raise Cancelled
        content = _HEARD[model] = content_of(model, audio, cancelled)
    return content[: len(content) // size * size].unflatten(0, (-1, size))
