"""The rig head's training: heads side by side in one batch, and what their losses say."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ptalker_blender.core.channels import CHANNELS
from ptalker_blender.core.errors import PTalkerError
from ptalker_blender.core.mesh.rig import Rigger
from ptalker_blender.core.model.mesh_encoder import joined
from ptalker_blender.core.train import rig
from ptalker_blender.core.train.rig_heads import Head
from ptalker_blender.core.train.rig_pool import Sample, sample, turned_away
from ptalker_blender.core.train.rig_topology import framed, warp

HEAD = Path(__file__).resolve().parents[2] / "demo" / "head.npz"


@pytest.fixture(scope="module")
def rigger() -> Rigger:
    return Rigger.load()


@pytest.fixture(scope="module")
def head(rigger: Rigger) -> Head:
    """The demo's head in its face frame, the shapes that the rig head gives it, and the points of the template that it sees."""
    with np.load(HEAD) as z:
        vertices, faces = z["vertices"].astype(np.float64), z["faces"].astype(np.int64)
    graph = rigger.find(vertices, faces).graph
    basis = graph.frame.displacement(rigger.shapes(graph))
    place = rigger.net.head.place[:, :3].numpy()
    near = ((graph.pos[:, None] - place[None]) ** 2).sum(-1).argsort(1)[:, :4]
    weight = np.full(near.shape, 0.25, np.float32)
    return Head(graph.pos, faces, basis, graph.pos, near, weight, near, weight, 0)


@pytest.fixture(scope="module")
def samples(rigger: Rigger, head: Head) -> list[Sample]:
    rng = np.random.default_rng(0)
    place = rigger.net.head.place.numpy()
    return [sample(framed(warp(head, rng, strength), rng, 1.0), rigger.config, place) for strength in (0.3, 1.0)]


def test_graphs_side_by_side_know_nothing_of_each_other(rigger: Rigger, samples: list[Sample]) -> None:
    with torch.no_grad():
        together = rigger.net.encoder(joined([s.graph for s in samples]))
        alone = torch.cat([rigger.net.encoder(s.graph) for s in samples])
    assert torch.allclose(together, alone, atol=1e-4)


def test_a_batch_holds_the_truth_at_both_ends_of_its_edges(samples: list[Sample]) -> None:
    batch = rig.collated(samples, 50, np.random.default_rng(1))
    graph, count = rig.graph_of(batch), len(samples[0].graph.pos)
    first, second = batch["at"].chunk(2)
    assert len(first) == 100 and (first[:50] < count).all() and (first[50:] >= count).all()
    pairs = set(map(tuple, graph.edges.T.tolist()))
    assert all(pair in pairs for pair in zip(first.tolist(), second.tolist(), strict=True))
    every = torch.cat([s.basis for s in samples])
    assert torch.equal(batch["basis"], every[batch["at"]])


def test_losses_fall_where_the_shapes_are_right(rigger: Rigger, head: Head, samples: list[Sample]) -> None:
    size = torch.full((len(CHANNELS),), 0.05)
    encoder, net = rigger.net.encoder, rigger.net.head
    right = rig.losses(rig.collated(samples[:1], 300, np.random.default_rng(2)), encoder, net, size)
    turned = sample(turned_away(head, np.random.default_rng(3), rigger.config.template), rigger.config, None)
    assert not turned.basis.any()
    shown = Sample(turned.graph, samples[0].basis[: len(turned.basis)], samples[0].near, samples[0].weight, turned.care, 0)
    wrong = rig.losses(rig.collated([shown], 300, np.random.default_rng(2)), encoder, net, size)
    assert all(float(v) >= 0 for v in (*right.values(), *wrong.values()))
    assert right["point"] < 0.6 * wrong["point"] and right["label"] < wrong["label"]


def test_settings() -> None:
    training, loop = rig.settings(["batch=16", "rate=3e-4", "device=cpu"])
    assert (training.batch, loop.rate, loop.device) == (16, 3e-4, "cpu")
    for bad in ("batch", "bach=3", "edges=many"):
        with pytest.raises(PTalkerError) as e:
            rig.settings([bad])
        assert e.value.code == "bad_setting"
