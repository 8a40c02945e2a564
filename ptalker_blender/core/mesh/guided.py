"""Rigging with what the artist says of the face, and what the model would say: landmarks, and where the face is.

Landmarks of eyes and mouth say where the face is and how large; nothing is searched. All of them say what the vertices round
them are: the mesh flows (warp.py) until each lies where it lies on the template face, the network is asked about that mesh, and
its shapes flow back with the Jacobian's inverse. What is not marked stays where the network sees it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.spatial import KDTree
from torch import Tensor

from ..channels import INDEX
from ..errors import Cancelled, PTalkerError
from ..landmark_places import NAMES, PLACES, other_side
from ..landmarks import Guide
from ..model.mesh_encoder import batch
from .find import CHOSEN, Face, at, quality, sketch
from .graph import Frame, MeshGraph, build_graph
from .lips import movers, seam
from .placed import by_place, overruled
from .pose import face_weight, settle, umeyama
from .warp import flow

if TYPE_CHECKING:
    from .rig import Progress, Rigger, Stop

TEMPLATE = np.array([PLACES[n] for n in NAMES])  # [L, 3]
JAW = np.array([-0.024 if n == "lip_upper" else -0.352 if n == "lip_lower" else np.nan for n in NAMES])  # jawOpen's height there
ENOUGH = 4  # landmarks at least, that say where a face is
LOW = "mouth", "lip", "chin"
FLAT = 0.08  # of the template's landmarks' spread: fewer than this in their second direction lie on a line
NEAR = 0.35  # face frame: a landmark farther than this from the mesh is no part of it
ELSEWHERE = 0.6  # face frame: a landmark so far from its place says that the face is not where it was found
SWAPPED = 0.1  # a face that is seen so much better with sides exchanged is marked the wrong way round
SEEN = 4000  # nodes of the sketch on which landmarks are proposed
MOST = 4.0  # times longer: where the flow has crushed the mesh, a displacement does not grow by more
TAU = 0.025  # face frame: how sharply the proposed vertex wins
UNHEARD = 0.01  # what counts less is left as it is
UNSURE = 0.7  # below this confidence a rig is told to be uncertain
WIDEST = 0.8  # face frame: lips of 34 heads that meet along at most 0.6; backs of heads taken for faces along 0.6 to 1.1
LIPS, LIPPED = 0.5, 0.3  # of the mouthFunnel's largest: template points that lips are; the share of them that a face shows
MOUTHLESS = 0.5  # the most confidence in a face without lips that part


@dataclass(frozen=True)
class Rigged:
    """basis [K, V, 3] and landmarks [L, 3] (in the order of NAMES) in the mesh's units and frame; the face frame; confidence
    0..1."""

    basis: np.ndarray
    landmarks: np.ndarray
    confidence: float
    frame: Frame


@torch.no_grad()
def recognised(rigger: Rigger, graph: MeshGraph) -> tuple[MeshGraph, Tensor]:
    """A sketch of a graph in the face frame, and how much each of its nodes is each point of the template, [n, M]."""
    part = sketch(graph.cropped(rigger.inside(graph)), SEEN)
    b, net = batch(part, rigger.config.voxels), rigger.net
    return part, net.head.chosen(net.encoder(b), b.pos, b.normal)[:, : rigger.config.template]


def propose(rigger: Rigger, part: MeshGraph, chosen: Tensor) -> np.ndarray:
    """Where the network sees each landmark [L, 3] on what it has ``recognised``, in the face frame."""
    head, known = rigger.net.head, chosen.sum(1)
    spot = (chosen @ head.place[:, :3] / known[:, None].clamp(min=1e-6)).numpy()  # [n, 3] where on the template it is
    jaw = (chosen @ head.template[:, 3 * INDEX["jawOpen"] + 1]).numpy()
    cost = ((spot[:, None] - TEMPLATE) ** 2).sum(-1) + 0.05 * (1 - known.numpy())[:, None]  # [n, L]
    cost += 0.1 * np.nan_to_num(jaw[:, None] - JAW) ** 2
    best = cost.argmin(0)
    out = np.empty((len(NAMES), 3))
    for i, v in enumerate(best):
        near = (np.linalg.norm(part.pos - part.pos[v], axis=1) < 3 * TAU) & (part.island == part.island[v])
        weight = np.exp(-(cost[near, i] - cost[v, i]) / TAU**2)
        out[i] = weight @ part.pos[near] / weight.sum()
    return out


def shows_lips(rigger: Rigger, chosen: Tensor) -> bool:
    """Whether lips are among what was ``recognised``: cheeks and ears are known from behind, too."""
    moved = rigger.net.head.template.unflatten(1, (-1, 3))[:, INDEX["mouthFunnel"]].norm(dim=1)
    return bool((chosen.amax(0) > CHOSEN)[moved > LIPS * moved.max()].float().mean() > LIPPED)


def rig(
    rigger: Rigger, vertices: np.ndarray, faces: np.ndarray, guide: Guide, progress: Progress = None, cancelled: Stop = None
) -> Rigged:
    """vertices [V, 3], faces [F, 3|4] (-1 pads) -> shapes, landmarks and confidence, led by ``guide``. Raises PTalkerError
    face_not_found, two_faces, landmarks_invalid; Cancelled."""
    if progress is not None:
        progress("finding the face", 0.0)
    face, count = look(rigger, vertices, faces, guide, cancelled), len(vertices)
    graph, vertices, faces = rigger.denser(face.graph, vertices, faces)
    face, frame = replace(face, graph=graph), graph.frame
    proposed = propose(rigger, *(looked := recognised(rigger, face.graph)))
    marks = {n: frame.inside(p).astype(np.float64) for n, p in guide.marks.items()}
    if marks:
        start, end, told = corrections(marks, proposed)
        basis, face, looked, proposed = warped_shapes(rigger, face, faces, start, end, told, progress, cancelled)
    else:
        basis = rigger.shapes(face.graph, progress, cancelled)
    lips = has_lips(frame, vertices, basis) and shows_lips(rigger, looked[1])
    confidence = face.confidence if lips else min(face.confidence, MOUTHLESS)
    return Rigged(basis[:, :count], placed_in(frame, proposed, guide.marks), confidence, frame)


def has_lips(frame: Frame, vertices: np.ndarray, basis: np.ndarray) -> bool:
    """Whether a mesh [V, 3] with a basis [K, V, 3] has lips that part and are no wider than lips are."""
    moving = movers(basis)
    found = seam(frame.inside(vertices[moving]), frame.displacement(basis[:, moving]))
    return found is not None and found.width < WIDEST


def seen(
    rigger: Rigger, vertices: np.ndarray, faces: np.ndarray, guide: Guide, cancelled: Stop = None
) -> tuple[np.ndarray, float]:
    """As ``rig``, without the shapes: landmarks [L, 3] and confidence."""
    face = look(rigger, vertices, faces, guide, cancelled)
    graph = rigger.denser(face.graph, vertices, faces)[0]
    return placed_in(graph.frame, propose(rigger, *recognised(rigger, graph)), guide.marks), face.confidence


def laid_out(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Landmarks [L, 3] in front of a mesh whose face nobody knows, as if it were a head that stands upright (z up) and looks to
    -y as heads in Blender do: a start for an artist's hand."""
    used = vertices[np.unique(faces[faces >= 0])]
    low, high = used.min(0), used.max(0)
    size = min((high - low)[0] / 1.6, (high - low)[2] / 2.4) or float((high - low).max())  # a template head's width and height
    middle = np.array([(low + high)[0] / 2, low[1] + 0.8 * size, high[2] - 1.2 * size])
    return middle + size * TEMPLATE[:, [0, 2, 1]] * np.array([1, -1, 1])


def placed_in(frame: Frame, proposed: np.ndarray, marks: dict[str, np.ndarray]) -> np.ndarray:
    """Landmarks [L, 3] of the face frame in the mesh's; those that were given are what they were."""
    places = outside(frame, proposed)
    for i, name in enumerate(NAMES):
        places[i] = marks.get(name, places[i])
    return places


def look(rigger: Rigger, vertices: np.ndarray, faces: np.ndarray, guide: Guide, cancelled: Stop = None) -> Face:
    """The face, as the landmarks say where they do, else looked for on the part of the mesh that is said to be the face."""
    if cancelled is not None and cancelled():
        raise Cancelled
    if tells_where(guide.marks):
        graph = at(build_graph(vertices, faces), placed(guide.marks))
        check_marks(graph, guide.marks)
        face = best(rigger, [graph, settle(graph, rigger.net.head.place.numpy())])
        turned = at(graph, placed({other_side(n): p for n, p in guide.marks.items()}))
        if quality(rigger.net, turned) > face.quality + SWAPPED:
            sentence = "Left and right of the landmarks are swapped."
            raise PTalkerError("landmarks_invalid", sentence, "Left is the character's own left.")
        return face
    if guide.face is None:
        face = rigger.find(vertices, faces, cancelled)
    else:
        face = rigger.find(*part_of(vertices, faces, guide.face), cancelled)
        face = replace(face, graph=at(build_graph(vertices, faces), face.graph.frame))
    if apart(face.graph.frame, guide.marks) > ELSEWHERE:  # another thing was taken for the face
        if len(guide.marks) < ENOUGH:
            sentence = "The landmarks lie far from where the face was found."
            raise PTalkerError("landmarks_invalid", sentence, "Mark eyes and mouth.")
        graph = at(face.graph, placed(guide.marks))
        face = best(rigger, [graph, settle(graph, rigger.net.head.place.numpy())])
    check_marks(face.graph, guide.marks)
    return face


def apart(frame: Frame, marks: dict[str, np.ndarray]) -> float:
    """How far the landmarks lie from their places on the template, at most; 0 where there are none."""
    away = [np.linalg.norm(frame.inside(p) - np.array(PLACES[n])) for n, p in marks.items()]
    return float(max(away, default=0.0))


def tells_where(marks: dict[str, np.ndarray]) -> bool:
    """Whether the landmarks are spread enough to say where the face is: an eye, or both, and something far below."""
    return len(marks) >= ENOUGH and any(n.startswith("eye") for n in marks) and any(n.startswith(LOW) for n in marks)


def best(rigger: Rigger, graphs: list[MeshGraph]) -> Face:
    """Of a mesh in several frames the one in which the network recognises the most of a face."""
    return max((Face(graph, quality(rigger.net, graph), 1.0) for graph in graphs), key=lambda f: f.quality)


def part_of(vertices: np.ndarray, faces: np.ndarray, keep: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mesh of the faces whose vertices are all in ``keep`` [V] bool."""
    chosen = faces[(keep[faces] | (faces < 0)).all(1)]
    if not len(chosen):
        raise PTalkerError("face_group_empty", "The face group has no faces of the mesh.", "Assign the face's vertices to it.")
    used, number = np.unique(chosen[chosen >= 0], return_inverse=True)
    out = np.full(chosen.shape, -1)
    out[chosen >= 0] = number
    return vertices[used], out


def placed(marks: dict[str, np.ndarray]) -> Frame:
    """The face frame in which the landmarks lie nearest to the template's. Raises PTalkerError landmarks_invalid."""
    here = np.stack(list(marks.values()))
    there = np.array([PLACES[n] for n in marks])
    spread = np.linalg.svd(there - there.mean(0), compute_uv=False)
    own = np.linalg.svd(here - here.mean(0), compute_uv=False)
    if own[1] < FLAT * spread[1] / spread[0] * own[0] or own[0] <= 0:
        raise PTalkerError("landmarks_invalid", "The landmarks lie on one line or in one point.", "Mark eyes and mouth.")
    r, s, t = umeyama(here, there, np.ones(len(here)))
    return Frame(r, s, -r.T @ t / s)


def check_marks(graph: MeshGraph, marks: dict[str, np.ndarray]) -> None:
    """Raises PTalkerError landmarks_invalid where a landmark does not lie on the mesh, ``graph`` in the face frame."""
    if not marks:
        return
    used = np.flatnonzero(graph.area > 0)
    points = graph.frame.inside(np.stack(list(marks.values())))
    away = KDTree(graph.pos[used]).query(points)[0]
    for name, d in zip(marks, away, strict=True):
        if d > NEAR:
            raise PTalkerError("landmarks_invalid", f"The landmark '{name}' lies outside of the mesh.", "Put it onto the face.")


def corrections(marks: dict[str, np.ndarray], proposed: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What has to move where [L, 3], [L, 3] in the face frame: each landmark to its place on the template; and of which that was
    told [L] bool. One side alone speaks for both; what is not marked stays where the network sees it."""
    every = dict(marks)
    for name, place in marks.items():
        if other_side(name) not in marks:
            every[other_side(name)] = place * np.array([-1, 1, 1])
    start, end = proposed.copy(), proposed.copy()
    for i, name in enumerate(NAMES):
        if name in every:
            start[i], end[i] = every[name], TEMPLATE[i]
    return start, end, np.array([name in every for name in NAMES])


def warped_shapes(
    rigger: Rigger, face: Face, faces: np.ndarray, start: np.ndarray, end: np.ndarray, told: np.ndarray, progress: Progress,
    cancelled: Stop,
) -> tuple[np.ndarray, Face, tuple[MeshGraph, Tensor], np.ndarray]:  # fmt: skip
    """The shapes [K, V, 3], in mesh units, of the mesh that has flowed so that ``start`` comes to ``end``, carried back; the
    face that it showed; what was ``recognised`` there; and where the network saw the landmarks [L, 3], carried back into the
    face frame. Where it saw one that was ``told`` [L] elsewhere, the template's shapes are laid on by place."""
    here = face.graph.pos
    there, jacobian = flow(here, start, end)
    graph = build_graph(there, faces)
    graph = graph.moved(np.eye(3), 1 / graph.frame.scale, graph.frame.origin)  # stands where the flow left it
    graph = best(rigger, [graph, settle(graph, rigger.net.head.place.numpy())]).graph
    basis = rigger.shapes(graph, progress, cancelled)
    looked = recognised(rigger, graph)
    seen = propose(rigger, *looked)
    inverse = np.linalg.inv(jacobian).astype(np.float32)
    for k in range(len(basis)):  # a channel at a time: meshes can be large
        own = np.einsum("vij,vj->vi", inverse, basis[k])
        grown = np.linalg.norm(own, axis=1) / np.maximum(MOST * np.linalg.norm(basis[k], axis=1), 1e-12)
        basis[k] = face.graph.frame.back(own / np.maximum(grown, 1)[:, None])
    speaks = np.arange(len(there)) if graph.same is None else graph.same
    share = overruled(there, end[told], outside(graph.frame, seen)[told]) * skin(graph)[speaks]
    if len(by_word := np.flatnonzero(share > UNHEARD)):
        normal = graph.normal[speaks[by_word]] @ graph.frame.rotation
        laid = by_place(there[by_word], normal, rigger.net.head.place.numpy(), rigger.template())
        basis[:, by_word] += share[by_word, None] * (face.graph.frame.back(laid) - basis[:, by_word])
    off = KDTree(graph.pos).query(seen)[1]
    back = here[off] + np.einsum("lij,lj->li", inverse[off], outside(graph.frame, seen) - outside(graph.frame, graph.pos[off]))
    return basis, Face(graph, quality(rigger.net, graph), face.pose), looked, back


def outside(frame: Frame, points: np.ndarray) -> np.ndarray:
    """Points [..., 3] of a frame in the space that it was made of."""
    return points @ frame.rotation / frame.scale + frame.origin


def skin(graph: MeshGraph) -> np.ndarray:
    """Which vertices [V] bool of a face are on its largest island: teeth and eyes have none of what lips and lids do."""
    weight = face_weight(graph.pos) * graph.area
    return graph.island == np.bincount(graph.island, weight).argmax()
