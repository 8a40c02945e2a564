# SPDX-License-Identifier: GPL-3.0-or-later
"""Cancel: the button for what Esc does."""

from __future__ import annotations

import bpy

from ..state import RUN


class PTALKER_OT_cancel(bpy.types.Operator):
    """Stop PTalker's work; nothing is changed (Esc)"""

    bl_idname = "ptalker.cancel"
    bl_label = "Cancel"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not RUN.running:
            cls.poll_message_set("PTalker is not at work.")
        return RUN.running != ""

    def execute(self, context: bpy.types.Context) -> set[str]:
        RUN.cancel_requested = True
        return {"FINISHED"}
