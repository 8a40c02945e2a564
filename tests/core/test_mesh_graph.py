"""The mesh as a graph: edges, islands, patches, the face frame's algebra, and bad meshes."""

import numpy as np
import pytest

from ptalker_blender.core.errors import PTalkerError
from ptalker_blender.core.mesh.graph import averaged, build_graph, coarsen, face_edges
from ptalker_blender.core.mesh.pose import turns, umeyama


def grid(n: int, at: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """A bent sheet of n x n vertices (quads) at height ``at``."""
    u, w = np.meshgrid(np.linspace(-1, 1, n), np.linspace(-1, 1, n), indexing="ij")
    vertices = np.stack([u, w, at + 0.2 * u * u], -1).reshape(-1, 3)
    i = np.arange(n * n).reshape(n, n)
    return vertices, np.stack([i[:-1, :-1], i[1:, :-1], i[1:, 1:], i[:-1, 1:]], -1).reshape(-1, 4)


def slit() -> tuple[np.ndarray, np.ndarray, int, int]:
    """A mouth: two sheets that touch along a slit but share only its two corners. Also a vertex on each lip."""
    n = 21
    v, f = grid(n)
    double = [n * k + n // 2 for k in range(3, n - 3)]
    extra = {old: len(v) + k for k, old in enumerate(double)}
    above = v[f].mean(1)[:, 1] > 0
    for k in np.flatnonzero(above):
        f[k] = [extra.get(i, i) for i in f[k]]
    return np.concatenate([v, v[double] + [0, 1e-4, 0]]), f, double[7], extra[double[7]]


def test_quads_keep_their_four_edges():
    _v, f = grid(5)
    assert len(face_edges(f)[0]) == 2 * 5 * 4
    tri = np.concatenate([f[:, :3], f[:, [0, 2, 3]]])
    assert len(face_edges(tri)[0]) == 2 * 5 * 4 + len(f)
    padded = np.concatenate([tri, np.full((len(tri), 1), -1)], 1)
    assert (face_edges(padded)[0] == face_edges(tri)[0]).all()


def test_a_repeated_corner_is_no_edge():
    edges, count = face_edges(np.array([[0, 1, 2, 2]]))
    assert edges.tolist() == [[0, 1], [0, 2], [1, 2]] and (count == 1).all()


def test_graph_does_not_depend_on_unit_or_place():
    v, f = grid(9)
    a, b = build_graph(v, f), build_graph(v * 250 + [3000, -70, 12], f)
    assert np.abs(a.pos - b.pos).max() < 1e-4 and np.abs(a.normal - b.normal).max() < 1e-4
    assert (a.edges == b.edges).all() and np.abs(a.area - b.area).max() < 1e-6


def test_shuffled_vertices_give_the_shuffled_graph():
    v, f = grid(9)
    order = np.random.default_rng(0).permutation(len(v))
    a, b = build_graph(v, f), build_graph(v[order], np.argsort(order)[f])
    assert np.abs(a.pos[order] - b.pos).max() < 1e-5 and np.abs(a.normal[order] - b.normal).max() < 1e-5
    assert {frozenset(e) for e in order[b.edges].T.tolist()} == {frozenset(e) for e in a.edges.T.tolist()}


def test_islands_boundary_and_loose_vertices():
    v, f = grid(6)
    w, h = grid(6, at=2.0)
    g = build_graph(np.concatenate([v, w, [[9, 9, 9]]]), np.concatenate([f, h + len(v)]))
    assert len(np.unique(g.island)) == 3 and g.area[-1] == 0
    assert g.boundary.sum() == 2 * 20


def test_a_split_seam_is_one_surface():
    v, f = grid(8)
    left = v[f].mean(1)[:, 0] < 0
    new = np.unique(f[left])
    number = np.arange(len(v))
    number[new] = len(v) + np.arange(len(new))
    g = build_graph(np.concatenate([v, v[new]]), np.concatenate([f[~left], number[f[left]]]))
    assert len(np.unique(g.island[np.unique(g.edges)])) == 1


@pytest.mark.parametrize("voxel", [0.2, 0.4, 0.8])
def test_patches_never_join_two_lips(voxel: float):
    v, f, lower, upper = slit()
    g = build_graph(v, f)
    assert np.linalg.norm(g.pos[lower] - g.pos[upper]) < 1e-3
    level = coarsen(g, voxel)
    assert level.own[lower] != level.own[upper]
    assert np.allclose(level.weight.sum(1), 1, atol=1e-5) and level.own.min() == 0


def test_frames_go_there_and_back():
    v, f = grid(7)
    g = build_graph(v * 3 + 5, f).moved(turns()[7], 2.5, np.array([0.1, -3.0, 0.4]))
    assert np.abs(g.frame.inside(v * 3 + 5) - g.pos).max() < 1e-4
    d = np.random.default_rng(0).normal(size=(4, len(v), 3))
    assert np.abs(g.frame.back(g.frame.displacement(d)) - d).max() < 1e-4


def test_a_field_is_averaged_along_the_surface_only():
    v, f, lower, upper = slit()
    g = build_graph(v, f)
    same = np.ones((len(v), 2), np.float32)
    assert np.allclose(averaged(same, g.pos, g.edges, 0.1, 5), 1, atol=1e-6)
    spot = np.zeros((len(v), 1), np.float32)
    spot[lower] = 1
    once = averaged(spot, g.pos, g.edges, 10.0, 1)
    beside = g.edges[1][g.edges[0] == lower]
    assert once[upper] == 0 and 0 < once[lower] < 1 and (once[beside] > 0).all()
    assert np.count_nonzero(once) == len(beside) + 1
    assert np.array_equal(averaged(spot, g.pos, g.edges, 10.0, 3, np.zeros(g.edges.shape[1])), spot)


def test_umeyama_finds_a_similarity():
    rng = np.random.default_rng(0)
    a, r = rng.normal(size=(30, 3)), turns()[11]
    rotation, scale, shift = umeyama(a, 1.7 * a @ r.T + [1, 2, 3], np.ones(30))
    assert np.allclose(rotation, r) and np.isclose(scale, 1.7) and np.allclose(shift, [1, 2, 3])


@pytest.mark.parametrize(
    ("vertices", "faces", "code"),
    [
        (np.zeros((0, 3)), np.zeros((0, 3), int), "mesh_empty"),
        (np.ones((4, 3)), np.zeros((0, 4), int), "mesh_empty"),
        (np.ones((4, 2)), np.array([[0, 1, 2]]), "mesh_invalid"),
        (np.array([[0, 0, 0], [1, 0, 0], [np.nan, 1, 0]]), np.array([[0, 1, 2]]), "mesh_invalid"),
        (np.eye(3), np.array([[0, 1, 5]]), "mesh_invalid"),
        (np.eye(3), np.array([[0.0, 1.0, 2.0]]), "mesh_invalid"),
        (np.ones((3, 3)), np.array([[0, 1, 2]]), "mesh_degenerate"),
        (np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0]]), np.array([[0, 1, 2]]), "mesh_degenerate"),
        (np.eye(3), np.array([[1, 1, 1]]), "mesh_degenerate"),
    ],
)
def test_bad_meshes_are_told(vertices, faces, code: str):
    with pytest.raises(PTalkerError) as e:
        build_graph(vertices, faces)
    assert e.value.code == code and e.value.sentence.endswith(".")
