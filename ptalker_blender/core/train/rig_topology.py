"""Variety for the rig's training: parts of a head, decimated, subdivided, paired to quads, and cartoon warps.

A warp moves the head smoothly and carries its shapes along by its Jacobian, so the truth stays known.
"""

from dataclasses import replace

import numpy as np

from ptalker_blender.core.channels import MIRROR
from ptalker_blender.core.mesh.denser import quartered
from ptalker_blender.core.mesh.graph import triangles
from ptalker_blender.core.mesh.pose import face_weight, umeyama
from ptalker_blender.core.train.rig_heads import Head, Source, Topology

MOUTH, EYE = np.array([0.0, -0.34, 0.58]), np.array([0.32, 0.33, 0.3])
FLIP = np.array([-1.0, 1.0, 1.0])


def paired(vertices: np.ndarray, tri: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Join pairs of triangles over their longest edges into quads: triangles [F, 3] -> faces [F', 4] (-1 pads)."""
    sides = np.stack([tri, np.roll(tri, -1, 1)], 2).reshape(-1, 2)
    length = np.linalg.norm(vertices[sides[:, 0]] - vertices[sides[:, 1]], axis=1).reshape(-1, 3)
    relative = (length / length.max(1, keepdims=True)).reshape(-1) + rng.normal(size=len(sides)) * 0.05
    key = np.sort(sides, 1)
    order = np.lexsort(key.T)
    same = (key[order[:-1]] == key[order[1:]]).all(1)
    a, b = order[:-1][same], order[1:][same]
    used, quads = np.zeros(len(tri), bool), []
    for i in np.argsort(-(relative[a] + relative[b])):
        f, g = a[i] // 3, b[i] // 3
        if not used[f] and not used[g] and f != g:
            used[f] = used[g] = True
            u, v, w = np.roll(tri[f], -(a[i] % 3))
            quads.append((v, w, u, tri[g][(b[i] % 3 + 2) % 3]))
    left = np.concatenate([tri[~used], np.full(((~used).sum(), 1), -1)], 1)
    return np.concatenate([np.array(quads, np.int64).reshape(-1, 4), left])


def subdivided(pick: np.ndarray, tri: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every triangle into four: ``pick`` [n, 2] grows by the middles of the edges."""
    edges, quarters = quartered(tri, len(pick))
    return np.concatenate([pick, pick[edges, 0]]), quarters


def topology(source: Source, keep: np.ndarray, count: int | None, rng: np.random.Generator, split: bool = False) -> Topology:
    """The faces on vertices ``keep`` [V], decimated to about ``count`` vertices; ``split`` then subdivides once."""
    faces = source.faces[(keep[source.faces] | (source.faces < 0)).all(1)]
    old = np.unique(faces[faces >= 0])
    number = np.full(len(keep), -1)
    number[old] = np.arange(len(old))
    faces = np.where(faces >= 0, number[faces], -1)
    if count is None or count >= len(old):
        return Topology(source, np.stack([old, old], 1), faces)
    import fast_simplification  # which nothing but the training of the rig head needs

    space = source.place[old].astype(np.float64)
    for middle in (MOUTH, EYE, EYE * FLIP):  # artists put more vertices round mouth and eyes
        gain = rng.uniform(0, 2.5)
        space = space + gain * (space - middle) * np.exp(-((space - middle) ** 2).sum(1, keepdims=True) / 0.18)
    space = (space + rng.normal(size=space.shape) * 1e-4).astype(np.float32)
    tri = triangles(faces).astype(np.int32)
    reduction = 1 - count / len(old)
    collapses = fast_simplification.simplify(space, tri, reduction, agg=rng.uniform(3, 7), return_collapses=True)[2]
    points, tri, group = fast_simplification.replay_simplification(space, tri, collapses)
    order = np.lexsort((((space - points[group]) ** 2).sum(1), group))
    group_of, first = np.unique(group[order], return_index=True)
    chosen = np.zeros(len(points), np.int64)
    chosen[group_of] = old[order[first]]
    pick, tri = np.stack([chosen, chosen], 1), tri.astype(np.int64)
    if split:
        pick, tri = subdivided(pick, tri)
    return Topology(source, pick, paired(source.place[pick].mean(1), tri, rng) if rng.uniform() < 0.5 else tri)


def head(topology: Topology, rng: np.random.Generator, plain: bool = False) -> Head:
    """A random person on the topology. ``plain``: the source's own neutral head, or its first person."""
    s, pick = topology.source, topology.pick
    i = 0 if plain else int(rng.integers(len(s.vertices)))
    v = s.vertices[i][pick].mean(1)
    if s.modes is not None and not plain:
        w = rng.normal(size=len(s.modes)) * rng.uniform(0.2, 1.0)
        v = v + np.tensordot(w.astype(np.float32), s.modes[:, pick].mean(2), 1)
    b = s.basis[min(i, len(s.basis) - 1)]
    b = b[:, pick[:, 0]] if (pick[:, 0] == pick[:, 1]).all() else b[:, pick].mean(2)
    first = pick[:, 0]
    labels = (s.near[first], s.weight[first], s.near[s.mirror[first]], s.weight[s.mirror[first]])
    return Head(v, topology.faces, b, s.place[pick].mean(1), *labels, s.number)


def drawn(rng: np.random.Generator) -> list[tuple[np.ndarray, float, np.ndarray, np.ndarray]]:
    """The bumps that make an anime or cartoon face: big eyes, a small mouth and nose, a pointed or heavy chin, a large
    skull, each more or less: centre, width, push, growth."""
    eye, mouth, nose, skull = rng.uniform(0, 1, 4)
    high, chin = rng.uniform(0.7, 1.3), rng.uniform(-0.3, 0.5)
    return [
        (EYE, 0.28, np.array([0.06 * rng.normal(), -0.08 * eye, 0.03 * rng.normal()]), np.array([0.4, 0.6 * high, 0.0]) * eye),
        (MOUTH, 0.26, np.array([0, 0.05 * rng.normal(), -0.1 * mouth]), np.array([-0.45, -0.45 * high, -0.35]) * mouth),
        (np.array([0.0, 0.05, 0.75]), 0.2, np.array([0, 0, -0.14 * nose]), np.array([-0.5, -0.4, -0.5]) * nose),
        (np.array([0.0, -0.8, 0.45]), 0.35, np.array([0, 0.1 * rng.normal(), 0]), np.array([-chin, 0.1, 0])),
        (np.array([0.0, 1.0, 0.0]), 0.7, np.array([0, 0.1 * skull, 0]), np.array([0.3, 0.25, 0.25]) * skull),
    ]  # fmt: skip


def warp(h: Head, rng: np.random.Generator, strength: float, shapes: bool = True) -> Head:
    """A smooth random change of proportions; ``strength`` 0 none, 1 cartoon. The basis follows by the Jacobian."""
    x = h.vertices.astype(np.float64)
    jac = np.tile(np.eye(3), (len(x), 1, 1))

    def bump(centre: np.ndarray, width: float, push: np.ndarray, grow: np.ndarray) -> None:
        """x += exp(-|x - c|^2 / 2 width^2) * (push + grow (x - c))."""
        nonlocal x, jac
        d = x - centre
        e = np.exp(-(d**2).sum(1) / (2 * width**2))
        move = push + d * grow
        step = np.diag(grow)[None] * e[:, None, None] - (e[:, None] * move)[:, :, None] * d[:, None, :] / width**2
        jac = (np.eye(3) + step) @ jac
        x = x + e[:, None] * move

    def clip(v: np.ndarray, limit: float) -> np.ndarray:
        return np.clip(v, -limit, limit)

    landmarks = [(MOUTH, 0.3, 0.5), (EYE, 0.25, 0.6), (np.array([0.0, 0.05, 0.7]), 0.25, 0.4),
                 (np.array([0.0, -0.75, 0.45]), 0.35, 0.4), (np.array([0.0, 1.0, 0.0]), 0.8, 0.4)]  # fmt: skip
    for centre, width, size in landmarks:
        push, grow = rng.normal(size=3) * 0.06 * strength, rng.normal(size=3) * size * 0.4 + rng.normal() * size * 0.4
        grow = clip(grow * strength, 0.55)
        if centre[0] == 0:
            push[0] *= 0.1
            bump(centre, width, push, grow)
        else:
            bump(centre, width, push, grow)
            bump(centre * FLIP, width, push * FLIP, grow)
    for centre, width, push, grow in drawn(rng) if strength >= 1 and rng.uniform() < 0.5 else []:
        bump(centre, width, push, grow)
        if centre[0]:
            bump(centre * FLIP, width, push * FLIP, grow)
    for _ in range(4):
        centre = rng.uniform([-0.9, -1.0, -0.6], [0.9, 1.2, 0.9])
        width = rng.uniform(0.35, 0.9)
        push, grow = rng.normal(size=3) * 0.1 * width * strength, clip(rng.normal(size=3) * 0.25 * strength, 0.4)
        bump(centre, width, push, grow)
        if rng.uniform() < 0.8:
            bump(centre * FLIP, width, push * FLIP, grow)
    taper, stretch = rng.normal() * 0.15 * strength, np.exp(rng.normal(size=3) * 0.12 * strength)
    y = x[:, 1].clip(-1.5, 1.5)
    shear = np.tile(np.diag(stretch), (len(x), 1, 1))
    shear[:, 0, 0] *= 1 + taper * y
    shear[:, 0, 1] = x[:, 0] * taper * stretch[0] * (abs(x[:, 1]) < 1.5)
    x = x * stretch * np.stack([1 + taper * y, np.ones_like(y), np.ones_like(y)], 1)
    if not shapes:
        return replace(h, vertices=x.astype(np.float32))
    basis = np.einsum("vij,kvj->kvi", (shear @ jac).astype(np.float32), h.basis, optimize=True)
    return replace(h, vertices=x.astype(np.float32), basis=basis)


def framed(h: Head, rng: np.random.Generator, jitter: float) -> Head:
    """The head in its face frame (best similarity to the canonical head), off by a little as at run time."""
    r, s, t = umeyama(h.vertices.astype(np.float64), h.place.astype(np.float64), face_weight(h.place))
    angle = rng.normal(size=3) * 0.1 * jitter
    k = np.array([[0, -angle[2], angle[1]], [angle[2], 0, -angle[0]], [-angle[1], angle[0], 0]])
    q = np.linalg.qr(np.eye(3) + k)
    r = (q[0] * np.sign(np.diag(q[1]))) @ r
    s, t = s * float(np.exp(rng.normal() * 0.06 * jitter)), t + rng.normal(size=3) * 0.04 * jitter
    v, b = (s * h.vertices @ r.T + t).astype(np.float32), (s * h.basis @ r.T).astype(np.float32)
    if rng.uniform() < 0.5:
        flip = FLIP.astype(np.float32)
        return Head(
            v * flip, rolled(h.faces[:, ::-1]), b[list(MIRROR)] * flip, h.place * flip, h.near_flip, h.weight_flip,
            h.near, h.weight, h.source,
        )  # fmt: skip
    return replace(h, vertices=v, basis=b)


def rolled(faces: np.ndarray) -> np.ndarray:
    """Faces whose padding (-1) stands first -> padding last."""
    return np.take_along_axis(faces, np.argsort(faces < 0, 1, kind="stable"), 1)
