# SPDX-License-Identifier: GPL-3.0-or-later
"""Create PTalker Shape Keys: the 52 ARKit shapes for meshes that lack them, without any animation."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import bpy
import numpy as np

from ..core import protocol
from ..core.channels import CHANNELS
from ..core.errors import PTalkerError
from ..engine.run import Step
from . import landmarks, targets
from .mesh_export import export
from .request import Report


def check(context: bpy.types.Context) -> list[bpy.types.Object]:
    """The selected meshes. Raises PTalkerError where one of them cannot get shape keys."""
    meshes = targets.mesh_objects(context)
    if not meshes:
        raise PTalkerError("no_mesh", "No mesh is selected.", "Select the head.")
    for obj in meshes:
        if len(targets.examine_new(obj).keys) == len(CHANNELS):
            raise PTalkerError("keys_there", f"'{obj.name}' has all {len(CHANNELS)} shape keys.")
    return meshes


class ShapeJob:
    """Made and applied on the main thread; ``close()`` always."""

    def __init__(self, context: bpy.types.Context) -> None:
        """Raises PTalkerError; the scene is not touched."""
        self.targets = [targets.examine_new(obj) for obj in check(context)]
        self.folder = Path(tempfile.mkdtemp(prefix="ptalker-"))
        try:
            for number, target in enumerate(self.targets):
                obj = targets.resolve(target)
                export(obj.data, self.folder / f"mesh{number}.npz", landmarks.guide(obj))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def steps(self) -> list[Step]:
        def rig(index: int, number: int) -> protocol.Job:
            return protocol.Rig(number, str(self.folder / f"mesh{index}.npz"), str(self.folder / f"basis{index}.npz"))

        return [Step(partial(rig, i), f"making shapes for {t.object_name}") for i, t in enumerate(self.targets)]

    def apply(self, results: list[protocol.Result]) -> Report:
        """Add the keys, or raise PTalkerError and leave the meshes as they are."""
        report = Report(warnings=[w for result in results for w in result.warnings])
        undo: list[Callable[[], None]] = []
        try:
            for index, old in enumerate(self.targets):
                obj = targets.resolve(old)
                target = targets.examine_new(obj)
                with np.load(self.folder / f"basis{index}.npz") as archive:
                    basis, names = archive["basis"], [str(name) for name in archive["names"]]
                keys = targets.create_keys(obj, target, basis, names, undo, everything=True)
                report.lines.append(f"'{obj.name}': {len(keys) - len(target.keys)} new shape keys")
                report.warnings += target.warnings
                if still := [name for name in names if not np.any(basis[names.index(name)]) and name not in target.keys]:
                    report.warnings.append(f"'{obj.name}': {targets.listed(still)} move nothing on this mesh.")
        except BaseException:
            for back in reversed(undo):
                back()
            raise
        return report
