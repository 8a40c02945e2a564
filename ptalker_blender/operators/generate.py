# SPDX-License-Identifier: GPL-3.0-or-later
"""Generate Lip-Sync."""

from __future__ import annotations

import bpy

from ..core.errors import PTalkerError
from ..scene.job import Job
from ..scene.request import Report, Request, check
from .running import EngineOperator, Work, busy_reason, end_all, run_work

__all__ = ["PTALKER_OT_generate", "disabled_reason", "end_all", "run_blocking"]


def disabled_reason(context: bpy.types.Context) -> PTalkerError | None:
    """Why the button is grey; None where it is not."""
    if (busy := busy_reason()) is not None:
        return busy
    try:
        check(context, Request.from_settings(context.scene))
    except PTalkerError as error:
        return error
    return None


def run_blocking(context: bpy.types.Context, request: Request, console: bool) -> Report:
    """All of it at once. Raises PTalkerError and Cancelled; the scene is then as it was."""
    return run_work(Job(context, request), console)


class PTALKER_OT_generate(EngineOperator, bpy.types.Operator):
    """Animate the selected meshes so that they speak the sound"""

    bl_idname = "ptalker.generate"
    bl_label = "Generate Lip-Sync"
    bl_options = {"UNDO"}

    @classmethod
    def reason(cls, context: bpy.types.Context) -> PTalkerError | None:
        return disabled_reason(context)

    def make(self, context: bpy.types.Context) -> Work:
        return Job(context, Request.from_settings(context.scene))
