# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel Style: which styles, how much of each, the gains; new ones from a reference or a voice."""

from __future__ import annotations

import bpy

from ..scene import picture, reference, sound, style_jobs, style_library
from ..state import RUN
from .parts import draw_text

PICTURE = 11.0  # scale of a picture: about the width of a sidebar
MOUTHS = 6.0  # of a style's four mouths


class PTALKER_UL_styles(bpy.types.UIList):
    """Name and weight."""

    bl_idname = "PTALKER_UL_styles"

    def draw_item(self, context, layout, data, item, icon, active_data, active_property, index=0, flt_flag=0) -> None:
        own = item.text is not None
        name = item.text.name if own else item.name
        split = layout.split(factor=0.6)
        known = style_library.is_style(item.text) if own else name in style_library.built_in()
        mark = "ERROR" if not known else ("LINKED" if own and item.text.library else "USER" if own else "PRESET")
        shown = picture.style_icon(name, item.text) if mark in ("USER", "PRESET") else 0
        split.label(text=name if own else title(name), **({"icon_value": shown} if shown else {"icon": mark}))
        if len(data.rows) > 1:
            split.prop(item, "weight", text="", slider=True)


class PTALKER_MT_styles(bpy.types.Menu):
    bl_idname = "PTALKER_MT_styles"
    bl_label = "Add Style"

    def draw(self, context: bpy.types.Context) -> None:
        for name in style_library.built_in():
            self._offer(name, title(name), None, "PRESET")
        texts = style_library.saved()
        if texts:
            self.layout.separator()
        for text in texts:
            self._offer(text.name, text.name, text, "USER")

    def _offer(self, name: str, label: str, text: bpy.types.Text | None, mark: str) -> None:
        shown = picture.style_icon(name, text)
        icon = {"icon_value": shown} if shown else {"icon": mark}
        self.layout.operator("ptalker.style_add", text=label, **icon).style = name


class PTALKER_MT_style_file(bpy.types.Menu):
    bl_idname = "PTALKER_MT_style_file"
    bl_label = "Style"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.operator_context = "INVOKE_DEFAULT"
        layout.operator("ptalker.style_load", text="Load Style...", icon="IMPORT")
        layout.operator("ptalker.style_save", text="Save Style...", icon="EXPORT")
        layout.operator("ptalker.style_delete", icon="TRASH")
        layout.separator()
        layout.operator("ptalker.explain_styles", icon="IMAGE_DATA")


class PTALKER_PT_style(bpy.types.Panel):
    bl_idname = "PTALKER_PT_style"
    bl_label = "Style"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "PTalker"
    bl_parent_id = "PTALKER_PT_sidebar"

    def draw(self, context: bpy.types.Context) -> None:
        draw_style(self.layout, context)


class PTALKER_PT_style_gains(bpy.types.Panel):
    bl_idname = "PTALKER_PT_style_gains"
    bl_label = "Gains"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "PTalker"
    bl_parent_id = "PTALKER_PT_style"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        column, settings = self.layout.column(align=True), context.scene.ptalker_style
        for name in ("jaw", "lips", "upper_face", "blink"):
            column.prop(settings, name, slider=True)


class PTALKER_PT_style_reference(bpy.types.Panel):
    bl_idname = "PTALKER_PT_style_reference"
    bl_label = "New Style"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "PTalker"
    bl_parent_id = "PTALKER_PT_style"

    def draw(self, context: bpy.types.Context) -> None:
        layout, settings = self.layout, context.scene.ptalker_style
        layout.prop(settings, "reference", text="", icon="MESH_MONKEY")
        obj = settings.reference
        if obj is not None and obj.type == "MESH":
            draw_frames(layout, context, obj)
        column = layout.column(align=True)
        column.operator_context = "INVOKE_DEFAULT"
        column.operator("ptalker.style_from_reference", icon="ARMATURE_DATA")
        row = column.row(align=True)
        row.operator("ptalker.style_from_voice", text="From Voice (Strip)", icon="SOUND").source = "STRIP"
        row.operator("ptalker.style_from_voice", text="", icon="FILEBROWSER").source = "FILE"
        column = layout.column(align=True)
        column.operator_context = "INVOKE_DEFAULT"
        column.operator("ptalker.finetune_style", icon="MOD_PHYSICS")
        column.prop(settings, "minutes")
        if RUN.learned and RUN.running:
            draw_learned(layout)
        elif picture.icon(picture.PLOT):
            layout.template_icon(picture.icon(picture.PLOT), scale=PICTURE)
            layout.operator("ptalker.show_picture", icon="FULLSCREEN_ENTER")


def draw_frames(layout: bpy.types.UILayout, context: bpy.types.Context, obj: bpy.types.Object) -> None:
    """Which frames are read, how long that is, and the sound that is heard with them."""
    settings = context.scene.ptalker_style
    first, last = style_jobs.frames(settings, obj, context.scene)
    seconds = (last - first + 1) / sound.frame_rate(context.scene)
    row = layout.row(align=True)
    row.prop(settings, "use_range", text=f"Frames {first} to {last}, {seconds:.1f} s")
    if settings.use_range:
        row = layout.row(align=True)
        row.prop(settings, "first")
        row.prop(settings, "last")
    found = reference.strip_within(context, first, last)
    row = layout.row()
    row.active = found is not None
    row.prop(settings, "use_sound", text=f"Sound: {found[1]}" if found else "No sound in these frames")


def draw_learned(layout: bpy.types.UILayout) -> None:
    """The curve of fine-tuning and what was measured last."""
    if picture.icon(picture.CURVE):
        layout.template_icon(picture.icon(picture.CURVE), scale=PICTURE)
    held = [value for _, value in RUN.learned if value is not None]
    best = f", held out {100 * (min(held) - 1):+.0f} %" if held else ""
    layout.label(text=f"Step {len(RUN.learned)}: loss {RUN.learned[-1][0]:.2f}{best}")


def draw_style(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """The blend with its strength and the seed."""
    settings = context.scene.ptalker_style
    row = layout.row()
    row.template_list("PTALKER_UL_styles", "", settings, "rows", settings, "active_row", rows=3)
    side = row.column(align=True)
    side.menu("PTALKER_MT_styles", text="", icon="ADD")
    side.operator("ptalker.style_remove", text="", icon="REMOVE")
    side.menu("PTALKER_MT_style_file", text="", icon="DOWNARROW_HLT")
    if not settings.rows:
        layout.label(text="Neutral: add a style", icon="INFO")
    elif settings.active_row < len(settings.rows):
        active = settings.rows[settings.active_row]
        if style_library.is_style(active.text):
            draw_text(layout, style_library.sentence(active.text), "INFO")
        known = active.text is None or style_library.is_style(active.text)
        if known and (shown := picture.style_icon(active.name, active.text)):
            layout.template_icon(shown, scale=MOUTHS)
    column = layout.column()
    column.use_property_split, column.use_property_decorate = True, False
    if settings.rows:
        column.prop(context.scene.ptalker, "strength", slider=True)
    column.prop(context.scene.ptalker, "seed")


def title(name: str) -> str:
    return name[:1].upper() + name[1:].replace("_", " ")


CLASSES = (
    PTALKER_UL_styles, PTALKER_MT_styles, PTALKER_MT_style_file, PTALKER_PT_style, PTALKER_PT_style_gains,
    PTALKER_PT_style_reference,
)  # fmt: skip
