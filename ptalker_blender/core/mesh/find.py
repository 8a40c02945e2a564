"""Which of the poses that PoseNet proposes is the face's: the one in which the rig network recognises the most of a face.

PoseNet is quick and sometimes upside down. The rig network, which knows lips and lids in detail, is asked about a sketch
of the mesh in each pose: in the right one its vertices choose points all over the template face, in a wrong one few.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from ptalker_blender.core.mesh.graph import Frame, Level, MeshGraph, cells, coarsen
from ptalker_blender.core.mesh.pose import CROP, Found, candidates, face_weight, follow, half_way, settle, slid, unit
from ptalker_blender.core.model.mesh_encoder import RigNet, batch

WHOLE = 6000  # nodes of the sketch of a whole mesh that poses are looked for on; of a part of it, as many
SKETCH = 0.08, 1200  # of a head: patches' size in the face frame, for meshes of more vertices than this
CHOSEN = 0.05  # a template point is recognised where a vertex gives it this much of its attention
ENOUGH = 0.45, 0.8  # a face of this quality that PoseNet is as sure of needs no other search
SKEWS = np.array([[0.5, 0.3, -0.4], [-0.4, 0.6, 0.5]])  # rotation vectors: poses between the 24 that are tried first
SURE = 0.9  # a confidence that ends the search
DOUBTFUL = 0.1  # what PoseNet is less sure of is no face where it is surer of another one
APART = 1.5  # frames (see ``slid``) between which there is no middle
FINAL = 6000  # vertices by which it comes to stand
ENDS = 0.1, 0.18  # of a long mesh: how much of its length a head at its end may have
ELSEWHERE = 2.6  # another face is one whose middle lies farther than this from the first's (face frame)


@dataclass(frozen=True)
class Face:
    """The graph laid on the template face, how much of a face the rig network sees there (a mask 0.45 to 0.6, a head to
    0.95, a tracker's 230 landmarks 0.28, a sphere or a torus 0.2), and how sure PoseNet was (-1 to 1; faces mostly above 0.8)."""

    graph: MeshGraph
    quality: float
    pose: float

    @property
    def clear(self) -> bool:
        return self.quality > ENOUGH[0] and self.pose > ENOUGH[1]

    @property
    def confidence(self) -> float:
        """0..1: 0.5 is where a face begins to be one."""
        return float(1 / (1 + np.exp(-(8 * (self.quality - 0.35) + 3 * (self.pose - 0.7)))))


def patched(graph: MeshGraph, level: Level) -> MeshGraph:
    """A graph's patches as a graph."""
    rim = np.bincount(level.own, graph.boundary, len(level.pos)) > 0
    return MeshGraph(level.pos, level.normal, level.area, level.edges, rim, level.island, graph.frame)


def thinned(graph: MeshGraph, nodes: int, back: bool = True) -> Level:
    """About ``nodes`` patches of a graph that has more vertices than that; it need not stand in a face frame.
    ``back`` as in ``coarsen``."""
    voxel = 0.05 / unit(graph)[1]
    for _ in range(6):
        n = len(np.unique(cells(graph.pos, graph.normal, graph.island, voxel)))
        if 0.7 * nodes < n < 1.4 * nodes:
            break
        voxel *= float(np.clip((n / nodes) ** 0.5, 0.4, 2.5))
    return coarsen(graph, voxel, back)


def sketch(graph: MeshGraph, nodes: int = WHOLE) -> MeshGraph:
    """A graph of about ``nodes`` patches, for one of many more vertices than that."""
    return patched(graph, thinned(graph, nodes, back=False)) if len(graph.pos) > 1.5 * nodes else graph


def at(graph: MeshGraph, frame: Frame) -> MeshGraph:
    """The graph as it stands in another frame of the same mesh."""
    return graph.moved(frame.rotation @ graph.frame.rotation.T, frame.scale / graph.frame.scale, frame.inside(graph.frame.origin))


@torch.no_grad()
def quality(net: RigNet, graph: MeshGraph) -> float:
    """Share of the template's points that are recognised, times the share of the face's surface that recognises any."""
    part = graph.cropped((np.linalg.norm(graph.pos, axis=1) < net.cfg.reach) & (graph.area > 0))
    if len(part.pos) > SKETCH[1]:
        part = patched(part, coarsen(part, SKETCH[0], back=False))
    if len(part.pos) < 12 or part.edges.shape[1] < 12:
        return 0.0
    b = batch(part, net.cfg.voxels)
    chosen = net.head.chosen(net.encoder(b), b.pos, b.normal).numpy()
    weight = face_weight(part.pos) * part.area
    known = chosen[:, : net.cfg.template]
    return float((known.max(0) > CHOSEN).mean() * (weight @ known.sum(1)) / weight.sum())


def judged(net: RigNet, found: Iterable[Found], seen: list[Face], check: Callable[[], None]) -> list[Face]:
    """Proposals settled and judged, added to ``seen``, until one is surely the face; the best first."""
    template = net.head.place.numpy()
    for f in found:
        check()
        sure = f.confidence - f.residual
        if seen and sure < DOUBTFUL < seen[0].pose:
            continue
        graph = settle(f.graph, template)
        if not any(slid(s.graph.frame, graph.frame) < 0.5 for s in seen):
            seen = sorted([*seen, Face(graph, quality(net, graph), sure)], key=lambda s: -s.confidence)
        if seen[0].confidence > SURE:
            break
    return seen


def find_face(net: RigNet, graph: MeshGraph, check: Callable[[], None] = lambda: None) -> Face | None:
    """The face on a mesh in any pose; None where nothing proposes any. Where the mesh looks inside out (its faces are wound
    the other way), it is looked at both ways, and the surer one is the face's: the hollow of a head can look much like one."""
    if not graph.inside_out:
        return searched(net, graph, check)
    found = searched(net, graph.turned(), check)  # nearly always the right way: a search that finds it ends early
    if found and found.confidence > SURE:
        return found
    other = searched(net, graph, check)
    return max((face for face in (found, other) if face), key=lambda face: face.confidence, default=None)


def searched(net: RigNet, graph: MeshGraph, check: Callable[[], None]) -> Face | None:
    """The face on a mesh in any pose; where the whole does not show one, it is looked for on the largest island, at the
    ends of the mesh (a body's head), and from poses between those tried. None where nothing proposes any."""
    used = graph.cropped(graph.area > 0)
    seen = looked(net, used, check, [], 6)
    tries: list[tuple[MeshGraph, int]] = []
    if not (seen and seen[0].clear):
        tries = [(used.cropped(among), 3) for among in parts(used)]
        tries += [(used.moved(q, 1.0, np.zeros(3)), 6) for q in Rotation.from_rotvec(SKEWS).as_matrix()]
    for part, keep in tries:
        if seen and seen[0].confidence > SURE:
            break
        seen = looked(net, part, check, seen, keep)
    if not seen:
        return None
    check()
    face = polished(net, used, seen[0])
    return replace(face, graph=at(graph, face.graph.frame))


def polished(net: RigNet, graph: MeshGraph, face: Face) -> Face:
    """A face looked at once more, on a sketch of nothing but its surroundings: what else the mesh has does not matter to
    where it comes to stand. That is half way between where PoseNet sees it and where it lies on the template: on heads of
    other proportions the one or the other is off. Where they are far apart, it is the one that the rig network knows."""
    near = at(graph, face.graph.frame)
    near = at(sketch(near.cropped(np.linalg.norm(near.pos, axis=1) < CROP)), face.graph.frame)
    every = np.ones(len(near.pos), bool)
    again = follow(net.pose, near, every, net.cfg.pose_nodes, Found(near, face.pose, 0.0))
    sure = again.confidence - again.residual
    settled = settle(again.graph, net.head.place.numpy(), FINAL)
    if slid(again.graph.frame, settled.frame) < APART:
        choice = [at(near, half_way(again.graph.frame, settled.frame))]
    else:
        choice = [again.graph, settled]
    best = max((Face(g, quality(net, g), sure) for g in choice), key=lambda f: f.quality)
    return best if best.confidence > 0.97 * face.confidence else face


def looked(net: RigNet, graph: MeshGraph, check: Callable[[], None], seen: list[Face], keep: int) -> list[Face]:
    """What a graph shows on a sketch of it, with what was ``seen`` before; the best first."""
    small = sketch(graph)
    check()
    proposed = candidates(net.pose, small, np.ones(len(small.pos), bool), net.cfg.pose_nodes, check, keep)
    return judged(net, proposed, seen, check)


def parts(graph: MeshGraph) -> list[np.ndarray]:
    """Where on a mesh a face may be that is lost in the whole: vertices [V] bool of each part."""
    used = graph.area > 0
    largest = (graph.island == np.bincount(graph.island, graph.area).argmax()) & used
    found = [largest] if largest.sum() < 0.99 * used.sum() else []
    area = graph.area[used] / graph.area[used].sum()
    x = graph.pos[used] - area @ graph.pos[used]
    axes = np.linalg.eigh((x * area[:, None]).T @ x)[1]
    along = (graph.pos - area @ graph.pos[used]) @ axes  # the longest axis last
    length = np.ptp(along[used], axis=0)
    for axis in (2, 1) if length[2] > 1.6 * length[0] else ():
        for share in ENDS:
            for sign in (1, -1):
                far = sign * along[:, axis]
                found.append(used & (far > far[used].max() - share * length[2]))
    return [f for f in found if f.sum() >= 60]


def other_face(net: RigNet, graph: MeshGraph, check: Callable[[], None] = lambda: None) -> Face | None:
    """The best face on what lies farther than a head from a face; ``graph`` stands in that face's frame."""
    rest = (np.linalg.norm(graph.pos, axis=1) > ELSEWHERE) & (graph.area > 0)
    if rest.sum() < 60:
        return None
    seen = looked(net, graph.cropped(rest), check, [], 2)
    seen = [s for s in seen if np.linalg.norm(graph.frame.inside(s.graph.frame.origin)) > ELSEWHERE]
    return seen[0] if seen else None
