# SPDX-License-Identifier: GPL-3.0-or-later
"""Restart Engine and Show Log."""

from __future__ import annotations

import bpy

from .. import engine
from ..core.errors import PTalkerError
from ..preferences import engine_spec, user_folder
from ..state import RUN


class PTALKER_OT_restart_engine(bpy.types.Operator):
    """End the engine process and start a new one"""

    bl_idname = "ptalker.restart_engine"
    bl_label = "Restart Engine"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if RUN.running:
            cls.poll_message_set("PTalker is at work.")
        return not RUN.running

    def execute(self, context: bpy.types.Context) -> set[str]:
        engine.stop()
        try:
            engine.obtain(engine_spec())
        except PTalkerError as error:
            RUN.error = error
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        RUN.error = None
        return {"FINISHED"}


class PTALKER_OT_show_log(bpy.types.Operator):
    """Open the folder with what the engine and its installation said"""

    bl_idname = "ptalker.show_log"
    bl_label = "Show Log"

    def execute(self, context: bpy.types.Context) -> set[str]:
        folder = user_folder("logs")
        if bpy.app.background:
            print(folder)
        else:
            bpy.ops.wm.path_open(filepath=str(folder))
        return {"FINISHED"}
