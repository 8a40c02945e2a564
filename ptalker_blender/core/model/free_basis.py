"""Free channels: K displacement fields of one topology that training learns, for data that are raw vertices.

Where a data set has no named shapes (VOCASET, BIWI), weights z [T, K] mean what training makes of them:
vertices = template + z @ basis. This is the paper's own setting, with its last linear layer called by its name.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from ..mesh.coarse import FRONT, RADIUS, pool
from ..mesh.graph import build_graph

NODES = 64  # patches that the motion encoder sees
FREEDOM = 0.1  # how fast the basis follows the optimiser, compared with the network: its entries are small
FAR = 0.9  # quantile of the moving vertices that shall lie within the coarse graph's reach


class FreeBasis(nn.Module):
    """Basis, topology and the coarse graph of the motion encoder. Everything travels in the state dict.

    ``unit``: displacements in this module's own terms are RMS 1 on the lips of the training data, whatever the data's
    unit of length.
    """

    unit: Tensor
    start: Tensor
    lips: Tensor
    upper: Tensor
    pool_vertex: Tensor
    pool_node: Tensor
    pool_share: Tensor
    faces: Tensor

    def __init__(self, sizes: dict[str, tuple[int, ...]]) -> None:
        """``sizes``: shapes of the buffers, see ``shapes``; ``learn`` or ``load_state_dict`` fills them."""
        super().__init__()
        whole = ("lips", "upper", "pool_vertex", "pool_node", "faces", "graph_edges")
        for name, shape in sizes.items():
            self.register_buffer(name, torch.zeros(shape, dtype=torch.int64 if name in whole else torch.float32))
        self.change = nn.Parameter(torch.zeros(sizes["start"]))

    @classmethod
    def learn(
        cls,
        displacements: np.ndarray,
        template: np.ndarray,
        faces: np.ndarray,
        channels: int,
        lips: np.ndarray,
        upper: np.ndarray,
    ) -> FreeBasis:
        """Start from the principal directions of displacements [n, V, 3] (some training frames minus their templates).

        template [V, 3], faces [F, 4]; the unit is the data's. Fewer frames than channels give fewer channels.
        """
        unit = max(float(np.sqrt(np.square(displacements[:, lips]).sum(-1).mean())), 1e-12)
        flat = (displacements / unit).reshape(len(displacements), -1).astype(np.float32)
        amount = np.sqrt(np.square(displacements).sum(-1).mean(0))  # [V]
        arrays = coarse_arrays(template, faces, amount, unit)
        arrays |= {"unit": np.float32(unit), "start": principal(flat, channels), "faces": faces, "lips": lips, "upper": upper}
        basis = cls({k: np.shape(v) for k, v in arrays.items()})
        basis.load_state_dict({k: torch.as_tensor(np.asarray(v)) for k, v in arrays.items()} | {"change": basis.change.data})
        return basis

    @classmethod
    def restored(cls, state: dict[str, Tensor]) -> FreeBasis:
        """From a state dict."""
        basis = cls({k: tuple(v.shape) for k, v in state.items() if k != "change"})
        basis.load_state_dict(state)
        return basis

    @property
    def channels(self) -> int:
        return len(self.start)

    @property
    def vertices(self) -> int:
        return self.start.shape[1] // 3

    def matrix(self) -> Tensor:
        """[K, V * 3], own unit."""
        return self.start + FREEDOM * self.change

    def forward(self, z: Tensor, which: Tensor | None = None) -> Tensor:
        """z [..., K] -> displacements [..., V, 3] in units of ``unit``; ``which`` [n]: of these vertices only."""
        matrix = self.matrix()
        if which is not None:
            matrix = matrix.unflatten(1, (-1, 3))[:, which].flatten(1)
        with torch.autocast(matrix.device.type, enabled=False):  # half precision would be seen on a lip
            return (z.float() @ matrix.float()).unflatten(-1, (-1, 3))

    def pooling(self) -> Pooling:
        """Means over the nodes' patches, in numpy: for batches that are made in other processes."""
        count = len(self.graph()["pos"])
        rows, columns, share = (x.cpu().numpy() for x in (self.pool_node, self.pool_vertex, self.pool_share))
        return Pooling(csr_matrix((share, (rows, columns)), shape=(count, self.vertices), dtype=np.float32))

    def graph(self) -> dict[str, Tensor]:
        """What the motion encoder takes."""
        return {k: getattr(self, f"graph_{k}") for k in ("pos", "normal", "edges", "edge_attr")}


class Pooling:
    """Displacements [T, V, 3] in the data's unit -> [T, n, 3] of the coarse graph's nodes, as the motion encoder has them."""

    def __init__(self, average: csr_matrix) -> None:
        self.average = average

    def __call__(self, displacements: np.ndarray) -> np.ndarray:
        frames, count, _ = displacements.shape
        flat = np.ascontiguousarray(displacements.transpose(1, 0, 2), np.float32).reshape(count, frames * 3)
        return np.asarray(self.average @ flat, np.float32).reshape(-1, frames, 3).transpose(1, 0, 2)


def principal(flat: np.ndarray, channels: int) -> np.ndarray:
    """The directions of greatest movement of flat [n, D], each as long as the RMS movement along it: [K, D].

    Not centred: rest (the template) stays at weight 0. By the n x n Gram matrix, as n is smaller than D.
    """
    values, vectors = np.linalg.eigh(flat.astype(np.float64) @ flat.T.astype(np.float64))
    order = np.argsort(-values)[: min(channels, len(flat))]
    order = order[values[order] > max(float(values.max()) * 1e-9, 1e-30)]
    return (vectors[:, order].T.astype(np.float32) @ flat) / np.float32(np.sqrt(len(flat)))


def coarse_arrays(template: np.ndarray, faces: np.ndarray, amount: np.ndarray, unit: float) -> dict[str, np.ndarray]:
    """The coarse graph round what moves: its tensors, and the averages that pool vertices into its nodes.

    amount [V]: how far each vertex moves. Centre and size of the moving part take the place of the face frame's, so that
    any unit and any crop of a head will do; the data's own axes are kept.
    """
    graph = build_graph(template, faces)
    weight = np.square(amount / max(float(amount.max()), 1e-12)) * (graph.area > 0)
    centre = weight @ graph.pos / max(float(weight.sum()), 1e-12)
    moving = (weight > 0.01) & (graph.area > 0)
    reach = float(np.quantile(np.linalg.norm(graph.pos[moving] - centre, axis=1), FAR)) if moving.any() else 1.0
    scale = RADIUS * 0.9 / max(reach, 1e-6)
    graph = graph.moved(np.eye(3), scale, np.array(FRONT) - scale * centre)
    coarse = pool(graph, torch.zeros(len(template), 1), n=NODES)
    node, vertex = coarse.average.indices().numpy()
    # displacements come in the data's unit and go out as the motion encoder has them: lips that move 0.1
    share = coarse.average.values().numpy() * np.float32(0.1 / unit)
    tensors = {"pos": coarse.pos, "normal": coarse.normal, "edges": coarse.edges, "edge_attr": coarse.edge_attr}
    return {"pool_node": node, "pool_vertex": vertex, "pool_share": share} | {f"graph_{k}": v.numpy() for k, v in tensors.items()}
