"""BIWI, the "3D Audiovisual Corpus of Affective Communication" (Fanelli et al., 2010): 14 subjects, 25 frames a second.

As FaceFormer (Fan et al., CVPR 2022) and CodeTalker use it: the 40 emotional sentences, 23 370 vertices. Six subjects are
trained on with sentences 1 to 32 and validated with 33 to 36. Test-A: their sentences 37 to 40 (24 clips, on which LVE
and FDD are published). Test-B: the same sentences of the eight others (32 clips, for user studies).
CodeTalker's preprocessing scales every template to an area of 1, so a unit is about 200 mm; papers give LVE in 1e-4 and FDD
in 1e-5 of squared units (they print "mm").
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import PTalkerError
from .vertex_clips import Layout, Split, VertexSet, read_set, region_files

SEEN = ("F2", "F3", "F4", "M3", "M4", "M5")
UNSEEN = ("F1", "F5", "F6", "F7", "F8", "M1", "M2", "M6")


def regions(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Lips and upper face: regions/lve.txt and fdd.txt, which CodeTalker publishes."""
    found = region_files(folder)
    if found is None:
        sentence = f"'{folder}' does not say which vertices are the lips and the upper face."
        raise PTalkerError("data_missing", sentence, "Put CodeTalker's regions/lve.txt and regions/fdd.txt there.")
    return found


LAYOUT = Layout(
    name="BIWI",
    fps=25.0,
    stride=1,
    mm=200.0,
    printed=(1e-4, 1e-5),
    splits={
        "train": Split(SEEN, range(1, 33)),
        "val": Split(SEEN, range(33, 37)),
        "test_a": Split(SEEN, range(37, 41)),
        "test_b": Split(UNSEEN, range(37, 41)),
    },
    tests=("test_a", "test_b"),
    meshes=("BIWI.ply", "templates/BIWI.ply", "face.obj"),
    regions=regions,
)


def load(folder: Path) -> VertexSet:
    """Raises PTalkerError, see ``vertex_clips.read_set``."""
    return read_set(folder, LAYOUT)
