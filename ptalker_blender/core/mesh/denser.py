"""Meshes of few vertices get further ones on their faces: the rig network sees little of a surface between vertices."""

from __future__ import annotations

import numpy as np

from .find import at
from .graph import MeshGraph, build_graph, face_edges, triangles

FEW, ENOUGH = 700, 1500  # vertices of a head: with fewer it is halved, until it has so many


def halved(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices [V, 3], faces [F, n] (-1 pads) -> the vertices and then the middles of all edges
    [V + E, 3], four triangles for one [4 T, 3]."""
    edges, quarters = quartered(triangles(faces), len(vertices))
    return np.concatenate([vertices, vertices[edges].mean(1)]), quarters


def quartered(tri: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Triangles [T, 3] -> their edges [E, 2], whose middles are the vertices from number ``count`` on, and four triangles for
    one [4 T, 3]."""
    edges, size = face_edges(tri)[0], int(tri.max()) + 1
    a, b, c = tri.T
    ab, bc, ca = (
        count + np.searchsorted(edges @ (size, 1), np.minimum(p, q) * size + np.maximum(p, q))
        for p, q in ((a, b), (b, c), (c, a))
    )
    corners = (a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)
    return edges, np.concatenate([np.stack(t, 1) for t in corners])


def denser(
    graph: MeshGraph, vertices: np.ndarray, faces: np.ndarray, head: np.ndarray
) -> tuple[MeshGraph, np.ndarray, np.ndarray]:
    """A mesh and its graph in the face frame, as they are where the ``head`` [V] bool has vertices enough, else of the head's
    faces alone, halved; the mesh's own vertices stay the first ones."""
    count = int(head.sum())
    if count >= FEW:
        return graph, vertices, faces
    vertices, faces = np.asarray(vertices, np.float64), np.asarray(faces)
    faces = faces[(head[faces] & (faces >= 0)).any(1)]  # a body may be large
    while count < ENOUGH:
        vertices, faces, count = *halved(vertices, faces), 4 * count
    return at(build_graph(vertices, faces), graph.frame), vertices, faces
