# SPDX-License-Identifier: GPL-3.0-or-later
"""Create PTalker Shape Keys."""

from __future__ import annotations

import bpy

from ..core.errors import PTalkerError
from ..scene.shape_job import ShapeJob, check
from .running import EngineOperator, Work, reason_from


class PTALKER_OT_create_keys(EngineOperator, bpy.types.Operator):
    """Give the selected meshes the 52 ARKit shape keys that they lack, made for their own shape; nothing is animated"""

    bl_idname = "ptalker.create_keys"
    bl_label = "Create PTalker Shape Keys"
    bl_options = {"UNDO"}

    @classmethod
    def reason(cls, context: bpy.types.Context) -> PTalkerError | None:
        return reason_from(check, context)

    def make(self, context: bpy.types.Context) -> Work:
        return ShapeJob(context)
