"""What the parts share: heads, unseen teacher styles, sentences of the dev split, clips as an artist would show them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ptalker_blender.core.audio import load_audio
from ptalker_blender.core.channels import LOWER_FACE, UPPER_FACE
from ptalker_blender.core.clips import Clip, clip_of
from ptalker_blender.core.data.teacher import TeacherStyle, curves
from ptalker_blender.core.data.windows import Clip as Spoken
from ptalker_blender.core.data.windows import read_clips
from ptalker_blender.core.lessons import Shown
from ptalker_blender.core.reference import Reading, read_style
from ptalker_blender.core.runtime import PTalker
from ptalker_blender.core.styles import StyleLike

from .stranger import Stranger

FPS = 25.0
REFERENCE = 5.0  # s
SENTENCES = 6  # texts in which every style is read
LOW = list(LOWER_FACE)

Way = Callable[[Sequence[Sequence], np.ndarray], np.ndarray]  # of speaking: phones, times [T] s -> weights [T, K]


def way_of(style: TeacherStyle) -> Way:
    """As our teacher speaks in a style."""
    return lambda phones, times: curves(phones, times, style)


@dataclass(frozen=True)
class Head:
    """A mesh with its true shapes, cm, and how the model reads it."""

    vertices: np.ndarray  # [V, 3]
    faces: np.ndarray
    basis: np.ndarray  # [K, V, 3]
    shown: Shown

    def clip(self, z: np.ndarray, audio: np.ndarray | None = None, rest: bool = True) -> Clip:
        """weights [T, K] at FPS -> the clip that an artist would show."""
        moving = (self.vertices + np.tensordot(z, self.basis, 1)).astype(np.float32)
        return clip_of(moving, self.faces, FPS, rest=self.vertices if rest else None, audio=audio)

    def error(self, made: np.ndarray, truth: np.ndarray) -> float:
        """Mean distance of the vertices, mm, of two takes [T, K] on the head's own shapes; lower face only."""
        return self._distance(made, truth, self.basis)

    def error_on_mesh(self, made: np.ndarray, truth: np.ndarray) -> float:
        """The same where the mesh has no shapes: those that the rig head makes for it play what was made."""
        return self._distance(made, truth, self.shown.reader.basis)

    def _distance(self, made: np.ndarray, truth: np.ndarray, basis: np.ndarray) -> float:
        n = min(len(made), len(truth))
        off = np.tensordot(made[:n, LOW], basis[LOW], 1) - np.tensordot(truth[:n, LOW], self.basis[LOW], 1)
        return 10 * float(np.linalg.norm(off, axis=-1).mean())


@dataclass
class Bench:
    """The model and what it is asked about. ``fits``: fitted tracks (data/fit.py), None where there are none; ``strangers``:
    the styles are those of people that another teacher than ours makes."""

    model: PTalker
    data: Path
    fits: Path | None
    count: int
    seed: int
    strangers: bool = False
    heads: list[Head] = field(init=False)
    voices: dict[str, list[Spoken]] = field(init=False)  # English dev sentences
    styles: list[Way] = field(init=False)
    sayings: list[tuple[np.ndarray, list]] = field(init=False)  # SENTENCES texts, none shares a sentence: audio, phones
    _vectors: dict[int, np.ndarray] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.heads = ict_people(self.model, self.data, 2, self.seed)
        self.voices = {}
        for c in read_clips(self.data):
            if c.kind == "speech" and c.path.startswith("speech/") and c.split == "dev" and c.language == "en":
                self.voices.setdefault(c.voice, []).append(c)
        rng = np.random.default_rng([self.seed, 5])
        draw = Stranger.sample if self.strangers else lambda rng: way_of(TeacherStyle.sample(rng))
        self.styles = [draw(rng) for _ in range(self.count)]
        self.sayings = self._sayings()

    def _sayings(self) -> list[tuple[np.ndarray, list]]:
        names = sorted(self.voices)
        common = set.intersection(*({c.sentence for c in said} for said in self.voices.values()))
        out, left = [], sorted(common)
        for i in range(SENTENCES):
            said = {c.sentence: c for c in self.voices[names[(5 * i) % len(names)]]}
            chosen, seconds = [], 0.0
            while left and seconds < REFERENCE + 0.2:
                clip = said[left.pop(0)]
                chosen.append(clip)
                seconds += clip.phones[-1][2]
            out.append(joined(self.data, chosen, REFERENCE + 0.2))
        return [saying for saying in out if len(saying[0]) / 16000 > REFERENCE]

    def texts(self) -> list[list]:
        """Phones of every dev sentence once, laid one after another to last at least a reference; no two share a sentence."""
        out, phones, end, said = [], [], 0.0, set()
        for c in sorted((c for said in self.voices.values() for c in said), key=lambda c: (c.sentence, c.voice)):
            if c.sentence in said:
                continue
            said.add(c.sentence)
            phones += [(p, a + end, b + end) for p, a, b in c.phones]
            end = phones[-1][2]
            if end >= REFERENCE:
                out.append(phones)
                phones, end = [], 0.0
        return out

    def take(self, phones: list, seconds: float, way: Way) -> np.ndarray:
        z = way(phones, np.arange(int(seconds * FPS)) / FPS)
        z[:, UPPER_FACE] = 0.0
        return z

    def shown(self, saying: int, way: Way, head: Head, *, sound: bool, rest: bool = True) -> Reading:
        """What is read of REFERENCE s of a saying in a style."""
        audio, phones = self.sayings[saying]
        heard = audio[: round(REFERENCE * 16000)] if sound else None
        clip = head.clip(self.take(phones, REFERENCE, way), heard, rest)
        return read_style(self.model, clip, use="motion", shown=head.shown if rest else None)

    def vectors(self, head: int) -> np.ndarray:
        """Every style in every saying, read from motion on a head -> [S, W, s]."""
        if head not in self._vectors:
            rows = [
                [self.shown(w, style, self.heads[head], sound=False).style.vector.numpy() for w in range(len(self.sayings))]
                for style in self.styles
            ]
            self._vectors[head] = np.array(rows)
        return self._vectors[head]

    def made(self, audio: np.ndarray, style: StyleLike) -> np.ndarray:
        return self.model.generate(audio, FPS, style=style)


def joined(data: Path, clips: list[Spoken], seconds: float) -> tuple[np.ndarray, list]:
    """Clips one after another until there are ``seconds`` (or no more): audio [n], phones."""
    audio, phones, end = [np.zeros(0, np.float32)], [], 0.0
    for c in clips:
        sound = load_audio(data / c.path)
        phones += [(p, a + end, b + end) for p, a, b in c.phones]
        audio.append(sound)
        end += len(sound) / 16000
        if end >= seconds:
            break
    return np.concatenate(audio), phones


def ict_people(model: PTalker, data: Path, count: int, seed: int) -> list[Head]:
    """People of ICT-FaceKit, skin only; none of them is the neutral head."""
    ict = dict(np.load(data / "heads" / "ict_facekit.npz"))
    skin = ict["narrow_face"].astype(bool)
    number = np.where(skin, np.cumsum(skin) - 1, -1)
    faces = number[ict["quads"]]
    faces = faces[(faces >= 0).all(1)]
    rng, basis, out = np.random.default_rng([seed, 77]), ict["arkit"][:, skin].astype(np.float32), []
    for _ in range(count):
        weight = rng.normal(size=len(ict["identity"])) * 0.7
        vertices = ict["neutral"][skin] + np.tensordot(weight, ict["identity"][:, skin].astype(np.float32), 1)
        vertices = vertices.astype(np.float32)
        still = clip_of(np.repeat(vertices[None], int(FPS), 0), faces, FPS, rest=vertices)
        out.append(Head(vertices, faces, basis, Shown.of(model, still)))
    return out
