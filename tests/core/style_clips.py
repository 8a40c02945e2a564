"""Clips for the tests of styles: the demo's head says the demo's sentences in a style of the teacher's."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np

from ptalker_blender.core.audio import load_audio
from ptalker_blender.core.channels import UPPER_FACE
from ptalker_blender.core.clips import Clip, clip_of
from ptalker_blender.core.data.teacher import TeacherStyle, curves
from ptalker_blender.core.runtime import PTalker

DEMO = Path(__file__).resolve().parents[2] / "demo"
FPS = 25.0
STYLE = TeacherStyle(strength=1.5, jaw=1.4, lips=0.6, rounding=1.5)


@cache
def model() -> PTalker:
    """The shipped one."""
    return PTalker.load(device="cpu")


@cache
def head() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """vertices [V, 3], faces, basis [K, V, 3] of the demo's head."""
    with np.load(DEMO / "head.npz") as arrays:
        vertices, faces = arrays["vertices"].astype(np.float32), arrays["faces"]
    return vertices, faces, model().rig(vertices, faces)


@cache
def phones() -> list[tuple[str, float, float]]:
    spoken = json.loads((DEMO / "speech" / "phones.json").read_text("utf-8"))["phones"]
    return [(p, a, b) for p, a, b, _ in spoken]


@cache
def sound() -> np.ndarray:
    return load_audio(DEMO / "speech" / "demo.ogg")


def weights(style: TeacherStyle = STYLE, fps: float = FPS, repeats: int = 1) -> np.ndarray:
    """The demo's sentences, said ``repeats`` times, in a style -> [T, K]."""
    length = len(sound()) / 16000
    said = [(p, a + i * length, b + i * length) for i in range(repeats) for p, a, b in phones()]
    z = curves(said, np.arange(int(repeats * length * fps)) / fps, style)
    z[:, UPPER_FACE] = 0.0
    return z


def moving(z: np.ndarray) -> np.ndarray:
    """weights [T, K] -> vertices [T, V, 3] float32."""
    vertices, _, basis = head()
    return (vertices + np.tensordot(z, basis, 1)).astype(np.float32)


def clip(style: TeacherStyle = STYLE, repeats: int = 1, known: bool = True, voice: bool = True, fps: float = FPS) -> Clip:
    """With the face at rest or without, with sound or without."""
    audio = np.tile(sound(), repeats) if voice else None
    rest = head()[0] if known else None
    return clip_of(moving(weights(style, fps, repeats)), head()[1], fps, rest=rest, audio=audio)


def write(path: Path, source: Clip, **more: object) -> Path:
    """CLIP.npz; ``more`` adds or (None) leaves out arrays."""
    arrays = {"vertices": source.source, "faces": source.faces, "fps": source.fps, "rest": source.rest, "audio": source.audio}
    arrays |= {"sample_rate": 16000} if source.audio is not None else {}
    np.savez(path, **{k: np.asarray(v) for k, v in (arrays | more).items() if v is not None})
    return path
