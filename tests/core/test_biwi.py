"""BIWI in its published layout: splits, rate and regions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from vertex_sets import V, brows, lips, make_biwi

from ptalker_blender.core.data import biwi, vocaset
from ptalker_blender.core.data.vertex_clips import looks_like
from ptalker_blender.core.errors import PTalkerError


@pytest.fixture
def folder(tmp_path: Path, speech: Path) -> Path:
    return make_biwi(tmp_path / "BIWI", speech)


def test_splits_are_the_published_ones(folder: Path) -> None:
    data = biwi.load(folder)
    assert looks_like(folder, biwi.LAYOUT) and not looks_like(folder, vocaset.LAYOUT)
    assert {k: len(v) for k, v in data.clips.items()} == {"train": 6, "val": 3, "test_a": 3, "test_b": 1}
    assert data.clips["test_b"][0].id == "F1_e40"  # sentence 1 of an unseen subject is in no split
    assert len(biwi.SEEN) * len(biwi.LAYOUT.splits["test_a"].sentences) == 24
    assert len(biwi.UNSEEN) * len(biwi.LAYOUT.splits["test_b"].sentences) == 32


def test_all_frames_at_25_a_second(folder: Path) -> None:
    data = biwi.load(folder)
    clip = data.clips["test_a"][0]
    vertices = clip.vertices()
    np.testing.assert_array_equal(vertices.reshape(len(vertices), -1), np.load(clip.path))
    assert abs(len(vertices) / 25.0 - len(clip.audio()) / 16000) < 0.05


def test_regions_and_topology(folder: Path) -> None:
    data = biwi.load(folder)
    np.testing.assert_array_equal(data.lips, lips())
    np.testing.assert_array_equal(data.upper, brows())
    assert data.faces().max() == V - 1


def test_regions_of_another_mesh_are_told(folder: Path) -> None:
    (folder / "regions" / "lve.txt").write_text(f"1, {V}", "ascii")
    with pytest.raises(PTalkerError, match="name vertices that"):
        biwi.load(folder)
    (folder / "regions" / "lve.txt").write_text("1, lips", "ascii")
    with pytest.raises(PTalkerError, match="not a list of vertex numbers"):
        biwi.load(folder)
    (folder / "regions" / "lve.txt").unlink()
    with pytest.raises(PTalkerError, match=r"regions/lve\.txt"):
        biwi.load(folder)
