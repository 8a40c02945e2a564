# SPDX-License-Identifier: GPL-3.0-or-later
"""Preferences: which Python runs the engine, on which device; Install Engine and its status."""

# Annotations are calls here, as Blender wants them, and not postponed: Blender would evaluate the strings without
# this module's names.

from pathlib import Path

import bpy
from bpy.props import EnumProperty, StringProperty

from .core.errors import PTalkerError
from .engine import EngineSpec, interpreter
from .engine.install import installed_python

DEVICES = (
    ("auto", "Automatic", "The graphics card where the engine can use it, else the processor"),
    ("cpu", "CPU", "The processor"),
    ("cuda", "CUDA", "An NVIDIA graphics card"),
    ("mps", "Metal", "The graphics of an Apple computer"),
)


class PTalkerPreferences(bpy.types.AddonPreferences):
    bl_idname = __package__

    engine_python: StringProperty(
        name="Engine Python",
        description="A Python 3.11 to 3.13 that has the engine's packages; empty: what Install Engine made",
        subtype="FILE_PATH",
    )
    base_python: StringProperty(
        name="Install With",
        description="The Python from which Install Engine makes its environment; empty: Blender's own",
        subtype="FILE_PATH",
    )
    device: EnumProperty(name="Device", description="What the engine computes on", items=DEVICES, default="auto")

    def draw(self, context: bpy.types.Context) -> None:
        from .panels.parts import draw_error, draw_progress
        from .state import RUN

        layout = self.layout
        layout.use_property_split = True
        try:
            layout.label(text=f"Engine: {engine_spec().python}", icon="CHECKMARK")
        except PTalkerError as error:
            layout.label(text=error.sentence, icon="ERROR")
        if RUN.running == "install":
            draw_progress(layout)
        else:
            row = layout.row()
            row.operator("ptalker.install_engine", icon="IMPORT")
            row.operator("ptalker.restart_engine", icon="FILE_REFRESH")
            row.operator("ptalker.show_log", icon="TEXT")
            draw_error(layout)
        layout.prop(self, "device")
        layout.prop(self, "engine_python")
        layout.prop(self, "base_python")


def preferences() -> PTalkerPreferences:
    return bpy.context.preferences.addons[__package__].preferences


def user_folder(name: str) -> Path:
    """A folder of ours that survives updates of the extension."""
    return Path(bpy.utils.extension_path_user(__package__, path=name, create=True))


def engine_folder() -> Path:
    """Where Install Engine puts its environment; may not exist."""
    return user_folder("") / "engine"


def engine_spec() -> EngineSpec:
    """The engine as environment and preferences want it. Raises PTalkerError engine_missing, engine_python_missing."""
    settings = preferences()
    named = bpy.path.abspath(settings.engine_python) if settings.engine_python else ""
    python = interpreter.find(named, installed_python(engine_folder()))
    return EngineSpec(python, settings.device, user_folder("logs") / "engine.log")
