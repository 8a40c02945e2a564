# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel Landmarks: what the artist tells of a head whose face is not recognised well."""

from __future__ import annotations

import bpy

from ..core.errors import PTalkerError
from ..scene import landmarks, targets
from .parts import draw_text


class PTALKER_PT_landmarks(bpy.types.Panel):
    bl_idname = "PTALKER_PT_landmarks"
    bl_label = "Landmarks"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "PTalker"
    bl_parent_id = "PTALKER_PT_sidebar"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return bool(targets.mesh_objects(context))

    def draw(self, context: bpy.types.Context) -> None:
        layout, obj = self.layout, targets.mesh_objects(context)[0]
        row = layout.row(align=True)
        row.operator_context = "INVOKE_DEFAULT"
        row.operator("ptalker.propose_landmarks", icon="EMPTY_AXIS")
        row.operator("ptalker.remove_landmarks", text="", icon="X")
        count = len(landmarks.empties(obj))
        if count:
            try:
                dragged = len(landmarks.moved(obj))
                said = f"{count} landmarks, {dragged} moved. Those that you move guide the new shapes."
            except PTalkerError as error:
                said = str(error)
            draw_text(layout, said, "INFO")
        column = layout.column()
        column.use_property_split, column.use_property_decorate = True, False
        column.prop_search(obj.ptalker, "face_group", obj, "vertex_groups")
