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
from ptalker_blender.core.mesh.rig import ASSET, OTHERS, Rigger
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
    with torch.no_grad():
        chosen = rigger.net.head.chosen(g, b.pos, b.normal)
        found = rigger.skin.find(rigger.net.head.carried(chosen, rigger.skin.points)[2], b)
    assert np.allclose(found.weight[found.share > 0].sum(1), 1, atol=1e-5)
    assert found.share.min() >= 0 and found.share.max() <= 1
    truth = demo["basis"][demo["names"].tolist().index("jawOpen")]
    size = np.linalg.norm(truth, axis=1)
    moved = size > 0.3 * size.max()
    assert (found.share[moved] > 0.3).mean() > 0.5  # 0.55 to 0.6 by threads; the rest are teeth and tongue, which are no skin
    shapes, share = rigger.skin.read(found, slice(0, len(g)))
    jaw = torch.linalg.norm(shapes[:, CHANNELS.index("jawOpen")], dim=1) * share
    assert jaw[moved].mean() > 5 * jaw[~moved].mean()


def test_one_look_at_the_template_serves_points_and_skin(rigger: Rigger, demo: dict[str, np.ndarray]) -> None:
    """The basis made block by block from one product is what the attention, asked for each thing by itself, gives."""
    graph = rigger.find(demo["vertices"], demo["faces"].astype(np.int64)).graph
    b = batch(graph.cropped(rigger.inside(graph)), rigger.config.voxels)
    head, skin = rigger.net.head, rigger.skin
    assert skin is not None
    with torch.no_grad():
        g = rigger.net.encoder(b)
        chosen = head.chosen(g, b.pos, b.normal)
        points = chosen[:, : head.cfg.template]
        carried = (points @ head.template).view(-1, head.cfg.channels, 3)
        alive = points.sum(1)[:, None, None]
        shapes, share = skin.read(skin.find(points @ skin.points, b), slice(0, len(g)))
        share = share[:, None, None]
        (turn, rest), (other, its) = (head.shaped(g, source, alive) for source in range(2))
        own = (1 - share) * (carried @ turn + rest) + share * (alive * shapes @ turn)
        expected = (1 - OTHERS) * own + OTHERS * (carried @ other + its)
    made = torch.from_numpy(rigger.basis(b))
    assert expected.abs().max() > 0.1
    assert torch.allclose(made, expected, atol=1e-5)


def test_nothing_found_changes_nothing(rigger: Rigger, demo: dict[str, np.ndarray]) -> None:
    g, graph = rigger.encode(demo["vertices"], demo["faces"].astype(np.int64))
    some = slice(0, 500)
    place = torch.from_numpy(graph.pos[some]), torch.from_numpy(graph.normal[some])
    head, fine = rigger.net.head, torch.randn(500, len(CHANNELS), 3)
    with torch.no_grad():
        carried, alive, _ = head.carried(head.chosen(g[some], *place))
        args = g[some], carried, alive
        assert torch.allclose(head.turned(*args), head(g[some], *place)[0])
        plain = head.turned(*args, other=0.15)
        assert torch.allclose(head.turned(*args, other=0.15, fine=(fine, torch.zeros(500))), plain)
        taken = head.turned(*args, fine=(fine, torch.ones(500)))
        twice = head.turned(*args, fine=(2 * fine, torch.ones(500)))
    assert not torch.allclose(taken, twice)
    assert torch.allclose(2 * taken, twice, atol=1e-5)


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
