"""Training windows: clips of one voice laid one after another, degraded, heard by the speech encoder, cached.

A window is 8 s, as at inference. What the face does in it is computed at training time from its segments, so one cache
serves every teacher style. ``corpus`` (core/data/corpus.py) makes all of them.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
import torch

from .. import SAMPLE_RATE
from ..errors import PTalkerError
from ..speech import HOP, WINDOW, SpeechEncoder
from .augment import degrade, noise, other_voice, speed, stretch
from .grid import read_grid

SECONDS = WINDOW * HOP / SAMPLE_RATE


@dataclass
class Segment:
    """A clip inside a window: window time t is clip time (t - start) * factor, heard for first <= t < end.

    ``first`` is later than ``start`` where the clip's beginning was cut off, in the midst of speech perhaps.
    """

    clip: int
    start: float
    end: float
    factor: float
    first: float = -1e9

    def heard(self, times: np.ndarray) -> np.ndarray:
        """[T] bool."""
        return (times >= max(self.start, self.first)) & (times < self.end)


BEFORE_CUT = 0.3  # s before a cut and after the window's last sound: nobody can know what the face did there


def said(segments: list[Segment], clips: list[Clip]) -> list[tuple[str, float, float]]:
    """Phones of a window, in window seconds, in order."""
    out = []
    for s in segments:
        begin = max(s.start, s.first)
        for p, a, b in clips[s.clip].phones:
            a, b = a / s.factor + s.start, b / s.factor + s.start
            if b > begin:
                out.append((p, max(a, begin), b))
    return out


def knowable(segments: list[Segment], times: np.ndarray) -> np.ndarray:
    """[T] float32: 0 just before a clip that was cut."""
    mask = np.ones(len(times), np.float32)
    for s in segments:
        if s.first > s.start:
            mask[(times < s.first) & (times >= s.first - BEFORE_CUT)] = 0.0
    return mask


@dataclass
class Clip:
    """A recording. ``kind``: "grid" (real, tracked) or "speech" (synthetic, timed phones)."""

    kind: str
    voice: str
    path: str
    split: str
    phones: list
    row: int = -1
    shard: str = ""
    sentence: str = ""
    language: str = "en"


def read_clips(data: Path) -> list[Clip]:
    """All clips of grid_s1, grid_dev, speech and of every synthetic_* folder (same layout as speech), in a fixed order."""
    clips = []
    for folder in ("grid_s1", "grid_dev"):
        for c in read_grid(data / folder):
            path = c.audio.relative_to(data).as_posix()
            clips.append(Clip("grid", c.speaker, path, c.split, c.phones, c.row, f"{folder}/{c.shard}", c.text))
    for manifest in (data / "speech" / "manifest.jsonl", *sorted(data.glob("synthetic_*/manifest.jsonl"))):
        for number, line in enumerate(manifest.read_bytes().splitlines(), 1):
            try:
                clips.append(_spoken(manifest.parent.name, json.loads(line)))
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                what = f"Line {number} of '{manifest}' does not describe a clip."
                raise PTalkerError("data_broken", what, "Copy the file anew, or delete the line.") from error
    return clips


def _spoken(folder: str, c: dict[str, Any]) -> Clip:
    voice, path = c["voice"], f"{folder}/{c['file']}"
    return Clip("speech", voice, path, c["split"], c["phones"], sentence=c["sentence"], language=c["language"])


def pack(clips: list[Clip], wanted: list[int], data: Path, rng: np.random.Generator, clean: bool):
    """Yield (audio [8 s] float32, plain [8 s], voice, segments): windows filled with clips of one voice, gaps between.

    ``plain`` is the same at the same times, but undegraded and in the clip's own voice.
    """
    n = WINDOW * HOP
    by_voice: dict[str, list[int]] = {}
    for i in wanted:
        by_voice.setdefault(clips[i].voice, []).append(i)
    for voice, indices in by_voice.items():
        order = list(rng.permutation(indices))
        while order:
            audio, plain = np.zeros(n, np.float32), np.zeros(n, np.float32)
            segments, at = [], 0.0 if clean else float(rng.uniform(0, 0.4))
            size = float(np.exp(rng.uniform(np.log(0.8), np.log(1.45))))  # pitch and formants of this window
            while order and at < SECONDS - 1.0:
                i = int(order.pop())
                sound = sf.read(data / clips[i].path, dtype="float32")[0]
                factor = 1.0
                own = sound
                if not clean and rng.random() < 0.6:
                    sound = other_voice(sound, size * float(rng.uniform(0.97, 1.03)))
                if not clean and rng.random() < 0.6:
                    rate = float(rng.uniform(0.87, 1.15))
                    own = stretch(own, 1 / rate)
                    sound, factor = speed(sound, rate)
                a = round(at * SAMPLE_RATE)
                # a file may begin in the midst of speech
                cut = 0 if clean or rng.random() < 0.75 else int(rng.uniform(0.1, 0.6) * len(sound))
                own = own[cut : cut + n - a]
                plain[a : a + len(own)] = own
                sound = sound[cut : cut + n - a] * (1.0 if clean else float(10 ** (rng.uniform(-6, 6) / 20)))
                audio[a : a + len(sound)] = sound
                begin, end = a / SAMPLE_RATE, (a + len(sound)) / SAMPLE_RATE
                segments.append(Segment(i, begin - cut / SAMPLE_RATE, end, factor, begin))
                at = (a + len(sound)) / SAMPLE_RATE + (0.3 if clean else float(rng.exponential(0.25)))
            yield (audio if clean else degrade(audio, rng)), plain, voice, segments


@torch.inference_mode()
def cache(data: Path, out: Path, encoder: SpeechEncoder, wanted: list[int], seed: int, clean: bool) -> None:
    """Write ``out``.npy (float16 features [windows, 400, C]) and ``out``.jsonl (voice and segments)."""
    clips, rng = read_clips(data), np.random.default_rng(seed)
    features, lines, batch = [], [], []

    def flush() -> None:
        if batch:
            with torch.autocast("cpu", torch.bfloat16):  # kept in half precision anyway; twice as fast where a CPU has it
                features.append(encoder(torch.from_numpy(np.stack(batch))).to(torch.float16).cpu().numpy())
            batch.clear()

    for audio, _, voice, segments in pack(clips, wanted, data, rng, clean):
        batch.append(audio)
        lines.append(json.dumps({"voice": voice, "segments": [asdict(s) for s in segments]}))
        if len(batch) == 8:
            flush()
    flush()
    np.save(out.with_suffix(".npy"), np.concatenate(features))
    out.with_suffix(".jsonl").write_text("\n".join(lines), "utf-8")
    print(out.name, len(lines), "windows", flush=True)


def voiceless(kind: int, rng: np.random.Generator) -> np.ndarray:
    """8 s without a voice: 0 silence, 1 hiss, 2 hum, 3 clicks and knocks, 4 chords. Any level, often in noise."""
    n = WINDOW * HOP
    t, audio = np.arange(n) / SAMPLE_RATE, np.zeros(n)
    if kind == 2:
        audio += 10 ** rng.uniform(-3.5, -1) * np.sin(2 * np.pi * rng.choice([50, 60, 100, 120, 400]) * t)
    if kind == 3:
        for at in rng.integers(0, n - 400, rng.integers(1, 25)):
            knock = rng.standard_normal(400) * np.exp(-np.arange(400) / rng.uniform(5, 90))
            audio[at : at + 400] += knock * 10 ** rng.uniform(-2.5, -0.5)
    if kind == 4:
        beat = int(SAMPLE_RATE * rng.uniform(0.2, 0.8))
        for at in range(0, n - beat, beat):
            root = 110 * 2 ** (rng.integers(0, 24) / 12)
            tone = sum(np.sin(2 * np.pi * root * k * t[:beat]) / k for k in rng.choice([1, 2, 3, 4, 5, 6], 3))
            audio[at : at + beat] += tone * np.exp(-3 * t[:beat] / t[beat]) * 10 ** rng.uniform(-2, -0.7)
    if kind == 1 or (kind and rng.random() < 0.4):
        hiss = noise(np.zeros(n, np.float32), rng, 0.0)
        level = 10 ** rng.uniform(-4, -0.6)
        steps = 10 ** (rng.uniform(-1, 0, 17) if rng.random() < 0.5 else np.zeros(17))  # gusts, or steady
        audio += hiss / hiss.std() * level * np.interp(t, np.linspace(0, 8, 17), steps)
    if rng.random() < 0.5:  # it begins and ends somewhere, as a file does: that is no speech either
        first, last = sorted(rng.integers(0, n, 2))
        audio[:first] = audio[last:] = 0.0
    return np.clip(audio, -1, 1).astype(np.float32)


@torch.inference_mode()
def quiet(out: Path, encoder: SpeechEncoder, count: int) -> None:
    """Windows with no voice in them, for which the face rests. Same files as ``cache``."""
    rng = np.random.default_rng(7)
    features = []
    for i in range(0, count, 8):
        audio = np.stack([voiceless(k % 5, rng) for k in range(i, i + 8)])
        with torch.autocast("cpu", torch.bfloat16):
            features.append(encoder(torch.from_numpy(audio)).to(torch.float16).cpu().numpy())
    np.save(out.with_suffix(".npy"), np.concatenate(features))
    lines = [json.dumps({"voice": "quiet", "segments": []})] * len(np.concatenate(features))
    out.with_suffix(".jsonl").write_text("\n".join(lines), "utf-8")
