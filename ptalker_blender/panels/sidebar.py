# SPDX-License-Identifier: GPL-3.0-or-later
"""The PTalker tab in the sidebar of the 3D View."""

from __future__ import annotations

import bpy

from ..core.errors import PTalkerError
from ..scene import sound, targets
from .parts import draw_generate


class PTALKER_PT_sidebar(bpy.types.Panel):
    bl_idname = "PTALKER_PT_sidebar"
    bl_label = "Lip-Sync"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "PTalker"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        draw_source(layout, context)
        column = layout.column(align=True)
        meshes = targets.mesh_objects(context)
        for obj in meshes[:4]:
            column.label(text=obj.name, icon="MESH_MONKEY")
        if len(meshes) > 4:
            column.label(text=f"and {len(meshes) - 4} more", icon="BLANK1")
        draw_generate(layout, context)
        draw_offset(layout, context)


def draw_source(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """Where the sound comes from; for a strip, which one it would be."""
    settings = context.scene.ptalker
    layout.row().prop(settings, "source", expand=True)
    if settings.source == "FILE":
        layout.prop(settings, "filepath", text="")
    elif settings.source == "SOUND":
        layout.prop_search(settings, "sound", bpy.data, "sounds", text="")
    else:
        try:
            layout.label(text=sound.find_strip(context)[1].name, icon="SOUND")
        except PTalkerError:
            layout.label(text="No sound strip", icon="SOUND")  # the button below says more


def draw_offset(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    row = layout.row()
    row.use_property_split, row.use_property_decorate = True, False
    row.prop(context.scene.ptalker, "frame_offset")
