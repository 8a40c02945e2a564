"""Voices to be told apart: what the speech encoder hears of many speakers, in other sentences each time.

A speaker is a voice of the corpus, or that voice made smaller or larger (pitch and formants moved by a constant factor), so
few voices are many speakers. A take is 3 to 6 s of one speaker; takes for training are degraded as often as not, each in its
own way, takes for testing are clean and of sentences that no take for training has.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile as sf
import torch

from .. import SAMPLE_RATE
from ..errors import PTalkerError
from ..reference import voiced
from ..speech import CORE, HOP, MARGIN, RATE, WINDOW, SpeechEncoder
from .augment import degrade, other_voice
from .windows import Clip, read_clips

TRAIN, TEST = "train", "test"
SMALLER, LARGER = (1.09, 1.25), (0.8, 0.92)  # ranges of the factors on pitch and formants
SIZES = 2  # speakers that are made of a voice on either side
WITHIN = 0.015  # by how much that factor differs between takes of one speaker
TAKES = 8  # for training, of each speaker
SECONDS = (2.8, 6.0)  # of a take for training; less would tell little, more does not fit into the window
TEST_SECONDS, TESTS = (3.0, 6.0), 4  # lengths of takes for testing, and how many there are of each
RESERVED = 0.5  # of a voice's speech at most is kept for testing
CLEAN = 0.35  # share of takes for training that are not degraded
QUIET = 0.02  # of a clip's peak: what is below it at its ends is cut off
PROMPTS = "speech_real"  # real voices to test on; their licence keeps them out of training


@dataclass(frozen=True)
class Take:
    """``seconds`` of the clips at ``paths``, one after another, of speaker (``voice``, ``size``)."""

    voice: str
    size: float
    seconds: float
    use: str  # TRAIN or TEST
    paths: tuple[str, ...]
    seed: int

    @property
    def speaker(self) -> tuple[str, float]:
        return self.voice, self.size

    @property
    def count(self) -> int:
        """Of features that are speech."""
        return round(self.seconds * RATE)


def prompts(data: Path) -> list[Clip]:
    """Real voices that are only tested on: those of speech_real, where it is there."""
    path = data / PROMPTS / "manifest.jsonl"
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.is_file() else []
    return [Clip("prompt", c["speaker"], f"{PROMPTS}/{c['file']}", "dev", c["phones"]) for c in lines if c["seconds"] > 1]


def plan(data: Path, seed: int) -> list[Take]:
    """The takes of every voice that says enough, in a fixed order."""
    voices: dict[str, list[Clip]] = {}
    for clip in [*read_clips(data), *prompts(data)]:
        voices.setdefault(clip.voice, []).append(clip)
    out = []
    for voice, clips in sorted(voices.items()):
        out += _takes(data, voice, clips, np.random.default_rng([seed, *voice.encode()]))
    return out


def _takes(data: Path, voice: str, clips: list[Clip], rng: np.random.Generator) -> list[Take]:
    clips = [clips[i] for i in rng.permutation(len(clips))]
    clips.sort(key=lambda c: c.split == "train")  # sentences that nothing is trained on are tested on first
    lengths = {c.path: sf.info(data / c.path).duration for c in clips}
    total, wanted = sum(lengths.values()), TESTS * max(TEST_SECONDS) * 1.6
    kept, taught = [], []
    for c in clips:
        room = sum(lengths[p] for p in kept) < min(wanted, RESERVED * total)
        if c.split != "train" or room:
            kept.append(c.path)
        else:
            taught.append(c.path)
    out = []
    for seconds in TEST_SECONDS:
        groups = list(_grouped(kept, lengths, [seconds] * TESTS))
        out += [Take(voice, 1.0, seconds, TEST, g, 0) for g in groups] if len(groups) == TESTS else []
    for size in (1.0, *(float(rng.uniform(*r)) for r in (LARGER, SMALLER) for _ in range(SIZES))):
        wanted = rng.uniform(*SECONDS, TAKES)
        order = [taught[i] for i in rng.permutation(len(taught))]
        groups = list(_grouped(order, lengths, wanted))
        if len(groups) > 1:
            pairs = zip(groups, wanted, strict=False)
            out += [Take(voice, size, float(s), TRAIN, g, int(rng.integers(2**31))) for g, s in pairs]
    return out


def _grouped(paths: list[str], lengths: dict[str, float], wanted: np.ndarray | list[float]) -> Iterator[tuple[str, ...]]:
    """Clips one after another until each of the ``wanted`` seconds is full; a clip is in one group only."""
    left = list(paths)
    for seconds in wanted:
        group, full = [], 0.0
        while left and full < 1.2 * seconds:  # some of it is silence
            group.append(left.pop(0))
            full += lengths[group[-1]]
        if full < 1.2 * seconds:
            return
        yield tuple(group)


def sound(take: Take, data: Path) -> np.ndarray:
    """A window [WINDOW * HOP] as the encoder hears the beginning of a file: silence, then the take, then silence."""
    rng, n = np.random.default_rng(take.seed), round(take.seconds * SAMPLE_RATE)
    parts = []
    for path in take.paths:
        clip = sf.read(data / path, dtype="float32")[0]
        loud = np.flatnonzero(np.abs(clip) > QUIET * np.abs(clip).max())
        clip = clip[max(0, loud[0] - 800) : loud[-1] + 1600] if len(loud) else clip
        if take.size != 1.0:
            clip = other_voice(clip, take.size * float(rng.uniform(1 - WITHIN, 1 + WITHIN)))
        parts += [clip, np.zeros(int(rng.uniform(0, 0.25) * SAMPLE_RATE), np.float32)]
    audio = np.concatenate(parts)[:n]
    if take.use == TRAIN and rng.random() > CLEAN:
        audio = degrade(audio, rng)
    out = np.zeros(WINDOW * HOP, np.float32)
    out[MARGIN * HOP : MARGIN * HOP + len(audio)] = audio
    return out


def speaks(window: np.ndarray) -> np.ndarray:
    """window of ``sound`` -> [CORE] bool: where somebody speaks."""
    loud = voiced(window[MARGIN * HOP :])[:CORE]
    return np.pad(loud, (0, CORE - len(loud)))


@torch.inference_mode()
def cache(data: Path, out: Path, encoder: SpeechEncoder, seed: int, heard_by: str) -> None:
    """Write ``out``/voices.npy (float16 features [takes, CORE, C]), speaks.npy (bool [takes, CORE]) and voices.jsonl, unless
    they are there.

    ``heard_by`` names the encoder. Raises PTalkerError voices_differ where they are there and were made of something else.
    """
    takes = plan(data, seed)
    lines = [json.dumps({"encoder": heard_by}), *(json.dumps(asdict(t)) for t in takes)]
    table, features = out / "voices.jsonl", out / "voices.npy"
    if table.is_file():
        if table.read_text("utf-8").splitlines() != lines:
            fix = "Name another folder, or remove this one."
            raise PTalkerError("voices_differ", f"'{out}' was made of other voices or with another speech encoder.", fix)
        return
    if not any(t.use == TRAIN for t in takes):
        raise PTalkerError("data_missing", f"No voice in '{data}' says enough.", "Make more speech: see docs/training.md.")
    out.mkdir(parents=True, exist_ok=True)
    found = np.lib.format.open_memmap(features, "w+", np.float16, (len(takes), CORE, encoder.channels))
    spoken = np.zeros((len(takes), CORE), bool)
    for i in range(0, len(takes), 8):
        heard = np.stack([sound(t, data) for t in takes[i : i + 8]])
        with torch.autocast("cpu", torch.bfloat16):  # twice as fast where a CPU has it
            found[i : i + 8] = encoder.hear(heard)
        spoken[i : i + 8] = [speaks(window) for window in heard]
    found.flush()
    np.save(out / "speaks.npy", spoken)
    table.write_text("\n".join(lines) + "\n", "utf-8")


def read_voices(folder: Path) -> tuple[np.ndarray, np.ndarray, list[Take]]:
    """What ``cache`` wrote: features [takes, CORE, C], memory-mapped, where is speech [takes, CORE], and the takes."""
    rows = [json.loads(line) for line in (folder / "voices.jsonl").read_text("utf-8").splitlines()[1:]]
    takes = [Take(**row | {"paths": tuple(row["paths"])}) for row in rows]
    return np.load(folder / "voices.npy", mmap_mode="r"), np.load(folder / "speaks.npy"), takes
