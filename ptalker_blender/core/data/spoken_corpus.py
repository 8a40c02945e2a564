"""Speech of a synthesiser that knows when it says each phone, in the layout of the corpus' ``speech`` folder.

flite.py, festival.py and espeak.py say how; here is what they share: which voice reads which sentence, levels, files.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
import soundfile
from scipy import signal

from .. import SAMPLE_RATE
from ..errors import PTalkerError
from .phonemes import SILENCE, normalise

SECONDS = (1.5, 7.9)  # shorter or longer clips are left out: a training window is 8 s
RATES = (0.85, 1.2)  # how fast, against the synthesiser's own rate
LEVEL, PEAK = 0.07, 0.95  # RMS as in the Kokoro speech of the corpus
BATCH = 16  # sentences a call

Phones = list[tuple[str, float, float]]


@dataclass(frozen=True)
class Voice:
    """A voice of a synthesiser. ``name`` is the synthesiser's own; ``pitch``: the mean it speaks at, in Hz or 0."""

    name: str
    sex: str
    language: str = "en"
    pitch: float = 0.0


@dataclass(frozen=True)
class Line:
    """A sentence to say: ``rate`` as in RATES, ``pitch`` a factor on the voice's own."""

    text: str
    rate: float = 1.0
    pitch: float = 1.0


@dataclass(frozen=True)
class Take:
    """What was said: audio [n] float32 at 16 kHz, gapless phones (ipa or "sil", start, end) in seconds from 0 to n."""

    audio: np.ndarray
    phones: Phones


class Synthesiser(Protocol):
    """``speak`` gives a take for each line, or None where the line could not be said."""

    name: str
    voices: ClassVar[dict[str, Voice]]

    def speak(self, voice: Voice, lines: Sequence[Line]) -> list[Take | None]: ...


def resample(audio: np.ndarray, rate: int) -> np.ndarray:
    """audio [n] at ``rate`` Hz -> [m] float32 at 16 kHz, no delay."""
    if rate == SAMPLE_RATE:
        return audio.astype(np.float32)
    ratio = Fraction(SAMPLE_RATE, rate)
    return signal.resample_poly(audio, ratio.numerator, ratio.denominator).astype(np.float32)


def gapless(phones: Phones, seconds: float) -> Phones:
    """Phones in order -> phones that touch, from 0 to ``seconds``; silences merged, spans below 1 ms dropped."""
    out: Phones = []
    at = 0.0
    for label, start, end in [*phones, (SILENCE, seconds, seconds)]:
        start, end = min(max(start, at), seconds), min(end, seconds)
        if start > at + 1e-3:
            out.append((SILENCE, at, start))
            at = start
        if end > at + 1e-3:
            out.append((label, at, end))
            at = end
    merged: Phones = []
    for label, start, end in out:
        if merged and merged[-1][0] == label == SILENCE:
            merged[-1] = (SILENCE, merged[-1][1], end)
        else:
            merged.append((label, start, end))
    if merged:
        merged[-1] = (merged[-1][0], merged[-1][1], seconds)
    return merged


def level(audio: np.ndarray, phones: Phones) -> np.ndarray:
    """audio [n] with the RMS of its spoken part at LEVEL and no sample above PEAK."""
    spoken = [p for p in phones if p[0] != SILENCE]
    part = audio[round(spoken[0][1] * SAMPLE_RATE) : round(spoken[-1][2] * SAMPLE_RATE)]
    gain = LEVEL / max(float(np.sqrt(np.mean(part**2))), 1e-6)
    return audio * min(gain, PEAK / max(float(np.abs(audio).max()), 1e-6))


def plain(text: str) -> bool:
    """Whether a sentence is letters and common marks only, so that every synthesiser reads it as it is written."""
    return re.fullmatch(r"[^\W\d_][^\W\d_ ,.?!'-]*(?:[ ,.?!'-]+[^\W\d_ ,.?!'-]+)*[ ,.?!'-]*", text) is not None


def split_of(text: str) -> str:
    """One text in 25 is "dev", by its SHA-256: the same for every voice and every run."""
    return "dev" if int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) % 25 == 0 else "train"


def make(synthesiser: Synthesiser, voice: Voice, texts: Iterator[str], out: Path, minutes: float, seed: int) -> list[dict]:
    """Say texts in one voice until ``minutes`` are full, write the sound files -> lines of the manifest.

    Raises PTalkerError: texts_used_up when there are too few texts, voice_silent when a whole batch fails."""
    label = f"{synthesiser.name}_{voice.name}"
    rng = np.random.default_rng([seed, *label.encode()])
    folder = out / voice.language / label
    folder.mkdir(parents=True, exist_ok=True)
    rows, seconds = [], 0.0
    while seconds < 60 * minutes:
        lines = []
        for text in texts:
            lines.append(Line(text, round(float(rng.uniform(*RATES)), 2), round(float(rng.uniform(0.9, 1.12)), 2)))
            if len(lines) == BATCH:
                break
        if not lines:
            raise PTalkerError(
                "texts_used_up",
                f"The texts end after {seconds / 60:.1f} of {minutes:.1f} minutes of {label}.",
                "Give a longer text file or ask for fewer minutes.",
            )
        takes = synthesiser.speak(voice, lines)
        if not any(takes):
            raise PTalkerError(
                "voice_silent",
                f"{label} said none of {len(lines)} sentences, the first of them: {lines[0].text}",
                "Check that the voice is installed and that the texts are in its language.",
            )
        for line, take in zip(lines, takes, strict=True):
            if take is None or not SECONDS[0] <= len(take.audio) / SAMPLE_RATE <= SECONDS[1]:
                continue
            key = f"{voice.language}_{hashlib.sha256(line.text.encode()).hexdigest()[:10]}"
            file = folder / f"{label}_{len(rows):04d}.ogg"
            sound = level(take.audio, take.phones)
            soundfile.write(file, sound, SAMPLE_RATE, format="OGG", subtype="VORBIS")  # Opus takes ten times as long
            length = len(sound) / SAMPLE_RATE
            phones = [[label, round(start, 4), round(end, 4)] for label, start, end in take.phones]
            rows.append({
                "file": file.relative_to(out).as_posix(), "voice": label, "sex": voice.sex,
                "language": voice.language, "speed": line.rate, "sentence": key, "parallel": False,
                "split": split_of(line.text), "seconds": round(length, 3), "text": line.text, "phones": phones,
            })  # fmt: skip
            seconds += length
            if seconds >= 60 * minutes:
                break
    return rows


def write_manifest(out: Path, rows: list[dict]) -> None:
    """Replace what the manifest says of these rows' voices; keep the other voices."""
    path, voices = out / "manifest.jsonl", {row["voice"] for row in rows}
    kept = [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []
    rows = [row for row in kept if row["voice"] not in voices] + rows
    fresh = path.with_suffix(".part")
    fresh.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    fresh.replace(path)


def known(phones: Phones) -> bool:
    """Whether the teacher knows every phone, and there is speech at all."""
    try:
        return any(normalise(label) != SILENCE for label, _, _ in phones)
    except KeyError:
        return False


def take_of(path: Path, phones: Phones) -> Take | None:
    """The sound file at ``path`` with what is said in it; None where it says a phone that the teacher does not know."""
    audio, rate = soundfile.read(path, dtype="float32")
    audio = resample(audio, rate)
    phones = gapless(phones, len(audio) / SAMPLE_RATE)
    return Take(audio, phones) if known(phones) else None


def program(name: str, package: str) -> str:
    """Where a program is. Raises PTalkerError program_missing."""
    path = shutil.which(name)
    if path is None:
        raise PTalkerError("program_missing", f"{name} is not installed.", f"On Debian: apt-get install {package}")
    return path


def main(synthesiser: Synthesiser, description: str) -> None:
    """The command of a synthesiser: ``--text FILE --out FOLDER [--voices A,B] [--minutes N] [--seed N]``."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--text", type=Path, required=True, help="a sentence a line, in the voices' language")
    parser.add_argument("--out", type=Path, required=True, help="folder for manifest.jsonl and the sound files")
    parser.add_argument("--voices", default=",".join(synthesiser.voices), help="names, with commas between them")
    parser.add_argument("--minutes", type=float, default=10.0, help="of speech, over all voices")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    try:
        voices = [synthesiser.voices[name] for name in args.voices.split(",")]
    except KeyError as error:
        raise SystemExit(f"There is no voice {error}. There are: {', '.join(synthesiser.voices)}.") from None
    texts = sorted({text for text in args.text.read_text("utf-8").splitlines() if plain(text)})
    np.random.default_rng(args.seed).shuffle(texts)
    queue = iter(texts)
    for voice in voices:
        try:
            rows = make(synthesiser, voice, queue, args.out, args.minutes / len(voices), args.seed)
        except PTalkerError as error:
            raise SystemExit(str(error)) from None
        write_manifest(args.out, rows)
        print(f"{rows[0]['voice']}: {len(rows)} clips, {sum(row['seconds'] for row in rows) / 60:.1f} min", flush=True)
