"""A face graph of a few hundred nodes on any topology: what the motion encoder runs on, frame by frame."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ptalker_blender.core.mesh.graph import Frame, MeshGraph, coarsen, seeds
from ptalker_blender.core.model.mesh_encoder import edge_features

FRONT = (0.0, -0.2, 0.45)  # middle of what speech moves, face frame
RADIUS = 0.95


@dataclass(frozen=True)
class CoarseGraph:
    """About n patches of the front of a face. All geometry in the face frame."""

    pos: Tensor  # [n, 3]
    normal: Tensor  # [n, 3]
    feature: Tensor  # [n, h] mean of g
    edges: Tensor  # [2, e] both directions
    edge_attr: Tensor  # [e, EDGE_DIM]
    average: Tensor  # sparse [n, V], rows sum to one
    frame: Frame

    def motion(self, displacement: np.ndarray) -> Tensor:
        """Displacements [T, V, 3] in mesh units -> means over the patches [T, n, 3] in the face frame."""
        d = torch.from_numpy(self.frame.displacement(np.asarray(displacement)))
        t, v, _ = d.shape
        return torch.sparse.mm(self.average, d.permute(1, 0, 2).reshape(v, t * 3)).view(-1, t, 3).transpose(0, 1)


def pool(graph: MeshGraph, g: Tensor, n: int = 256) -> CoarseGraph:
    """The face's front as about ``n`` patches (fewer where the mesh is coarser). graph in the face frame, g [V, h]."""
    inside = (np.linalg.norm(graph.pos - np.array(FRONT), axis=1) < RADIUS) & (graph.area > 0)
    index = np.flatnonzero(inside)
    part = graph.cropped(inside)
    voxel = 0.15
    for _ in range(8):
        count = len(seeds(part.pos, part.normal, part.island, voxel))
        if 0.85 * n < count < 1.1 * n or (count < n and count > 0.8 * len(index)):
            break
        voxel *= float(np.clip((count / n) ** 0.5, 0.5, 2.0))
    level = coarsen(part, voxel)
    share = (part.area + 1e-9) / np.bincount(level.own, part.area + 1e-9, len(level.pos))[level.own]
    t = torch.from_numpy
    average = torch.sparse_coo_tensor(
        torch.stack([t(level.own), t(index)]), t(share.astype(np.float32)), (len(level.pos), len(graph.pos))
    ).coalesce()
    pos, normal, edges = t(level.pos), t(level.normal), t(level.edges)
    return CoarseGraph(
        pos, normal, torch.sparse.mm(average, g), edges, edge_features(pos, normal, edges, voxel), average, graph.frame
    )
