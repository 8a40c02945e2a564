"""A mesh as a graph: the edges of its own faces, normals, islands, and a hierarchy of surface patches.

Nothing here looks at distance through space: two lips that touch are neighbours only along the surface. That is what
keeps the upper lip apart from the lower one at every scale.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix, diags
from scipy.sparse.csgraph import connected_components, dijkstra

from ptalker_blender.core.errors import PTalkerError

IN_PIECES = 0.8  # of the vertices lie on edges that only one face has: they belong together where they coincide
SMALLEST = 1e-100  # units: a mesh that is smaller has no size; the numbers would run out


@dataclass(frozen=True)
class Frame:
    """A similarity from the mesh's own space to another: ``inside(x) = scale * R (x - origin)``."""

    rotation: np.ndarray  # [3, 3]
    scale: float
    origin: np.ndarray  # [3]

    def inside(self, points: np.ndarray) -> np.ndarray:
        """Points [..., 3] in mesh units -> this frame."""
        return (self.scale * (points - self.origin) @ self.rotation.T).astype(np.float32)

    def displacement(self, d: np.ndarray) -> np.ndarray:
        """Displacements [..., 3] in mesh units -> this frame."""
        return (self.scale * d @ self.rotation.T).astype(np.float32)

    def back(self, d: np.ndarray) -> np.ndarray:
        """Displacements [..., 3] in this frame -> mesh units and axes."""
        return d.astype(np.float32, copy=False) @ (self.rotation / self.scale).astype(np.float32)

    def then(self, rotation: np.ndarray, scale: float, shift: np.ndarray) -> "Frame":
        """This frame followed by ``y -> scale * R y + shift``."""
        r, s = rotation @ self.rotation, scale * self.scale
        return Frame(r, s, self.origin - r.T @ shift / s)


@dataclass(frozen=True)
class MeshGraph:
    """Vertices and edges of a mesh in some frame. ``edges`` holds each edge in both directions."""

    pos: np.ndarray  # [V, 3] float32, in ``frame``
    normal: np.ndarray  # [V, 3] float32, unit or zero
    area: np.ndarray  # [V] float32, share of the whole surface that belongs to the vertex
    edges: np.ndarray  # [2, E] int64
    boundary: np.ndarray  # [V] bool, on an edge that only one face has
    island: np.ndarray  # [V] int64, connected part
    frame: Frame
    same: np.ndarray | None = None  # [V] of a mesh in pieces: the vertex that speaks for all in its place; others have no area

    def moved(self, rotation: np.ndarray, scale: float, shift: np.ndarray) -> "MeshGraph":
        """The same graph after ``y -> scale * R y + shift``."""
        pos = (scale * self.pos @ rotation.T + shift).astype(np.float32)
        normal = (self.normal @ rotation.T).astype(np.float32)
        return replace(self, pos=pos, normal=normal, frame=self.frame.then(rotation, scale, shift))

    @property
    def inside_out(self) -> bool:
        """Whether the surface as a whole looks to its own middle, as that of a head whose normals are flipped does."""
        return float(self.area @ ((self.pos - self.area @ self.pos / self.area.sum()) * self.normal).sum(1)) < 0

    def turned(self) -> "MeshGraph":
        """The same graph with its surface looking the other way."""
        return replace(self, normal=-self.normal)

    def cropped(self, keep: np.ndarray) -> "MeshGraph":
        """The part of the graph on the vertices that ``keep`` [V] (bool) names, in their order."""
        number = np.cumsum(keep) - 1
        edges = number[self.edges[:, keep[self.edges].all(0)]]
        return replace(
            self, pos=self.pos[keep], normal=self.normal[keep], area=self.area[keep], boundary=self.boundary[keep],
            island=islands(int(keep.sum()), edges), edges=edges, same=None,
        )  # fmt: skip


def check(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices as float64 [V, 3] and faces as int64 [F, n], or a PTalkerError that says what is wrong with them."""
    vertices, faces = np.asarray(vertices), np.asarray(faces)
    if vertices.size == 0 or faces.size == 0:
        raise PTalkerError("mesh_empty", "The mesh has no vertices or no faces.", "Choose an object with a face.")
    if vertices.ndim != 2 or vertices.shape[1] != 3 or not np.issubdtype(vertices.dtype, np.number):
        raise PTalkerError("mesh_invalid", f"Vertices must be numbers of shape [V, 3], not {vertices.shape}.")
    if faces.ndim != 2 or faces.shape[1] < 3 or not np.issubdtype(faces.dtype, np.integer):
        raise PTalkerError("mesh_invalid", f"Faces must be whole numbers of shape [F, 3 or 4], not {faces.shape}.")
    vertices, faces = vertices.astype(np.float64), faces.astype(np.int64)
    if not np.isfinite(vertices).all():
        bad = int((~np.isfinite(vertices).all(1)).sum())
        raise PTalkerError("mesh_invalid", f"{bad} of the mesh's vertices are not numbers.", "Delete or repair them.")
    if faces.max() >= len(vertices) or faces.min() < -1:
        raise PTalkerError("mesh_invalid", "A face of the mesh names a vertex that does not exist.")
    return vertices, faces


def face_edges(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Faces [F, n] (-1 pads at the end) -> unique edges [E, 2] and how many faces have each [E]."""
    count = (faces >= 0).sum(1)
    col = np.arange(faces.shape[1])
    nxt = np.where(col[None] + 1 < count[:, None], col[None] + 1, 0)
    a, b = faces, np.take_along_axis(faces, nxt, 1)
    ok = (a >= 0) & (b >= 0) & (a != b)
    a, b = a[ok], b[ok]
    if not len(a):
        raise PTalkerError("mesh_degenerate", "The mesh's faces have no edges.", "Choose an object with a face.")
    size = int(faces.max()) + 1
    number, count = np.unique(np.minimum(a, b) * size + np.maximum(a, b), return_counts=True)  # much faster than of pairs
    return np.stack(np.divmod(number, size), 1), count


def triangles(faces: np.ndarray) -> np.ndarray:
    """Faces [F, n] (-1 pads at the end) -> triangles [T, 3]: fans round the first corner."""
    if faces.shape[1] == 3:
        return faces
    return np.concatenate([faces[faces[:, i + 1] >= 0][:, [0, i, i + 1]] for i in range(1, faces.shape[1] - 1)])


def normals(pos: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Area-weighted vertex normals [V, 3] and vertex areas [V]; faces are fans round their first corner."""
    total, area = np.zeros_like(pos), np.zeros(len(pos))
    for i in range(1, faces.shape[1] - 1):
        tri = faces[(faces[:, i + 1] >= 0) & (faces[:, 0] >= 0)][:, [0, i, i + 1]]
        n = np.cross(pos[tri[:, 1]] - pos[tri[:, 0]], pos[tri[:, 2]] - pos[tri[:, 0]]) / 2
        size = np.linalg.norm(n, axis=1) / 3
        for corner in range(3):
            area += np.bincount(tri[:, corner], size, len(pos))
            for axis in range(3):
                total[:, axis] += np.bincount(tri[:, corner], n[:, axis], len(pos))
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return total / np.maximum(length, 1e-12 * max(1.0, float(length.max()))), area


def build_graph(vertices: np.ndarray, faces: np.ndarray) -> MeshGraph:
    """Vertices [V, 3] (any unit and pose), faces [F, n] (-1 pads) -> the graph, centred and scaled to unit RMS radius.

    Vertices that no face uses stay in the graph, without edges and without area. A mesh that is cut along most of its edges, as
    files of flat shading bring it, is taken as a whole.
    """
    vertices, faces = check(vertices, faces)
    pairs, count = face_edges(faces)
    used = np.zeros(len(vertices), bool)
    used[pairs] = True
    origin = vertices[used].mean(0)
    extent = float(np.abs(vertices[used] - origin).max())
    if extent < SMALLEST or not np.isfinite(extent):
        raise PTalkerError("mesh_degenerate", "All vertices of the mesh lie in one point.", "Apply its scale.")
    pos = (vertices - origin) / extent
    same = None
    if len(np.unique(pairs[count == 1])) > IN_PIECES * used.sum():
        same = representatives(pos)
        faces = np.where(faces >= 0, same[faces], -1)
        pairs, count = face_edges(faces)
    normal, area = normals(pos, faces)
    if area.sum() < 1e-9:
        raise PTalkerError("mesh_degenerate", "The mesh's faces have no area.", "Choose an object with a face.")
    area = area / area.sum()
    centre = area @ pos
    scale = 1 / float(np.sqrt(area @ ((pos - centre) ** 2).sum(1)))
    boundary = np.zeros(len(pos), bool)
    boundary[pairs[count == 1]] = True
    edges = np.concatenate([pairs, seams(pos, normal, boundary)])
    island = islands(len(pos), edges.T)
    return MeshGraph(
        pos=((pos - centre) * scale).astype(np.float32), normal=normal.astype(np.float32),
        area=area.astype(np.float32), edges=np.concatenate([edges.T, edges.T[::-1]], 1), boundary=boundary,
        island=island, frame=Frame(np.eye(3), scale / extent, origin + centre * extent), same=same,
    )  # fmt: skip


def averaged(
    field: np.ndarray, pos: np.ndarray, edges: np.ndarray, reach: float, rounds: int, alike: np.ndarray | float = 1.0
) -> np.ndarray:
    """A field [V, d], float32, averaged ``rounds`` times with the neighbours along the edges [2, E], which count by
    their distance (``reach``, in the units of pos [V, 3]) and by ``alike`` [E], 0..1; never across a gap."""
    start, end = edges
    weight = alike * np.exp(-((pos[start] - pos[end]) ** 2).sum(1) / reach**2)
    total = 1 + np.bincount(start, weight, len(pos))
    step = csr_matrix((weight / total[start], (start, end)), shape=(len(pos),) * 2) + diags(1 / total)
    step = step.astype(np.float32)
    for _ in range(rounds):
        field = step @ field
    return field


def islands(count: int, edges: np.ndarray) -> np.ndarray:
    """The connected part [count] of each node, edges [2, E]."""
    adjacency = coo_matrix((np.ones(edges.shape[1]), (edges[0], edges[1])), shape=(count, count))
    return connected_components(adjacency, directed=False)[1].astype(np.int64)


def places(pos: np.ndarray) -> np.ndarray:
    """Whole numbers [n, 3] that are equal where vertices [n, 3] of a mesh about 1 large lie in the same place."""
    return np.round(pos * 1e5).astype(np.int64)


def representatives(pos: np.ndarray) -> np.ndarray:
    """Of each vertex [V] the first one in the same place."""
    first, group = np.unique(places(pos), axis=0, return_index=True, return_inverse=True)[1:]
    return first[group.reshape(-1)]


def seams(pos: np.ndarray, normal: np.ndarray, boundary: np.ndarray) -> np.ndarray:
    """Edges [E, 2] that close split seams: boundary vertices in the same place that look the same way."""
    rim = np.flatnonzero(boundary)
    key = places(pos[rim])
    order = np.lexsort(key.T)
    a, b = rim[order[:-1]], rim[order[1:]]
    same = (key[order[:-1]] == key[order[1:]]).all(1) & ((normal[a] * normal[b]).sum(1) > 0.8)
    return np.sort(np.stack([a[same], b[same]], 1), 1)


@dataclass(frozen=True)
class Level:
    """Patches of a finer graph. The finer nodes' ``own`` patch, and up to four patches to interpolate back from."""

    pos: np.ndarray  # [n, 3]
    normal: np.ndarray  # [n, 3]
    area: np.ndarray  # [n]
    island: np.ndarray  # [n]
    edges: np.ndarray  # [2, e] both directions
    own: np.ndarray  # [fine]
    near: np.ndarray  # [fine, 4]
    weight: np.ndarray  # [fine, 4] sums to one

    def read(self, field: np.ndarray, rows: slice) -> np.ndarray:
        """A field on the patches [K, n, 3] at some of the finer nodes: [K, rows, 3]."""
        near, weight = self.near[rows], self.weight[rows]
        start = np.arange(0, near.size + 1, near.shape[1])
        step = csr_matrix((weight.ravel(), near.ravel(), start), shape=(len(near), len(self.pos)))
        flat = step @ field.transpose(1, 0, 2).reshape(len(self.pos), -1)
        return flat.reshape(len(near), -1, 3).transpose(1, 0, 2)


def cells(pos: np.ndarray, normal: np.ndarray, island: np.ndarray, voxel: float) -> np.ndarray:
    """A number [n] for each island, voxel and main direction of the normal."""
    cell = np.floor(pos / voxel).astype(np.int64)
    main = np.abs(normal).argmax(1)
    side = main * 2 + (np.take_along_axis(normal, main[:, None], 1)[:, 0] > 0)
    cell -= cell.min(0)
    size = cell.max(0) + 1
    return (((cell[:, 0] * size[1] + cell[:, 1]) * size[2] + cell[:, 2]) * 6 + side) * (island.max() + 1) + island


def seeds(pos: np.ndarray, normal: np.ndarray, island: np.ndarray, voxel: float) -> np.ndarray:
    """One node for each of the ``cells``: the one nearest to the middle of its group."""
    group = np.unique(cells(pos, normal, island, voxel), return_inverse=True)[1]
    count = np.bincount(group)
    middle = np.stack([np.bincount(group, pos[:, i]) for i in range(3)], 1) / count[:, None]
    distance = ((pos - middle[group]) ** 2).sum(1)
    order = np.lexsort((distance, group))
    return order[np.concatenate([[0], np.cumsum(count)[:-1]])]


def coarsen(graph: MeshGraph | Level, voxel: float, back: bool = True) -> Level:
    """Patches of about ``voxel`` (in the graph's frame) that grow from seeds along the surface (geodesic Voronoi). Not
    ``back``: nothing will be interpolated, ``near`` and ``weight`` stay empty."""
    pos, edges = graph.pos, graph.edges
    chosen = seeds(pos, graph.normal, graph.island, voxel)
    length = np.linalg.norm(pos[edges[0]] - pos[edges[1]], axis=1) + 1e-6
    weights = csr_matrix((length, (edges[0], edges[1])), shape=(len(pos),) * 2)
    source = dijkstra(weights, indices=chosen, min_only=True, return_predecessors=True)[2]
    number = np.full(len(pos), -1)
    number[chosen] = np.arange(len(chosen))
    own, n = number[source], len(chosen)
    area = graph.area + 1e-9
    total = np.bincount(own, area, n)
    mean = [np.stack([np.bincount(own, area * x[:, i], n) for i in range(3)], 1) for x in (pos, graph.normal)]
    centre = (mean[0] / total[:, None]).astype(np.float32)
    normal = (mean[1] / np.maximum(np.linalg.norm(mean[1], axis=1, keepdims=True), 1e-12)).astype(np.float32)
    pair = own[edges]
    pair = pair[:, pair[0] != pair[1]]
    pair = np.stack(np.divmod(np.unique(pair[0] * n + pair[1]), n))
    near, weight = interpolation(pos, centre, own, pair, voxel) if back else (np.zeros((0, 4), int), np.zeros((0, 4), "f4"))
    return Level(centre, normal, total.astype(np.float32), graph.island[chosen], pair, own, near, weight)


def interpolation(pos: np.ndarray, centre: np.ndarray, own: np.ndarray, pair: np.ndarray, voxel: float):
    """For each fine node its own patch and the three nearest of that patch's neighbours, with Gaussian weights."""
    n, width = len(centre), 12
    order = np.argsort(pair[0], kind="stable")
    src, dst = pair[0][order], pair[1][order]
    first = np.searchsorted(src, np.arange(n))
    slot = np.arange(len(src)) - first[src]
    table = np.repeat(np.arange(n)[:, None], width + 1, 1)
    inside = slot < width
    table[src[inside], slot[inside] + 1] = dst[inside]
    candidate = table[own]
    distance = ((pos[:, None] - centre[candidate]) ** 2).sum(-1)
    distance[:, 1:][candidate[:, 1:] == own[:, None]] = np.inf
    pick = np.argpartition(distance, 3, axis=1)[:, :4]
    near, d2 = np.take_along_axis(candidate, pick, 1), np.take_along_axis(distance, pick, 1)
    weight = np.exp(-(d2 - d2.min(1, keepdims=True)) / (2 * (0.5 * voxel) ** 2))
    return near, (weight / weight.sum(1, keepdims=True)).astype(np.float32)
