# SPDX-License-Identifier: GPL-3.0-or-later
"""The PTalker tab in the sidebar of the Video Sequencer: the strip is already under the mouse there."""

from __future__ import annotations

import bpy

from ..scene import targets
from .parts import draw_generate
from .sidebar import draw_offset, draw_source
from .style import draw_style


class PTALKER_PT_sequencer(bpy.types.Panel):
    bl_idname = "PTALKER_PT_sequencer"
    bl_label = "Lip-Sync"
    bl_space_type = "SEQUENCE_EDITOR"
    bl_region_type = "UI"
    bl_category = "PTalker"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        draw_source(layout, context)
        names = ", ".join(obj.name for obj in targets.mesh_objects(context)[:4])
        layout.label(text=names or "No mesh is selected", icon="MESH_MONKEY")
        draw_generate(layout, context)
        draw_offset(layout, context)
        draw_style(layout, context)


def draw_menu(menu: bpy.types.Menu, context: bpy.types.Context) -> None:
    """For the menus of strips: a low sequencer does not show its lowest tabs."""
    menu.layout.separator()
    menu.layout.operator_context = "INVOKE_DEFAULT"
    menu.layout.operator("ptalker.generate", icon="PLAY_SOUND")


def register_menus() -> None:
    bpy.types.SEQUENCER_MT_strip.append(draw_menu)
    bpy.types.SEQUENCER_MT_context_menu.append(draw_menu)


def unregister_menus() -> None:
    bpy.types.SEQUENCER_MT_context_menu.remove(draw_menu)
    bpy.types.SEQUENCER_MT_strip.remove(draw_menu)
