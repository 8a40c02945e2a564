"""The network's promises: time in seconds, any rate, a fixed reach, style that acts, graphs that matter."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ptalker_blender.core.errors import PTalkerError
from ptalker_blender.core.model.config import Config
from ptalker_blender.core.model.motion_encoder import levelled
from ptalker_blender.core.model.ptalker import PTalker
from ptalker_blender.core.model.seen import JAW, Seen
from ptalker_blender.core.model.time_attention import TimeAttention, TimeBias, resample


@pytest.fixture(scope="module")
def net() -> PTalker:
    """Random weights everywhere, so that no path is switched off by a zero start."""
    torch.manual_seed(0)
    net = PTalker(Config(features=16, width=32, frame_width=24, style=8)).eval()
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.2)
    return net


def times(n: int, rate: float) -> torch.Tensor:
    return torch.arange(n) / rate


def test_bias_depends_on_the_difference_alone_and_ends_at_the_reach() -> None:
    bias = TimeBias(2, 0.4)
    torch.nn.init.normal_(bias.table)
    a = bias(torch.tensor([1.0, 2.0]), torch.tensor([1.1, 2.1]))
    assert torch.allclose(a[:, 0, 0], a[:, 1, 1], atol=1e-5)
    assert torch.isinf(a[:, 0, 1]).all()


def test_attention_is_local() -> None:
    torch.manual_seed(0)
    attention = TimeAttention(8, 2, 0.3).eval()
    x, memory = torch.randn(1, 5, 8), torch.randn(1, 100, 8)
    there = times(100, 25)
    here = torch.tensor([0.0, 1.0, 2.0, 3.0, 3.9])
    before = attention(x, memory, here, there)
    memory[:, 40:60] += 5.0  # 1.6-2.4 s
    after = attention(x, memory, here, there)
    moved = (before - after).abs().amax((0, 2)) > 1e-6
    assert moved.tolist() == [False, False, True, False, False]


def test_resample_hits_samples_and_middles() -> None:
    x = torch.tensor([[[0.0], [2.0], [4.0]]])
    y = resample(x, torch.tensor([0.0, 1.0, 2.0]), torch.tensor([0.0, 0.5, 2.0, 9.0]))
    assert torch.allclose(y[0, :, 0], torch.tensor([0.0, 1.0, 4.0, 4.0]))


def test_halo_covers_all_that_a_frame_hears(net: PTalker) -> None:
    features = torch.randn(1, 600, 16)
    style, query = torch.randn(1, 8), times(300, 25)
    whole = net(features, times(600, 50), style, query)
    halo = net.decoder.halo + net.audio.REACH / 50
    a, b = int((6.0 - halo) * 50) // 2 * 2, int((6.0 + halo) * 50) // 2 * 2
    q = slice(int((6.0 - halo) * 25), int((6.0 + halo) * 25))
    part = net(features[:, a:b], times(600, 50)[a:b], style, query[q])
    assert torch.allclose(whole[:, 150], part[:, 150 - q.start], atol=1e-4)


def test_frame_rates_share_instants(net: PTalker) -> None:
    features, style = torch.randn(1, 200, 16), torch.randn(1, 8)
    for name, parameter in net.named_parameters():
        if "self_attention.out.weight" in name:
            parameter.data.zero_()  # how dense other frames are is what may differ
    slow = net(features, times(200, 50), style, times(100, 25))
    fast = net(features, times(200, 50), style, times(200, 50))
    assert torch.allclose(slow, fast[:, ::2], atol=1e-4)


def ring_graph(n: int, shapes: int) -> dict[str, torch.Tensor]:
    ring = torch.arange(n)
    edges = torch.stack([torch.cat([ring, ring]), torch.cat([ring.roll(1), ring.roll(-1)])])
    graph = {"pos": torch.randn(n, 3), "normal": torch.randn(n, 3), "edges": edges, "edge_attr": torch.randn(2 * n, 7)}
    return graph | {"shapes": torch.randn(n, 3 * shapes) * 0.1}


def test_motion_encoder_listens_to_the_mesh(net: PTalker) -> None:
    n = 20
    graph = ring_graph(n, net.config.aligned)
    nodes, aligned = torch.randn(2, 12, n, 3) * 0.1, torch.rand(2, 12, net.config.aligned)
    seen = Seen(nodes, aligned, torch.ones(2), graph)
    content, style = net.motion(seen, 25.0)
    assert content.shape == (2, 12, 32) and style.shape == (2, 8)
    order = torch.randperm(n)
    place = torch.empty_like(order)
    place[order] = torch.arange(n)
    shuffled = {k: graph[k][order] for k in ("pos", "normal", "shapes")}
    shuffled |= {"edges": place[graph["edges"]], "edge_attr": graph["edge_attr"]}
    again, style_again = net.motion(replace(seen, nodes=nodes[:, :, order], graph=shuffled), 25.0)
    assert torch.allclose(content, again, atol=1e-4) and torch.allclose(style, style_again, atol=1e-4)
    cut = graph | {"edges": graph["edges"].flip(1).roll(3, 1)[[0, 0]]}  # other edges, another answer
    assert not torch.allclose(content, net.motion(replace(seen, graph=cut), 25.0)[0], atol=1e-3)
    with pytest.raises(ValueError, match="shapes"):
        net.motion(Seen.plain(nodes, graph), 25.0)


def test_motion_content_has_no_level_and_no_size() -> None:
    """How far somebody moves and from which posture is style: content is the same with both changed."""
    m = torch.randn(2, 30, 16)
    posture, size = torch.randn(2, 1, 16), torch.rand(2, 1, 16) + 0.5
    assert torch.allclose(levelled(m), levelled(m * size + posture), atol=0.05)
    faint = torch.randn(1, 30, 16) * 1e-4
    assert levelled(faint).abs().max() < 0.01, "a tracker's noise is not blown up to movement"


def test_a_mesh_without_named_shapes_is_read_by_its_nodes() -> None:
    net = PTalker(Config(features=16, width=32, frame_width=24, style=8, aligned=0)).eval()
    seen = Seen.plain(torch.randn(2, 12, 20, 3) * 0.1, ring_graph(20, 0))
    content, style = net.motion(seen, 25.0)
    assert content.shape == (2, 12, 32) and style.shape == (2, 8)
    still = Seen.plain(torch.zeros(1, 12, 20, 3), ring_graph(20, 0))
    other = Seen.plain(torch.zeros(1, 12, 30, 3), ring_graph(30, 0))
    assert torch.allclose(net.motion(still, 25.0)[1], net.motion(other, 25.0)[1]), "a resting face is the same on any mesh"


def test_rest_is_guessed_where_nobody_knows_it(net: PTalker) -> None:
    nodes, aligned = torch.randn(2, 9, 20, 3) * 0.1, torch.rand(2, 9, net.config.aligned)
    seen = Seen(nodes, aligned, torch.ones(2), ring_graph(20, net.config.aligned))
    off = replace(seen, nodes=nodes + 0.3, aligned=aligned + 0.2)
    a, b = seen.from_own_rest(), off.from_own_rest()
    assert a.aligned is not None and b.aligned is not None
    assert torch.allclose(a.nodes, b.nodes, atol=1e-5) and torch.allclose(a.aligned, b.aligned, atol=1e-5)
    assert float(a.known.sum()) == 0 and float(a.aligned[..., JAW].min()) == 0
    half = seen.from_own_rest(torch.tensor([True, False]))
    assert torch.equal(half.nodes[1], nodes[1]) and torch.equal(half.nodes[0], a.nodes[0]) and half.known.tolist() == [0, 1]


def test_checkpoint_round_trip_and_damage(net: PTalker, tmp_path) -> None:
    net.styles["loud"] = torch.ones(8)
    path = tmp_path / "ptalker.safetensors"
    net.save(path, {"note": "test"})
    again, card = PTalker.load(path)
    assert card == {"note": "test"} and torch.equal(again.styles["loud"], torch.ones(8))
    for a, b in zip(net.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(PTalkerError) as broken:
        PTalker.load(path)
    assert broken.value.code == "checkpoint_broken"
    with pytest.raises(PTalkerError) as missing:
        PTalker.load(tmp_path / "none.safetensors")
    assert missing.value.code == "checkpoint_missing"
