"""Where the face is on a mesh in any pose, unit and company: the network's idea of it, made exact by least squares."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
import torch
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation

from ptalker_blender.core.mesh.graph import Frame, Level, MeshGraph, cells, coarsen

CROP = 2.2  # what lies farther than this from the origin of the face frame does not help to find the face
FAR = 3.0  # canonical positions beyond this are drawn in to it
FARTHEST = 0.21, 0.18, 0.2  # radians, logarithm of the scale, face frame: frames that differ by less are one face's
SETTLING = (0.12, 20), (0.06, 10)  # width of the trust in the template, steps at most
STANDS = 0.001  # radians, face frame: a step as small as this is the last
MIDDLE = np.array([0.0, 0.0, 0.45])  # of the face, face frame
BY_NORMAL = np.array([1.0, 1.0, 1.0, 0.15, 0.15, 0.15])  # how much normals count in matching the template


@dataclass(frozen=True)
class Found:
    """The graph in the face frame, how sure the network is (0..1), and how far the face is from a canonical one."""

    graph: MeshGraph
    confidence: float
    residual: float  # RMS distance to the canonical positions, face frame


def umeyama(a: np.ndarray, b: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """Rotation, scale, shift with ``b ~ scale * R a + shift``, weighted least squares; a, b [n, 3], w [n]."""
    w = w / w.sum()
    ma, mb = w @ a, w @ b
    u, s, vt = np.linalg.svd(((b - mb) * w[:, None]).T @ (a - ma))
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * sign) @ vt
    scale = float((s * sign).sum() / max(w @ ((a - ma) ** 2).sum(1), 1e-12))
    return rotation, scale, mb - scale * rotation @ ma


def face_weight(place: np.ndarray) -> np.ndarray:
    """How much a canonical position [..., 3] counts for the frame: 1 on the face, fading behind the ears and below."""
    return np.exp(-(((place - MIDDLE) / 0.7) ** 2).sum(-1)) + 1e-6


def turns() -> np.ndarray:
    """The 24 rotations that take axes to axes: [24, 3, 3]."""
    found = []
    for order in permutations(range(3)):
        for signs in product((1, -1), repeat=3):
            m = np.eye(3)[list(order)] * np.array(signs)[:, None]
            if np.linalg.det(m) > 0:
                found.append(m)
    return np.stack(found)


def patches(graph: MeshGraph, count: int) -> Level:
    """About ``count`` patches of a graph, which is first centred and scaled to unit RMS radius: see ``unit``."""
    voxel = 0.35
    for _ in range(6):
        n = len(np.unique(cells(graph.pos, graph.normal, graph.island, voxel)))
        if 0.75 * count < n < 1.3 * count:
            break
        voxel *= float(np.clip((n / count) ** 0.5, 0.4, 2.5))
    return coarsen(graph, voxel, back=False)


def unit(graph: MeshGraph) -> tuple[MeshGraph, float, np.ndarray]:
    """The graph centred and scaled to unit RMS radius (by area), with the scale and the shift that did it."""
    w = graph.area / graph.area.sum()
    centre = w @ graph.pos
    scale = 1 / float(np.sqrt(w @ ((graph.pos - centre) ** 2).sum(1)) + 1e-9)
    return graph.moved(np.eye(3), scale, -scale * centre), scale, -scale * centre


@torch.no_grad()
def ask(net: torch.nn.Module, level: Level, rotations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Canonical positions [B, n, 3] and scores [B] of the patches turned by each rotation [B, 3, 3]."""
    pos = np.einsum("bij,nj->bni", rotations, level.pos).astype(np.float32)
    normal = np.einsum("bij,nj->bni", rotations, level.normal).astype(np.float32)
    place, score = net(torch.from_numpy(pos), torch.from_numpy(normal), torch.from_numpy(level.edges))
    return place.numpy().astype(np.float64), score.numpy()


def ask_both_sides(net: torch.nn.Module, level: Level) -> tuple[np.ndarray, float]:
    """Canonical positions [n, 3] and score of the patches as they stand: mean of the head and its mirror image."""
    flip = np.array([-1.0, 1.0, 1.0])
    place, score = ask(net, level, np.stack([np.eye(3), np.diag(flip)]))
    return (place[0] + place[1] * flip) / 2, float(score.mean())


def fit(level: Level, place: np.ndarray) -> tuple[np.ndarray, float, np.ndarray, float]:
    """The similarity from patches to their canonical positions [n, 3], twice, the second time with less trust in what
    does not fit; and the RMS distance that stays."""
    w = face_weight(place) * level.area
    for _ in range(2):
        r, s, t = umeyama(level.pos.astype(np.float64), place, w)
        off = ((s * level.pos @ r.T + t - place) ** 2).sum(1)
        rms = float(np.sqrt(w @ off / w.sum()))
        w = w / (1 + off / (2 * rms**2 + 1e-9))
    return r, s, t, rms


def candidates(
    net: torch.nn.Module, graph: MeshGraph, among: np.ndarray, nodes: int, check: Callable[[], None], keep: int = 6
) -> Iterator[Found]:
    """Try the vertices ``among`` [V] in 24 poses and follow the ``keep`` best through crops round the face: the frames
    that differ, the likeliest first. One that is not asked for costs nothing."""
    used = unit(graph.cropped(among))
    level = patches(used[0], nodes // 2)
    rotations = turns()
    place, score = ask(net, level, rotations)
    starts = []
    for i in np.argsort(-score)[: 2 * keep]:
        start = Level(**{**vars(level), "pos": (level.pos @ rotations[i].T).astype(np.float32)})
        starts.append((i, *fit(start, place[i])))
    starts.sort(key=lambda x: x[4] - 1 / (1 + np.exp(-score[x[0]])))
    found: list[Frame] = []
    for i, r, s, t, rms in starts:
        check()
        now = graph.moved(np.eye(3), used[1], used[2]).moved(r @ rotations[i], s, t)
        if len(found) == keep:
            break
        if any(slid(f, now.frame) < 2 for f in found):
            continue
        new = follow(net, now, among, nodes, Found(now, float(1 / (1 + np.exp(-score[i]))), rms))
        if not any(slid(f, new.graph.frame) < 1 for f in found):
            found.append(new.graph.frame)
            yield new


def follow(net: torch.nn.Module, now: MeshGraph, among: np.ndarray, nodes: int, start: Found, rounds: int = 5) -> Found:
    """Ask again about what lies round the face, ``rounds`` times at most: ``now`` is the graph as ``start`` puts it."""
    rms, sure = start.residual, start.confidence
    for _ in range(rounds):
        near = (np.linalg.norm(now.pos, axis=1) < CROP) & among
        if near.sum() < 12:
            break
        before = now.frame
        crop, scale, shift = unit(now.cropped(near))
        part = patches(crop, nodes)
        spots, score = ask_both_sides(net, part)
        r, s, t, rms = fit(part, spots)
        sure = float(1 / (1 + np.exp(-score)))
        now = now.moved(np.eye(3), scale, shift).moved(r, s, t)
        if slid(before, now.frame) < 0.3:
            break
    return Found(now, sure, rms)


def settle(graph: MeshGraph, template: np.ndarray, most: int = 2500) -> MeshGraph:
    """Lay the face on the template face: small similarity steps that bring its surface onto the template's.

    ``template`` [M, 6] positions and normals in the face frame. Point-to-plane least squares over the nearest template
    points that look the same way, weighted by ``face_weight`` and area, with less trust in what is far away. Ends in the
    same frame from wherever it starts as far as some 20 degrees and centimetres off, however fine the mesh; where it
    starts far from any face it ends anywhere: the caller has to look at what it made.
    """
    rows = np.flatnonzero((face_weight(graph.pos) > 0.15) & (graph.area > 0))
    if len(rows) < 12:
        return graph
    rows = rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int)]
    tree = KDTree(template * BY_NORMAL)
    pos, normal = graph.pos[rows].astype(np.float64), graph.normal[rows].astype(np.float64)
    area = graph.area[rows] / graph.area[rows].mean()
    frame = Frame(np.eye(3), 1.0, np.zeros(3))  # from where the graph stood
    for width, steps in SETTLING:
        for _ in range(steps):
            x, n = frame.scale * (pos - frame.origin) @ frame.rotation.T, normal @ frame.rotation.T
            near = tree.query(np.concatenate([x, n], 1) * BY_NORMAL)[1]
            p, m = template[near, :3].astype(np.float64), template[near, 3:].astype(np.float64)
            w = face_weight(x) * area * ((n * m).sum(1) > 0.5) / (1 + ((x - p) ** 2).sum(1) / width**2)
            if w.sum() < 1e-3 * area.sum():
                return graph  # it left the template
            jac = np.concatenate([np.cross(x, m), m, (x * m).sum(1, keepdims=True)], 1)  # turn, shift, grow
            lhs = (jac * w[:, None]).T @ jac + 1e-3 * w.sum() * np.diag([1, 1, 1, 0.1, 0.1, 0.1, 1])
            step = np.linalg.solve(lhs, (jac * w[:, None]).T @ ((p - x) * m).sum(1))
            frame = frame.then(Rotation.from_rotvec(step[:3]).as_matrix(), float(np.exp(step[6])), step[3:6])
            if np.abs(step).max() < STANDS:
                break
    return graph.moved(frame.rotation, frame.scale, -frame.scale * frame.rotation @ frame.origin)


def slid(a: Frame, b: Frame) -> float:
    """How far frame b is from frame a: 1 where it is turned, grown or shifted by as much as FARTHEST."""
    turn = Rotation.from_matrix(b.rotation @ a.rotation.T).magnitude()
    shift = np.linalg.norm(b.inside(a.origin))
    return float(max(turn / FARTHEST[0], abs(np.log(b.scale / a.scale)) / FARTHEST[1], shift / FARTHEST[2]))


def half_way(a: Frame, b: Frame) -> Frame:
    """The frame in the middle between two; the middle of the face lies half way, too."""
    turn = Rotation.from_matrix(b.rotation @ a.rotation.T).as_rotvec() / 2
    rotation, scale = Rotation.from_rotvec(turn).as_matrix() @ a.rotation, float(np.sqrt(a.scale * b.scale))
    middle = sum(f.origin + f.rotation.T @ MIDDLE / f.scale for f in (a, b)) / 2
    return Frame(rotation, scale, middle - rotation.T @ MIDDLE / scale)
