"""Training heads of the rig: all their topologies, and random heads on them."""

import pickle
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from ptalker_blender.core.channels import INDEX
from ptalker_blender.core.mesh.graph import build_graph
from ptalker_blender.core.mesh.pose import settle
from ptalker_blender.core.model.mesh_encoder import GraphBatch, RigConfig, batch
from ptalker_blender.core.train.rig_heads import Head, anny, centroids, ict
from ptalker_blender.core.train.rig_topology import Topology, framed, head, topology, warp

FACE, WRONG = np.array([0.0, -0.05, 0.3]), np.deg2rad(60)  # a face's middle; beyond this it is not seen as one
DECIMATED = 700, 4000  # vertices, fewest and most
SPARSE, FEW = (2, 3, 3), (150, 700)  # of which parts there are heads of so few vertices: skin, narrow faces
ROUGH = 0.006  # face frame: most of the noise of a head's vertices
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


def turned_away(h: Head, rng: np.random.Generator, none: int) -> Head:
    """A head in a pose that is not its face's, upside down perhaps: nothing moves, and every vertex is ``none`` of the template's
    points. What PoseNet proposes is judged by what the rig network recognises in it (mesh/find.py)."""
    if rng.uniform() < 0.5:
        turn = Rotation.from_rotvec(np.pi * np.eye(3)[rng.integers(3)] + rng.normal(size=3) * 0.15)
    else:
        turn = Rotation.random(rng=rng)
        while turn.magnitude() < WRONG:
            turn = Rotation.random(rng=rng)
    r = turn.as_matrix()
    near = np.full(h.near.shape, none)
    weight = np.zeros(h.weight.shape, np.float32)
    weight[:, 0] = 1
    vertices = ((h.vertices - FACE) @ r.T + FACE + rng.normal(size=3) * 0.1).astype(np.float32)
    return replace(h, vertices=vertices, basis=np.zeros_like(h.basis), near=near, weight=weight)


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
        self.parts = masks
        self.small = [self.topology(rng, i % 3 == 2, mask) for mask in masks for i in range(small)]
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

    def draw(
        self, rng: np.random.Generator, large: bool = False, strength: float | None = None, fresh: float = 0.0,
        sparse: bool = False,
    ) -> Head:  # fmt: skip
        """``fresh``: how often on a topology that is made now; of ``large`` ones, and of anny's, there are only those at hand.
        ``sparse``: of as few vertices as a tracker's landmarks."""
        own = rng.uniform() < 0.68
        kind = self.large if large else self.small if own else self.other
        if sparse:
            made = topology(self.ict, self.parts[int(rng.choice(SPARSE))], int(rng.uniform(*FEW)), rng)
        elif not large and own and rng.uniform() < fresh:
            made = self.topology(rng, int(rng.integers(3)) == 2)
        else:
            made = kind[int(rng.integers(len(kind)))]
        h = head(made, rng, plain=large and rng.uniform() < 0.4)
        if strength is None:
            strength = float(rng.choice([0.0, 0.5, 1.0, 1.3], p=[0.2, 0.3, 0.3, 0.2])) * (0.5 if large else 1.0)
        return framed(warp(h, rng, strength) if strength else h, rng, 1.0)

    def topology(self, rng: np.random.Generator, split: bool, mask: np.ndarray | None = None) -> Topology:
        """A part of ICT's head (``mask`` [V]; None: any of them), decimated; ``split``: to a quarter, and then subdivided."""
        mask = self.parts[int(rng.integers(len(self.parts)))] if mask is None else mask
        count = int(np.exp(rng.uniform(*np.log(DECIMATED))))
        return topology(self.ict, mask, count // 4 if split else count, rng, split=split)

    def sample(
        self, rng: np.random.Generator, large: bool = False, fresh: float = 0.0, sparse: bool = False, wrong: bool = False
    ) -> Sample:  # fmt: skip
        """``wrong``: in a pose in which there is no face to be seen. Every third head is rough, as a scan is."""
        template = self.template[1] if rng.uniform() < 0.8 else None
        h = self.draw(rng, large, fresh=fresh, sparse=sparse)
        if rng.uniform() < 0.33:
            rough = rng.normal(size=h.vertices.shape) * rng.uniform(0, ROUGH)
            h = replace(h, vertices=(h.vertices + rough).astype(np.float32))
        return sample(turned_away(h, rng, self.cfg.template) if wrong else h, self.cfg, template)
