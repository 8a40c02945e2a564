"""Teeth, tongue, brows and hair of the demo's head as objects of their own: they move as they do as parts of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ptalker_blender.core.channels import CHANNELS, INDEX
from ptalker_blender.core.errors import PTalkerError
from ptalker_blender.core.jobs import Quiet
from ptalker_blender.core.mesh.follow import RIGID, SKIN, SOFT, follow, islands, rigid
from ptalker_blender.core.mesh.rig import Rigger
from ptalker_blender.core.protocol import Rig
from ptalker_blender.core.rig_job import rig
from ptalker_blender.core.runtime import PTalker

ROOT = Path(__file__).resolve().parents[2]
KINDS = {"teeth": RIGID, "eyes": RIGID, "tongue": SOFT}


class Parts:
    """The demo's head sorted by its parts, the face first; ``own`` its own shapes, ``of`` the vertices of a part."""

    def __init__(self) -> None:
        with np.load(ROOT / "demo" / "head.npz") as data:
            names, part, labels = data["names"].tolist(), data["part"], data["part_names"].tolist()
            self.names = ["face", *(name for name in labels if name != "face")]
            order = np.concatenate([np.flatnonzero(part == labels.index(name)) for name in self.names])
            back = np.argsort(order)
            self.vertices = data["vertices"][order]
            self.faces = np.where(data["faces"] >= 0, back[data["faces"]], -1).astype(np.int64)
            self.part = np.array([self.names.index(labels[i]) for i in part[order]])
            self.own = data["basis"].astype(np.float32)[[names.index(name) for name in CHANNELS]][:, order]
        self.kinds = np.array([KINDS.get(name, SKIN) for name in self.names[1:]])

    def of(self, name: str) -> np.ndarray:
        return np.flatnonzero(self.part == self.names.index(name))


@pytest.fixture(scope="module")
def parts() -> Parts:
    return Parts()


@pytest.fixture(scope="module")
def rigger() -> Rigger:
    return Rigger.load()


@pytest.fixture(scope="module")
def basis(parts: Parts, rigger: Rigger) -> np.ndarray:
    return follow(parts.vertices, parts.faces, parts.part, parts.kinds, rigger.rig)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float((a * b).sum() / (np.linalg.norm(a) * np.linalg.norm(b)))


def test_what_moves(parts: Parts, basis: np.ndarray) -> None:
    """Lower teeth and tongue with the jaw, brows with the skin beneath."""
    for name, channel in (("teeth", "jawOpen"), ("tongue", "jawOpen"), ("brows", "browInnerUp")):
        mine, k = parts.of(name), INDEX[channel]
        assert cosine(basis[k, mine], parts.own[k, mine]) > 0.9, name
        assert 0.7 < np.linalg.norm(basis[k, mine]) / np.linalg.norm(parts.own[k, mine]) < 1.4, name


def test_what_stays(parts: Parts, basis: np.ndarray) -> None:
    """The upper teeth, eyes and hair when the jaw opens."""
    jaw, teeth = basis[INDEX["jawOpen"]], parts.of("teeth")
    faces = parts.faces[np.isin(parts.faces[:, 0], teeth)]
    row = islands(faces - teeth[0], len(teeth))
    moved = [np.abs(jaw[teeth[row == number]]).max() for number in np.unique(row)]
    assert len(moved) == 2 and min(moved) == 0 and max(moved) > 0.01
    for name in ("eyes", "hair"):
        assert np.abs(jaw[parts.of(name)]).max() < 1e-3, name


def test_teeth_keep_their_shape(parts: Parts, basis: np.ndarray) -> None:
    """Distances within a row of teeth change by no more than the small-angle turn makes them."""
    teeth = parts.of("teeth")
    small = parts.vertices[teeth] + 0.05 * basis[INDEX["jawOpen"], teeth]
    faces = parts.faces[np.isin(parts.faces[:, 0], teeth)]
    a, b = faces[:, 0] - teeth[0], faces[:, 1] - teeth[0]
    before = np.linalg.norm(parts.vertices[teeth][a] - parts.vertices[teeth][b], axis=1)
    assert np.abs(np.linalg.norm(small[a] - small[b], axis=1) / before - 1).max() < 2e-3


def test_own_shapes_of_the_head(parts: Parts, rigger: Rigger) -> None:
    """Where the head has shapes of its own, brows take over those."""
    face = parts.of("face")
    basis = follow(parts.vertices, parts.faces, parts.part, parts.kinds, rigger.rig, parts.own[:, face])
    np.testing.assert_array_equal(basis[:, face], parts.own[:, face])
    brows, k = parts.of("brows"), INDEX["browInnerUp"]
    assert cosine(basis[k, brows], parts.own[k, brows]) > 0.97


def test_rigid_keeps_what_is_rigid() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(0, 1, (40, 3))
    turn = np.cross(np.array([0.1, -0.2, 0.3]), points) + np.array([0.0, 1.0, 0.0])
    basis = np.stack([turn, 0 * turn]).astype(np.float32)
    np.testing.assert_allclose(rigid(points, np.zeros(40, int), basis, basis), basis, atol=1e-6)


def test_files(parts: Parts, tmp_path: Path) -> None:
    """The engine's job; parts that are not in order are told."""
    arrays = {"vertices": parts.vertices, "faces": parts.faces, "part": parts.part, "kinds": parts.kinds}
    np.savez(tmp_path / "mesh.npz", **arrays)
    job = Rig(1, str(tmp_path / "mesh.npz"), str(tmp_path / "out.npz"))
    model = PTalker.load(device="cpu")
    rig(job, lambda: model, Quiet())
    with np.load(job.out) as archive:
        assert archive["basis"].shape == (len(CHANNELS), len(parts.vertices), 3)
    np.savez(tmp_path / "mesh.npz", **arrays | {"part": parts.part[::-1]})
    with pytest.raises(PTalkerError, match="not numbered"):
        rig(job, lambda: model, Quiet())
