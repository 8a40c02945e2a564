"""A mesh that is made ready once, so that any motion of it can be read (model/seen.py) at little cost a frame."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from ..channels import LOWER_FACE
from ..errors import PTalkerError
from ..model.seen import Seen
from .aligned import solver
from .coarse import CoarseGraph, pool
from .graph import MeshGraph
from .rig import Rigger

STILL = 0.02  # of the most that speech moves a vertex; those that move less tell what the head as a whole does
NODES = 64  # of the coarse graph, about; what training uses on ICT heads, too


class MeshReader:
    """``graph``: of the mesh in the face frame (Rigger.find), basis [K, V, 3] its shapes in its own unit and frame."""

    def __init__(self, graph: MeshGraph, basis: np.ndarray, nodes: int = NODES) -> None:
        self.coarse: CoarseGraph = pool(graph, torch.zeros(len(graph.pos), 1), n=nodes)
        self.basis = basis
        self.solver = solver(basis, graph.area)
        self.graph = coarse_tensors(self.coarse, basis)
        amount = np.linalg.norm(basis[list(LOWER_FACE)], axis=-1).sum(0)
        self.still = graph.area * np.exp(-amount / max(STILL * float(amount.max()), 1e-12))

    @classmethod
    def of(
        cls, rigger: Rigger, vertices: np.ndarray, faces: np.ndarray, cancelled: Callable[[], bool] | None = None
    ) -> MeshReader:
        """vertices [V, 3], faces [F, 3|4] (-1 pads) of the face at rest, or of any frame. Raises PTalkerError for a mesh
        without a face, and Cancelled."""
        graph = rigger.find(vertices, faces, cancelled).graph
        return cls(graph, rigger.rig(vertices, faces, cancelled=cancelled))

    @property
    def vertices(self) -> int:
        return self.basis.shape[1]

    def aligned(self, displacements: np.ndarray) -> np.ndarray:
        """[T, V, 3] in the mesh's unit and frame -> [T, C]."""
        flat = np.asarray(displacements, np.float32).reshape(len(displacements), -1)
        return flat @ self.solver.reshape(len(LOWER_FACE), -1).T

    def read(self, vertices: np.ndarray, rest: np.ndarray | None = None) -> Seen:
        """One clip: vertices [T, V, 3]; rest [V, 3], None where nobody knows it (the frame of least jaw stands for it).

        What the head as a whole does is taken out. Raises PTalkerError mesh_changed.
        """
        if vertices.ndim != 3 or vertices.shape[1:] != (self.vertices, 3):
            sentence = f"The clip's frames have another shape ({vertices.shape[1:]}) than the mesh ({self.vertices} vertices)."
            raise PTalkerError("mesh_changed", sentence, "Use one mesh throughout, without modifiers that change its topology.")
        still = np.asarray(vertices[0] if rest is None else rest, np.float32)
        moved = steadied(np.asarray(vertices, np.float32), still, self.still) - still
        nodes, aligned = self.coarse.motion(moved)[None], torch.from_numpy(self.aligned(moved))[None]
        seen = Seen(nodes.float(), aligned.float(), torch.ones(1), self.graph)
        return seen.from_own_rest() if rest is None else seen


def steadied(vertices: np.ndarray, still: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """vertices [T, V, 3] without what the head as a whole does: the rotation and shift that take ``still`` [V, 3] to each
    frame best (Kabsch 1976), by vertices of weight [V] > 0, undone."""
    few = np.flatnonzero(weight > weight.max() * 1e-3)
    w = (weight[few] / weight[few].sum()).astype(np.float64)
    here, there = still[few].astype(np.float64), vertices[:, few].astype(np.float64)
    middle, middles = w @ here, np.einsum("v,tvc->tc", w, there)
    cross = np.einsum("v,tva,vb->tab", w, there - middles[:, None], here - middle)
    u, _, vt = np.linalg.svd(cross)
    sign = np.sign(np.linalg.det(u @ vt))
    u[:, :, 2] *= sign[:, None]
    turn = (u @ vt).astype(np.float32)  # still -> frame
    return (vertices - middles[:, None].astype(np.float32)) @ turn + middle.astype(np.float32)


def coarse_tensors(coarse: CoarseGraph, basis: np.ndarray) -> dict[str, torch.Tensor]:
    """The graph as the motion encoder takes it, with the shapes basis [K, V, 3] (mesh unit) on its nodes."""
    tensors = {"pos": coarse.pos, "normal": coarse.normal, "edges": coarse.edges, "edge_attr": coarse.edge_attr}
    shapes = coarse.motion(basis[list(LOWER_FACE)]).float()  # [C, n, 3]
    return tensors | {"shapes": shapes.permute(1, 0, 2).flatten(1).contiguous()}
