"""The engine's Fit: files in, a file out; whatever is wrong with them is said in one sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ptalker_blender.core.channels import CHANNELS, INDEX
from ptalker_blender.core.errors import PTalkerError
from ptalker_blender.core.fit_job import fit
from ptalker_blender.core.jobs import Quiet
from ptalker_blender.core.mesh.lips import seam
from ptalker_blender.core.protocol import Fit, decode_request, encode
from ptalker_blender.core.runtime import PTalker

ROOT = Path(__file__).resolve().parents[2]
K = len(CHANNELS)


@pytest.fixture(scope="module")
def model() -> PTalker:
    return PTalker.load(device="cpu")


@pytest.fixture
def weights(tmp_path: Path) -> np.ndarray:
    """Weights [40, K] in which the jaw opens and the lips round in turn; also in weights.npz."""
    time = np.linspace(0, 2 * np.pi, 40)
    out = np.zeros((40, K), np.float32)
    out[:, INDEX["jawOpen"]] = 0.3 + 0.3 * np.sin(time)
    out[:, INDEX["mouthPucker"]] = 0.3 - 0.3 * np.sin(time)
    np.savez(tmp_path / "weights.npz", weights=out)
    return out


def run(model: PTalker, folder: Path, meet: bool = True, /, **keys: np.ndarray) -> dict[str, np.ndarray]:
    np.savez(folder / "keys.npz", **keys)
    job = Fit(1, str(folder / "weights.npz"), str(folder / "keys.npz"), str(folder / "out.npz"), meet)
    result = fit(job, lambda: model, Quiet())
    with np.load(result.out) as archive:
        out = {name: archive[name] for name in archive.files}
    assert result.frames == len(out["weights"])
    return out


def test_onto_poses(model: PTalker, tmp_path: Path, weights: np.ndarray) -> None:
    """A channel is taken over; a pose follows what it is made of; a pose of something else stays out of it."""
    poses = np.zeros((3, K))
    poses[0, INDEX["mouthPucker"]] = 1
    poses[1, [INDEX["jawOpen"], INDEX["mouthLowerDownLeft"], INDEX["mouthLowerDownRight"]]] = 0.7, 0.1, 0.1
    poses[2, INDEX["browInnerUp"]] = 1
    out = run(model, tmp_path, poses=poses, low=np.zeros(3), high=np.ones(3))
    assert np.abs(out["weights"][:, 0] - weights[:, INDEX["mouthPucker"]]).max() < 0.05
    assert np.corrcoef(out["weights"][:, 1], weights[:, INDEX["jawOpen"]])[0, 1] > 0.99
    assert out["weights"][:, 1].max() > 0.7 and np.abs(out["weights"][:, 2]).max() < 0.02
    assert out["explained"] > 0.8 and out["channel"].tolist() == [INDEX["mouthPucker"], -1, INDEX["browInnerUp"]]


def test_onto_a_mesh(model: PTalker, tmp_path: Path, weights: np.ndarray) -> None:
    """The demo head's own shapes, unnamed: the jaw's key opens, its basis comes along."""
    with np.load(ROOT / "demo" / "head.npz") as data:
        names = data["names"].tolist()
        mesh = {"vertices": data["vertices"], "faces": data["faces"], "keys": data["basis"].astype(np.float32)}
    out = run(model, tmp_path, False, **mesh, low=np.zeros(K), high=np.ones(K))
    np.testing.assert_allclose(out["weights"][:, names.index("jawOpen")], weights[:, INDEX["jawOpen"]], atol=0.02)
    np.testing.assert_array_equal(out["spoken"], weights)
    np.testing.assert_array_equal(out["met"], weights)
    assert out["basis"].shape == (K, len(mesh["vertices"]), 3) and out["explained"] > 0.95


def test_lips_meet_as_the_keys_move_them(model: PTalker, tmp_path: Path, weights: np.ndarray) -> None:
    """Rounding lips of the demo's head cross; the fit is made of weights with which they do not."""
    with np.load(ROOT / "demo" / "head.npz") as data:
        mesh = {"vertices": data["vertices"], "faces": data["faces"], "keys": data["basis"].astype(np.float32)}
    pos, keys = (x[..., [0, 2, 1]] * np.array([10, 10, -10]) for x in (mesh["vertices"], mesh["keys"]))
    with np.load(ROOT / "demo" / "head.npz") as data:
        order = [data["names"].tolist().index(name) for name in CHANNELS]
    found = seam(pos, keys[order])
    assert found is not None
    far = {}
    for meet in (False, True):
        out = run(model, tmp_path, meet, **mesh, low=np.zeros(K), high=np.ones(K))
        far[meet] = found.crossing(keys[order], out["weights"][:, order]).max() / found.width
        np.testing.assert_allclose(out["weights"][:, order][:, INDEX["jawOpen"]], out["spoken"][:, INDEX["jawOpen"]], atol=0.02)
    assert far[False] > 0.02 > 0.008 > far[True] and out["explained"] > 0.95


def test_what_cannot_be_fitted(model: PTalker, tmp_path: Path, weights: np.ndarray) -> None:
    poses, low, high = np.eye(2, K), np.zeros(2), np.ones(2)
    for keys, code in (
        ({"poses": poses[:, :5], "low": low, "high": high}, "keys_invalid"),
        ({"poses": poses, "low": high, "high": low}, "keys_invalid"),
        ({"poses": poses, "low": low[:1], "high": high}, "keys_invalid"),
        ({"poses": poses, "low": low}, "file_unreadable"),
    ):
        with pytest.raises(PTalkerError) as info:
            run(model, tmp_path, **keys)
        assert info.value.code == code
    np.savez(tmp_path / "weights.npz", weights=weights[:, :5])
    with pytest.raises(PTalkerError, match="no weights of the 52 channels"):
        run(model, tmp_path, poses=poses, low=low, high=high)


def test_message() -> None:
    job = Fit(4, "/w.npz", "/k.npz", "/o.npz")
    assert decode_request(encode(job)) == job
