"""A pool of training heads, renewed one by one while training goes on."""

import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ptalker_blender.core.channels import INDEX
from ptalker_blender.core.mesh.graph import build_graph
from ptalker_blender.core.mesh.pose import settle
from ptalker_blender.core.model.mesh_encoder import GraphBatch, RigConfig, batch
from ptalker_blender.core.train.rig_heads import Head, anny, centroids, ict
from ptalker_blender.core.train.rig_topology import Topology, framed, head, topology, warp

FINE = (
    "mouthClose mouthFunnel mouthPucker mouthRollLower mouthRollUpper mouthShrugLower mouthShrugUpper "
    "mouthPressLeft mouthPressRight mouthLowerDownLeft mouthLowerDownRight mouthUpperUpLeft mouthUpperUpRight "
    "eyeBlinkLeft eyeBlinkRight eyeSquintLeft eyeSquintRight eyeWideLeft eyeWideRight"
).split()


@dataclass
class Sample:
    graph: GraphBatch
    basis: Tensor  # [V, K, 3]
    near: Tensor  # [V, 4]
    weight: Tensor  # [V, 4]
    care: Tensor  # [V] how much a vertex counts
    source: int


def sample(h: Head, cfg: RigConfig, template: np.ndarray | None) -> Sample:
    """A head roughly in its face frame -> tensors in the frame that it settles in, as at run time; what lies beyond
    ``cfg.reach`` is cut off. ``template`` [M, 6]: positions and normals of the template's points; None: the head stays
    as it stands, as one does at run time that does not settle."""
    graph = build_graph(h.vertices, h.faces)
    graph = graph.moved(np.eye(3), 1 / graph.frame.scale, graph.frame.origin)
    graph = graph if template is None else settle(graph, template)
    keep = (np.linalg.norm(graph.pos, axis=1) < cfg.reach) & (graph.area > 0)
    graph = graph.cropped(keep)
    basis = graph.frame.displacement(h.basis[:, keep])
    moved = np.linalg.norm(basis[[INDEX[n] for n in FINE]], axis=-1)
    care = 1 + 4 * (moved / moved.max(1, keepdims=True).clip(1e-4)).max(0)
    t = torch.from_numpy
    return Sample(
        batch(graph, cfg.voxels), t(basis.transpose(1, 0, 2).copy()), t(h.near[keep]), t(h.weight[keep]),
        t(care.astype(np.float32)), h.source,
    )  # fmt: skip


class Heads:
    """All topologies, and random heads on them."""

    def __init__(self, data: Path, extra: Path, cfg: RigConfig, seed: int, small: int, log=print) -> None:
        """``data``: the folder with heads/ict_facekit.npz. ``extra``: the folder that rig_anny wrote. ``small``: how
        many decimated topologies of each part."""
        rng = np.random.default_rng(seed)
        self.cfg = cfg
        source, self.template, z = ict(data / "heads" / "ict_facekit.npz", cfg.template)
        self.ict, self.masks = source, z
        name = {n: i for i, n in enumerate(z["part_names"])}

        def parts(*names: str) -> np.ndarray:
            return np.isin(z["part"], [name[n] for n in names])

        skin = parts("face", "head_neck")
        socket = parts("mouth_socket", "eye_socket_left", "eye_socket_right")
        inner = parts("gums_tongue", "teeth_upper", "teeth_lower", "eyeball_left", "eyeball_right")
        narrow = z["narrow_face"].astype(bool)
        everything = np.ones(len(skin), bool)
        masks = [everything, skin | socket, skin, narrow, narrow | socket | inner, skin | socket | inner, skin | inner]
        self.large = [topology(source, m, None, rng) for m in (everything, skin | socket, narrow, skin)]
        self.small: list[Topology] = []
        for mask in masks:
            for i in range(small):
                full = i % 3 == 2
                count = int(np.exp(rng.uniform(np.log(700), np.log(2000))))
                self.small.append(topology(source, mask, count // 4 if full else count, rng, split=full))
            log(f"{len(self.small)} topologies", flush=True)
        reference = centroids(source.vertices[0], source.faces, source.basis[0])
        self.other: list[Topology] = []
        self.bodies: list[Topology] = []
        for file in sorted(extra.glob("anny_*.npz")):
            s = anny(file, reference, self.template[2])
            near = np.linalg.norm(s.place, axis=1) < cfg.reach
            front = near & (s.place[:, 2] > -0.3) & (s.place[:, 1] > -1.3)
            for mask, counts in ((near, [4600, 2000, 1400, 1000]), (front, [2000, 1200, 800])):
                self.other += [topology(s, mask, c, rng, split=False) for c in counts]
            if s.vertices.shape[1] > 6000:
                self.bodies += [topology(s, np.ones(len(near), bool), c, rng) for c in (None, 5000)]
            log(f"{file.name}: {len(self.other)} topologies", flush=True)

    @classmethod
    def cached(cls, data: Path, extra: Path, cfg: RigConfig, seed: int, small: int) -> "Heads":
        """The heads as made before with the same arguments, or made now and kept beside ``extra``'s files."""
        file = extra / f"heads_{cfg.template}_{seed}_{small}.pickle"
        if not file.exists():
            part = file.with_suffix(".part")
            part.write_bytes(pickle.dumps(cls(data, extra, cfg, seed, small), protocol=5))
            part.replace(file)
        return pickle.loads(file.read_bytes())

    def draw(self, rng: np.random.Generator, large: bool = False, strength: float | None = None) -> Head:
        kind = self.large if large else self.small if rng.uniform() < 0.68 else self.other
        h = head(kind[int(rng.integers(len(kind)))], rng, plain=large and rng.uniform() < 0.4)
        if strength is None:
            strength = float(rng.choice([0.0, 0.5, 1.0, 1.3], p=[0.2, 0.3, 0.3, 0.2])) * (0.5 if large else 1.0)
        return framed(warp(h, rng, strength) if strength else h, rng, 1.0)

    def sample(self, rng: np.random.Generator, large: bool = False) -> Sample:
        return sample(self.draw(rng, large), self.cfg, self.template[1] if rng.uniform() < 0.8 else None)
