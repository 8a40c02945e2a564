# SPDX-License-Identifier: GPL-3.0-or-later
"""Propose Landmarks, Remove Landmarks."""

from __future__ import annotations

import bpy

from ..core.errors import PTalkerError
from ..scene import landmarks, targets
from ..scene.landmark_job import LandmarkJob, check
from .running import EngineOperator, Work, reason_from


class PTALKER_OT_propose_landmarks(EngineOperator, bpy.types.Operator):
    """Put small Empties where the face's landmarks seem to be. Drag those that are wrong: they guide the new shapes"""

    bl_idname = "ptalker.propose_landmarks"
    bl_label = "Propose Landmarks"
    bl_options = {"UNDO"}

    @classmethod
    def reason(cls, context: bpy.types.Context) -> PTalkerError | None:
        return reason_from(check, context)

    def make(self, context: bpy.types.Context) -> Work:
        return LandmarkJob(context)


class PTALKER_OT_remove_landmarks(bpy.types.Operator):
    """Delete the landmarks of the head; the model then looks for the face by itself again"""

    bl_idname = "ptalker.remove_landmarks"
    bl_label = "Remove Landmarks"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        meshes = targets.mesh_objects(context)
        if not meshes or not landmarks.empties(meshes[0]):
            cls.poll_message_set("The head has no landmarks.")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        head = targets.mesh_objects(context)[0]
        active = context.view_layer.objects.active
        if active is None or active.type == "EMPTY":
            context.view_layer.objects.active = head
        self.report({"INFO"}, f"PTalker: {landmarks.remove(head)} landmarks removed")
        return {"FINISHED"}


CLASSES = (PTALKER_OT_propose_landmarks, PTALKER_OT_remove_landmarks)
