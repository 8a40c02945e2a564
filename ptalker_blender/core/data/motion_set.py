"""Training samples: cached speech features with what the face does, in a style, at any query times.

Real windows follow the fitted GRID tracks; synthetic ones follow the coarticulation teacher in whichever style the
sample is given, so the same words exist in every style (cross-reconstruction has its truth).
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..channels import CHANNELS, UPPER_FACE
from ..errors import PTalkerError
from .restyle import restyled
from .seal import sealed
from .teacher import TeacherStyle, curves
from .windows import Clip, Segment, knowable, read_clips, said

REFERENCE_SECONDS = 3.0  # training sees other lengths and rates about these, too (train/motion_batch.py)
REFERENCE_FPS = 8.0
BELIEVED = 0.5  # of a track as it is trained on: what is supposed. What no voice tells is in the track, too, and learned by heart
SUPPOSED, SUPPOSED_FPS = ".supposed.npy", 25.0  # beside a shard: what train/supposed.py makes of its windows
REMAKE = "Make the corpus with: python -m ptalker_blender.core corpus --data DATA --out SHARDS"


@dataclass
class Window:
    """One cached window: ``features`` row of its file, the voice that is heard and the clips in it."""

    file: int
    row: int
    voice: str
    segments: list[Segment]


class Fits:
    """Fitted channel weights of tracked clips (core/data/fit.py), by clip id."""

    def __init__(self, folder: Path) -> None:
        """Raises PTalkerError fits_missing."""
        self.weights: dict[str, np.ndarray] = {}  # [T, K] at 25 fps
        self.ok: dict[str, np.ndarray] = {}
        self.gap: dict[str, np.ndarray] = {}  # [T] tracked inner-lip gap, eye-corner units above rest
        for name in ("grid_s1", "grid_dev"):
            if not (folder / f"{name}.npz").is_file():
                raise PTalkerError("fits_missing", f"There is no '{name}.npz' in '{folder}'.", REMAKE)
            z = dict(np.load(folder / f"{name}.npz"))
            for i, clip in enumerate(z["ids"]):
                self.weights[str(clip)] = z["weights"][i].astype(np.float32)
                self.ok[str(clip)] = z["ok"][i]
                self.gap[str(clip)] = z["gap"][i]

    def at(self, clip: str, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weights [T, K] and mask [T] of a clip at times [T] in clip seconds; mask 0 outside it or where untracked."""
        w, ok = self.weights[clip], self.ok[clip].astype(np.float32)
        a, f = _between(times, 25.0, len(w))
        inside = (times >= 0.04) & (times <= (len(w) - 2) / 25.0)
        return w[a] * (1 - f) + w[a + 1] * f, ok[a] * ok[a + 1] * inside


def find_shards(cache: Path, patterns: Sequence[str], passes: int = 0) -> list[str]:
    """Names of the shards in ``cache`` that match, in a fixed order; of names that end in _N only those with N below
    ``passes`` (0: all).

    Raises PTalkerError shards_missing where nothing matches.
    """
    names = []
    for pattern in patterns:
        found = sorted(p.stem for p in cache.glob(f"{pattern}.jsonl") if p.with_suffix(".npy").is_file())
        names += [n for n in found if n not in names]
    number = {n: re.search(r"_(\d+)$", n) for n in names}
    names = [n for n in names if passes <= 0 or not (m := number[n]) or int(m[1]) < passes]
    if not names:
        raise PTalkerError("shards_missing", f"'{cache}' has no shards named {', '.join(patterns)}.", REMAKE)
    return names


class MotionSet:
    """All windows of one or several shards, and their targets."""

    def __init__(self, data: Path, cache: Path, fits: Path, names: Sequence[str], skip_voices: tuple[str, ...] = ()) -> None:
        """Raises PTalkerError (fits_missing, shards_broken)."""
        self.clips: list[Clip] = read_clips(data)
        self.ids = [Path(c.path).stem for c in self.clips]
        self.fits = Fits(fits)
        self.features = [np.load(cache / f"{n}.npy", mmap_mode="r") for n in names]
        files = [cache / f"{n}{SUPPOSED}" for n in names]
        self._supposed = [np.load(f, mmap_mode="r") if f.is_file() else None for f in files]
        widths = {f.shape[-1] for f in self.features}
        if len(widths) > 1:
            raise PTalkerError("shards_broken", f"The shards in '{cache}' were made with different speech encoders.", REMAKE)
        self.width = int(widths.pop())
        self.windows: list[Window] = []
        for f, n in enumerate(names):
            lines = (cache / f"{n}.jsonl").read_text("utf-8").splitlines()
            if len(lines) != len(self.features[f]):
                raise PTalkerError("shards_broken", f"'{n}.npy' and '{n}.jsonl' in '{cache}' do not match.", REMAKE)
            kept = self._supposed[f]
            if kept is not None and len(kept) != len(lines):
                fix = "Delete it, or make it again with: python -m ptalker_blender.core.train.supposed"
                raise PTalkerError("shards_broken", f"'{n}{SUPPOSED}' in '{cache}' belongs to other windows.", fix)
            for row, line in enumerate(lines):
                d = json.loads(line)
                if d["voice"] not in skip_voices:
                    self.windows.append(Window(f, row, d["voice"], [Segment(**s) for s in d["segments"]]))
        self.real = [i for i, w in enumerate(self.windows) if w.segments and self._kind(w) == "grid"]
        self.real_set = set(self.real)
        self.synthetic = [i for i, w in enumerate(self.windows) if w.segments and self._kind(w) == "speech"]
        self.quiet = [i for i, w in enumerate(self.windows) if not w.segments]
        train = [i for i, c in enumerate(self.clips) if c.split == "train" and c.voice not in skip_voices]
        self.real_clips = [i for i in train if self.clips[i].kind == "grid"]
        self.spoken_clips = [i for i in train if self.clips[i].kind == "speech"]
        self.voices = sorted({w.voice for w in self.windows if w.segments})
        # every synthetic voice has a style of its own, so that style can be learned from audio too
        self.home = {v: TeacherStyle.sample(np.random.default_rng(hash_name(v))) for v in self.voices}

    def _kind(self, w: Window) -> str:
        return self.clips[w.segments[0].clip].kind

    def language(self, i: int) -> str:
        """Of window i: that of its first clip, "" without a voice."""
        w = self.windows[i]
        return self.clips[w.segments[0].clip].language if w.segments else ""

    def own_voice(self, i: int) -> bool:
        """Whether window i is heard in the voice whose face it shows: not where a voice was converted or there is none."""
        w = self.windows[i]
        return bool(w.segments) and w.voice == self.clips[w.segments[0].clip].voice

    def hear(self, i: int) -> np.ndarray:
        """Features [400, C] float32 of window i."""
        w = self.windows[i]
        return np.asarray(self.features[w.file][w.row], np.float32)

    def supposed(self, i: int) -> np.ndarray | None:
        """Weights [T, K] at SUPPOSED_FPS of window i that the real speaker is supposed to show (train/supposed.py), if any."""
        w = self.windows[i]
        kept = self._supposed[w.file]
        z = None if kept is None or not w.segments else np.asarray(kept[w.row], np.float32)
        return None if z is None or np.isnan(z[0, 0]) else z

    def target(
        self, i: int, times: np.ndarray, style: TeacherStyle | None, tracked: bool | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Weights [T, K] and mask [T] of window i at times [T] (window seconds) in a style; None: the real speaker's.
        ``tracked``: as the real speaker with the habits of the style, or as the teacher, who has them; None: as he was, where he
        was tracked. With words of which nobody knows what the real speaker shows, in other languages, the teacher stands for
        him, in the same style, at rest in his own."""
        w = self.windows[i]
        if not w.segments:
            return np.zeros((len(times), len(CHANNELS)), np.float32), np.ones(len(times), np.float32)
        grid, supposed = self._kind(w) == "grid", self.supposed(i)
        tracked = (grid if tracked is None else tracked) and (grid or supposed is not None)
        if not tracked:
            z = curves(said(w.segments, self.clips), times, style or TeacherStyle.neutral())
            mask = knowable(w.segments, times)
        elif grid:
            z = np.zeros((len(times), len(CHANNELS)), np.float32)
            mask = np.zeros(len(times), np.float32)  # between clips nobody knows
            guess = None if supposed is None else _at(supposed, times)
            for s in w.segments:
                here = s.heard(times)
                if here.any():
                    z[here], mask[here] = self.fits.at(self.ids[s.clip], (times[here] - s.start) * s.factor)
                    z[here] = z[here] if guess is None else (1 - BELIEVED) * z[here] + BELIEVED * guess[here]
                    z[here] = z[here] if style is None else restyled(z[here], style)
                    z[here] = sealed(z[here], times[here], said([s], self.clips))
        else:
            assert supposed is not None
            z = _at(supposed, times)
            z = z if style is None else restyled(z, style)
            z, mask = sealed(z, times, said(w.segments, self.clips)), knowable(w.segments, times)
        z[:, UPPER_FACE] = 0.0  # the upper face is a process of its own (core/upper_face.py)
        return z, mask

    def reference(
        self, rng: np.random.Generator, style: TeacherStyle | None, seconds: float = REFERENCE_SECONDS,
        fps: float = REFERENCE_FPS, tracked: bool = False,
    ) -> np.ndarray:  # fmt: skip
        """Other sentences in the same style (None: the real speaker's), one after the other, from anywhere within the
        first -> weights [round(seconds * fps), K]. ``tracked``: a real track with the habits of the style."""
        times = np.arange(round(seconds * fps)) / fps
        if style is None or tracked:
            z = self._tracked(rng, times)
            z = z if style is None else restyled(z, style)
        else:
            z = self._taught(rng, times, style)
        z[:, UPPER_FACE] = 0.0
        return z

    def _tracked(self, rng: np.random.Generator, times: np.ndarray) -> np.ndarray:
        """Fitted weights [T, K] of as many clips of the real speaker as times [T] need."""
        parts, at = [], rng.uniform(0, 0.06)
        while len(times):
            clip = self.ids[int(rng.choice(self.real_clips))]
            here = times + at < (len(self.fits.weights[clip]) - 2) / 25.0
            here[0] = True  # however short a clip is, there is an end
            parts.append(self.fits.at(clip, times[here] + at)[0])
            times = times[~here]
            at = 0.04 - times[0] if len(times) else 0.0
        return np.concatenate(parts)

    def _taught(self, rng: np.random.Generator, times: np.ndarray, style: TeacherStyle) -> np.ndarray:
        """The teacher's weights [T, K] of as many sentences as times [T] need."""
        phones, end = [], 0.0
        while not phones or end < times[-1]:
            said = self.clips[int(rng.choice(self.spoken_clips))].phones
            phones += [(phone, a + end, b + end) for phone, a, b in said]
            end = phones[-1][2]
        return curves(phones, rng.uniform(0, max(0.0, end - times[-1])) + times, style)


def _at(z: np.ndarray, times: np.ndarray) -> np.ndarray:
    """z [N, K] at SUPPOSED_FPS -> [T, K] at times [T] s, linear between frames."""
    a, part = _between(times, SUPPOSED_FPS, len(z))
    return z[a] * (1 - part) + z[a + 1] * part


def _between(times: np.ndarray, fps: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The frame of ``count`` before each time [T] s, which is not the last, and how far it is on to the next one [T, 1] 0..1."""
    x = np.clip(times * fps, 0, count - 1.001)
    a = x.astype(int)
    return a, (x - a)[:, None].astype(np.float32)


def hash_name(name: str) -> int:
    """A number that stays the same between runs (Python's own hash does not)."""
    return zlib.crc32(name.encode())
