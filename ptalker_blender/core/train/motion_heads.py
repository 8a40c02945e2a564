"""Heads that the motion encoder reads in training: many people, parts, topologies and proportions, each with its shapes.

All come from ICT-FaceKit: another identity, a part of the head (with or without neck, eyes, teeth), thinned out or as it
is, in triangles or quads, warped to other proportions, roughly in its face frame, as a coarse graph of its own size. What
the encoder says of a style must not depend on any of this. Losses are measured on heads.py's heads, not on these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from ..channels import MIRROR
from ..mesh.graph import build_graph, coarsen, seeds, triangles
from ..mesh.pose import face_weight, umeyama
from ..mesh.rig import Rigger
from ..model.seen import Seen
from .heads import Head, make_head
from .rig_heads import CENTRE, UNIT

FLIP = np.array([-1.0, 1.0, 1.0])
NODES = 24, 80  # of a coarse graph, fewest and most
THIN = 0.04, 0.13  # between the vertices of a thinned-out mesh, face frame (10 cm)
JITTER, OFFSET = 0.003, 0.002  # face frame: most of a tracker's noise in every frame, of a rest pose that is a little off
LOOSE, BIASED = 0.03, 0.05  # the same in what is read of them by the mesh's shapes
UNKNOWN = 0.5  # how often nobody knows the face at rest
STRENGTHS = (0.0, 0.5, 1.0)  # of a warp; 1 is a cartoon
SKIN = ("face", "head_neck")
SOCKETS = ("mouth_socket", "eye_socket_left", "eye_socket_right")
INNER = ("gums_tongue", "eyeball_left", "eyeball_right")  # not the teeth: 32 islands are as many nodes and more


@dataclass(frozen=True)
class Shaped:
    """A mesh with its shapes: vertices [V, 3], faces [F, 3|4] (-1 pads), basis [K, V, 3], place [V, 3] where each vertex
    lies on the canonical head. Face frame: 10 cm = 1."""

    vertices: np.ndarray
    faces: np.ndarray
    basis: np.ndarray
    place: np.ndarray

    def picked(self, vertices: np.ndarray, faces: np.ndarray) -> Shaped:
        """The vertices with these numbers, under other faces (which count among them)."""
        return Shaped(self.vertices[vertices], faces, self.basis[:, vertices], self.place[vertices])


def cropped(mesh: Shaped, keep: np.ndarray) -> Shaped:
    """The faces whose vertices are all in ``keep`` [V] bool."""
    faces = mesh.faces[(keep[mesh.faces] | (mesh.faces < 0)).all(1)]
    used = np.unique(faces[faces >= 0])
    number = np.full(len(keep), -1)
    number[used] = np.arange(len(used))
    return mesh.picked(used, np.where(faces >= 0, number[faces], -1))


def thinned(mesh: Shaped, distance: float) -> Shaped:
    """Triangles between patches about ``distance`` wide that grow along the surface; their seeds are the vertices."""
    graph = build_graph(mesh.vertices, mesh.faces)
    graph = graph.moved(np.eye(3), 1 / graph.frame.scale, graph.frame.origin)
    chosen = seeds(graph.pos, graph.normal, graph.island, distance)
    tri = coarsen(graph, distance).own[triangles(mesh.faces)]
    tri = tri[(tri != np.roll(tri, 1, 1)).all(1)]
    first = np.unique(np.sort(tri, 1), axis=0, return_index=True)[1]
    return mesh.picked(chosen, tri[first])


def warped(mesh: Shaped, rng: np.random.Generator, strength: float) -> Shaped:
    """Other proportions by smooth symmetric bumps and a stretch, ``strength`` 0 none, 1 a cartoon's; the shapes are
    carried by the Jacobian."""
    x, jacobian = mesh.vertices.astype(np.float64), np.eye(3)
    for _ in range(4):
        centre, width = rng.uniform([0.0, -0.9, 0.0], [0.6, 0.9, 0.8]), rng.uniform(0.3, 0.8)
        push = rng.normal(size=3) * 0.08 * width * strength
        grow = np.clip(rng.normal(size=3) * 0.2 + rng.normal() * 0.2, -0.5, 0.5) * strength
        for side in (np.ones(3), FLIP):
            d = x - centre * side
            e = np.exp(-(d**2).sum(1, keepdims=True) / (2 * width**2))
            move = push * side + d * grow
            step = np.diag(grow) - move[:, :, None] * d[:, None, :] / width**2
            jacobian = (np.eye(3) + e[:, :, None] * step) @ jacobian
            x = x + e * move
    stretch = np.exp(rng.normal(size=3) * 0.12 * strength)
    jacobian = (np.diag(stretch) @ jacobian).astype(np.float32)
    return replace(mesh, vertices=x * stretch, basis=(jacobian[None] @ mesh.basis[..., None])[..., 0])


def framed(mesh: Shaped, rng: np.random.Generator) -> Shaped:
    """In its face frame (the similarity that fits the canonical head best), a little off as at run time, mirrored or not."""
    r, s, t = umeyama(mesh.vertices, mesh.place, face_weight(mesh.place))
    a = rng.normal(size=3) * 0.05
    r = Rotation.from_rotvec(a).as_matrix() @ r
    s, t = s * float(np.exp(rng.normal() * 0.03)), t + rng.normal(size=3) * 0.02
    v, basis = s * mesh.vertices @ r.T + t, s * mesh.basis @ r.T.astype(np.float32)
    if rng.random() < 0.5:
        return replace(mesh, vertices=v * FLIP, faces=turned(mesh.faces), basis=basis[list(MIRROR)] * FLIP)
    return replace(mesh, vertices=v, basis=basis)


def turned(faces: np.ndarray) -> np.ndarray:
    """Faces whose vertices go round the other way; padding stays last."""
    back = faces[:, ::-1]
    return np.take_along_axis(back, np.argsort(back < 0, 1, kind="stable"), 1)


def shuffled(mesh: Shaped, rng: np.random.Generator) -> Shaped:
    """The vertices in a random order."""
    order = rng.permutation(len(mesh.vertices))
    number = np.argsort(order)
    return mesh.picked(order, np.where(mesh.faces >= 0, number[mesh.faces], -1))


def parts(ict: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Which vertices [V] bool each kind of head has: masks and heads, with and without what is behind mouth and lids."""
    name = {str(n): i for i, n in enumerate(ict["part_names"])}

    def of(*names: str) -> np.ndarray:
        return np.isin(ict["part"], [name[n] for n in names if n in name])

    narrow, skin = ict["narrow_face"].astype(bool), of(*SKIN)
    return [narrow, skin | of(*SOCKETS, *INNER), skin, narrow | of(*INNER), skin | of(*SOCKETS)]


def motion_heads(
    path: Path, count: int, seed: int, rigger: Rigger | None = None, strengths: Sequence[float] = STRENGTHS, own: int = 4
) -> list[Head]:
    """``count`` heads made of heads/ict_facekit.npz; always the same for one seed. Their ``root`` is empty. Motion is read by
    the shapes that ``rigger`` sees, but of every ``own``th (0: of none) by their own. ``strengths`` of warps, in turn."""
    ict = dict(np.load(path))
    faces = ict["quads"].astype(np.int64)
    faces[faces[:, 3] == faces[:, 2], 3] = -1
    identity, basis = ict["identity"].astype(np.float32) / UNIT, ict["arkit"].astype(np.float32) / UNIT
    neutral, masks = (ict["neutral"] - CENTRE) / UNIT, parts(ict)
    rng, heads = np.random.default_rng(seed), []
    for i in range(count):
        weight = rng.normal(size=len(identity)) * rng.uniform(0.2, 1.0)
        vertices = neutral + np.tensordot(weight.astype(np.float32), identity, 1)
        mesh = cropped(Shaped(vertices, faces, basis, neutral), masks[i % len(masks)])
        if rng.random() < 0.6:
            mesh = thinned(mesh, float(rng.uniform(*THIN)))
        elif rng.random() < 0.5:
            mesh = replace(mesh, faces=triangles(mesh.faces))
        mesh = shuffled(framed(warped(mesh, rng, strengths[i % len(strengths)]), rng), rng)
        nodes = int(rng.integers(NODES[0], NODES[1] + 1))
        reads = None if own and i % own == 0 else rigger
        heads.append(make_head(f"motion{i}", mesh.vertices, mesh.faces, mesh.basis, nodes, reads))
    return heads


def tracked(seen: Seen) -> Seen:
    """The same as a tracker would give it: with noise, and against a rest that is a little off or, of every other clip, not
    known at all. How much differs from clip to clip."""
    b, _, n, _ = seen.nodes.shape
    assert seen.aligned is not None
    amount = torch.rand(2, b, 1, 1, device=seen.nodes.device)
    off = torch.randn(b, 1, n, 3, device=amount.device)
    nodes = seen.nodes + JITTER * amount[0, ..., None] * torch.randn_like(seen.nodes) + OFFSET * amount[1, ..., None] * off
    off = torch.randn_like(seen.aligned[:, :1])
    aligned = seen.aligned + LOOSE * amount[0] * torch.randn_like(seen.aligned) + BIASED * amount[1] * off
    seen = replace(seen, nodes=nodes, aligned=aligned)
    return seen.from_own_rest(torch.rand(b, device=amount.device) < UNKNOWN)
