"""The engine's job Fit: weights of channels -> weights of the keys that a rig has (mesh/key_fit.py)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from .channels import CHANNELS
from .errors import PTalkerError
from .jobs import LoadModel, Reporter, _part, _write
from .landmarks import read_guide
from .mesh.io import check_head
from .npz import check_writable
from .protocol import Fit, Result


def fit(job: Fit, load: LoadModel, reporter: Reporter) -> Result:
    """Do ``job`` and write ``job.out`` (see protocol.Fit). Raises PTalkerError, Cancelled."""
    check_writable(Path(job.out))
    weights = _read(job.weights, ("weights",))["weights"]
    keys = _read(job.keys, ("low", "high"))
    count = len(keys["poses"] if "poses" in keys else keys.get("keys", ()))
    if weights.ndim != 2 or weights.shape[1] != len(CHANNELS) or not np.isfinite(weights).all():
        raise PTalkerError("weights_invalid", f"'{Path(job.weights).name}' has no weights of the {len(CHANNELS)} channels.")
    if keys["low"].shape != (count,) or keys["high"].shape != (count,) or (keys["low"] > keys["high"]).any():
        raise PTalkerError("keys_invalid", "The shape keys' ranges do not fit them.")
    arrays = _on_poses(weights, keys, load, reporter) if "poses" in keys else _on_mesh(job, weights, keys, load, reporter)
    _write(job.out, arrays, None, reporter)
    return Result(job.id, job.out, len(weights))


def _on_mesh(
    job: Fit, weights: np.ndarray, keys: Mapping[str, np.ndarray], load: LoadModel, reporter: Reporter
) -> dict[str, np.ndarray]:
    from .mesh.guided import UNSURE
    from .mesh.key_fit import KeyFit
    from .mesh.key_fit import fit as fit_keys
    from .mesh.lips import movers

    vertices, faces = check_head(keys.get("vertices"), keys.get("faces"))
    model, guide = load(), read_guide(job.keys)
    rigged = model.rigged(vertices, faces, guide, progress=_part(reporter, 0.0, 0.6), cancelled=reporter.cancelled)
    basis = rigged.basis

    def correct(weights: np.ndarray, response: np.ndarray) -> np.ndarray:
        """The lips meet as the keys move them, not as the network would."""
        mouth = movers(basis)
        made = np.tensordot(response, keys["keys"][:, mouth], 1)
        done = model.meet(rigged.frame, vertices[mouth], made, weights)
        return weights if done is None else done

    try:
        found = fit_keys(
            weights, basis, keys["keys"], keys["low"], keys["high"],
            correct=correct if job.meet and rigged.confidence >= UNSURE else None,
            progress=_part(reporter, 0.6, 0.95), cancelled=reporter.cancelled,
        )  # fmt: skip
    except PTalkerError as error:
        if error.code != "keys_no_face":
            raise
        count = len(keys["keys"])  # nothing of the motion can be made: the caller has the basis for new keys
        found = KeyFit(np.zeros((len(weights), count), np.float32), np.full(count, -1), np.zeros(count, bool), 0.0, weights)
    met = model.met(rigged, vertices, weights) if job.meet else weights
    return {
        **vars(found), "explained": np.array(found.explained), "basis": basis.astype(np.float32, copy=False), "met": met,
    }  # fmt: skip


def _on_poses(weights: np.ndarray, keys: Mapping[str, np.ndarray], load: LoadModel, reporter: Reporter) -> dict[str, np.ndarray]:
    from .mesh.key_fit import fit as fit_keys

    poses = keys["poses"]
    if poses.ndim != 2 or poses.shape[1] != len(CHANNELS) or not np.isfinite(poses).all():
        raise PTalkerError("keys_invalid", f"A pose is a sum of the {len(CHANNELS)} channels.")
    face = load().rigger.template()
    single = (np.count_nonzero(poses, axis=1) == 1) & (poses.max(axis=1) == 1)
    found = fit_keys(
        weights, face, np.einsum("jk,kvc->jvc", poses, face), keys["low"], keys["high"],
        known_as=np.where(single, poses.argmax(axis=1), -1),
        progress=_part(reporter, 0.0, 0.95), cancelled=reporter.cancelled,
    )  # fmt: skip
    return {**vars(found), "explained": np.array(found.explained)}


def _read(path: str, needed: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The arrays of an npz file. Raises PTalkerError file_unreadable."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except Exception as error:  # a damaged file raises anything from BadZipFile to SyntaxError; all mean the same
        raise PTalkerError("file_unreadable", f"'{Path(path).name}' cannot be read as an npz file of numbers.") from error
    for name in needed:
        if name not in arrays:
            raise PTalkerError("file_unreadable", f"'{Path(path).name}' has no array '{name}'.")
    return arrays
