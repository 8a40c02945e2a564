"""Motion of a mesh, read by the mesh's own shapes."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_head import tiny_head

from ptalker_blender.core.channels import INDEX, LOWER_FACE
from ptalker_blender.core.errors import PTalkerError
from ptalker_blender.core.mesh.graph import build_graph
from ptalker_blender.core.mesh.reader import MeshReader, steadied
from ptalker_blender.core.train.rig_heads import CENTRE, UNIT


@pytest.fixture(scope="module")
def head() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    tiny = tiny_head()
    neutral = (tiny["neutral"] - CENTRE) / UNIT
    return neutral.astype(np.float32), tiny["quads"].astype(np.int64), tiny["arkit"].astype(np.float32) / UNIT


def reader(vertices: np.ndarray, faces: np.ndarray, basis: np.ndarray, scale: float = 1.0) -> MeshReader:
    graph = build_graph(vertices / scale, faces)
    graph = graph.moved(np.eye(3), 1 / graph.frame.scale, graph.frame.origin)
    return MeshReader(graph, basis)


def talk(basis: np.ndarray, frames: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Displacements [T, V, 3] and the weights [T] of jawOpen in them."""
    jaw = 0.5 * np.abs(np.sin(np.arange(frames)))
    jaw[4] = 0.0
    return jaw[:, None, None] * basis[INDEX["jawOpen"]] + 0.1 * basis[INDEX["mouthFunnel"]], jaw


def test_channels_read_as_themselves_in_any_unit(head: tuple) -> None:
    vertices, faces, basis = head
    moved, jaw = talk(basis)
    seen = reader(*head).read(vertices + moved, vertices)
    assert seen.aligned is not None and float(seen.known) == 1
    column = seen.aligned[0, :, LOWER_FACE.index(INDEX["jawOpen"])].numpy()
    assert np.corrcoef(column, jaw)[0, 1] > 0.99 and 0.7 < np.polyfit(jaw, column, 1)[0] < 1.1
    large = reader(vertices, faces, basis * 250).aligned(moved * 250)
    assert np.allclose(large, reader(*head).aligned(moved), atol=1e-3)


def test_the_heads_own_motion_is_taken_out(head: tuple) -> None:
    vertices, _, basis = head
    moved, _ = talk(basis)
    a = 0.3
    turn = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    mesh = reader(*head)
    held, turned = mesh.read(vertices + moved, vertices), mesh.read((vertices + moved) @ turn.T + 0.4, vertices)
    assert held.aligned is not None and turned.aligned is not None
    assert float((held.aligned - turned.aligned).abs().max()) < 0.02
    assert float((held.nodes - turned.nodes).abs().max()) < 0.005


def test_a_pure_turn_is_undone() -> None:
    rng = np.random.default_rng(0)
    still = rng.normal(size=(50, 3)).astype(np.float32)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    frames = np.stack([still, still @ turn.T + 1.0]).astype(np.float32)
    assert np.allclose(steadied(frames, still, np.ones(50)), still, atol=1e-4)


def test_rest_may_be_unknown_and_a_changed_mesh_is_told(head: tuple) -> None:
    vertices, _, basis = head
    moved, jaw = talk(basis)
    mesh = reader(*head)
    seen = mesh.read(vertices + moved)
    assert seen.aligned is not None and float(seen.known) == 0
    column = seen.aligned[0, :, LOWER_FACE.index(INDEX["jawOpen"])].numpy()
    assert np.corrcoef(column, jaw)[0, 1] > 0.99 and abs(float(column.min())) < 1e-6
    with pytest.raises(PTalkerError, match="another shape"):
        mesh.read((vertices + moved)[:, :-1])
