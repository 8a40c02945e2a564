"""Sound files to what the speech encoder hears: float32 mono 16 kHz, read block by block in bounded memory."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile
from scipy import signal

from . import SAMPLE_RATE
from .errors import Cancelled, PTalkerError

FORMATS = "wav, flac, ogg or mp3"
MAX_SECONDS = 3 * 3600
LEAST_SECONDS = 0.1  # of a clip's sound
SILENCE = 1e-4  # peak amplitude (-80 dBFS): below this there is nothing to hear
SILENT_SENTENCE = "The sound is silent, so the mouth stays closed."
CUT_SENTENCE = "The end of the sound file is not marked as such: it may have been cut off."
_BLOCK = 1 << 18  # input frames a block
_LOUDEST = 1e6  # float files may hold more than 1.0, but beyond this the numbers are no sound
_UNKNOWN = 0x7FFF0000  # bytes; streamed wavs state 0x7FFFF000 (sox, espeak), 0xFFFFFFFF (ffmpeg) or about as much
_OGG_PAGE = 27 + 255 + 255 * 255  # bytes at most
_RATES = range(1000, 768_001)  # Hz
_NEEDS_AAC = {".m4a", ".mp4", ".m4v", ".aac", ".mov", ".mkv", ".webm", ".wma", ".3gp", ".avi"}


@dataclass(frozen=True)
class Sound:
    """A sound file that could be decoded to its end; none of it is held."""

    path: Path
    samples: int  # at 16 kHz: round(seconds * 16000)
    cut_off: bool = False  # perhaps: an ogg file without the mark of its end

    def blocks(self, cancelled: Callable[[], bool] | None = None) -> Iterator[np.ndarray]:
        """The samples of load_audio, block by block [b]. Raises what load_audio raises."""
        return _resampled(self.path, cancelled)


def check_audio(path: str | Path, cancelled: Callable[[], bool] | None = None) -> Sound:
    """Decode a sound file once in bounded memory, so that all that is wrong with it is known before anything long.

    Raises what load_audio raises.
    """
    path = Path(path)
    frames, rate = 0, SAMPLE_RATE
    for rate, block in _decoded(path, cancelled):  # noqa: B007
        frames += len(block)
    return Sound(path, _count(frames, rate), _lacks_end(path))


def load_audio(path: str | Path, cancelled: Callable[[], bool] | None = None) -> np.ndarray:
    """A sound file -> samples [n] float32, mono, 16 kHz, n = round(seconds * 16000).

    Silent sound is valid (see is_silent). Raises PTalkerError (audio_missing, audio_unreadable, audio_empty,
    audio_invalid, audio_too_long) and Cancelled.
    """
    return np.concatenate(list(_resampled(Path(path), cancelled)))


def from_samples(samples: np.ndarray, rate: float, name: str) -> np.ndarray:
    """Samples [n] or [n, channels], floats or integers of full scale, at ``rate`` Hz -> what load_audio gives.

    Raises PTalkerError (audio_invalid, audio_empty, audio_too_long).
    """
    if samples.ndim not in (1, 2) or samples.dtype.kind not in "fiu":
        raise PTalkerError("audio_invalid", f"The sound in '{name}' is no array of samples.")
    if samples.ndim == 2 and len(samples) < samples.shape[1]:  # or the sound would be taken for as many channels
        raise PTalkerError("audio_invalid", f"The sound in '{name}' must be [n] or [n, channels], not {list(samples.shape)}.")
    if not float(rate).is_integer() or int(rate) not in _RATES:
        raise PTalkerError("audio_invalid", f"The sound in '{name}' has an impossible sample rate of {rate:g} Hz.")
    if samples.size == 0:
        raise PTalkerError("audio_empty", f"The sound in '{name}' is empty.")
    if len(samples) < LEAST_SECONDS * rate:
        raise PTalkerError("audio_empty", f"The sound in '{name}' is shorter than {LEAST_SECONDS:g} s.")
    if len(samples) > MAX_SECONDS * rate:
        raise _too_long(name)
    if samples.dtype.kind == "f":
        mono = samples.astype(np.float32)
    else:
        middle = 0 if samples.dtype.kind == "i" else np.iinfo(samples.dtype).max // 2 + 1
        mono = ((samples.astype(np.float64) - middle) / (np.iinfo(samples.dtype).max - middle)).astype(np.float32)
    mono = mono.mean(axis=1) if mono.ndim == 2 else mono
    if not np.all(np.abs(mono) < _LOUDEST):
        raise PTalkerError("audio_invalid", f"The sound in '{name}' holds samples that are not finite numbers.")
    resampler = _Resampler(int(rate))
    return np.concatenate([resampler.push(mono), resampler.finish()])[: _count(len(mono), int(rate))]


def is_silent(audio: np.ndarray) -> bool:
    """Whether samples [n] hold nothing that can be heard."""
    return float(max(audio.max(initial=0.0), -audio.min(initial=0.0))) < SILENCE


def _check_file(path: Path) -> None:
    try:
        if not path.exists():
            raise PTalkerError("audio_missing", f"The sound file '{path}' does not exist.")
        if not path.is_file():
            raise PTalkerError("audio_unreadable", f"'{path}' is not a file.")
        if path.stat().st_size == 0:
            raise PTalkerError("audio_empty", f"The sound file '{path.name}' is empty.")
        path.open("rb").close()
    except (OSError, ValueError) as error:  # no permission; a name too long or with a NUL
        raise PTalkerError("audio_unreadable", f"The sound file '{path}' cannot be opened.") from error


@contextmanager
def _opened(path: Path) -> Iterator[soundfile.SoundFile]:
    """The sound, open to its true end.

    libsndfile guesses the length of an mp3 that does not state it from the first frame's bit rate, and stops there;
    with a variable rate that loses most of the sound. From a pipe it reads to the end, so such files come through one.
    """
    file = soundfile.SoundFile(path)
    if file.format == "MP3":
        piped = _piped(path)
        if piped.seekable():  # the length is stated
            piped.close()
        else:
            file.close()
            file = piped
    with file:
        yield file


def _piped(path: Path) -> soundfile.SoundFile:
    reader, writer = os.pipe()

    def feed() -> None:
        with path.open("rb") as source, os.fdopen(writer, "wb", buffering=0) as sink:
            while chunk := memoryview(source.read(1 << 16)):
                try:
                    while chunk:
                        chunk = chunk[sink.write(chunk) :]
                except BrokenPipeError:  # the other end was closed: it has heard enough
                    return

    threading.Thread(target=feed, daemon=True).start()
    return soundfile.SoundFile(reader)


def _resampled(path: Path, cancelled: Callable[[], bool] | None) -> Iterator[np.ndarray]:
    """Yields mono blocks [b] float32 at 16 kHz."""
    resampler, frames, rate, sent = None, 0, SAMPLE_RATE, 0
    for rate, block in _decoded(path, cancelled):
        resampler = resampler or _Resampler(rate)
        frames += len(block)
        samples = resampler.push(block)
        sent += len(samples)
        yield samples
    if resampler is not None:
        yield resampler.finish()[: _count(frames, rate) - sent]


def _count(frames: int, rate: int) -> int:
    """Samples at 16 kHz of frames at a rate."""
    return max(1, round(frames * SAMPLE_RATE / rate))


def _decoded(path: Path, cancelled: Callable[[], bool] | None) -> Iterator[tuple[int, np.ndarray]]:
    """Yields (rate in Hz, mono block [b] float32 at that rate); at least one block, of finite numbers."""
    _check_file(path)
    try:
        with _opened(path) as file:
            yield from _read(file, path.name, _share_of_wav(path), cancelled)
    # TypeError: soundfile wants to be told the rate of headerless (.raw) files.
    except (soundfile.LibsndfileError, TypeError) as error:
        fix = f"Convert it to {FORMATS}."
        if path.suffix.lower() in _NEEDS_AAC:
            sentence = f"'{path.name}' is a film or an AAC file, which only Blender itself can decode."
            raise PTalkerError("audio_unreadable", sentence, fix) from error
        raise PTalkerError("audio_unreadable", f"'{path.name}' cannot be read as sound.", fix) from error


def _share_of_wav(path: Path) -> float:
    """Share of a wav's samples that are in the file, 0..1: libsndfile takes a file that was cut off for a shorter one. 1 for
    what is no wav, and for one that was streamed, whose length nobody knew when it began."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        if file.read(4) != b"RIFF" or file.read(8)[4:] != b"WAVE":
            return 1.0
        while len(head := file.read(8)) == 8:
            length = int.from_bytes(head[4:], "little")
            if head[:4] == b"data":
                return 1.0 if length == 0 or length >= _UNKNOWN else min(1.0, (size - file.tell()) / length)
            file.seek(length + length % 2, os.SEEK_CUR)
    return 1.0


def _lacks_end(path: Path) -> bool:
    """Of an ogg file, whether its last page is not the last of its stream, or not all there. Some streams never mark it."""
    with path.open("rb") as file:
        if file.read(4) != b"OggS":
            return False
        file.seek(max(0, file.seek(0, os.SEEK_END) - 2 * _OGG_PAGE))
        page = file.read()
    page = page[page.rfind(b"OggS") :]
    if len(page) < 27 or not page[5] & 4:  # a head of 27 bytes with flags, the count of segments, their sizes, the segments
        return True
    sizes = page[27 : 27 + page[26]]
    return len(sizes) < page[26] or len(page) < 27 + page[26] + sum(sizes)


def _read(
    file: soundfile.SoundFile, name: str, share: float, cancelled: Callable[[], bool] | None
) -> Iterator[tuple[int, np.ndarray]]:
    """``share`` of its samples are in the file."""
    rate = file.samplerate
    if rate not in _RATES:
        raise PTalkerError("audio_invalid", f"The sound '{name}' has an impossible sample rate of {rate} Hz.")
    stated = file.frames if file.seekable() else 0
    if stated > MAX_SECONDS * rate:
        raise _too_long(name)
    frames = 0
    while True:
        if cancelled is not None and cancelled():
            raise Cancelled
        block = file.read(_BLOCK, dtype="float32", always_2d=True)  # [b, channels]
        if len(block) == 0:
            break
        if not np.all(np.abs(block) < _LOUDEST):  # also false for NaN and infinity
            raise PTalkerError("audio_invalid", f"The sound '{name}' holds samples that are not finite numbers.")
        frames += len(block)
        if frames > MAX_SECONDS * rate:
            raise _too_long(name)
        yield rate, block.mean(axis=1)
    if frames == 0:
        raise PTalkerError("audio_empty", f"The sound '{name}' is empty.")
    stated = max(stated, frames / max(share, 1e-9))
    if frames < stated - rate // 2:
        sentence = f"The sound '{name}' is damaged: {frames / rate:.1f} of its {stated / rate:.1f} s can be read."
        raise PTalkerError("audio_unreadable", sentence, "Save or download it again.")


def _too_long(name: str) -> PTalkerError:
    hours = MAX_SECONDS // 3600
    return PTalkerError("audio_too_long", f"The sound '{name}' is longer than {hours} hours.", "Cut it into parts.")


class _Resampler:
    """``scipy.signal.resample_poly`` to 16 kHz in blocks, with the very result of the whole clip at once.

    Blocks start at multiples of ``down`` (where an output sample falls on an input sample) and overlap by ``context``
    input samples, which is no less than the filter reaches.
    """

    def __init__(self, rate: int) -> None:
        common = math.gcd(rate, SAMPLE_RATE)
        self.up, self.down = SAMPLE_RATE // common, rate // common
        self.taps = _filter(self.up, self.down) if rate != SAMPLE_RATE else None
        reach = 10 * max(self.up, self.down) / self.up
        self.context = self.down * math.ceil(reach / self.down)
        self.pending = np.zeros(0, np.float32)  # input not yet turned to output, with `behind` samples before it
        self.behind = 0

    def push(self, block: np.ndarray) -> np.ndarray:
        """Input samples [b] -> the output samples that are certain by now."""
        if self.taps is None:
            return block
        self.pending = np.concatenate([self.pending, block])
        count = (len(self.pending) - self.behind - self.context) // self.down * self.down
        if count <= 0:
            return np.zeros(0, np.float32)
        end = self.behind + count
        out = self._resample(self.pending[: end + self.context])
        start = self.behind * self.up // self.down
        out = out[start : start + count * self.up // self.down]
        keep = min(end, self.context)
        self.pending, self.behind = self.pending[end - keep :], keep
        return out

    def finish(self) -> np.ndarray:
        if self.taps is None or len(self.pending) == 0:
            return np.zeros(0, np.float32)
        return self._resample(self.pending)[self.behind * self.up // self.down :]

    def _resample(self, samples: np.ndarray) -> np.ndarray:
        return np.asarray(signal.resample_poly(samples, self.up, self.down, window=self.taps), np.float32)


@lru_cache(maxsize=8)
def _filter(up: int, down: int) -> np.ndarray:
    """resample_poly's own anti-aliasing filter, designed once a clip instead of once a block."""
    largest = max(up, down)
    return np.asarray(signal.firwin(20 * largest + 1, 1.0 / largest, window=("kaiser", 5.0)), np.float32)  # type: ignore[arg-type]
