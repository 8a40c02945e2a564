# SPDX-License-Identifier: GPL-3.0-or-later
"""Fine-Tune Style: minutes of learning, with a live curve; Cancel keeps the best so far."""

from __future__ import annotations

import bpy

from ..scene import picture
from ..scene.style_jobs import FineTuneJob
from ..state import RUN
from .running import Work
from .style import ReferenceOperator


class PTALKER_OT_finetune_style(ReferenceOperator, bpy.types.Operator):
    """Learn a way of speaking from an animated mesh and its sound, ten seconds or more. Cancel (or Esc) keeps the best so far"""

    bl_idname = "ptalker.finetune_style"
    bl_label = "Fine-Tune Style"
    bl_options = {"UNDO"}

    _drawn = 0

    def make(self, context: bpy.types.Context) -> Work:
        return FineTuneJob(context)

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if self._run is not None and event.type == "TIMER":
            RUN.learned = self._run.learned
            if len(RUN.learned) > self._drawn:
                self._drawn = len(RUN.learned)
                picture.show_curve(RUN.learned)
        return super().modal(context, event)
