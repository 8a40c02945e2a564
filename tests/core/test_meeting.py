"""Where the lips of a mesh face each other, and weights with which they meet there and do not cross."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ptalker_blender.core.channels import CHANNELS, INDEX, UPPER_FACE
from ptalker_blender.core.data.teacher import default_parameters
from ptalker_blender.core.mesh.lips import Seam, seam
from ptalker_blender.core.mesh.meeting import NARROW, meet

HEAD = Path(__file__).resolve().parents[2] / "demo" / "head.npz"
OPENS = default_parameters()[0].gap[:, 0]


@pytest.fixture(scope="module")
def head() -> tuple[np.ndarray, np.ndarray, Seam]:
    """Vertices and own shapes of the demo's head in a face frame (10 cm = 1, y up, z out of the face), and its seam."""
    z = np.load(HEAD)
    names = z["names"].tolist()
    basis = z["basis"][[names.index(n) for n in CHANNELS]].astype(np.float32)
    pos, shapes = (x[..., [0, 2, 1]] * np.array([10, 10, -10], np.float32) for x in (z["vertices"], basis))
    found = seam(pos, shapes)
    assert found is not None
    return pos, shapes, found


def weights(**values: float) -> np.ndarray:
    z = np.zeros((1, len(CHANNELS)), np.float32)
    for name, value in values.items():
        z[0, INDEX[name]] = value
    return z


def middle(found: Seam, shapes: np.ndarray, z: np.ndarray) -> np.ndarray:
    """[T] how much the middle of the mouth is more open than at rest, in mouth widths."""
    return (z @ found.gap(shapes)[:, found.middle, 1]).mean(1) / found.width


def test_pairs_lie_along_the_mouth(head: tuple[np.ndarray, np.ndarray, Seam]) -> None:
    pos, shapes, found = head
    x = pos[found.upper, 0]
    assert len(x) >= 9 and (np.diff(x) >= 0).all() and abs(x[0] + x[-1]) < 0.05 and 0.3 < found.width < 0.7
    assert found.middle.sum() >= 3 and np.abs(x[found.middle]).max() < 0.2
    drop = -shapes[INDEX["jawOpen"], :, 1]
    assert drop[found.lower].min() > 3 * np.abs(drop[found.upper]).max(), "the lower lip goes with the jaw"
    assert np.linalg.norm(found.rest, axis=1).max() < 0.08


def test_a_mesh_without_a_mouth(head: tuple[np.ndarray, np.ndarray, Seam]) -> None:
    pos, shapes, _ = head
    assert seam(pos, np.zeros_like(shapes)) is None
    still = shapes.copy()
    still[INDEX["jawOpen"]] *= 0.01
    assert seam(pos, still) is None


def test_lips_that_meet_on_icts_head_meet_here(head: tuple[np.ndarray, np.ndarray, Seam]) -> None:
    _, shapes, found = head
    jaw = 0.3
    z = weights(jawOpen=jaw, mouthClose=-jaw * OPENS[INDEX["jawOpen"]] / OPENS[INDEX["mouthClose"]])
    assert abs((z @ OPENS)[0]) < 1e-4
    after = meet(found, shapes, z, OPENS)
    assert middle(found, shapes, z)[0] > 0.015
    assert abs(middle(found, shapes, after)[0]) < 0.004
    assert after.min() >= 0 and after.max() <= 1 and after.dtype == np.float32
    assert abs(after[0, INDEX["mouthUpperUpLeft"]] - after[0, INDEX["mouthUpperUpRight"]]) < 0.01


PRESSED = {"mouthPressLeft": 1.0, "mouthPressRight": 1.0}


@pytest.mark.parametrize("crossing", [{"mouthShrugLower": 0.4}, PRESSED, {"mouthPucker": 0.9}])
def test_lips_do_not_cross(head: tuple[np.ndarray, np.ndarray, Seam], crossing: dict[str, float]) -> None:
    _, shapes, found = head
    z = weights(jawOpen=0.02, **crossing)
    before, after = (found.crossing(shapes, w).max() / found.width for w in (z, meet(found, shapes, z, OPENS)))
    assert before > 0.01 > 0.006 > after


def test_open_lips_and_the_upper_face_stay(head: tuple[np.ndarray, np.ndarray, Seam]) -> None:
    _, shapes, found = head
    rng = np.random.default_rng(0)
    z = np.concatenate([weights(jawOpen=a, mouthSmileLeft=0.2, eyeBlinkLeft=0.7) for a in rng.uniform(0.1, 1.0, 20)])
    assert (z @ OPENS).min() > NARROW
    assert np.abs(meet(found, shapes, z, OPENS) - z).max() < 1e-3
    wild = rng.random((50, len(CHANNELS))).astype(np.float32) * 0.3
    assert np.array_equal(meet(found, shapes, wild, OPENS)[:, list(UPPER_FACE)], wild[:, list(UPPER_FACE)])
    rest = weights()
    assert np.abs(meet(found, shapes, rest, OPENS)).max() < 1e-6


def test_it_is_smooth(head: tuple[np.ndarray, np.ndarray, Seam]) -> None:
    """From shut to open nothing jumps."""
    _, shapes, found = head
    z = np.concatenate([weights(jawOpen=a, mouthClose=0.15) for a in np.linspace(0.18, 0.45, 400)])
    after = meet(found, shapes, z, OPENS)
    step = np.abs(np.diff(after, axis=0)).max()
    assert step < 8 * np.abs(np.diff(z, axis=0)).max()
    assert (np.diff(middle(found, shapes, after)) > -1e-4).all()
