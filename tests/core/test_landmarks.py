"""Landmarks and face groups: what they are, what they change, and what is said of those that cannot be used."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from ptalker_blender.core import jobs, rig_job
from ptalker_blender.core.channels import CHANNELS, INDEX
from ptalker_blender.core.errors import PTalkerError
from ptalker_blender.core.landmark_places import NAMES
from ptalker_blender.core.landmarks import Guide, checked, read_guide, read_landmarks
from ptalker_blender.core.mesh import guided
from ptalker_blender.core.mesh.rig import Rigger
from ptalker_blender.core.mesh.warp import flow
from ptalker_blender.core.protocol import Landmarks, Rig
from ptalker_blender.core.runtime import PTalker

HEAD = Path(__file__).resolve().parents[2] / "demo" / "head.npz"
SPEECH = "jawOpen mouthFunnel mouthPucker mouthSmileLeft mouthSmileRight mouthUpperUpLeft mouthUpperUpRight".split()


@dataclass(frozen=True)
class Head:
    """The demo's head (z up, looking to -y, metres) with its own shapes, and what the model says of its landmarks."""

    vertices: np.ndarray
    faces: np.ndarray
    basis: np.ndarray
    found: guided.Rigged

    @property
    def marks(self) -> dict[str, np.ndarray]:
        return dict(zip(NAMES, self.found.landmarks, strict=True))


@pytest.fixture(scope="module")
def rigger() -> Rigger:
    return Rigger.load()


@pytest.fixture(scope="module")
def head(rigger: Rigger) -> Head:
    z = np.load(HEAD)
    names = z["names"].tolist()
    basis = z["basis"][[names.index(n) for n in CHANNELS]].astype(np.float32)
    vertices, faces = z["vertices"].astype(np.float64), z["faces"].astype(np.int64)
    return Head(vertices, faces, basis, guided.rig(rigger, vertices, faces, Guide()))


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Mean over SPEECH of the mean cosine over the vertices that ``b`` moves."""
    rows = [INDEX[n] for n in SPEECH]
    a, b = a[rows], b[rows]
    p, t = np.linalg.norm(a, axis=-1), np.linalg.norm(b, axis=-1)
    moved = t > 0.05 * t.max(1, keepdims=True)
    return float((((a * b).sum(-1) / (p * t + 1e-12) * moved).sum(1) / moved.sum(1)).mean())


def test_proposed_landmarks_lie_where_they_should(head: Head) -> None:
    x, y, z = (dict(zip(NAMES, head.found.landmarks[:, i], strict=True)) for i in range(3))
    width = x["eye_left_outer"] - x["eye_right_outer"]
    assert 0.07 < width < 0.12 and head.found.confidence > 0.8
    assert x["eye_left_outer"] > x["eye_left_inner"] > 0 > x["eye_right_inner"] > x["eye_right_outer"]
    assert x["mouth_left"] > 0.015 and x["mouth_right"] < -0.015
    assert z["eye_left_upper"] > z["eye_left_lower"] > z["nose_tip"] > z["lip_upper"] > z["lip_lower"] > z["chin"]
    assert y["nose_tip"] == min(y.values()), "it stands out most, and the face looks to -y"
    own = np.linalg.norm(head.basis[INDEX["mouthSmileLeft"]], axis=1)
    corner = head.vertices[own.argmax()]
    assert np.linalg.norm(corner - head.marks["mouth_left"]) < 0.3 * width


def test_a_flow_goes_where_it_should_and_does_not_fold() -> None:
    rng = np.random.default_rng(0)
    start = rng.uniform(-0.5, 0.5, (9, 3))
    end = start + rng.normal(size=(9, 3)) * 0.1
    there, jacobian = flow(start, start, end)
    assert np.linalg.norm(there - end, axis=1).max() < 0.15 * np.linalg.norm(end - start, axis=1).max()
    x = rng.uniform(-0.6, 0.6, (200, 3))
    there, jacobian = flow(x, start, end)
    assert (np.linalg.det(jacobian) > 0).all()
    step = 1e-5 * rng.normal(size=x.shape)
    moved = flow(x + step, start, end)[0] - there
    assert np.abs(moved - np.einsum("nij,nj->ni", jacobian, step)).max() < 1e-3 * np.abs(step).max()
    far = flow(np.array([[9.0, 0, 0]]), start, end)
    assert np.allclose(far[0], [[9, 0, 0]]) and np.allclose(far[1], np.eye(3))


def odd(head: Head) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """The head with its mouth moved far up, to one side and made small, its shapes [K, V, 3] and landmarks."""
    start = head.found.landmarks
    end = start.copy()
    for i, name in enumerate(NAMES):
        if name.startswith(("mouth", "lip")):
            end[i] = start[i] * [0.6, 1, 1] + [0.03, -0.004, 0.03]
    unit = 10.0  # the flow's widths are those of the face frame: 10 cm
    vertices, jacobian = flow(head.vertices * unit, start * unit, end * unit)
    marks = flow(start * unit, start * unit, end * unit)[0] / unit
    basis = np.einsum("vij,kvj->kvi", jacobian, head.basis)
    return vertices / unit, basis, dict(zip(NAMES, marks, strict=True))


def test_marked_landmarks_correct_what_is_not_recognised(rigger: Rigger, head: Head) -> None:
    vertices, truth, marks = odd(head)
    alone = guided.rig(rigger, vertices, head.faces, Guide())
    lips = {n: p for n, p in marks.items() if n.startswith(("mouth", "lip"))}
    some = guided.rig(rigger, vertices, head.faces, Guide(lips))
    every = guided.rig(rigger, vertices, head.faces, Guide(marks))
    before, part, after = (cosine(r.basis, truth) for r in (alone, some, every))
    assert part > before + 0.03 and after > before + 0.02
    assert np.allclose(every.landmarks, np.stack(list(marks.values())))
    assert np.allclose(some.landmarks[0], marks["mouth_left"])


def test_landmarks_place_the_face_in_any_pose_without_a_search(rigger: Rigger, head: Head) -> None:
    turn = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]], float)
    marks = {n: 250 * turn @ p + [7, 8, 9] for n, p in head.marks.items()}
    moved = guided.rig(rigger, 250 * head.vertices @ turn.T + [7, 8, 9], head.faces, Guide(marks))
    assert cosine(moved.basis @ turn / 250, head.found.basis) > 0.9
    assert moved.confidence > 0.8


def test_the_artist_s_word_counts_where_the_network_sees_a_mouth_elsewhere(rigger: Rigger, head: Head) -> None:
    """2 cm up; a mouth that is dragged by next to nothing stays the one that is seen."""
    mouth = [n for n in NAMES if n.startswith(("mouth", "lip"))]

    def height(up: float) -> float:
        marks = {n: head.marks[n] + np.array([0, 0, up]) for n in mouth}
        size = np.linalg.norm(guided.rig(rigger, head.vertices, head.faces, Guide(marks)).basis[INDEX["mouthRollUpper"]], axis=1)
        return float(size @ head.vertices[:, 2] / size.sum())

    there, near, far = height(0.0), height(0.002), height(0.02)
    assert abs(near - there) < 0.002 and far > there + 0.004  # 5.6 to 8 mm, by machine and threads


def test_a_mesh_in_pieces_stays_in_one_piece_where_the_artist_s_word_counts(rigger: Rigger, head: Head) -> None:
    """Every face in vertices of its own, as flat shading brings it: those in one place go one way."""
    tri = np.concatenate([head.faces[:, :3], head.faces[head.faces[:, 3] >= 0][:, [0, 2, 3]]])
    apart, own = head.vertices[tri].reshape(-1, 3), np.arange(tri.size).reshape(tri.shape)
    marks = {n: head.marks[n] + np.array([0, 0, 0.02]) for n in NAMES if n.startswith(("mouth", "lip"))}
    basis = guided.rig(rigger, apart, own, Guide(marks)).basis[INDEX["mouthRollUpper"]]
    first = np.zeros((len(head.vertices), 3), np.float32)
    first[tri.ravel()] = basis
    assert np.abs(first[tri.ravel()] - basis).max() < 0.01 * np.abs(basis).max()


def test_one_side_speaks_for_both(head: Head) -> None:
    proposed = guided.TEMPLATE + np.array([0.0, 0.3, 0.0])
    start, end, told = guided.corrections({"mouth_left": np.array([0.3, -0.3, 0.5])}, proposed)
    assert np.allclose(start[NAMES.index("mouth_right")], [-0.3, -0.3, 0.5])
    assert np.allclose(end[NAMES.index("mouth_right")], guided.TEMPLATE[NAMES.index("mouth_right")])
    assert [n for n, t in zip(NAMES, told, strict=True) if t] == ["mouth_left", "mouth_right"]
    chin = NAMES.index("chin")
    assert np.allclose(start[chin], proposed[chin]) and np.allclose(end[chin], proposed[chin])


@pytest.mark.parametrize(
    ("marks", "says"),
    [
        ({"mouth": [0, 0, 0]}, "no landmark named 'mouth'"),
        ({"chin": [0, float("nan"), 0]}, "'chin' is not three finite numbers"),
        ({"chin": [0, 0]}, "'chin' is not three finite numbers"),
        ({"chin": ["a", 0, 0]}, "'chin' is not three finite numbers"),
        ({"chin": [10**400, 0, 0]}, "'chin' is not three finite numbers"),
        ({"chin": None}, "'chin' is not three finite numbers"),
        ([[0, 0, 0]], "must be a table"),
    ],
)
def test_landmarks_that_are_none(marks: object, says: str) -> None:
    with pytest.raises(PTalkerError, match=says) as e:
        checked(marks)
    assert e.value.code == "landmarks_invalid"


def test_landmarks_that_do_not_fit_the_mesh(rigger: Rigger, head: Head) -> None:
    def refused(marks: dict[str, np.ndarray]) -> str:
        with pytest.raises(PTalkerError) as e:
            guided.look(rigger, head.vertices, head.faces, Guide(marks))
        assert e.value.code == "landmarks_invalid"
        return e.value.sentence

    assert "'chin' lies outside" in refused({"chin": head.marks["chin"] - np.array([0, 0.04, 0])})
    assert "far from where the face was found" in refused({"chin": np.array([0.5, 0.0, 0.0])})
    assert "outside" in refused({n: p + np.array([0.4, 0, 0]) for n, p in head.marks.items()})
    swapped = {n.replace("left", "?").replace("right", "left").replace("?", "right"): p for n, p in head.marks.items()}
    assert "swapped" in refused(swapped)
    here = {n: p for n, p in head.marks.items() if n.startswith("mouth")}
    assert "far from where the face was found" in refused({n: p + np.array([0, 0, 0.1]) for n, p in here.items()})
    assert "one line" in refused({n: np.array([0.0, -0.1, 0.01 * i]) for i, n in enumerate(NAMES)})


def test_a_face_group_says_which_of_two_heads(rigger: Rigger, head: Head) -> None:
    count = len(head.vertices)
    vertices = np.concatenate([head.vertices, head.vertices + np.array([1.0, 0, 0])])
    faces = np.concatenate([head.faces, np.where(head.faces >= 0, head.faces + count, -1)])
    with pytest.raises(PTalkerError):
        guided.rig(rigger, vertices, faces, Guide())
    chosen = np.arange(2 * count) >= count
    found = guided.rig(rigger, vertices, faces, Guide(face=chosen))
    assert not found.basis[:, :count].any()
    assert cosine(found.basis[:, count:], head.found.basis) > 0.95
    with pytest.raises(PTalkerError) as e:
        guided.rig(rigger, vertices, faces, Guide(face=np.zeros(2 * count, bool)))
    assert e.value.code == "face_group_empty"


def test_files(tmp_path: Path, head: Head) -> None:
    mesh, text = tmp_path / "head.npz", tmp_path / "l.json"
    np.savez(mesh, vertices=head.vertices, faces=head.faces, landmark_names=["chin"], landmarks=[[1, 2, 3]])
    assert read_guide(mesh).marks["chin"].tolist() == [1, 2, 3] and read_guide(mesh).face is None
    text.write_text('{"nose_tip": [4, 5, 6]}')
    assert list(read_guide(mesh, text).marks) == ["nose_tip"]
    text.write_text('{"chin": [1, 2, 3]}', "utf-8-sig")
    assert read_landmarks(text)["chin"].tolist() == [1, 2, 3]
    for wrong in ("{", '{"chin": [NaN, 0, 0]}', "3"):
        text.write_text(wrong)
        with pytest.raises(PTalkerError):
            read_landmarks(text)
    with pytest.raises(PTalkerError) as e:
        read_landmarks(tmp_path / "none.json")
    assert e.value.code == "landmarks_unreadable"
    np.savez(mesh, vertices=head.vertices, faces=head.faces, face=np.ones(3))
    with pytest.raises(PTalkerError) as e:
        read_guide(mesh)
    assert e.value.code == "face_group_invalid"


@pytest.mark.parametrize(
    ("arrays", "code"),
    [
        ({"landmark_names": np.array(["chin", None], object), "landmarks": np.zeros((2, 3))}, "landmarks_invalid"),
        ({"landmark_names": ["chin"], "landmarks": 1.0}, "landmarks_invalid"),
        ({"face": np.array([1, None], object)}, "face_group_invalid"),
    ],
    ids=["pickled names", "scalar landmarks", "pickled face"],
)
def test_arrays_of_a_mesh_that_are_none(tmp_path: Path, arrays: dict[str, object], code: str) -> None:
    np.savez(tmp_path / "head.npz", vertices=np.zeros((4, 3)), **arrays)  # type: ignore[arg-type]
    with pytest.raises(PTalkerError) as e:
        read_guide(tmp_path / "head.npz")
    assert e.value.code == code


def test_the_jobs(tmp_path: Path, head: Head) -> None:
    model = PTalker.load(device="cpu")
    mesh, text, out = tmp_path / "head.npz", tmp_path / "l.json", tmp_path / "out.npz"
    np.savez(mesh, vertices=head.vertices, faces=head.faces)
    rig_job.landmarks(Landmarks(1, str(mesh), str(out)), lambda: model, jobs.Quiet())
    with np.load(out) as z:
        assert z["landmark_names"].tolist() == list(NAMES) and z["landmarks"].shape == (len(NAMES), 3)
        assert np.abs(z["landmarks"] - head.found.landmarks).max() < 1e-4 and 0.8 < float(z["confidence"]) <= 1
    chin = head.marks["chin"] + [0, 0, 0.004]
    text.write_text(json.dumps({"chin": chin.tolist()}))
    result = rig_job.rig(Rig(2, str(mesh), str(out), landmarks=str(text)), lambda: model, jobs.Quiet())
    with np.load(out) as z:
        assert set(z.files) == {"names", "basis", "landmark_names", "landmarks", "confidence"}
        assert np.allclose(z["landmarks"][NAMES.index("chin")], chin, atol=1e-6)
        assert z["basis"].shape == head.basis.shape and np.isfinite(z["basis"]).all()
    assert result.figures["confidence"] > 0.8 and not result.warnings
