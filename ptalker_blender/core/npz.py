"""Results to npz files: whole or not at all, and in bounded memory however many frames there are."""

from __future__ import annotations

import os
import uuid
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from .errors import Cancelled, PTalkerError

_CHUNK = 32 << 20  # bytes of vertices in memory at a time


def check_writable(out: str | Path, *others: str | Path | None) -> None:
    """Raises PTalkerError out_unwritable where ``out`` could not be written, before anything long has been computed, or would
    take the place of one of ``others``: what the job reads, and what else it writes."""
    path = Path(out)
    try:
        if path.is_dir() or os.path.basename(out) in ("", "."):  # of "folder/", a Path is "folder"
            raise PTalkerError("out_unwritable", f"'{out}' is a folder, not a file to write.")
        target = _target(path)
        if not target.parent.is_dir():
            raise PTalkerError("out_unwritable", f"The folder '{target.parent}' does not exist.")
        if target.exists() and not target.is_file():
            raise PTalkerError("out_unwritable", f"'{out}' is a pipe or a device, not a file to write.")
        if any(_same(target, Path(other)) for other in others if other is not None):
            sentence = f"The result cannot take the place of '{out}', which the same call reads or writes as something else."
            raise PTalkerError("out_unwritable", sentence, "Choose another name.")
        probe = _beside(target)
        probe.open("xb").close()
        probe.unlink()
    except (OSError, ValueError) as error:
        raise PTalkerError("out_unwritable", f"The result cannot be written to '{out}'.") from error


def write_npz(
    out: Path,
    arrays: Mapping[str, np.ndarray | np.generic],
    frames: Frames | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> None:
    """Write ``arrays``, and ``frames`` as "vertices" [T, V, 3], to ``out`` under a temporary name, then rename.

    Raises Cancelled, PTalkerError (out_unwritable).
    """
    try:
        with replacing(out) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
            if frames is not None:
                with archive.open("vertices.npy", "w", force_zip64=True) as member:
                    header = {"descr": "<f4", "fortran_order": False, "shape": frames.shape}
                    np.lib.format.write_array_header_1_0(member, header)
                    for chunk in frames.chunks():
                        if cancelled is not None and cancelled():
                            raise Cancelled
                        member.write(chunk.astype("<f4", copy=False).tobytes())
    except (OSError, ValueError) as error:
        raise PTalkerError("out_unwritable", f"The result cannot be written to '{out}'.", _reason(error)) from error


class Frames:
    """The moving vertices neutral + sum_k weights[t, k] * basis[k], made a few frames at a time.

    vertices [V, 3], basis [K, V, 3] (both in the mesh's own units), weights [T, K].
    """

    def __init__(self, vertices: np.ndarray, basis: np.ndarray, weights: np.ndarray) -> None:
        self.neutral = vertices.reshape(-1).astype(np.float64)
        self.basis = basis.reshape(len(basis), -1).astype(np.float32, copy=False)  # [K, V * 3]
        self.weights = weights.astype(np.float32, copy=False)
        self.shape = (len(weights), len(vertices), 3)

    def chunks(self) -> Iterable[np.ndarray]:
        """Yields [t, V * 3] float32."""
        step = max(1, _CHUNK // max(1, 8 * len(self.neutral)))
        for start in range(0, len(self.weights), step):
            yield (self.weights[start : start + step] @ self.basis + self.neutral).astype(np.float32)


@contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """A temporary name beside ``out`` that becomes ``out`` when the block ends well, and vanishes when it does not. Where
    ``out`` is a link, it stays one: what it leads to is replaced."""
    target = _target(out)
    temporary = _beside(target)
    try:
        yield temporary
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _target(out: Path) -> Path:
    return Path(os.path.realpath(out)) if out.is_symlink() else out


def _same(a: Path, b: Path) -> bool:
    """Whether both are one file, which need not be there yet."""
    try:
        if a.exists() and b.exists():
            return a.samefile(b)  # under whatever name
        return os.path.normcase(os.path.realpath(a)) == os.path.normcase(os.path.realpath(b))
    except (OSError, ValueError):  # no name of a file, or one that may not be read: whoever reads it says so
        return False


def _beside(out: Path) -> Path:
    return out.with_name(f".{uuid.uuid4().hex}.part")


def _reason(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) else None
    return f"The system says: {text}." if text else ""
