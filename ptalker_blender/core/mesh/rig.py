"""What each channel does on a mesh never seen before: vertices and faces in, a basis in the mesh's own units out."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from ptalker_blender.core.channels import MIRROR
from ptalker_blender.core.errors import Cancelled, PTalkerError
from ptalker_blender.core.mesh.denser import denser
from ptalker_blender.core.mesh.find import Face, find_face, other_face, patched, thinned
from ptalker_blender.core.mesh.graph import MeshGraph, averaged, build_graph
from ptalker_blender.core.mesh.lids import closed
from ptalker_blender.core.mesh.skin import PREFIX, Skin
from ptalker_blender.core.model.mesh_encoder import GraphBatch, RigConfig, RigNet, batch

ASSET = Path(__file__).resolve().parents[2] / "assets" / "rig.safetensors"
STILL = 0.0002, 0.0008  # displacements (face frame) that fade to nothing
OTHERS = 0.15  # share of anny's idea of the channels beside ICT-FaceKit's: what both do is what others are likelier to do
MIDDLE, REACH, BEHIND = (0.0, -0.1, 0.35), (1.95, 1.45), (-0.95, -0.55)  # the face's region: distances, depths
SOFT, SOFTER = 0.03, 2  # how far along the surface the basis is averaged, face frame, and how often
SMALLEST = 60  # vertices of a face
LARGE = 25_000  # a head of many more vertices is shaped by about as many patches of its surface
BLOCK = 1 << 15  # vertices at a time
ATTENDING = 1024  # vertices that look at the template at a time: as many as the processor's cache holds
REMEMBERED = 4  # meshes
READING = "reading"  # a tensor in a checkpoint
UNSURE, CERTAIN = 0.45, 0.4  # below this confidence there is no face; above this quality a second face is one

Progress = Callable[[str, float], None] | None
Stop = Callable[[], bool] | None


class Rigger:
    """The trained spatial half, on the CPU, as it runs once a mesh. The faces it found last are remembered: the search for
    a face takes longer than all the rest, and one mesh is rigged, read and animated many times."""

    def __init__(
        self, net: RigNet, meta: dict[str, str], skin: Skin | None = None, reading: np.ndarray | None = None
    ) -> None:  # fmt: skip
        self.net, self.meta, self.skin = net.eval(), meta, skin
        self.reading = reading  # [C, C], what is made of weights that were found with these shapes (mesh/bounded.py)
        self.config = net.cfg
        self._faces: dict[bytes, Face | PTalkerError] = {}  # by the mesh, oldest first; what has none is remembered, too

    @classmethod
    def load(cls, path: Path | str | None = None) -> "Rigger":
        """Read a checkpoint (safetensors with the configuration in its metadata); None: the one that ships."""
        path = Path(path) if path is not None else ASSET
        if not path.is_file():
            raise PTalkerError("checkpoint_missing", f"The rig network is missing: {path.name}.", "Reinstall PTalker.")
        with safe_open(path, "pt") as file:
            meta = file.metadata() or {}
            state = {k: file.get_tensor(k) for k in file.keys()}
        net = RigNet(RigConfig.from_dict(json.loads(meta["config"])))
        reading = state.pop(READING, None)
        net.load_state_dict({k: v.float() for k, v in state.items() if not k.startswith(PREFIX)})
        return cls(net, meta, Skin.of(state), None if reading is None else reading.float().numpy())

    def info(self) -> dict:
        """The configuration and the figures that were measured when the checkpoint was packed."""
        # A figure that could not be measured is NaN in the file, which JSON messages cannot carry.
        figures = json.loads(self.meta.get("figures", "{}"), parse_constant=lambda _: None)
        return {"config": self.config.to_dict(), "figures": figures}

    def template(self) -> np.ndarray:
        """The template face's basis [K, M, 3] in the face frame: what the channels do where no mesh is at hand."""
        return self.net.head.template.reshape(self.config.template, self.config.channels, 3).permute(1, 0, 2).numpy()

    def find(self, vertices: np.ndarray, faces: np.ndarray, cancelled: Stop = None) -> Face:
        """The mesh's graph in the face frame, and how much of a face it shows. PTalkerError ``face_not_found`` where
        there is none, ``two_faces`` where there is another one elsewhere on the mesh."""

        def check() -> None:
            if cancelled is not None and cancelled():
                raise Cancelled

        mesh = key(vertices, faces)
        if mesh not in self._faces:
            try:
                found = self._search(vertices, faces, check)
            except PTalkerError as error:
                found = PTalkerError(error.code, error.sentence, error.fix)  # without its traceback, which holds the mesh
            while len(self._faces) >= REMEMBERED:
                del self._faces[next(iter(self._faces))]
            self._faces[mesh] = found
        face = self._faces[mesh]
        if isinstance(face, PTalkerError):
            raise PTalkerError(face.code, face.sentence, face.fix)
        return face

    def _search(self, vertices: np.ndarray, faces: np.ndarray, check: Callable[[], None]) -> Face:
        """As ``find``, of a mesh that is not remembered."""
        graph = build_graph(vertices, faces)
        used = int((graph.area > 0).sum())
        if used < SMALLEST:
            raise PTalkerError("face_not_found", f"A mesh of {used} vertices has no face.", "Choose a head.")
        check()
        face = find_face(self.net, graph, check)
        if face is None or face.confidence < UNSURE:
            raise PTalkerError("face_not_found", "No face was found on the mesh.", "Choose an object with a face.")
        other = other_face(self.net, face.graph, check)
        if other is not None and other.quality > CERTAIN and other.confidence > UNSURE:
            raise PTalkerError("two_faces", "The mesh has more than one face.", "Split it, or choose a face group.")
        return face

    @torch.no_grad()
    def encode(self, vertices: np.ndarray, faces: np.ndarray, cancelled: Stop = None) -> tuple[Tensor, MeshGraph]:
        """g [V, h] (zero on vertices beyond the head) and the graph in the face frame."""
        graph = self.find(vertices, faces, cancelled).graph
        inside = self.inside(graph)
        g = torch.zeros(len(graph.pos), self.config.hidden)
        g[torch.from_numpy(inside)] = self.net.encoder(batch(graph.cropped(inside), self.config.voxels))
        return g if graph.same is None else g[torch.from_numpy(graph.same)], graph

    def inside(self, graph: MeshGraph) -> np.ndarray:
        """Which vertices [V] belong to the head: within reach of the face, and on some face of the mesh."""
        return (np.linalg.norm(graph.pos, axis=1) < self.config.reach) & (graph.area > 0)

    def rig(self, vertices: np.ndarray, faces: np.ndarray, progress: Progress = None, cancelled: Stop = None) -> np.ndarray:
        """vertices [V, 3] (any unit and pose), faces [F, 3|4] (-1 pads) -> basis [K, V, 3] in the same units and frame."""
        tell = progress or (lambda stage, fraction: None)
        tell("finding the face", 0.0)
        graph = self.denser(self.find(vertices, faces, cancelled).graph, vertices, faces)[0]
        return self.shapes(graph, tell, cancelled)[:, : len(vertices)]

    def denser(self, graph: MeshGraph, vertices: np.ndarray, faces: np.ndarray) -> tuple[MeshGraph, np.ndarray, np.ndarray]:
        """A graph in the face frame and its mesh, with vertices enough on the head (denser.py)."""
        return denser(graph, vertices, faces, self.inside(graph))

    def shapes(self, graph: MeshGraph, progress: Progress = None, cancelled: Stop = None) -> np.ndarray:
        """As ``rig``, of a graph that is in the face frame already -> basis [K, V, 3] in the units and frame it came from."""
        tell = progress or (lambda stage, fraction: None)
        inside = self.inside(graph)
        part = graph.cropped(inside)
        tell("reading the mesh", 0.2)
        level = thinned(part, LARGE) if len(part.pos) > 1.5 * LARGE else None
        nodes = part if level is None else patched(part, level)
        b = batch(nodes, self.config.voxels)
        sides = []
        for i, side in enumerate((b, b.mirrored())):
            if cancelled is not None and cancelled():
                raise Cancelled
            tell("shaping the face", 0.4 + 0.25 * i)
            sides.append(self.basis(side))
        straight, flipped = sides
        mean = (straight + flipped[:, MIRROR] * np.array([-1, 1, 1], np.float32)) / 2
        mean = averaged(mean.reshape(len(mean), -1), nodes.pos, nodes.edges, SOFT, SOFTER)
        mean = mean.reshape(len(mean), -1, 3).transpose(1, 0, 2)
        mean = quiet(closed(mean, nodes)) * region(nodes.pos).astype(np.float32)[:, None]
        out = np.zeros((self.config.channels, len(graph.pos), 3), np.float32)
        rows = np.flatnonzero(inside)
        for i in range(0, len(rows), BLOCK):  # meshes can be large
            some = slice(i, i + BLOCK)
            out[:, rows[some]] = graph.frame.back(mean[:, some] if level is None else level.read(mean, some))
        tell("shaping the face", 1.0)
        return out if graph.same is None else out[:, graph.same]

    @torch.no_grad()
    def basis(self, b: GraphBatch) -> np.ndarray:
        """The network's basis [V, K, 3] in the face frame."""
        g, head, skin = self.net.encoder(b), self.net.head, self.skin
        blocks = [slice(i, i + ATTENDING) for i in range(0, len(g), ATTENDING)]
        chosen = (head.chosen(g[some], b.pos[some], b.normal[some]) for some in blocks)
        seen = [head.carried(c, None if skin is None else skin.points) for c in chosen]
        found = None if skin is None else skin.find(torch.cat([also for *_, also in seen]), b)
        parts = []
        for some, (carried, alive, _) in zip(blocks, seen, strict=True):
            fine = None if skin is None or found is None else skin.read(found, some)
            parts.append(head.turned(g[some], carried, alive, other=OTHERS, fine=fine))
        return torch.cat(parts).numpy()


def key(vertices: np.ndarray, faces: np.ndarray) -> bytes:
    """The same for the same mesh, another one as soon as anything of it changes."""
    made = hashlib.blake2b(digest_size=16)
    for array in (vertices, faces):
        array = np.ascontiguousarray(array)
        made.update(f"{array.shape}{array.dtype}".encode() + array.tobytes())
    return made.digest()


def ramp(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 at ``low``, 1 at ``high``, smooth between them."""
    x = ((x - low) / (high - low)).clip(0, 1)
    return x * x * (3 - 2 * x)


def region(pos: np.ndarray) -> np.ndarray:
    """1 where a face may move, fading to 0 far from its middle and at the back of the head: pos [V, 3] -> [V]."""
    return ramp(np.linalg.norm(pos - np.array(MIDDLE), axis=1), *REACH) * ramp(pos[:, 2], *BEHIND)


def quiet(basis: np.ndarray) -> np.ndarray:
    """Displacements [K, V, 3] too small to see become nothing, without a step."""
    size = np.linalg.norm(basis, axis=-1, keepdims=True)
    return basis * ramp(size, *STILL)
