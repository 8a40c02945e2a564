"""The network's promises: time in seconds, any rate, a fixed reach, style that acts, graphs that matter."""

from __future__ import annotations

import pytest
import torch

from ptalker_blender.core.errors import PTalkerError
from ptalker_blender.core.model.config import Config
from ptalker_blender.core.model.ptalker import PTalker
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


def test_motion_encoder_listens_to_the_mesh(net: PTalker) -> None:
    n = 20
    ring = torch.arange(n)
    edges = torch.stack([torch.cat([ring, ring]), torch.cat([ring.roll(1), ring.roll(-1)])])
    graph = {"pos": torch.randn(n, 3), "normal": torch.randn(n, 3), "edges": edges, "edge_attr": torch.randn(2 * n, 7)}
    motion = torch.randn(2, 12, n, 3) * 0.1
    content, style = net.motion(motion, graph, 25.0)
    assert content.shape == (2, 12, 32) and style.shape == (2, 8)
    order = torch.randperm(n)
    place = torch.empty_like(order)
    place[order] = ring
    shuffled = {"pos": graph["pos"][order], "normal": graph["normal"][order]}
    shuffled |= {"edges": place[edges], "edge_attr": graph["edge_attr"]}
    again, style_again = net.motion(motion[:, :, order], shuffled, 25.0)
    assert torch.allclose(content, again, atol=1e-4) and torch.allclose(style, style_again, atol=1e-4)
    cut = graph | {"edges": edges.flip(1).roll(3, 1)[[0, 0]]}  # other edges, another answer
    assert not torch.allclose(content, net.motion(motion, cut, 25.0)[0], atol=1e-3)


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


def test_graph_attention_on_many_frames_is_gatv2() -> None:
    """SharedGraphAttention gives what PyG's GATv2Conv gives on copies of the graph, and the same gradients."""
    from torch_geometric.nn import GATv2Conv

    from ptalker_blender.core.model.shared_graph import SharedGraphAttention

    torch.manual_seed(0)
    n, frames = 6, 5
    edges = torch.tensor([[0, 1, 2, 3, 4, 0, 2], [1, 0, 1, 2, 3, 4, 0]])  # node 5 has no neighbour
    attr, x = torch.randn(edges.shape[1], 7), torch.randn(n, frames, 16)
    ours, theirs = SharedGraphAttention(16, 4, 7), GATv2Conv(16, 4, heads=4, edge_dim=7, add_self_loops=False)
    torch.nn.init.normal_(ours.bias)
    theirs.load_state_dict(ours.state_dict())
    copies = (edges[None] + n * torch.arange(frames)[:, None, None]).permute(1, 0, 2).reshape(2, -1)
    expected = theirs(x.transpose(0, 1).reshape(-1, 16), copies, attr.repeat(frames, 1)).view(frames, n, 16).transpose(0, 1)
    found = ours(x, edges, attr)
    assert torch.allclose(found, expected, atol=1e-5)
    for y in (found, expected):
        y.square().sum().backward()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert a.grad is not None and b.grad is not None and torch.allclose(a.grad, b.grad, rtol=1e-4, atol=1e-4)
