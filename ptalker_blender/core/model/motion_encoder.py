"""Facial motion on any mesh -> content per frame and one style vector, by graph attention over the mesh.

The mesh comes as a coarse graph of a few hundred nodes in the face frame (``core/mesh/coarse.py``): positions, normals,
edges pooled from the mesh's own edges. Topology, pose and unit are gone before the first weight.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .audio_encoder import ConvBlock, StatisticsPool
from .config import Config
from .mesh_encoder import EDGE_DIM
from .shared_graph import SharedGraphAttention

DISPLACEMENT_GAIN = 10.0  # face frame units are 10 cm: lips move 0.1


class MotionEncoder(nn.Module):
    """Node displacements of B clips on one coarse graph -> frame tokens -> content c [B, T, d], style s_m [B, s]."""

    def __init__(self, c: Config) -> None:
        super().__init__()
        self.by_graph = c.graph
        if c.graph:
            w, h = c.node_width, c.node_heads
            self.node = nn.Linear(3 + 3 + 3 + 3, w)
            self.place = nn.Sequential(nn.Linear(6, w), nn.SiLU(), nn.Linear(w, w))
            self.layers = nn.ModuleList(SharedGraphAttention(w, h, EDGE_DIM) for _ in range(2))
            self.norms = nn.ModuleList(nn.LayerNorm(w) for _ in range(2))
            self.seats = nn.Linear(w, 8)  # soft regions of the face, from place alone: the same region on every mesh
            self.frame = nn.Sequential(nn.Linear(8 * w, c.frame_width), nn.SiLU(), nn.Linear(c.frame_width, c.frame_width))
        else:
            self.linear = LinearFrames(c.places, c.frame_width)
        self.time = nn.Sequential(*[ConvBlock(c.frame_width, 5, c.dropout) for _ in range(2)])
        self.content_out = nn.Sequential(nn.LayerNorm(c.frame_width), nn.Linear(c.frame_width, c.width), nn.LayerNorm(c.width))
        self.pool = StatisticsPool(c.frame_width)
        self.style_out = nn.Sequential(nn.Linear(2 * c.frame_width, c.frame_width), nn.SiLU(), nn.Linear(c.frame_width, c.style))

    def forward(self, motion: Tensor, graph: dict[str, Tensor], rate: float) -> tuple[Tensor, Tensor]:
        """motion [B, T, n, 3] in the face frame, graph: pos [n, 3], normal [n, 3], edges [2, e], edge_attr [e, 7]; rate
        in frames a second -> content [B, T, d], style [B, s]."""
        frames = self._frames(motion, graph, rate) if self.by_graph else self.linear(motion, graph)
        m = self.time(frames)
        return self.content_out(m), self.style_out(self.pool(m))

    def _frames(self, motion: Tensor, graph: dict[str, Tensor], rate: float) -> Tensor:
        """Graph attention in each frame, then a mean over each soft region -> frame tokens [B, T, frame_width]."""
        B, T, n, _ = motion.shape
        place = torch.cat([graph["pos"], graph["normal"]], -1)
        d = motion * DISPLACEMENT_GAIN
        velocity = torch.diff(d, dim=1, prepend=d[:, :1]) * (rate / 25.0)
        moving = torch.cat([d, velocity], -1).flatten(0, 1).transpose(0, 1)  # [n, B T, 6]
        x = self.node(torch.cat([moving, place[:, None].expand(n, B * T, 6)], -1))  # [n, B T, w]
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = x + torch.nn.functional.silu(layer(norm(x), graph["edges"], graph["edge_attr"]))
        seats = self.seats(self.place(place)).softmax(0)  # [n, 8], sums to 1 over the nodes
        m = torch.einsum("nbw,ns->bsw", x, seats).flatten(1)
        return self.frame(m).view(B, T, -1)


class LinearFrames(nn.Module):
    """What is left without the graph: one linear map of stacked displacements, as PTalker's published code has it.

    The published map takes the vertices of one topology in their order and cannot run on another. This one reads the
    displacement of the node that is nearest to each of a fixed set of places, so that it can.
    """

    def __init__(self, places: int, width: int) -> None:
        super().__init__()
        self.places: Tensor
        self.register_buffer("places", torch.zeros(places, 3))
        self.map = nn.Linear(3 * places, width)

    def set_places(self, pos: Tensor) -> None:
        """pos [n, 3] of the mesh that is learned on: its nodes are the places (evenly picked where they are not as many)."""
        self.places.copy_(pos[torch.linspace(0, len(pos) - 1, len(self.places)).round().long()])

    def forward(self, motion: Tensor, graph: dict[str, Tensor]) -> Tensor:
        """motion [B, T, n, 3] -> [B, T, width]."""
        nearest = torch.cdist(self.places, graph["pos"]).argmin(1)
        return self.map((motion[:, :, nearest] * DISPLACEMENT_GAIN).flatten(2))
