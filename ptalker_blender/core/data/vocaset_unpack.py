"""VOCASET as it is downloaded -> one file a sentence, as everything else here reads it.

    python -m ptalker_blender.core.data.vocaset_unpack FOLDER
FOLDER holds data_verts.npy [frames, 5023, 3], subj_seq_to_idx.pkl {subject: {sentence: {frame: row of data_verts}}} and
raw_audio_fixed.pkl {subject: {sentence: {"audio": samples, "sample_rate": Hz}}}; vertices_npy/ and wav/ are made beside
them. What FaceFormer's process_voca_data.py does, without running what a pickle asks for. Sentences that are there
already are left as they are.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from ..errors import PTalkerError
from .safe_pickle import read_npy, read_pickle


def unpack(folder: Path) -> tuple[int, int]:
    """-> sentences of vertices and of sound there are now. Raises PTalkerError (see safe_pickle) and data_damaged."""
    vertices = read_npy(folder / "data_verts.npy")
    rows = _by_sentence(read_pickle(folder / "subj_seq_to_idx.pkl"), "subj_seq_to_idx.pkl")
    for name in ("vertices_npy", "wav"):
        (folder / name).mkdir(exist_ok=True)
    for stem, frames in rows.items():
        path = folder / "vertices_npy" / f"{stem}.npy"
        if not path.is_file():
            index = np.array([frames[k] for k in sorted(frames)], np.int64)
            if not len(index) or index.min() < 0 or index.max() >= len(vertices):
                raise PTalkerError("data_damaged", f"subj_seq_to_idx.pkl names frames of '{stem}' that are not there.")
            part = path.with_suffix(".part")
            with part.open("wb") as file:
                np.save(file, np.asarray(vertices[index], np.float32).reshape(len(index), -1))
            part.replace(path)
    sounds = _by_sentence(read_pickle(folder / "raw_audio_fixed.pkl"), "raw_audio_fixed.pkl")
    for stem, sound in sounds.items():
        path = folder / "wav" / f"{stem}.wav"
        if not path.is_file():
            part = path.with_suffix(".part")
            soundfile.write(part, np.asarray(sound["audio"]), int(sound["sample_rate"]), format="WAV")
            part.replace(path)
    return len(rows), len(sounds)


def _by_sentence(tree: Any, name: str) -> dict[str, dict]:
    """{subject: {sentence: {...}}} -> {subject_sentence: {...}}"""
    if not isinstance(tree, dict) or not all(isinstance(s, dict) for s in tree.values()):
        raise PTalkerError("data_damaged", f"'{name}' is not sorted by subject and sentence.")
    out = {f"{subject}_{sentence}": part for subject, parts in tree.items() for sentence, part in parts.items()}
    if not all(isinstance(part, dict) for part in out.values()):
        raise PTalkerError("data_damaged", f"'{name}' is not sorted by subject and sentence.")
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    try:
        counts = unpack(parser.parse_args().folder)
    except PTalkerError as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 2
    print(f"{counts[0]} sentences of vertices, {counts[1]} of sound.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
