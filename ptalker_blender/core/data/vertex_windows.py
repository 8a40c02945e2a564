"""Training samples from data sets of raw vertices: speech features, displacements and reference clips of the same subject."""

from __future__ import annotations

import hashlib
import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import SAMPLE_RATE
from ..speech import RATE, SpeechEncoder
from ..vertex_runtime import reference_frames
from .vertex_clips import VertexClip, VertexSet

SAMPLED = 800  # frames that the free channels start from
MEMORY = 256 << 20  # bytes of such frames at most


@dataclass(frozen=True)
class Window:
    """T frames at the data's rate, the first one at the first of N features. ``known`` of the frames are in the clip."""

    features: np.ndarray  # [N, C] float16
    displacements: np.ndarray  # [T, V, 3] float32, the data's unit; 0 after the clip's end
    known: int


class VertexWindows:
    """Windows of one split. ``features``: {clip id: [N, C]}, from ``cache_features``."""

    def __init__(self, data: VertexSet, clips: list[VertexClip], features: dict[str, np.ndarray], seconds: float) -> None:
        self.data, self.clips, self.features = data, clips, features
        self.fps = data.layout.fps
        self.count = int(seconds * RATE) // 2 * 2  # features
        self.frames = int((self.count / RATE - 0.1) * self.fps)
        self.subjects = sorted({c.subject for c in clips})
        self.by_subject = {s: [c for c in clips if c.subject == s] for s in self.subjects}
        # a frame that falls onto a pair of features: only there may windows begin
        self.grid = next(a for a in range(1, 10_000) if _whole(a / self.fps * RATE / 2))

    def choose(self, rng: np.random.Generator, count: int) -> list[VertexClip]:
        """Clips of as many different subjects as there are, then others: a batch whose first rows differ in style."""
        order = [str(s) for s in rng.permutation(self.subjects)]
        subjects = [order[i % len(order)] for i in range(count)]
        return [self.by_subject[s][int(rng.integers(len(self.by_subject[s])))] for s in subjects]

    def displacements(self, clip: VertexClip, which: np.ndarray | slice) -> np.ndarray:
        """[n, V, 3] float32: vertices minus the subject's template."""
        return clip.frames(which) - self.data.templates[clip.subject].astype(np.float32)

    def window(self, clip: VertexClip, rng: np.random.Generator) -> Window:
        """A random part of a clip; all of it with what follows where it is shorter."""
        room = max(0, clip.length - self.frames)
        first = int(rng.integers(room // self.grid + 1)) * self.grid
        at = round(first / self.fps * RATE)
        some = self.displacements(clip, slice(first, first + self.frames))
        whole = np.zeros((self.frames, *some.shape[1:]), np.float32)
        whole[: len(some)] = some
        return Window(self.features[clip.id][at : at + self.count], whole, len(some))

    def reference(self, subject: str, rng: np.random.Generator, but: str = "") -> np.ndarray:
        """A reference clip of a subject, not of the clip called ``but`` if there is another: [24, V, 3] at 8 fps."""
        clips = [c for c in self.by_subject[subject] if c.id != but] or self.by_subject[subject]
        clip = clips[int(rng.integers(len(clips)))]
        start = int(rng.integers(max(1, clip.length - reference_frames(10**6, self.fps, 0)[-1])))
        which = reference_frames(clip.length, self.fps, start)
        some, back = np.unique(which, return_inverse=True)
        return self.displacements(clip, some)[back]

    def sample(self, rng: np.random.Generator) -> np.ndarray:
        """Frames from all clips [n, V, 3], to start the free channels from."""
        most = max(2, min(SAMPLED, MEMORY // (self.data.count * 12)))
        each = max(1, round(most / len(self.clips)))
        clips = [self.clips[i] for i in rng.permutation(len(self.clips))[:most]]
        return np.concatenate([self.displacements(c, np.sort(rng.integers(0, c.length, each))) for c in clips])


def _whole(x: float) -> bool:
    return math.isclose(x, round(x), abs_tol=1e-9)


def cache_features(clips: list[VertexClip], encoder: SpeechEncoder, folder: Path, seconds: float) -> dict[str, np.ndarray]:
    """Speech features of clips, float16 npy files in a folder named after the encoder -> {id: [N, C]}, mapped.

    Each sound is followed by silence (a second that is heard, then its last feature again) of more than one window, so that
    windows may reach beyond the end.
    """
    folder = folder / fingerprint(encoder)
    folder.mkdir(parents=True, exist_ok=True)
    out: dict[str, np.ndarray] = {}
    for clip in clips:
        path = folder / f"{clip.id}.npy"
        if not path.is_file():
            features = encoder.encode(np.concatenate([clip.audio(), np.zeros(SAMPLE_RATE, np.float32)]))
            after = np.repeat(features[-1:], int(seconds * RATE), axis=0)
            part = path.with_suffix(f".{os.getpid()}.part")  # several processes may train together
            with part.open("wb") as file:
                np.save(file, np.concatenate([features, after]))
            part.replace(path)
        out[clip.id] = np.load(path, mmap_mode="r")
    return out


def fingerprint(encoder: SpeechEncoder) -> str:
    """Tells one encoder's features from another's: 12 hexadecimal digits of its weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(encoder.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().float().cpu().numpy().tobytes())
    return digest.hexdigest()[:12]
