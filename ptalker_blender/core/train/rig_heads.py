"""Heads with known shapes for the rig's training: ICT-FaceKit identities and anny people, on many topologies.

A topology picks vertices of its source (``pick`` [n, 2]: each new vertex is the mean of two), so identities, shapes and
template labels of the source carry over by indexing. Everything is in the canonical frame (ICT's neutral, 10 cm = 1).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial import KDTree

from ptalker_blender.core.channels import CHANNELS, INDEX, MIRROR
from ptalker_blender.core.mesh.graph import build_graph, normals
from ptalker_blender.core.mesh.pose import umeyama

CENTRE, UNIT = np.array([0.0, 0.0, 5.0]), 10.0  # canonical = (ICT - CENTRE) / UNIT
ALIGN = (
    "jawOpen mouthFunnel mouthPucker mouthSmileLeft mouthSmileRight mouthDimpleLeft mouthDimpleRight "
    "mouthRollLower mouthRollUpper mouthShrugUpper mouthLowerDownLeft mouthLowerDownRight mouthUpperUpLeft "
    "mouthUpperUpRight eyeWideLeft eyeWideRight eyeSquintLeft eyeSquintRight browOuterUpLeft browOuterUpRight cheekPuff"
).split()


@dataclass(frozen=True)
class Source:
    """Heads that share vertices. ``near``/``weight`` [V, 4]: the template points that a vertex lies between."""

    number: int  # 0 ICT, 1 anny
    vertices: np.ndarray  # [N, V, 3]
    modes: np.ndarray | None  # [100, V, 3]
    basis: np.ndarray  # [1 or N, K, V, 3]
    faces: np.ndarray
    near: np.ndarray
    weight: np.ndarray
    place: np.ndarray  # [V, 3] canonical position of each vertex
    mirror: np.ndarray  # [V] the vertex on the other side of the face


@dataclass(frozen=True)
class Topology:
    source: Source
    pick: np.ndarray  # [n, 2]
    faces: np.ndarray  # [F, 3|4]


@dataclass(frozen=True)
class Head:
    """One training head: ``basis`` [K, n, 3] float32; ``place`` [n, 3] where each vertex is on the canonical head."""

    vertices: np.ndarray
    faces: np.ndarray
    basis: np.ndarray
    place: np.ndarray
    near: np.ndarray  # [n, 4] template points that the vertex lies between, -1 unknown
    weight: np.ndarray  # [n, 4]
    near_flip: np.ndarray  # the same for the mirrored head
    weight_flip: np.ndarray
    source: int


def ict(file: Path, points: int) -> tuple[Source, tuple[np.ndarray, np.ndarray, np.ndarray], dict[str, np.ndarray]]:
    """ICT-FaceKit; its ``points`` template vertices' basis [points, K * 3], place [points, 6], semantics; its masks."""
    z = dict(np.load(file))
    if tuple(z["arkit_names"]) != CHANNELS:
        raise ValueError("the channels of ICT-FaceKit are not in the expected order")
    faces = z["quads"].astype(np.int64)
    faces[faces[:, 3] == faces[:, 2], 3] = -1
    neutral = ((z["neutral"] - CENTRE) / UNIT).astype(np.float32)
    basis = z["arkit"].astype(np.float32) / UNIT
    near, weight, chosen = template(neutral, faces, basis, points)
    mirror = mirror_map(neutral, basis)
    source = Source(0, neutral[None], z["identity"].astype(np.float32) / UNIT, basis[None], faces, near, weight, neutral, mirror)
    normal = normals(neutral.astype(np.float64), faces)[0]
    place = np.concatenate([neutral, normal], 1)[chosen].astype(np.float32)
    shapes = basis[:, chosen].transpose(1, 0, 2).reshape(points, -1)
    return source, (shapes, place, semantics(neutral, basis)[chosen]), z


def semantics(vertices: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """What a vertex is: its canonical position and what the shapes do to it: [V, D]. Near rows mean the same spot."""
    shapes = [i for i, n in enumerate(CHANNELS) if "Look" not in n and not n.startswith(("noseSneer", "tongue"))]
    return np.concatenate([vertices * 2, *(basis[shapes] * 6)], 1).astype(np.float32)


def soft_labels(feature: np.ndarray, points: np.ndarray, penalty: np.ndarray | float = 0.0):
    """For each row of ``feature`` [V, D] the four nearest rows of ``points`` [M, D], and weights that sum to one."""
    near, cost = np.zeros((len(feature), 4), np.int64), np.zeros((len(feature), 4))
    norm = (points**2).sum(1)
    for start in range(0, len(feature), 2000):
        rows = slice(start, start + 2000)
        d = (feature[rows] ** 2).sum(1, keepdims=True) + norm - 2 * feature[rows] @ points.T
        d = d + (penalty[rows] if isinstance(penalty, np.ndarray) else penalty)
        near[rows] = np.argsort(d, 1)[:, :4]
        cost[rows] = np.take_along_axis(d, near[rows], 1)
    soft = np.exp(-(cost - cost[:, :1]) / (cost[:, 2:3].clip(0) + 1e-4))
    return near, (soft / soft.sum(1, keepdims=True)).astype(np.float32)


def template(vertices: np.ndarray, faces: np.ndarray, basis: np.ndarray, points: int):
    """Choose template points (farthest points in position and action); which of them each vertex lies between."""
    graph = build_graph(vertices, faces)
    moved = np.linalg.norm(basis, axis=-1)
    share = moved / moved.max(1, keepdims=True).clip(1e-6)
    feature = np.concatenate([vertices * 2, basis.transpose(1, 0, 2).reshape(len(vertices), -1) * 6, share.T * 0.5], 1)
    active = share.max(0) > 0.02
    weight = np.where(active, 1.0, 0.3)
    chosen, distance = [int(share.sum(0).argmax())], np.full(len(vertices), np.inf)
    for _ in range(points - 1):
        distance = np.minimum(distance, ((feature - feature[chosen[-1]]) ** 2).sum(1))
        chosen.append(int((distance * weight).argmax()))
    picked = np.array(chosen)
    apart = np.where(graph.island[:, None] == graph.island[picked][None], 0, 10.0).astype(np.float32)
    rows = semantics(vertices, basis)
    near, soft = soft_labels(rows, rows[picked], apart)
    return near, soft, picked


def mirror_map(vertices: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """The vertex [V] that lies, and moves under the mirrored channels, where the mirror image of each vertex does."""
    flip = np.array([-1.0, 1.0, 1.0], np.float32)
    here = np.concatenate([vertices * 4, *basis], 1)
    there = np.concatenate([vertices * 4 * flip, *(basis[list(MIRROR)] * flip)], 1)
    return nearest(vertices, vertices * flip, here, there)


def nearest(vertices: np.ndarray, at: np.ndarray, here: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Of the 8 vertices nearest to each position ``at``, the one whose row of ``here`` is most like ``there``'s."""
    near = np.asarray(KDTree(vertices).query(at, k=8)[1])
    cost = np.stack([((here[near[:, j]] - there) ** 2).sum(1) for j in range(8)], 1)
    return near[np.arange(len(at)), cost.argmin(1)]


def centroids(vertices: np.ndarray, faces: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Where each of the ALIGN channels acts: [A, 3]."""
    m = (basis[[INDEX[n] for n in ALIGN]] ** 2).sum(-1) * normals(vertices.astype(np.float64), faces)[1]
    return (m / m.sum(1, keepdims=True)) @ vertices


def anny(file: Path, reference: np.ndarray, points: np.ndarray) -> Source:
    """anny people, each put into the canonical frame where its channels act where ICT's do (``reference`` [A, 3]).
    ``points`` [M, D]: the template points' ``semantics``, by which anny's vertices are labelled; M means none."""
    z = np.load(file)
    faces, vertices, basis = z["faces"].astype(np.int64), z["vertices"].copy(), z["basis"].astype(np.float32)
    used = np.zeros(vertices.shape[1], bool)
    used[faces[faces >= 0]] = True
    number = np.cumsum(used) - 1
    faces = np.where(faces >= 0, number[faces], -1)
    vertices, basis = vertices[:, used], basis[:, :, used]
    for i in range(len(vertices)):
        r, s, t = umeyama(centroids(vertices[i], faces, basis[i]), reference, np.ones(len(ALIGN)))
        vertices[i], basis[i] = s * vertices[i] @ r.T + t, s * basis[i] @ r.T
    place = vertices.mean(0).astype(np.float32)
    mean = basis.mean(0)
    near, weight = soft_labels(semantics(place, mean), points)
    still = np.linalg.norm(mean, axis=-1).max(0) < 0.003
    near[still & (np.linalg.norm(place - np.array([0, 0, 0.2]), axis=1) > 1.7)] = len(points)
    mirror = mirror_map(place, basis[0])
    return Source(1, vertices.astype(np.float32), None, basis, faces, near, weight, place, mirror)
