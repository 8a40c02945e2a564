"""The template's skin in full: where a mesh's vertices lie on it, and what it does there."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_head import write_head

from ptalker_blender.core.channels import CHANNELS
from ptalker_blender.core.mesh.rig import ASSET, Rigger
from ptalker_blender.core.mesh.skin import Found
from ptalker_blender.core.model.mesh_encoder import batch

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def rigger() -> Rigger:
    return Rigger.load()


@pytest.fixture(scope="module")
def demo() -> dict[str, np.ndarray]:
    return dict(np.load(ROOT / "demo" / "head.npz"))


def test_vertices_lie_where_they_are_on_the_face(rigger: Rigger, demo: dict[str, np.ndarray]) -> None:
    assert rigger.skin is not None
    g, graph = rigger.encode(demo["vertices"], demo["faces"].astype(np.int64))
    b = batch(graph, rigger.config.voxels)
    found = rigger.skin.find(rigger.net.head, g, b)
    assert np.allclose(found.weight[found.share > 0].sum(1), 1, atol=1e-5)
    assert found.share.min() >= 0 and found.share.max() <= 1
    truth = demo["basis"][demo["names"].tolist().index("jawOpen")]
    size = np.linalg.norm(truth, axis=1)
    moved = size > 0.3 * size.max()
    assert (found.share[moved] > 0.3).mean() > 0.6  # the rest are teeth and tongue, which are no skin
    shapes, share = rigger.skin.read(found, slice(0, len(g)))
    jaw = torch.linalg.norm(shapes[:, CHANNELS.index("jawOpen")], dim=1) * share
    assert jaw[moved].mean() > 5 * jaw[~moved].mean()


def test_nothing_found_changes_nothing(rigger: Rigger, demo: dict[str, np.ndarray]) -> None:
    g, graph = rigger.encode(demo["vertices"], demo["faces"].astype(np.int64))
    some = slice(0, 500)
    args = g[some], torch.from_numpy(graph.pos[some]), torch.from_numpy(graph.normal[some])
    head, fine = rigger.net.head, torch.randn(500, len(CHANNELS), 3)
    with torch.no_grad():
        plain = head(*args, other=0.15)[0]
        assert torch.allclose(head(*args, other=0.15, fine=(fine, torch.zeros(500)))[0], plain)
        taken = head(*args, fine=(fine, torch.ones(500)))[0]
    assert not torch.allclose(taken, head(*args, fine=(2 * fine, torch.ones(500)))[0])
    assert torch.allclose(2 * taken, head(*args, fine=(2 * fine, torch.ones(500)))[0], atol=1e-5)


def test_it_is_put_into_a_packed_rig(tmp_path: Path) -> None:
    head = write_head(tmp_path / "heads" / "ict_facekit.npz")
    file = tmp_path / "rig.safetensors"
    shutil.copy(ASSET, file)
    command = [sys.executable, "-m", "ptalker_blender.core.train.rig_skin", "--data", str(tmp_path), "--rig", str(file)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=120)
    skin = Rigger.load(file).skin
    assert skin is not None and skin.basis.shape == (len(head["neutral"]), len(CHANNELS), 3)
    at = Found(np.array([[5, 5, 5, 5]]), np.full((1, 4), 0.25, np.float32), np.ones(1, np.float32))
    assert np.allclose(skin.read(at, slice(0, 1))[0][0].numpy() * 10, head["arkit"][:, 5], atol=1e-2)
