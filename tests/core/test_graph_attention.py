"""Graph attention a few thousand edges at a time gives what it gives in training, all edges at once."""

import torch

from ptalker_blender.core.model.graph_attention import EDGES, GraphAttention


def test_the_same_numbers_with_and_without_gradients():
    torch.manual_seed(0)
    layer = GraphAttention(16, 8, 4, edge_dim=7, add_self_loops=False)
    nodes, edges = 500, 2 * EDGES + 77
    x, attr = torch.randn(nodes, 16) * 3, torch.randn(edges, 7)
    index = torch.randint(0, nodes - 20, (2, edges))  # the last nodes have no edge
    trained = layer(x, index, attr)
    assert trained.requires_grad
    with torch.no_grad():
        used = layer(x, index, attr)
    assert not used.requires_grad and torch.allclose(trained, used, atol=1e-4)
    assert torch.allclose(used[-20:], layer.bias.expand(20, -1))


def test_a_graph_without_edges():
    layer = GraphAttention(16, 8, 4, edge_dim=7, add_self_loops=False)
    with torch.no_grad():
        out = layer(torch.randn(3, 16), torch.zeros(2, 0, dtype=torch.int64), torch.zeros(0, 7))
    assert torch.equal(out, layer.bias.expand(3, -1))
