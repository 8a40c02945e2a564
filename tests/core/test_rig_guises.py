"""The same head as other files bring it: finer, in pieces, inside out, in any unit; always the same shapes."""

from pathlib import Path

import numpy as np
import pytest

from ptalker_blender.core.errors import PTalkerError
from ptalker_blender.core.landmarks import Guide
from ptalker_blender.core.mesh import guided
from ptalker_blender.core.mesh.rig import Rigger

HEAD = Path(__file__).resolve().parents[2] / "demo" / "head.npz"
Mesh = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def rigger() -> Rigger:
    return Rigger.load()


@pytest.fixture(scope="module")
def mesh() -> Mesh:
    """Vertices (z up, metres) and triangles."""
    with np.load(HEAD) as z:
        vertices, faces = z["vertices"].astype(np.float64), z["faces"].astype(np.int64)
    return vertices, np.concatenate([faces[:, :3], faces[faces[:, 3] >= 0][:, [0, 2, 3]]])


@pytest.fixture(scope="module")
def basis(rigger: Rigger, mesh: Mesh) -> np.ndarray:
    return rigger.rig(*mesh)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Mean cosine of two bases over the vertices that ``b`` moves, of all channels that move any."""
    p, t = np.linalg.norm(a, axis=-1), np.linalg.norm(b, axis=-1)
    moved = t > 0.05 * t.max(1, keepdims=True).clip(1e-9 * t.max())
    return float(np.nanmean((((a * b).sum(-1) / (p * t + 1e-12 * t.max() ** 2) * moved).sum(1) / moved.sum(1))[:51]))


def test_subdivided(rigger: Rigger, mesh: Mesh, basis: np.ndarray) -> None:
    vertices, tri = mesh
    sides = np.sort(np.stack([tri, np.roll(tri, -1, 1)], 2).reshape(-1, 2), 1)
    edges, number = np.unique(sides, axis=0, return_inverse=True)
    ab, bc, ca = number.reshape(-1, 3).T + len(vertices)
    a, b, c = tri.T
    four = np.concatenate([np.stack(t, 1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))])
    finer = rigger.rig(np.concatenate([vertices, vertices[edges].mean(1)]), four)
    assert cosine(finer[:, : len(vertices)], basis) > 0.97


def test_every_face_in_vertices_of_its_own(rigger: Rigger, mesh: Mesh, basis: np.ndarray) -> None:
    vertices, tri = mesh
    apart = rigger.rig(vertices[tri].reshape(-1, 3), np.arange(tri.size).reshape(tri.shape))
    assert cosine(apart, basis[:, tri.ravel()]) > 0.99


def test_inside_out(rigger: Rigger, mesh: Mesh, basis: np.ndarray) -> None:
    """Faces that are wound the other way: the head is recognised all the same."""
    vertices, tri = mesh
    assert cosine(rigger.rig(vertices, tri[:, ::-1]), basis) > 0.97


def test_doubled_faces(rigger: Rigger, mesh: Mesh, basis: np.ndarray) -> None:
    """Edges of four faces: no manifold."""
    vertices, tri = mesh
    assert cosine(rigger.rig(vertices, np.concatenate([tri, tri[:3000]])), basis) > 0.97


@pytest.mark.parametrize("unit", [1e-30, 1e-9, 1e9])
def test_any_unit(rigger: Rigger, mesh: Mesh, basis: np.ndarray, unit: float) -> None:
    vertices, tri = mesh
    other = rigger.rig(vertices * unit, tri).astype(np.float64) / unit
    assert np.isfinite(other).all() and cosine(other, basis) > 0.99


def test_a_unit_without_numbers_left_is_told(rigger: Rigger, mesh: Mesh) -> None:
    with pytest.raises(PTalkerError) as e:
        rigger.rig(mesh[0] * 1e-320, mesh[1])
    assert e.value.code == "mesh_degenerate"


@pytest.mark.parametrize("share", [0.45, 0.6])
def test_the_back_of_a_head_is_told_to_be_uncertain(rigger: Rigger, mesh: Mesh, share: float) -> None:
    vertices, tri = mesh
    kept = vertices[:, 1] >= np.quantile(vertices[:, 1], 1 - share)
    number = np.cumsum(kept) - 1
    found = guided.rig(rigger, vertices[kept], number[tri[kept[tri].all(1)]], Guide())
    assert found.confidence < guided.UNSURE < guided.rig(rigger, vertices, tri, Guide()).confidence
