"""VOCASET (Cudeiro et al., CVPR 2019): 12 subjects, 40 sentences each, FLAME's topology, 60 frames a second.

As FaceFormer (Fan et al., CVPR 2022) and its successors use it: every second frame, so 30 a second; 8 subjects to train,
2 to validate and 2 to test, the latter with sentences 21 to 40. Vertices are in metres.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import PTalkerError
from .safe_pickle import read_pickle
from .vertex_clips import Layout, Split, VertexSet, read_set, region_files

LIPS, UPPER = ("lips",), ("forehead", "eye_region")  # of FLAME_masks.pkl


def _names(*numbers: str) -> tuple[str, ...]:
    return tuple(f"FaceTalk_{n}_TA" for n in numbers)


TRAIN = _names(
    "170728_03272", "170904_00128", "170725_00137", "170915_00223", "170811_03274", "170913_03279", "170904_03276",
    "170912_03278",
)  # fmt: skip
VALIDATION = _names("170811_03275", "170908_03277")
TEST = _names("170809_00138", "170731_00024")


def regions(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Lips and upper face: regions/lve.txt and fdd.txt if they are there, otherwise FLAME's own masks."""
    found = region_files(folder)
    if found is not None:
        return found
    path = next((p for p in (folder / "FLAME_masks.pkl", folder / "regions" / "FLAME_masks.pkl") if p.is_file()), None)
    if path is None:
        sentence = f"'{folder}' does not say which vertices are the lips and the upper face."
        fix = "Put FLAME_masks.pkl (from the site of FLAME) there, or regions/lve.txt and regions/fdd.txt."
        raise PTalkerError("data_missing", sentence, fix)
    masks = read_pickle(path)
    if not isinstance(masks, dict) or any(not isinstance(masks.get(k), np.ndarray) for k in LIPS + UPPER):
        raise PTalkerError("data_damaged", f"'{path.name}' lacks one of the masks {', '.join(LIPS + UPPER)}.")
    lips, upper = (np.unique(np.concatenate([masks[k].ravel() for k in names])).astype(np.int64) for names in (LIPS, UPPER))
    return lips, upper


LAYOUT = Layout(
    name="VOCASET",
    fps=30.0,
    stride=2,
    mm=1000.0,
    printed=(1e-5, 1e-7),
    splits={
        "train": Split(TRAIN, range(1, 41)),
        "val": Split(VALIDATION, range(21, 41)),
        "test": Split(TEST, range(21, 41)),
    },
    tests=("test",),
    meshes=("FLAME_sample.ply", "templates/FLAME_sample.ply", "FLAME_sample.obj"),
    regions=regions,
)


def load(folder: Path) -> VertexSet:
    """Raises PTalkerError, see ``vertex_clips.read_set``."""
    return read_set(folder, LAYOUT)
