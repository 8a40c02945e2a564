"""The engine's job Meet: weights whose lips meet on a head that speaks with its own shape keys (mesh/meeting.py)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .channels import CHANNELS
from .errors import PTalkerError
from .jobs import LoadModel, Reporter, _write
from .landmarks import read_guide
from .mesh import guided
from .mesh.io import read_head
from .npz import check_writable
from .protocol import Meet, Result
from .rig_job import read_weights

NO_MOUTH = PTalkerError("no_mouth", "They open no mouth where the face was found.")
UNSURE = PTalkerError("face_unsure", "The face was recognised with little certainty.")


@dataclass(frozen=True)
class OwnKeys:
    """What channels do on a mesh through its own shape keys: ``channels`` [N] by number, ``vertices`` [M] by number, ``shapes``
    [N, M, 3] what each channel adds to those at weight 1 in the mesh's units, and ``most`` [N] the weight from which on it adds
    no more. All other channels move nothing."""

    channels: np.ndarray
    vertices: np.ndarray
    shapes: np.ndarray
    most: np.ndarray

    @classmethod
    def read(cls, path: str | Path, count: int) -> OwnKeys:
        """The arrays key_channels, key_vertices, key_shapes, key_most of a mesh file with ``count`` vertices.

        Raises PTalkerError keys_invalid."""
        with np.load(path, allow_pickle=False) as archive:
            try:
                own = cls(*(archive["key_" + name] for name in cls.__dataclass_fields__))
            except (KeyError, ValueError) as error:
                raise PTalkerError("keys_invalid", "The mesh file does not say what its shape keys do.") from error
        good = own.shapes.shape == (len(own.channels), len(own.vertices), 3) and own.most.shape == own.channels.shape
        for numbers, end in ((own.channels, len(CHANNELS)), (own.vertices, count)):
            good = good and numbers.ndim == 1 and numbers.dtype.kind in "iu" and ((numbers >= 0) & (numbers < end)).all()
        if not good or not np.isfinite(own.shapes).all() or not (own.most > 0).all():
            raise PTalkerError("keys_invalid", "What the shape keys do does not belong to this mesh.")
        return own

    def basis(self) -> tuple[np.ndarray, np.ndarray]:
        """Displacements [K, M, 3] of all channels, and the weight [K] up to which each moves something."""
        shapes, most = np.zeros((len(CHANNELS), len(self.vertices), 3), np.float32), np.ones(len(CHANNELS))
        shapes[self.channels], most[self.channels] = self.shapes, self.most
        return shapes, most


def meet(job: Meet, load: LoadModel, reporter: Reporter) -> Result:
    """Do ``job`` and write ``job.out`` (see protocol.Meet). What is wrong with the mesh or its face leaves the weights as they
    are: speech does not fail for it. Raises PTalkerError for files that are no weights or cannot be written, Cancelled."""
    check_writable(Path(job.out))
    weights, why = read_weights(job.weights), ""
    reporter.progress("finding the face", 0.0)
    model = load()
    try:
        vertices, faces = read_head(job.mesh)
        own = OwnKeys.read(job.mesh, len(vertices))
        face = guided.look(model.rigger, vertices, faces, read_guide(job.mesh), reporter.cancelled)
        if face.confidence < guided.UNSURE:
            raise UNSURE
        reporter.progress("closing the lips", 0.7)
        (basis, most), mine, frame = own.basis(), vertices[own.vertices], face.graph.frame
        done = model.meet(frame, mine, basis, weights, most) if guided.has_lips(frame, mine, basis) else None
        if done is None:
            raise NO_MOUTH
        weights = done
    except PTalkerError as error:
        why = error.sentence
    _write(job.out, {"weights": weights, "why": np.array(why)}, None, reporter)
    return Result(job.id, job.out, len(weights), figures={"met": not why})
