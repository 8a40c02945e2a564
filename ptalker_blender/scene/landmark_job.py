# SPDX-License-Identifier: GPL-3.0-or-later
"""Propose Landmarks: the model says where it sees them, and Empties are put there."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import bpy
import numpy as np

from ..core import protocol
from ..core.errors import PTalkerError
from ..engine.run import Step
from . import landmarks, targets
from .mesh_export import export
from .request import Report


def check(context: bpy.types.Context) -> bpy.types.Object:
    """The head. Raises PTalkerError no_mesh, mesh_no_faces, edit_mode."""
    meshes = targets.mesh_objects(context)
    if not meshes:
        raise PTalkerError("no_mesh", "No mesh is selected.", "Select the head.")
    obj = meshes[0]
    if obj.mode == "EDIT":
        raise PTalkerError("edit_mode", f"'{obj.name}' is in Edit Mode.", "Leave Edit Mode first.")
    if not obj.data.polygons:
        raise PTalkerError("mesh_no_faces", f"The mesh of '{obj.name}' has no faces.", "Select a head.")
    return obj


class LandmarkJob:
    """Made and applied on the main thread; ``close()`` always."""

    def __init__(self, context: bpy.types.Context) -> None:
        """Raises PTalkerError; the scene is not touched."""
        obj = check(context)
        self.target = targets.Target(obj.name, obj.data.name, len(obj.data.vertices), targets.NEW)
        self.folder = Path(tempfile.mkdtemp(prefix="ptalker-"))
        try:
            export(obj.data, self.folder / "mesh.npz", landmarks.guide(obj))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def steps(self) -> list[Step]:
        mesh, out = str(self.folder / "mesh.npz"), str(self.folder / "landmarks.npz")
        return [Step(lambda number: protocol.Landmarks(number, mesh, out), "finding the face")]

    def apply(self, results: list[protocol.Result]) -> Report:
        """Put the Empties. Raises PTalkerError where the head is gone."""
        obj = targets.resolve(self.target)
        with np.load(self.folder / "landmarks.npz") as archive:
            points, sure = archive["landmarks"], float(archive["confidence"])
        count = landmarks.put(bpy.context, obj, points, known=sure > 0)
        line = f"'{obj.name}': {count} landmarks"
        return Report(lines=[line], warnings=[w for result in results for w in result.warnings])
