# SPDX-License-Identifier: GPL-3.0-or-later
"""Bake to Shape Keys: a vertex cache becomes a few shape keys with curves, to edit and for glTF and FBX."""

from __future__ import annotations

import bpy

from ..core.errors import PTalkerError
from ..scene import bake
from ..state import RUN


class PTALKER_OT_bake_keys(bpy.types.Operator):
    """Make the vertex cache of the active object into shape keys with curves; says how far off they are"""

    bl_idname = "ptalker.bake_keys"
    bl_label = "Bake to Shape Keys"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        try:
            bake.check(context.view_layer.objects.active)
        except PTalkerError as error:
            cls.poll_message_set(str(error))
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        obj = context.view_layer.objects.active
        try:
            line, action, warnings = bake.bake(context, obj, obj.ptalker.bake_keys)
        except PTalkerError as error:
            RUN.error = error
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        RUN.error, RUN.result, RUN.warnings, RUN.actions = None, [line], warnings, [action]
        self.report({"INFO"}, f"PTalker: {line}")
        return {"FINISHED"}
