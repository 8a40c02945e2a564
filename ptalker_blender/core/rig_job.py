"""The engine's jobs Rig and Landmarks: a mesh to its shapes, to where its landmarks are, and weights whose lips meet on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .channels import CHANNELS
from .errors import PTalkerError
from .follow_job import rig_parts
from .jobs import LoadModel, Reporter, _part, _write
from .landmark_places import NAMES
from .landmarks import read_guide
from .mesh import guided
from .mesh.io import read_head
from .npz import check_writable
from .protocol import Landmarks, Result, Rig

UNSURE_SENTENCE = "The face was recognised with little certainty: look at the result, and mark landmarks where it is wrong."
BLIND_SENTENCE = "No face was recognised: drag each landmark to its place on the face, and delete those that it does not have."


def rig(job: Rig, load: LoadModel, reporter: Reporter) -> Result:
    """Do ``job`` and write ``job.out``: names [K], basis [K, V, 3] float32 and landmarks [L, 3] with landmark_names [L], in the
    mesh's own units and frame, and confidence 0..1 that the face is where it was found. Of ``job.weights`` also weights [T, K],
    whose lips meet on this mesh.

    The mesh may be a head with parts that follow it (follow_job.py). Raises PTalkerError, Cancelled.
    """
    check_writable(job.out, job.mesh, job.landmarks, job.weights)
    vertices, faces = read_head(job.mesh)
    guide = read_guide(job.mesh, job.landmarks)
    weights = None if job.weights is None else read_weights(job.weights)
    model = load()
    found: list[guided.Rigged] = []  # of the head; then of the head with what follows it

    def rig_mesh(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
        mine, report = guide.first(len(vertices)), _part(reporter, 0.0, 0.95)
        found.append(guided.rig(model.rigger, vertices, faces, mine, report, reporter.cancelled))
        return found[-1].basis

    basis = rig_parts(job.mesh, vertices, faces, rig_mesh)
    marks, sure = found[0].landmarks, found[0].confidence
    arrays = {"names": np.array(CHANNELS), "basis": basis.astype(np.float32, copy=False), **_landmarks(marks, sure)}
    if weights is not None:
        arrays["weights"] = model.met(found[0], vertices[: found[0].basis.shape[1]], weights)
    _write(job.out, arrays, None, reporter)
    warnings = () if sure >= guided.UNSURE else (UNSURE_SENTENCE,)
    return Result(job.id, job.out, warnings=warnings, figures={"confidence": round(sure, 3)})


def landmarks(job: Landmarks, load: LoadModel, reporter: Reporter) -> Result:
    """Do ``job`` and write ``job.out``: what ``rig`` writes without names and basis. Where there is no face to be seen they are
    laid out in front of the mesh, with confidence 0. Raises PTalkerError, Cancelled."""
    check_writable(job.out, job.mesh)
    vertices, faces = read_head(job.mesh)
    guide = read_guide(job.mesh)
    reporter.progress("finding the face", 0.0)
    warnings: tuple[str, ...] = ()
    try:
        marks, sure = guided.seen(load().rigger, vertices, faces, guide, reporter.cancelled)
    except PTalkerError as error:
        if error.code != "face_not_found":
            raise
        marks, sure, warnings = guided.laid_out(vertices, faces), 0.0, (BLIND_SENTENCE,)
    _write(job.out, _landmarks(marks, sure), None, reporter)
    return Result(job.id, job.out, warnings=warnings, figures={"confidence": round(sure, 3)})


def _landmarks(marks: np.ndarray, confidence: float) -> dict[str, np.ndarray | np.generic]:
    return {"landmark_names": np.array(NAMES), "landmarks": marks.astype(np.float32), "confidence": np.float64(confidence)}


def read_weights(path: str) -> np.ndarray:
    """The weights [T, K] of a Generate's ``out``. Raises PTalkerError file_unreadable, weights_invalid."""
    name = Path(path).name
    try:
        with np.load(path, allow_pickle=False) as archive:
            weights = archive["weights"]
    except Exception as error:  # a damaged file raises anything from BadZipFile to SyntaxError; all mean the same
        raise PTalkerError("file_unreadable", f"'{name}' cannot be read as an npz file with weights.") from error
    if weights.ndim != 2 or weights.shape[1] != len(CHANNELS) or weights.dtype.kind != "f" or not np.isfinite(weights).all():
        raise PTalkerError("weights_invalid", f"'{name}' has no weights of the {len(CHANNELS)} channels.")
    return weights
