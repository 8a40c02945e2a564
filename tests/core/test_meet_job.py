"""The engine's Meet: what a head's own keys do comes in, weights with which its lips meet go out; speech never fails for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptalker_blender.core.channels import CHANNELS, INDEX
from ptalker_blender.core.errors import PTalkerError
from ptalker_blender.core.jobs import Quiet
from ptalker_blender.core.meet_job import meet
from ptalker_blender.core.mesh.lips import seam
from ptalker_blender.core.protocol import Meet
from ptalker_blender.core.runtime import PTalker

ROOT = Path(__file__).resolve().parents[2]
K = len(CHANNELS)


@pytest.fixture(scope="module")
def model() -> PTalker:
    return PTalker.load(device="cpu")


@pytest.fixture(scope="module")
def head() -> dict[str, np.ndarray]:
    """The demo's head with its own shapes, in the order of the channels."""
    with np.load(ROOT / "demo" / "head.npz") as z:
        names = z["names"].tolist()
        basis = z["basis"][[names.index(n) for n in CHANNELS]].astype(np.float32)
        return {"vertices": z["vertices"], "faces": z["faces"], "basis": basis}


@pytest.fixture
def weights(tmp_path: Path) -> np.ndarray:
    """Weights [41, K] in which lips round and press while the jaw opens a little; also in weights.npz."""
    out = np.zeros((41, K), np.float32)
    time = np.linspace(0, 1, 41)
    out[:, INDEX["jawOpen"]] = 0.06 * time
    out[:, INDEX["mouthPucker"]] = 0.8 * (1 - time)
    out[:, [INDEX["mouthPressLeft"], INDEX["mouthPressRight"]]] = 0.5
    out[:, INDEX["eyeBlinkLeft"]] = time
    np.savez(tmp_path / "weights.npz", weights=out)
    return out


def run(model: PTalker, folder: Path, head: dict[str, np.ndarray], basis: np.ndarray, **changed: Any) -> tuple[np.ndarray, str]:
    """The job on a head whose keys do ``basis``, as Blender sends it: what moves nothing is left out."""
    channels = np.flatnonzero(np.abs(basis).max((1, 2)) > 0)
    vertices = np.flatnonzero(np.abs(basis).max((0, 2)) > 0)
    arrays = {
        "vertices": head["vertices"], "faces": head["faces"], "key_channels": channels, "key_vertices": vertices,
        "key_shapes": basis[channels][:, vertices], "key_most": np.ones(len(channels)), **changed,
    }  # fmt: skip
    np.savez(folder / "mesh.npz", **{name: array for name, array in arrays.items() if array is not None})
    result = meet(Meet(1, str(folder / "weights.npz"), str(folder / "mesh.npz"), str(folder / "o.npz")), lambda: model, Quiet())
    with np.load(folder / "o.npz") as out:
        assert result.figures["met"] == (not str(out["why"])) and result.frames == len(out["weights"])
        return out["weights"], str(out["why"])


def crossing(head: dict[str, np.ndarray], basis: np.ndarray, weights: np.ndarray) -> float:
    """The farthest that the lips cross, in mouth widths."""
    turned = [x[..., [0, 2, 1]] * np.array([10, 10, -10]) for x in (head["vertices"], head["basis"], basis)]
    found = seam(turned[0], turned[1])
    assert found is not None
    return float(found.crossing(turned[2], weights).max() / found.width)


def test_own_keys_meet(model: PTalker, tmp_path: Path, head: dict[str, np.ndarray], weights: np.ndarray) -> None:
    out, why = run(model, tmp_path, head, head["basis"])
    assert not why and out.dtype == np.float32 and out.min() >= 0 and out.max() <= 1
    assert crossing(head, head["basis"], weights) > 0.01 > 0.007 > crossing(head, head["basis"], out)
    np.testing.assert_array_equal(out[:, INDEX["eyeBlinkLeft"]], weights[:, INDEX["eyeBlinkLeft"]])


def test_what_has_no_key_does_not_help(
    model: PTalker, tmp_path: Path, head: dict[str, np.ndarray], weights: np.ndarray
) -> None:
    """Without mouthClose and the lips' own channels the jaw has to do it; a channel without a key keeps its weight."""
    basis = head["basis"].copy()
    gone = [k for k, n in enumerate(CHANNELS) if n.startswith(("mouthClose", "mouthUpperUp", "mouthRoll", "mouthShrug"))]
    basis[gone] = 0
    out, why = run(model, tmp_path, head, basis)
    assert not why and np.array_equal(out[:, gone], weights[:, gone])
    assert crossing(head, basis, weights) > 0.01 > 0.007 > crossing(head, basis, out)


def test_keys_that_come_to_their_end(
    model: PTalker, tmp_path: Path, head: dict[str, np.ndarray], weights: np.ndarray
) -> None:
    """What a slider cuts off is not counted on: as far as they go the keys uncross the lips."""
    basis = head["basis"]
    most = np.where([n.startswith(("mouthLowerDown", "mouthUpperUp", "jawOpen")) for n in CHANNELS], 0.04, 1.0)
    most[INDEX["mouthPucker"]] = 0.6
    out, why = run(model, tmp_path, head, basis, key_channels=np.arange(K), key_shapes=None, key_vertices=None)
    assert why and np.array_equal(out, weights)
    every = np.arange(len(head["vertices"]))
    out, why = run(model, tmp_path, head, basis, key_channels=np.arange(K), key_shapes=basis, key_vertices=every, key_most=most)
    assert not why and np.array_equal(out[:, INDEX["mouthPucker"]], weights[:, INDEX["mouthPucker"]])
    assert (out[:, INDEX["jawOpen"]] <= 0.04 + 1e-6).all() and crossing(head, basis, np.minimum(out, most)) < 0.01


def test_whatever_is_wrong_with_the_mesh_leaves_the_weights(
    model: PTalker, tmp_path: Path, head: dict[str, np.ndarray], weights: np.ndarray
) -> None:
    """One sentence each; a face that is not found, keys that open no mouth, damaged arrays."""
    basis, count = head["basis"], len(head["vertices"])
    rng = np.random.default_rng(0)
    still = basis.copy()
    still[INDEX["jawOpen"]] = 0
    for own, changed, said in (
        (basis, {"vertices": rng.normal(size=(count, 3))}, "face"),
        (basis, {"vertices": np.full((count, 3), np.nan)}, "finite"),
        (still, {}, "open no mouth"),
        (basis, {"key_vertices": np.array([count])}, "does not belong"),
        (basis, {"key_most": np.ones(3)}, "does not belong"),
        (basis, {"key_shapes": None}, "does not say"),
        (basis, {"faces": None}, "no array"),
    ):
        out, why = run(model, tmp_path, head, own, **changed)
        assert said in why and why.endswith(".") and np.array_equal(out, weights), said
    (tmp_path / "weights.npz").write_bytes(b"PK")
    with pytest.raises(PTalkerError):
        run(model, tmp_path, head, basis)


def test_a_mesh_is_searched_once(model: PTalker, tmp_path: Path, head: dict[str, np.ndarray], weights: np.ndarray) -> None:
    """A face that was found, and that there is none, are remembered; the sentence is the same."""
    rng = np.random.default_rng(1)
    noise = rng.normal(size=head["vertices"].shape)
    first = run(model, tmp_path, head, head["basis"], vertices=noise)[1]
    before = dict(model.rigger._faces)
    assert run(model, tmp_path, head, head["basis"], vertices=noise)[1] == first
    assert list(before) == list(model.rigger._faces) and all(before[k] is v for k, v in model.rigger._faces.items())
