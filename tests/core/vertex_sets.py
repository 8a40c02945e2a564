"""Miniatures of VOCASET and BIWI, in the published layout, of a dome of 8 x 9 vertices whose lower half opens as the sound
is loud."""

from __future__ import annotations

import atexit
import pickle
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import soundfile

from ptalker_blender.core.audio import load_audio
from ptalker_blender.core.data import biwi, vocaset

ROWS, COLUMNS = 9, 8
V = ROWS * COLUMNS


def dome(width: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Vertices [V, 3], +y up, +z out, and quads [F, 4]."""
    y, x = np.meshgrid(np.linspace(0.1, -0.1, ROWS), np.linspace(-0.08, 0.08, COLUMNS) * width, indexing="ij")
    z = 0.1 - 4 * (x**2 + y**2)
    i = np.arange(V).reshape(ROWS, COLUMNS)
    faces = np.stack([i[:-1, :-1], i[1:, :-1], i[1:, 1:], i[:-1, 1:]], -1).reshape(-1, 4)
    return np.stack([x, y, z], -1).reshape(V, 3), faces


def lips() -> np.ndarray:
    return np.arange(5 * COLUMNS + 2, 5 * COLUMNS + 6)


def brows() -> np.ndarray:
    return np.arange(COLUMNS, 2 * COLUMNS)


def motion(audio: np.ndarray, fps: float, template: np.ndarray, strength: float) -> np.ndarray:
    """audio [n] at 16 kHz -> vertices [T, V, 3]: below the middle everything follows the loudness, the brows a little."""
    frames = int(len(audio) / 16000 * fps)
    loud = np.array([np.sqrt(np.mean(a**2)) for a in np.array_split(audio, frames)])
    loud = np.convolve(loud, np.ones(5) / 5, "same") / 0.1
    out = np.repeat(template[None], frames, 0)
    below = np.maximum(0, 4 - np.arange(V) // COLUMNS) == 0
    out[:, below, 1] -= 0.01 * strength * loud[:, None]
    out[:, brows(), 1] += 0.002 * np.sin(np.arange(frames) / fps * 3)[:, None]
    return out


def write_ply(path: Path, vertices: np.ndarray, faces: np.ndarray, binary: bool = False) -> None:
    kind = "binary_little_endian" if binary else "ascii"
    head = f"ply\nformat {kind} 1.0\nelement vertex {len(vertices)}\n"
    head += "".join(f"property float {a}\n" for a in "xyz")
    head += f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    if binary:
        rows = np.zeros(len(faces), [("n", "u1"), ("v", "<i4", faces.shape[1])])
        rows["n"], rows["v"] = faces.shape[1], faces
        path.write_bytes(head.encode() + vertices.astype("<f4").tobytes() + rows.tobytes())
    else:
        lines = [" ".join(map(str, v)) for v in vertices]
        lines += [f"{len(f)} " + " ".join(map(str, f)) for f in faces]
        path.write_text(head + "\n".join(lines) + "\n", "ascii")


def _write(folder: Path, speech: Path, names: list[tuple[str, str]], fps: float, rate: int, protocol: int) -> None:
    """``names``: (subject, sentence). Frames at ``fps`` and sound at ``rate``; cuts of ``speech`` of about 3 s."""
    audio = load_audio(speech)
    (folder / "vertices_npy").mkdir(parents=True)
    (folder / "wav").mkdir()
    subjects = sorted({s for s, _ in names})
    templates = {s: dome(1 + 0.05 * i)[0] for i, s in enumerate(subjects)}
    (folder / "templates.pkl").write_bytes(pickle.dumps(templates, protocol=protocol))
    for k, (subject, sentence) in enumerate(names):
        start = (k * 16000) % (len(audio) - 3 * 16000)
        cut = audio[start : start + int(2.4 * 16000) + 4000 * (k % 3)]
        moving = motion(cut, fps, templates[subject], 0.6 + 0.4 * subjects.index(subject))
        stem = f"{subject}_{sentence}"
        np.save(folder / "vertices_npy" / f"{stem}.npy", moving.reshape(len(moving), -1).astype(np.float32))
        seconds = len(cut) / 16000
        resampled = np.interp(np.arange(int(seconds * rate)) / rate, np.arange(len(cut)) / 16000, cut)
        soundfile.write(folder / "wav" / f"{stem}.wav", resampled, rate)


@cache
def _made(make: Callable[[Path, Path], None], speech: Path) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="ptalker_set_"))
    atexit.register(shutil.rmtree, folder, True)
    make(folder / "set", speech)
    return folder / "set"


def make_vocaset(folder: Path, speech: Path) -> Path:
    """-> ``folder``, which did not exist, with a copy that may be changed."""
    return shutil.copytree(_made(_vocaset, speech), folder)


def make_biwi(folder: Path, speech: Path) -> Path:
    return shutil.copytree(_made(_biwi, speech), folder)


def _vocaset(folder: Path, speech: Path) -> None:
    names = [(s, f"sentence{n:02d}") for s in vocaset.TRAIN[:3] for n in (1, 22)]
    names += [(s, f"sentence{n:02d}") for s in (vocaset.VALIDATION[0], vocaset.TEST[0]) for n in (2, 21, 40)]
    _write(folder, speech, names, 60.0, 22050, 2)
    masks = {"lips": lips(), "forehead": brows()[:4], "eye_region": brows()[3:], "nose": np.array([30])}
    (folder / "FLAME_masks.pkl").write_bytes(pickle.dumps(masks, protocol=2))
    write_ply(folder / "FLAME_sample.ply", *dome())


def _biwi(folder: Path, speech: Path) -> None:
    names = [(s, f"e{n:02d}") for s in biwi.SEEN[:3] for n in (1, 32, 33, 37)]
    names += [(s, f"e{n:02d}") for s in biwi.UNSEEN[:1] for n in (1, 40)]
    _write(folder, speech, names, 25.0, 44100, 4)
    (folder / "regions").mkdir()
    for name, region in (("lve.txt", lips()), ("fdd.txt", brows())):
        (folder / "regions" / name).write_text(",  ".join(map(str, region)), "ascii")
    write_ply(folder / "BIWI.ply", *dome(), binary=True)
