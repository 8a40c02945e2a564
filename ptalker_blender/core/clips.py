"""Reference clips: CLIP.npz with a mesh in motion, read a few frames at a time, or a sound file. All of it checked.

CLIP.npz: ``vertices [T, V, 3]`` (any unit and pose), ``faces [F, 3 or 4]`` (-1 pads), ``fps``; optional ``audio`` [n] or
[n, channels] with ``sample_rate``, the first sample at the first frame; optional ``rest [V, 3]``, the face at rest.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from . import SAMPLE_RATE
from .audio import FORMATS, from_samples, is_silent, load_audio
from .errors import Cancelled, PTalkerError
from .mesh.io import check_head

SHORTEST = 1.0  # s; nobody shows how they speak in less
LONGEST = 3600.0  # s
MAX_FPS = 1000.0
NEEDED = ("vertices", "faces", "fps")
_CHUNK = 16 << 20  # bytes of vertices in memory at a time


@dataclass(frozen=True)
class Clip:
    """``source``: the file, or vertices [T, V, 3] themselves. ``audio`` [n] float32 at 16 kHz, as long as the motion (silence
    where the sound ends before); None without or silent."""

    name: str
    source: Path | np.ndarray
    faces: np.ndarray  # [F, 4]
    fps: float
    frames: int
    vertices: int
    rest: np.ndarray | None = None  # [V, 3]
    audio: np.ndarray | None = None

    @property
    def seconds(self) -> float:
        return self.frames / self.fps

    def chunks(self, cancelled: Callable[[], bool] | None = None) -> Iterator[np.ndarray]:
        """All frames in order, [t, V, 3] float32 each. Raises PTalkerError reference_invalid (not finite), Cancelled."""
        step = max(1, _CHUNK // (12 * self.vertices))
        if isinstance(self.source, np.ndarray):
            parts = (self.source[i : min(i + step, self.frames)] for i in range(0, self.frames, step))
        else:
            parts = _frames(self.source, step, self.frames)
        for part in parts:
            if cancelled is not None and cancelled():
                raise Cancelled
            chunk = np.asarray(part, np.float32)
            if not np.isfinite(chunk).all():
                raise _invalid(f"'{self.name}' has vertices that are not finite numbers.", "Export the animation again.")
            yield chunk

    def at(self, times: np.ndarray, cancelled: Callable[[], bool] | None = None) -> np.ndarray:
        """Vertices [n, V, 3] float32 at ascending times [n] s, linear between frames; the last frame holds."""
        where = np.clip(np.asarray(times, np.float64) * self.fps, 0, self.frames - 1)
        low = np.minimum(where.astype(int), max(self.frames - 2, 0))
        share = (where - low).astype(np.float32)[:, None, None]
        out = np.zeros((len(where), self.vertices, 3), np.float32)
        first = 0
        for chunk in self.chunks(cancelled):
            for offset, amount in ((0, 1 - share), (1, share)):
                here = np.flatnonzero((low + offset >= first) & (low + offset < first + len(chunk)))
                if len(here):
                    out[here] += amount[here] * chunk[low[here] + offset - first]
            first += len(chunk)
        return out

    def part(self, seconds: float) -> Clip:
        """Its first ``seconds``, at least two frames."""
        frames = min(max(2, round(seconds * self.fps)), self.frames)
        audio = None if self.audio is None else self.audio[: round(frames / self.fps * SAMPLE_RATE)]
        return replace(self, frames=frames, audio=audio)

    def first(self) -> np.ndarray:
        """The face at rest where it is known, else the first frame: [V, 3] float64."""
        return (next(iter(self.chunks()))[0] if self.rest is None else self.rest).astype(np.float64)


def read_reference(path: str | Path, cancelled: Callable[[], bool] | None = None) -> Clip | np.ndarray:
    """CLIP.npz -> Clip; a sound file -> samples [n] float32 at 16 kHz.

    Raises PTalkerError (reference_missing, reference_unreadable, reference_invalid, reference_changed, reference_short,
    reference_silent, mesh_invalid, and what load_audio raises), Cancelled. Pickled arrays are refused.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise PTalkerError("reference_missing", f"There is no reference file '{path}'.")
        with path.open("rb") as file:
            is_zip = file.read(4) == b"PK\x03\x04"
    except (OSError, ValueError) as error:
        raise PTalkerError("reference_unreadable", f"The reference '{path}' cannot be opened.") from error
    if is_zip or path.suffix.lower() == ".npz":
        return read_clip(path)
    if path.suffix.lower() == ".safetensors":
        raise PTalkerError("reference_unreadable", f"'{path.name}' is a style already, not a reference.", "Use it as a style.")
    if path.suffix.lower() in (".npy", ".blend", ".abc", ".fbx", ".usd", ".obj", ".pc2", ".mdd", ".json", ".txt"):
        fix = f"Use a clip (.npz with vertices, faces, fps) or a sound file ({FORMATS})."
        raise PTalkerError("reference_unreadable", f"'{path.name}' is neither a clip nor a sound file.", fix)
    audio = load_audio(path, cancelled)
    check_length(len(audio) / SAMPLE_RATE, path.name)
    if is_silent(audio):
        raise PTalkerError("reference_silent", f"'{path.name}' is silent: there is no voice to take a style from.")
    return audio


def read_clip(path: Path) -> Clip:
    """CLIP.npz, all but its vertices read; raises what read_reference raises."""
    unreadable = PTalkerError("reference_unreadable", f"'{path.name}' cannot be read as an npz file of numbers.")
    try:
        with zipfile.ZipFile(path) as archive:
            names = {n.removesuffix(".npy") for n in archive.namelist()}
            missing = [name for name in NEEDED if name not in names]
            if missing:
                fix = "A clip has vertices [T, V, 3], faces [F, 3 or 4] and fps."
                raise _invalid(f"The clip '{path.name}' has no array '{missing[0]}'.", fix)
            with archive.open("vertices.npy") as member:
                shape, _, dtype = _header(member)
        with np.load(path, allow_pickle=False) as arrays:
            small = {n: arrays[n] for n in ("faces", "fps", "rest", "audio", "sample_rate") if n in arrays.files}
    except PTalkerError:
        raise
    except Exception as error:  # a damaged file raises anything from BadZipFile to SyntaxError; all mean the same
        raise unreadable from error
    if dtype.hasobject:
        raise PTalkerError(
            "reference_changed", f"The frames of '{path.name}' do not all have the same vertices.",
            "Use one mesh throughout, without modifiers that change its topology.",
        )  # fmt: skip
    return checked(path.name, path, shape, dtype, small)


def clip_of(
    vertices: np.ndarray, faces: np.ndarray, fps: float, *, rest: np.ndarray | None = None,
    audio: np.ndarray | None = None, sample_rate: int = SAMPLE_RATE, name: str = "the clip",
) -> Clip:  # fmt: skip
    """The same from arrays in memory."""
    given = {"faces": faces, "fps": np.asarray(fps), "rest": rest, "audio": audio, "sample_rate": np.asarray(sample_rate)}
    small = {k: np.asarray(v) for k, v in given.items() if v is not None}
    return checked(name, vertices, vertices.shape, vertices.dtype, small)


def checked(name: str, source: Path | np.ndarray, shape: tuple, dtype: np.dtype, small: dict[str, np.ndarray]) -> Clip:
    """A Clip whose parts fit each other. ``shape`` and ``dtype`` are the vertices'."""
    if len(shape) != 3 or shape[2] != 3 or dtype.kind not in "fiu":
        raise _invalid(f"The clip '{name}' needs vertices of shape [T, V, 3], but has {dtype} of shape {list(shape)}.")
    fps = small["fps"]
    if fps.size != 1 or fps.dtype.kind not in "fiu" or not 0 < float(fps.reshape(())) <= MAX_FPS:
        raise _invalid(f"The clip '{name}' has no possible frame rate 'fps'.")
    frames, count, rate = int(shape[0]), int(shape[1]), float(fps.reshape(()))
    check_length(frames / rate, name)
    changed = PTalkerError(
        "reference_changed", f"The vertices, faces and rest of '{name}' are not those of one mesh.",
        "Export them from the same object.",
    )  # fmt: skip
    faces = small["faces"]
    if faces.dtype.kind in "iu" and faces.size and int(faces.max()) >= count:
        raise changed
    rest = small.get("rest")
    if rest is not None and rest.shape != (count, 3):
        raise changed
    shown = rest if rest is not None else np.eye(max(count, 1), 3)  # stands for a frame: those are checked as they come
    _, faces = check_head(shown, faces, f"The clip '{name}'")
    clip = Clip(name, source, faces, rate, frames, count, None if rest is None else np.asarray(rest, np.float32))
    return replace(clip, audio=_sound(small, clip))


def check_length(seconds: float, name: str) -> None:
    """Raises PTalkerError (reference_short, reference_invalid)."""
    if seconds < SHORTEST:
        fix = "Three seconds are enough, more are better."
        raise PTalkerError("reference_short", f"'{name}' is too short for a reference ({seconds:.2f} s).", fix)
    if seconds > LONGEST:
        raise _invalid(f"'{name}' is longer than an hour.", "Use a part of it.")


def _sound(small: dict[str, np.ndarray], clip: Clip) -> np.ndarray | None:
    if "audio" not in small:
        return None
    if "sample_rate" not in small or small["sample_rate"].size != 1 or small["sample_rate"].dtype.kind not in "fiu":
        raise _invalid(f"The clip '{clip.name}' has 'audio', but no 'sample_rate'.")
    wanted = round(clip.seconds * SAMPLE_RATE)
    audio = from_samples(small["audio"], float(small["sample_rate"].reshape(())), clip.name)[:wanted]
    if is_silent(audio):
        return None
    return np.pad(audio, (0, wanted - len(audio)))  # after its end it is silent: whoever learns from motion needs sound to each


def _header(member: IO[bytes]) -> tuple[tuple, bool, np.dtype]:
    """Shape, Fortran order, type of a .npy member that stands at its beginning."""
    version = npy.read_magic(member)
    return npy.read_array_header_1_0(member) if version == (1, 0) else npy.read_array_header_2_0(member)


def _frames(path: Path, step: int, total: int) -> Iterator[np.ndarray]:
    """The first ``total`` frames of the vertices of CLIP.npz, ``step`` at a time."""
    damaged = PTalkerError("reference_unreadable", f"'{path.name}' is damaged.", "Export it again.")
    try:
        with zipfile.ZipFile(path) as archive, archive.open("vertices.npy") as member:
            shape, fortran, dtype = _header(member)
            if fortran:  # lies in memory the other way round: all or nothing
                with np.load(path, allow_pickle=False) as arrays:
                    yield arrays["vertices"][:total]
                return
            size = dtype.itemsize * shape[1] * shape[2]
            for first in range(0, total, step):
                count = min(step, total - first)
                data = member.read(count * size)
                if len(data) < count * size:
                    raise damaged
                yield np.frombuffer(data, dtype).reshape(count, *shape[1:])
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise damaged from error


def _invalid(sentence: str, fix: str = "") -> PTalkerError:
    return PTalkerError("reference_invalid", sentence, fix)
