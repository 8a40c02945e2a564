"""Heads that the rig was not trained on, each with its true shapes: for benchmarks/rig.py.

ICT-FaceKit people of other seeds as whole heads, masks and thin meshes; cartoons (smooth warps of other seeds, and one
that is drawn by hand: big eyes, small mouth, pointed chin), whose shapes are carried by the warp's Jacobian; `anny`
people and the demo's head, whose shapes follow another maker's idea of the channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from ptalker_blender.core.channels import CHANNELS
from ptalker_blender.core.landmark_places import NAMES
from ptalker_blender.core.mesh.graph import triangles
from ptalker_blender.core.train.motion_heads import Shaped, cropped, parts, turned, warped
from ptalker_blender.core.train.rig_eval import decimated
from ptalker_blender.core.train.rig_heads import CENTRE, UNIT

# The vertices of ``landmarks68`` whose middle is a landmark, by its name in core/landmarks.py.
MULTI_PIE = {
    "mouth_left": (64,), "mouth_right": (60,), "lip_upper": (62,), "lip_lower": (66,), "chin": (8,), "nose_tip": (30,),
    "eye_left_outer": (45,), "eye_left_inner": (42,), "eye_left_upper": (43, 44), "eye_left_lower": (46, 47),
    "eye_right_outer": (36,), "eye_right_inner": (39,), "eye_right_upper": (37, 38), "eye_right_lower": (40, 41),
}  # fmt: skip
FLIP = np.array([-1.0, 1.0, 1.0])
Bump = tuple[tuple[float, float, float], float, tuple[float, float, float], tuple[float, float, float]]
# The cartoon drawn by hand: centre, width, push, growth (face frame); what lies off the middle is done on both sides.
CARTOON: list[Bump] = [
    ((0.32, 0.33, 0.3), 0.28, (0.04, -0.05, 0.02), (0.35, 0.55, 0.0)),  # eyes
    ((0.0, -0.34, 0.58), 0.25, (0.0, 0.02, -0.08), (-0.35, -0.3, -0.3)),  # mouth
    ((0.0, 0.05, 0.75), 0.2, (0.0, 0.0, -0.12), (-0.4, -0.4, -0.5)),  # nose
    ((0.0, -0.85, 0.45), 0.35, (0.0, 0.1, 0.0), (-0.45, 0.1, 0.0)),  # chin
    ((0.0, 1.0, 0.0), 0.7, (0.0, 0.1, 0.0), (0.25, 0.2, 0.2)),  # skull
]


@dataclass(frozen=True)
class Case:
    """A mesh in any pose and unit: vertices [V, 3], faces [F, 3|4] (-1 pads), true basis [K, V, 3] and, where they are known,
    true landmarks [L, 3] (core/landmarks.py) in the same frame."""

    name: str
    vertices: np.ndarray
    faces: np.ndarray
    basis: np.ndarray
    marks: np.ndarray | None = None

    def posed(self, rng: np.random.Generator) -> Case:
        """Turned anyhow, in another unit, somewhere else."""
        r, s = Rotation.random(rng=rng).as_matrix(), float(np.exp(rng.uniform(-4, 4)))
        shift = rng.normal(size=3) * s * 5
        marks = None if self.marks is None else s * self.marks @ r.T + shift
        return replace(self, vertices=s * self.vertices @ r.T + shift, basis=s * self.basis @ r.T, marks=marks)


def thin(mesh: Shaped, count: int) -> Shaped:
    """Decimated to about ``count`` vertices, triangles."""
    return mesh.picked(*decimated(mesh.vertices, mesh.faces, count / len(mesh.vertices)))


def cartoon(mesh: Shaped) -> Shaped:
    """CARTOON applied to a head, with its shapes."""
    return bumped(mesh, CARTOON)


def bumped(mesh: Shaped, bumps: list[Bump]) -> Shaped:
    """A head drawn by hand (see CARTOON), with its shapes."""
    x, jacobian = mesh.vertices.astype(np.float64), np.eye(3)
    for centre, width, push, grow in bumps:
        for side in (np.ones(3), FLIP) if centre[0] else (np.ones(3),):
            d = x - np.array(centre) * side
            e = np.exp(-(d**2).sum(1, keepdims=True) / (2 * width**2))
            move = np.array(push) * side + d * np.array(grow)
            step = np.diag(grow) - move[:, :, None] * d[:, None, :] / width**2
            jacobian = (np.eye(3) + e[:, :, None] * step) @ jacobian
            x = x + e * move
    return replace(mesh, vertices=x, basis=(jacobian[None] @ mesh.basis[..., None])[..., 0])


def mirrored(case: Case, channels: np.ndarray) -> Case:
    """The mirror image; ``channels`` [K] is the channel on the other side."""
    return replace(case, vertices=case.vertices * FLIP, faces=turned(case.faces), basis=case.basis[channels] * FLIP)


def ict_cases(file: Path, seed: int) -> Iterator[Case]:
    """People, masks and cartoons of heads/ict_facekit.npz."""
    z = dict(np.load(file))
    faces = z["quads"].astype(np.int64)
    faces[faces[:, 3] == faces[:, 2], 3] = -1
    rng = np.random.default_rng(seed)
    narrow, head, skin, mask, sockets = parts(z)

    def person() -> Shaped:
        weight = rng.normal(size=100).astype(np.float32) * 0.7
        v = z["neutral"] + np.tensordot(weight, z["identity"].astype(np.float32), 1)
        neutral = (z["neutral"] - CENTRE) / UNIT
        return Shaped((v - CENTRE) / UNIT, faces, z["arkit"].astype(np.float32) / UNIT, neutral)

    def case(name: str, whole: Shaped, keep: np.ndarray | None = None, count: int | None = None) -> Case:
        marks = np.stack([whole.vertices[z["landmarks68"][list(MULTI_PIE[n])]].mean(0) for n in NAMES])
        mesh = whole if keep is None else cropped(whole, keep)
        mesh = mesh if count is None else thin(mesh, count)
        return Case(name, mesh.vertices, mesh.faces, mesh.basis.astype(np.float32), marks)

    yield case("person, all parts", person())
    yield case("person, skin and eyes, 2.2k", person(), head, 2200)
    yield case("mask 1.2k", person(), narrow, 1220)
    yield case("mask 1.2k, warped", warped(person(), rng, 0.7), narrow, 1220)
    for i, (keep, count) in enumerate(((narrow, 2000), (skin, 4100), (mask, 5000), (sockets, 2200))):
        yield case(f"warped {i}", warped(person(), rng, 1.0), keep, count)
    yield case("cartoon 4.1k", cartoon(person()), head, 4100)
    yield case("cartoon skin 2.2k", cartoon(warped(person(), rng, 0.3)), skin, 2200)


def anny_cases(folder: Path) -> Iterator[Case]:
    """The first person on each topology that ``rig_anny`` wrote to a folder (made with another seed than training's)."""
    for file in sorted(folder.glob("anny_*.npz")):
        z = np.load(file)
        yield Case(file.stem.replace("_", " "), z["vertices"][0], z["faces"].astype(np.int64), z["basis"][0].astype("f4"))


def demo_case() -> Case:
    z = np.load(Path(__file__).resolve().parents[1] / "demo" / "head.npz")
    names = z["names"].tolist()
    return Case("demo", z["vertices"], z["faces"].astype(np.int64), z["basis"][[names.index(n) for n in CHANNELS]].astype("f4"))


def subdivided(case: Case) -> Case:
    """Every face into quads (Catmull-Clark's connectivity, without its smoothing): middles of edges and faces added."""
    v, b = case.vertices, case.basis
    four = case.faces.shape[1] == 4
    count = np.where(case.faces[:, 3] >= 0, 4, 3) if four else np.full(len(case.faces), 3)
    sides, centres, at = [], [], len(v)
    middle, middle_b = [], []
    for n in (3, 4):
        f = case.faces[count == n][:, :n]
        middle.append(v[f].mean(1))
        middle_b.append(b[:, f].mean(2))
        sides.append(np.stack([f, np.roll(f, -1, 1)], 2))
        centres.append(at + np.arange(len(f)))
        at += len(f)
    edges = np.unique(np.sort(np.concatenate([s.reshape(-1, 2) for s in sides]), 1), axis=0)
    key = edges[:, 0] * len(v) + edges[:, 1]
    quads = []
    for s, c in zip(sides, centres, strict=True):
        low, high = s.min(2), s.max(2)
        after = at + np.searchsorted(key, low * len(v) + high)
        before, middles = np.roll(after, 1, 1), np.broadcast_to(c[:, None], after.shape)
        quads.append(np.stack([s[..., 0], after, middles, before], 2).reshape(-1, 4))
    vertices = np.concatenate([v, *middle, v[edges].mean(1)])
    basis = np.concatenate([b, *middle_b, b[:, edges].mean(2)], 1)
    return Case(case.name, vertices, np.concatenate(quads), basis)


def variants(case: Case, rng: np.random.Generator, mirror: np.ndarray) -> Iterator[tuple[str, Case, np.ndarray]]:
    """The same head in other guises: name, case, and which vertex of the original each vertex is. A case's ``basis``
    may be any field on the vertices; ``mirror`` [K] are the channels that mirror each."""
    every = np.arange(len(case.vertices))
    r = Rotation.random(rng=rng).as_matrix()
    yield "rotated", replace(case, vertices=case.vertices @ r.T, basis=case.basis @ r.T), every
    yield "scaled, moved", replace(case, vertices=case.vertices * 137 + [300, -20, 55], basis=case.basis * 137), every
    order = rng.permutation(every)
    faces = np.where(case.faces >= 0, np.argsort(order)[case.faces], -1)
    yield "shuffled", Case(case.name, case.vertices[order], faces, case.basis[:, order]), order
    yield "triangulated", replace(case, faces=triangles(case.faces)), every
    pick, tri = decimated(case.vertices, case.faces, 0.5)
    yield "half", Case(case.name, case.vertices[pick], tri, case.basis[:, pick]), pick
    yield "subdivided", subdivided(case), every
    yield "mirrored", mirrored(case, mirror), every
