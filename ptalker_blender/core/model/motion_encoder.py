"""Facial motion on any mesh -> content per frame and one style vector.

Spatial alignment comes first, by graph attention over the mesh's own edges, and once per mesh, not per frame: the rig head
says what each channel does on this mesh, and motion is read as how much of each it is (mesh/aligned.py); a second graph
attention over the mesh's coarse graph decides what else to read from which node. Both are linear in the displacements, so a
frame costs two matrix products and a resting face reads as nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.nn import GATv2Conv

from .audio_encoder import ConvBlock
from .config import Config
from .mesh_encoder import EDGE_DIM
from .seen import Seen

DISPLACEMENT_GAIN = 10.0  # face frame units are 10 cm: lips move 0.1
FAINT = 0.1  # a spread in time below this is no movement
VIEWS, WIDTH = 4, 96  # of the style reader: attentions, units
ALIGNED_GAIN = 4.0  # most weights of a speaking face are below 0.3


class MotionEncoder(nn.Module):
    """Clips on one mesh -> frame tokens -> content c [B, T, d], style s_m [B, s]."""

    def __init__(self, c: Config) -> None:
        super().__init__()
        self.aligned = c.aligned
        if c.graph:
            self.reader = NodeReader(c)
        elif not c.aligned:
            self.linear = LinearReader(c.places, c.readings)
        self.by_graph = c.graph
        readings = c.aligned + (c.readings if c.graph or not c.aligned else 0)
        self.frame = nn.Sequential(
            nn.Linear(2 * readings + 1, 2 * c.frame_width), nn.SiLU(), nn.Linear(2 * c.frame_width, c.frame_width)
        )
        self.time = nn.Sequential(*[ConvBlock(c.frame_width, 5, c.dropout) for _ in range(2)])
        self.content_out = nn.Sequential(nn.LayerNorm(c.frame_width), nn.Linear(c.frame_width, c.width), nn.LayerNorm(c.width))
        self.style = StyleReader(c.frame_width + 2 * c.aligned + 1, c.style)

    def forward(self, seen: Seen, rate: float) -> tuple[Tensor, Tensor]:
        """``rate``: frames a second -> content [B, T, d], style [B, s]."""
        x, velocity, known = self._frames(seen, rate)
        m = self.time(self.frame(torch.cat([x, velocity, known], -1)))
        plain = [y[..., : self.aligned] for y in (x, velocity)]
        return self.content_out(levelled(m)), self.style(torch.cat([m, *plain, known], -1))

    def _frames(self, seen: Seen, rate: float) -> tuple[Tensor, Tensor, Tensor]:
        """-> readings [B, T, R], aligned ones first, their velocities, and whether rest is known [B, T, 1]."""
        parts = []
        if self.aligned:
            if seen.aligned is None:
                raise ValueError("this motion encoder reads motion by the mesh's own shapes, and there are none")
            parts.append(seen.aligned * ALIGNED_GAIN)
        if self.by_graph:
            parts.append(self.reader(seen.nodes, seen.graph))
        elif not self.aligned:
            parts.append(self.linear(seen.nodes, seen.graph))
        x = torch.cat(parts, -1)
        velocity = torch.diff(x, dim=1, prepend=x[:, :1]) * (rate / 25.0)
        known = seen.known[:, None, None].expand(*x.shape[:2], 1).to(x.dtype)
        return x, velocity, known


class StyleReader(nn.Module):
    """What stays of a clip when its words are gone: means and spreads of its frames x [B, T, n], under several attentions (when
    the lips are shut, when the jaw is low, ...; Okabe et al. 2018) -> style [B, s].

    A resting frown is just a mean, so there is a straight way for what is linear in them."""

    def __init__(self, width: int, style: int) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(width, WIDTH), nn.Tanh(), nn.Linear(WIDTH, VIEWS))
        self.straight = nn.Linear(2 * VIEWS * width, style)
        self.bent = nn.Sequential(nn.Linear(2 * VIEWS * width, WIDTH), nn.SiLU(), nn.Linear(WIDTH, style))

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):  # small differences of large sums do not bear half precision
            x = x.float()
            w = self.score(x).softmax(1).transpose(1, 2)  # [B, VIEWS, T]
            mean = w @ x
            spread = (w @ x.square() - mean.square()).clamp(min=1e-6).sqrt()
            seen = torch.cat([mean, spread], -1).flatten(1)
            return self.straight(seen) + self.bent(seen)


def levelled(m: Tensor) -> Tensor:
    """m [B, T, d] without each clip's mean and spread in time, which are how somebody speaks, not what is said (instance
    normalisation, as Chou & Lee 2019 take the speaker out of speech)."""
    centred = m - m.mean(1, keepdim=True)
    return centred / (centred.square().mean(1, keepdim=True) + FAINT**2).sqrt()


class NodeReader(nn.Module):
    """Graph attention (GATv2, Brody et al. 2022) over the coarse graph says how the displacement of each node counts."""

    def __init__(self, c: Config) -> None:
        super().__init__()
        w, h = c.node_width, c.node_heads
        self.shapes = bool(c.aligned)
        self.node = nn.Linear(6 + 3 * c.aligned, w)
        self.layers = nn.ModuleList(GATv2Conv(w, w // h, heads=h, edge_dim=EDGE_DIM, add_self_loops=False) for _ in range(2))
        self.norms = nn.ModuleList(nn.LayerNorm(w) for _ in range(2))
        self.read = nn.Sequential(nn.LayerNorm(w), nn.Linear(w, 3 * c.readings))

    def forward(self, nodes: Tensor, graph: dict[str, Tensor]) -> Tensor:
        """nodes [B, T, n, 3] -> readings [B, T, R], linear in them."""
        place = [graph["pos"], graph["normal"]]
        if self.shapes:
            place.append(graph["shapes"] * DISPLACEMENT_GAIN)
        x = self.node(torch.cat(place, -1))
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = x + nn.functional.silu(layer(norm(x), graph["edges"], graph["edge_attr"]))
        how = self.read(x).unflatten(-1, (3, -1)) * (DISPLACEMENT_GAIN / len(x))  # [n, 3, R]
        return nodes.flatten(2) @ how.flatten(0, 1)


class LinearReader(nn.Module):
    """What is left without graph attention: one linear map of stacked displacements, as PTalker's published code has it.

    The published map takes the vertices of one topology in their order and cannot run on another. This one reads the
    displacement of the node that is nearest to each of a fixed set of places, so that it can.
    """

    def __init__(self, places: int, readings: int) -> None:
        super().__init__()
        self.places: Tensor
        self.register_buffer("places", torch.zeros(places, 3))
        self.map = nn.Linear(3 * places, readings)

    def set_places(self, pos: Tensor) -> None:
        """pos [n, 3] of the mesh that is learned on: its nodes are the places (evenly picked where they are not as many)."""
        self.places.copy_(pos[torch.linspace(0, len(pos) - 1, len(self.places)).round().long()])

    def forward(self, nodes: Tensor, graph: dict[str, Tensor]) -> Tensor:
        """nodes [B, T, n, 3] -> [B, T, R]."""
        nearest = torch.cdist(self.places, graph["pos"]).argmin(1)
        return self.map((nodes[:, :, nearest] * DISPLACEMENT_GAIN).flatten(2))
