# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel Rig: what is animated on the active mesh, and the list of what drives what."""

from __future__ import annotations

import bpy

from ..core.errors import PTalkerError
from ..scene import cache, mapping, targets
from .parts import draw_text, redraw

MODES = {
    targets.NAMES: "Own shape keys, by name", targets.SHAPES: "Own shape keys, by shape", targets.NEW: "New shape keys",
    targets.CACHE: "Vertex cache", targets.FOLLOW: "Follows the head",
}  # fmt: skip
ICONS = {"KEY": "SHAPEKEY_DATA", "PROPERTY": "RNA", "BONE": "BONE_DATA"}

_wanted: set[str] = set()  # objects whose list has to be filled: drawing must not write


class PTALKER_UL_mapping(bpy.types.UIList):
    """Channel, target, gain."""

    bl_idname = "PTALKER_UL_mapping"

    def draw_item(self, context, layout, data, item, icon, active_data, active_property, index=0, flt_flag=0) -> None:
        line = mapping.read(item)
        wrong = mapping.problem(item.id_data, line)
        row = layout.row(align=True)
        check = row.row(align=True)
        check.active = not wrong
        check.prop(item, "enabled", text="")
        body = row.row(align=True)
        body.active = line.enabled and not wrong
        if not wrong and line.target == line.source and not line.edited:  # a sidebar is narrow: once is enough
            split = body.split(factor=0.7)
            split.label(text=line.source)
            split.prop(item, "gain", text="", emboss=False)
            return
        split = body.split(factor=0.4)
        split.label(text=line.source)
        if wrong:
            split.label(text="missing" if wrong == "missing" else f"{line.target} {wrong}", icon="ERROR")
            return
        rest = split.split(factor=0.6)
        rest.label(text=line.target, icon="GREASEPENCIL" if line.edited else "NONE" if line.kind == "KEY" else ICONS[line.kind])
        rest.prop(item, "gain", text="", emboss=False)

    def filter_items(self, context, data, property) -> tuple[list[int], list[int]]:
        rows = getattr(data, property)
        text = self.filter_name.lower()
        shown = self.bitflag_filter_item
        return [shown if text in f"{row.source} {row.key} {row.path} {row.bone}".lower() else 0 for row in rows], []


class PTALKER_PT_rig(bpy.types.Panel):
    bl_idname = "PTALKER_PT_rig"
    bl_label = "Rig"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "PTalker"
    bl_parent_id = "PTALKER_PT_sidebar"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        obj = context.view_layer.objects.active
        return obj is not None and obj.type == "MESH"

    def draw(self, context: bpy.types.Context) -> None:
        layout, obj = self.layout, context.view_layer.objects.active
        settings = obj.ptalker
        row = layout.row()
        row.use_property_split, row.use_property_decorate = True, False
        row.prop(settings, "output")
        try:
            mode = targets.examine(obj, quick=True).mode
            if settings.output == "AUTO":
                layout.label(text=MODES[mode], icon="RIGHTARROW_THIN")
        except PTalkerError as error:
            mode = ""
            draw_text(layout, str(error), "INFO")
        if settings.output in ("AUTO", "NAMES"):
            draw_list(layout, obj)
        if mode and mode != targets.FOLLOW:
            layout.prop(settings, "meet_lips")
        if cache.caches(obj):
            row = layout.row(align=True)
            row.operator("ptalker.bake_keys", icon="ACTION")
            row.prop(settings, "bake_keys", text="")
        layout.operator_context = "INVOKE_DEFAULT"
        layout.operator("ptalker.create_keys", icon="SHAPEKEY_DATA")


def draw_list(layout: bpy.types.UILayout, obj: bpy.types.Object) -> None:
    settings = obj.ptalker
    if (reason := mapping.locked(obj)) is not None:
        draw_text(layout, str(reason), "INFO")
    elif mapping.is_stale(obj):
        ask_to_fill(obj)
    lines = mapping.stored(obj)
    used = {line.source for line in lines if line.enabled and not mapping.problem(obj, line)}
    every = {line.source for line in lines}
    label = mapping.lines(obj)[1].label or "No known names"
    layout.label(text=f"{label}: {len(used)} of {len(every)}" if every else label, icon="OUTLINER_DATA_GP_LAYER")
    row = layout.row()
    row.template_list("PTALKER_UL_mapping", "", settings, "rows", settings, "active_row", rows=8)
    side = row.column(align=True)
    side.operator("ptalker.mapping_add", text="", icon="ADD")
    side.operator("ptalker.mapping_remove", text="", icon="REMOVE")
    side.separator()
    side.operator("ptalker.map_again", text="", icon="FILE_REFRESH")
    side.operator("ptalker.mapping_load", text="", icon="IMPORT")
    side.operator("ptalker.mapping_save", text="", icon="EXPORT")
    if settings.active_row < len(settings.rows):
        draw_row(layout, obj, settings.rows[settings.active_row])


def draw_row(layout: bpy.types.UILayout, obj: bpy.types.Object, row: bpy.types.PropertyGroup) -> None:
    """All of the active row."""
    column = layout.column()
    column.use_property_split, column.use_property_decorate = True, False
    column.prop(row, "source")
    column.prop(row, "kind")
    if row.kind == "KEY":
        if obj.data.shape_keys:
            column.prop_search(row, "key", obj.data.shape_keys, "key_blocks")
    else:
        column.prop(row, "owner")
        owner = row.owner or obj
        if row.kind == "PROPERTY":
            column.prop(row, "path")
            column.prop(row, "rest")
        elif owner.type == "ARMATURE":
            column.prop_search(row, "bone", owner.pose, "bones")
            column.prop(row, "transform")
        else:
            draw_text(column, "Choose the armature as Object.", "INFO")
    column.prop(row, "gain")


def ask_to_fill(obj: bpy.types.Object) -> None:
    """Have the list filled right after drawing. Only of an object whose list is not locked."""
    if not _wanted:
        bpy.app.timers.register(_fill_wanted, first_interval=0.0)
    _wanted.add(obj.name)


def _fill_wanted() -> None:
    names = list(_wanted)
    _wanted.clear()
    for name in names:
        obj = bpy.data.objects.get((name, None))
        if obj is not None and obj.type == "MESH" and mapping.locked(obj) is None and mapping.is_stale(obj):
            mapping.fill(obj)
    redraw(bpy.context)


def end_all() -> None:
    """For unregister."""
    _wanted.clear()
    if bpy.app.timers.is_registered(_fill_wanted):
        bpy.app.timers.unregister(_fill_wanted)
