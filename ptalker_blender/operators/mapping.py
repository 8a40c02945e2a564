# SPDX-License-Identifier: GPL-3.0-or-later
"""The mapping's buttons: Map Again, add and remove a row, save and load a preset."""

# Annotations are calls here, as Blender wants them, and not postponed.

from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpy
from bpy.props import BoolProperty, StringProperty
from bpy_extras.io_utils import ExportHelper, ImportHelper

from ..core.errors import PTalkerError
from ..scene import mapping, presets

SUFFIX = ".ptalker.json"


class _OnMesh:
    bl_options = {"REGISTER", "UNDO"}
    if TYPE_CHECKING:
        report: Any
        poll_message_set: Any

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        obj = context.view_layer.objects.active
        there = obj is not None and obj.type == "MESH"
        if not there:
            cls.poll_message_set("The active object is no mesh.")
        return there

    def failed(self, error: PTalkerError) -> set[str]:
        self.report({"ERROR"}, str(error))
        return {"CANCELLED"}


class PTALKER_OT_map_again(_OnMesh, bpy.types.Operator):
    """Fill the list from the names of the shape keys; rows that were edited stay"""

    bl_idname = "ptalker.map_again"
    bl_label = "Map Again"

    forget: BoolProperty(name="Forget Edits", description="Rows that were edited go, too", default=False)

    def execute(self, context: bpy.types.Context) -> set[str]:
        obj = context.view_layer.objects.active
        try:
            mapping.fill(obj, self.forget)
        except PTalkerError as error:
            return self.failed(error)
        used = sum(line.enabled and not mapping.problem(obj, line) for line in mapping.stored(obj))
        self.report({"INFO"}, f"{used} of {len(obj.ptalker.rows)} rows are mapped")
        return {"FINISHED"}


class PTALKER_OT_mapping_add(_OnMesh, bpy.types.Operator):
    """Add a row: the same channel may drive several shape keys, properties and bones"""

    bl_idname = "ptalker.mapping_add"
    bl_label = "Add Row"

    def execute(self, context: bpy.types.Context) -> set[str]:
        obj = context.view_layer.objects.active
        settings = obj.ptalker
        source = settings.rows[settings.active_row].source if settings.active_row < len(settings.rows) else "jawOpen"
        try:
            mapping.add(obj, mapping.Line(source, edited=True, auto=mapping.BY_HAND))
        except PTalkerError as error:
            return self.failed(error)
        return {"FINISHED"}


class PTALKER_OT_mapping_remove(_OnMesh, bpy.types.Operator):
    """Remove the row; one that comes from the names is turned off instead, or it would come again"""

    bl_idname = "ptalker.mapping_remove"
    bl_label = "Remove Row"

    def execute(self, context: bpy.types.Context) -> set[str]:
        obj = context.view_layer.objects.active
        settings = obj.ptalker
        if settings.active_row >= len(settings.rows):
            return {"CANCELLED"}
        try:
            mapping.remove(obj, settings.active_row)
        except PTalkerError as error:
            return self.failed(error)
        return {"FINISHED"}


class PTALKER_OT_mapping_save(_OnMesh, bpy.types.Operator, ExportHelper):
    """Save the list as a file that can be shared"""

    bl_idname = "ptalker.mapping_save"
    bl_label = "Save Mapping"
    bl_options = {"REGISTER"}

    filename_ext = SUFFIX
    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        obj = context.view_layer.objects.active
        try:
            presets.save(Path(self.filepath), obj.name, mapping.lines(obj)[0])
        except PTalkerError as error:
            return self.failed(error)
        self.report({"INFO"}, f"Saved {Path(self.filepath).name}")
        return {"FINISHED"}


class PTALKER_OT_mapping_load(_OnMesh, bpy.types.Operator, ImportHelper):
    """Load a list that was saved; it takes the place of this one"""

    bl_idname = "ptalker.mapping_load"
    bl_label = "Load Mapping"

    filename_ext = ".json"
    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        obj = context.view_layer.objects.active
        try:
            rows = [mapping.Line(**row) for row in presets.load(Path(self.filepath))]
            mapping.replace_all(obj, rows)
        except PTalkerError as error:
            return self.failed(error)
        unused = [f"{row.target} ({mapping.problem(obj, row)})" for row in rows if mapping.problem(obj, row)]
        if unused:
            more = f" and {len(unused) - 3} more" if len(unused) > 3 else ""
            self.report({"WARNING"}, f"Not on this object: {', '.join(unused[:3])}{more}")
        self.report({"INFO"}, f"{len(rows) - len(unused)} of {len(rows)} rows of the preset fit")
        return {"FINISHED"}
