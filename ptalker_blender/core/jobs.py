"""What the engine and the command line do with a loaded model: one function a job, from files to files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from . import SAMPLE_RATE
from .channels import CHANNELS
from .errors import Cancelled, PTalkerError
from .gains import Gains
from .landmarks import read_guide
from .mesh.io import read_head
from .npz import Frames, check_writable, write_npz
from .protocol import Generate, Result

if TYPE_CHECKING:
    from .runtime import PTalker
    from .styles import StyleLike

MAX_FPS = 240.0
STRENGTHS = (-1.0, 3.0)
MAX_SEED = 2**63 - 1

# Where the runtime's stages lie within its part of a job: frames are made while the sound is heard; the last ones remain.
_STAGES = {"listening": (0.0, 0.9), "animating": (0.9, 1.0)}
_BLOCK = 1 << 16  # samples of silence at a time

LoadModel = Callable[[], "PTalker"]


class Reporter(Protocol):
    """Where a job tells how far it is, and asks whether to go on."""

    def progress(self, stage: str, fraction: float) -> None: ...
    def learned(self, fraction: float, loss: float, held_out: float | None) -> None: ...
    def cancelled(self) -> bool: ...


class Quiet:
    """A reporter for jobs that nobody watches."""

    def progress(self, stage: str, fraction: float) -> None:
        return None

    def learned(self, fraction: float, loss: float, held_out: float | None) -> None:
        return None

    def cancelled(self) -> bool:
        return False


def check_options(fps: float, strength: float, seed: int) -> None:
    """Raises PTalkerError option_invalid for numbers that make no take."""
    if not 0 < fps <= MAX_FPS:
        raise PTalkerError("option_invalid", f"The frame rate must be above 0 and at most {MAX_FPS:g}, not {fps:g}.")
    low, high = STRENGTHS
    if not low <= strength <= high:
        raise PTalkerError("option_invalid", f"The strength must be from {low:g} to {high:g}, not {strength:g}.")
    check_seed(seed)


def check_seed(seed: int) -> None:
    """Raises PTalkerError option_invalid for what no generator of random numbers takes."""
    if not 0 <= seed <= MAX_SEED:
        raise PTalkerError("option_invalid", f"The seed must be from 0 to {MAX_SEED}, not {seed}.")


def style_files(styles: Iterable[str]) -> list[str]:
    """Of names and files those that are files, whatever lies in the folder under the name of a built-in style."""
    return [style for style in styles if Path(style).suffix]


def generate(job: Generate, load: LoadModel, reporter: Reporter) -> Result:
    """Do ``job`` and write ``job.out``: fps, names [K], weights [T, K] float32, T = round(seconds * fps); with a mesh
    also basis [K, V, 3] and, if asked for, vertices [T, V, 3], float32 in the mesh's own units, and the lips of weights meet on
    that mesh (mesh/meeting.py).

    All input but the style is checked before the model is asked for. Raises PTalkerError, Cancelled.
    """
    from .audio import CUT_SENTENCE, SILENT_SENTENCE, check_audio

    check_options(job.fps, job.strength, job.seed)
    gains = Gains(job.jaw, job.lips, job.upper_face, job.blink).checked()
    styles = style_files([job.style or "", *(name for name, _ in job.blend)])
    check_writable(job.out, job.audio, job.mesh, job.reference, *styles)
    head = read_head(job.mesh) if job.mesh is not None else None
    guide = read_guide(job.mesh) if job.mesh is not None else None
    reporter.progress("reading the sound", 0.0)
    sound = check_audio(job.audio, reporter.cancelled)
    first, count = part(sound.samples, job.start, job.duration)
    seconds = count / SAMPLE_RATE
    if round(seconds * job.fps) < 1:
        raise PTalkerError("audio_empty", f"The sound is shorter than one frame at {job.fps:g} frames a second.")
    model = load()
    style, warnings = _style(job, model, reporter)
    rigged = None
    if head is not None:
        rigged = model.rigged(*head, guide, progress=_part(reporter, 0.1, 0.3), cancelled=reporter.cancelled)
    heard = Heard(between(sound.blocks(reporter.cancelled), first, count))
    weights = model.generate(
        heard,
        job.fps,
        samples=count,
        style=style,
        strength=job.strength,
        seed=job.seed,
        gains=gains,
        progress=_part(reporter, 0.3 if head else 0.1, 0.95),
        cancelled=reporter.cancelled,
    )
    arrays = {"fps": np.float64(job.fps), "names": np.array(CHANNELS), "weights": weights}
    frames = None
    if head is not None and rigged is not None:
        basis = arrays["basis"] = rigged.basis.astype(np.float32, copy=False)
        weights = arrays["weights"] = model.met(rigged, head[0], weights)
        frames = Frames(head[0], basis, weights) if job.vertices else None
    _write(job.out, arrays, frames, reporter)
    warnings += [SILENT_SENTENCE] if heard.silent else []
    warnings += [CUT_SENTENCE] if sound.cut_off else []
    return Result(job.id, job.out, len(weights), seconds, tuple(warnings))


def _style(job: Generate, model: PTalker, reporter: Reporter) -> tuple[StyleLike, list[str]]:
    """The style that a job asks for, and what to tell about it."""
    if job.blend:
        return list(job.blend), []
    if job.reference is None:
        return job.style, []
    from .reference import read_style

    reading = read_style(model, job.reference, progress=_part(reporter, 0.02, 0.1), cancelled=reporter.cancelled)
    return reading.style, reading.warnings


class Heard:
    """Passes blocks of samples [m] on and knows whether all of them were silent."""

    def __init__(self, blocks: Iterable[np.ndarray]) -> None:
        self.blocks, self.silent = blocks, True

    def __iter__(self) -> Iterator[np.ndarray]:
        from .audio import is_silent

        for block in self.blocks:
            self.silent = self.silent and is_silent(block)
            yield block


def part(samples: int, start: float, duration: float | None) -> tuple[int, int]:
    """The first sample and the number of samples of start .. start + duration seconds (None: to the end).

    May reach beyond the sound, whose length is ``samples``. Raises PTalkerError option_invalid.
    """
    from .audio import MAX_SECONDS

    first = round(start * SAMPLE_RATE)
    count = samples - first if duration is None else round(duration * SAMPLE_RATE)
    if not 0 < count <= MAX_SECONDS * SAMPLE_RATE:
        raise PTalkerError("option_invalid", f"{count / SAMPLE_RATE:g} s of sound from {start:g} s on cannot be heard.")
    return first, count


def between(blocks: Iterable[np.ndarray], first: int, count: int) -> Iterator[np.ndarray]:
    """Blocks of samples [m] -> blocks of the samples first .. first + count; outside the sound is silence."""
    end = first + count
    yield from _silence(min(-first, count))
    at = 0  # samples of the sound that have passed
    for block in blocks:
        yield block[max(first - at, 0) : max(end - at, 0)]
        at += len(block)
        if at >= end:
            return
    yield from _silence(end - max(at, first))


def _silence(count: int) -> Iterator[np.ndarray]:
    while count > 0:
        yield np.zeros(min(count, _BLOCK), np.float32)
        count -= _BLOCK


def _part(reporter: Reporter, start: float, end: float) -> Callable[[str, float], None]:
    """A progress callback for one part of a job, as a share of the whole."""

    def report(stage: str, fraction: float) -> None:
        low, high = _STAGES.get(stage, (0.0, 1.0))
        share = low + (high - low) * min(max(fraction, 0.0), 1.0)
        reporter.progress(stage, start + (end - start) * share)

    return report


def _write(out: str, arrays: Mapping[str, np.ndarray | np.generic], frames: Frames | None, reporter: Reporter) -> None:
    reporter.progress("writing", 0.95)
    if reporter.cancelled():
        raise Cancelled
    write_npz(Path(out), arrays, frames, reporter.cancelled)
    reporter.progress("writing", 1.0)
