"""Meshes of few vertices: halved where a head has few, with the shapes of those that it has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ptalker_blender.core.channels import INDEX
from ptalker_blender.core.mesh.denser import ENOUGH, FEW, denser, halved
from ptalker_blender.core.mesh.find import at
from ptalker_blender.core.mesh.graph import build_graph, normals
from ptalker_blender.core.mesh.rig import Rigger

HEAD = Path(__file__).resolve().parents[2] / "demo" / "head.npz"


def clustered(vertices: np.ndarray, faces: np.ndarray, size: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One vertex for all in a cube of ``size``; faces that lose a corner are triangles or gone. Also which vertex stays."""
    cell = np.unique(np.floor(vertices / size), axis=0, return_inverse=True)[1].reshape(-1)
    middle = np.stack([np.bincount(cell, vertices[:, i]) for i in range(3)], 1) / np.bincount(cell)[:, None]
    off = np.linalg.norm(vertices - middle[cell], axis=1)
    stays = np.array([members[off[members].argmin()] for members in (np.flatnonzero(cell == c) for c in range(len(middle)))])
    tri = np.concatenate([cell[faces[:, [0, 1, 2]]], cell[faces[faces[:, 3] >= 0][:, [0, 2, 3]]]])
    tri = tri[(tri[:, 0] != tri[:, 1]) & (tri[:, 1] != tri[:, 2]) & (tri[:, 2] != tri[:, 0])]
    used, tri = np.unique(tri[np.unique(np.sort(tri, 1), axis=0, return_index=True)[1]], return_inverse=True)
    return vertices[stays[used]], tri.reshape(-1, 3), stays[used]


@pytest.fixture(scope="module")
def few() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What speaks of the demo's head, with few vertices."""
    with np.load(HEAD) as z:
        vertices, faces = z["vertices"].astype(np.float64), z["faces"].astype(np.int64)
        moved = np.linalg.norm(z["basis"], axis=-1).max(0) > 1e-4
    faces = faces[(moved[faces] | (faces < 0)).all(1)]
    return clustered(vertices, faces, 0.016)


def test_halved() -> None:
    vertices = np.array([[0, 0, 0], [2, 0, 0], [2, 2, 0], [0, 2, 0], [4, 1, 0]], float)
    faces = np.array([[0, 1, 2, 3], [1, 4, 2, -1]])
    more, tri = halved(vertices, faces)
    assert np.array_equal(more[:5], vertices) and len(more) == 5 + 7 and len(tri) == 4 * 3
    assert {tuple(p) for p in more[5:]} == {(1, 0, 0), (2, 1, 0), (1, 2, 0), (0, 1, 0), (1, 1, 0), (3, 0.5, 0), (3, 1.5, 0)}
    direction, area = normals(more, tri)
    assert np.allclose(direction, [0, 0, 1]) and np.isclose(area.sum(), 6)


def test_a_head_of_many_vertices_stays_as_it_is() -> None:
    with np.load(HEAD) as z:
        vertices, faces = z["vertices"].astype(np.float64), z["faces"].astype(np.int64)
    graph = build_graph(vertices, faces)
    assert denser(graph, vertices, faces, np.ones(len(vertices), bool))[0] is graph


def test_of_a_large_body_only_the_head_is_halved(few: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    vertices, faces, _ = few
    body = vertices + np.array([5.0, 0, 0])
    both = np.concatenate([vertices, body]), np.concatenate([faces, faces + len(vertices)])
    head = np.arange(2 * len(vertices)) < len(vertices)
    graph, more, tri = denser(build_graph(*both), *both, head)
    assert np.array_equal(more[: len(head)], both[0]) and len(graph.pos) == len(more)
    assert (more[len(head) :, 0] < 2.5).all() and len(tri) % (4 * len(faces)) == 0
    assert (graph.area[: len(vertices)] > 0).sum() == len(vertices) and not graph.area[len(vertices) : len(head)].any()


def test_a_head_of_few_vertices_has_shapes_of_its_own(few: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    """Lips are hardly there any more; where the face is, is known from the whole head."""
    vertices, faces, stays = few
    rigger = Rigger.load()
    with np.load(HEAD) as z:
        head = z["vertices"].astype(np.float64), z["faces"].astype(np.int64)
    assert len(vertices) < FEW
    graph = at(build_graph(vertices, faces), rigger.find(*head).graph.frame)
    fine, more, tri = rigger.denser(graph, vertices, faces)
    assert len(more) > ENOUGH and len(tri) % (4 * len(faces)) == 0
    assert np.allclose(fine.pos[: len(vertices)], graph.pos, atol=1e-5), "its own vertices stay the first ones"
    basis, whole = rigger.shapes(fine)[:, : len(vertices)], rigger.rig(*head)[:, stays]
    for name in ("jawOpen", "mouthFunnel", "mouthSmileLeft"):
        a, b = basis[INDEX[name]].ravel(), whole[INDEX[name]].ravel()
        assert a @ b > 0.7 * np.linalg.norm(a) * np.linalg.norm(b), name
