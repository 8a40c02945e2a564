# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of a scene (saved, undone with it) and a read-only view of the run state on the WindowManager."""

# Annotations are calls here, as Blender wants them, and not postponed: Blender would evaluate the strings without
# this module's names.

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, PointerProperty, StringProperty

from .state import RUN

SOURCES = (
    ("STRIP", "Strip", "The active or selected sound strip of the sequencer, as it is heard"),
    ("SOUND", "Sound", "A sound of this file, from the scene's first frame on"),
    ("FILE", "File", "A sound file, from the scene's first frame on"),
)
STYLES = (
    ("NEUTRAL", "Neutral", "The model's own way to speak"),
    ("FILE", "File", "A speaking style from a file"),
)


class PTalkerSettings(bpy.types.PropertyGroup):
    source: EnumProperty(name="Source", description="What is heard", items=SOURCES, default="STRIP")
    sound: PointerProperty(name="Sound", description="The sound to speak", type=bpy.types.Sound)
    filepath: StringProperty(
        name="Sound File", description="wav, flac, ogg, mp3 and what Blender decodes", subtype="FILE_PATH"
    )
    style: EnumProperty(name="Style", description="Whose way to speak", items=STYLES, default="NEUTRAL")
    style_path: StringProperty(
        name="Style File", description="A speaking style that was saved before", subtype="FILE_PATH"
    )
    strength: FloatProperty(
        name="Style Strength", description="0 is neutral, 1 the style itself, more exaggerates it",
        default=1.0, min=0.0, max=3.0, soft_max=2.0,
    )  # fmt: skip
    seed: IntProperty(
        name="Seed", description="Another number, another take of blinks and brows; the same number, the same take",
        default=0, min=0,
    )  # fmt: skip
    frame_offset: IntProperty(
        name="Frame Offset", description="Frames by which the animation comes later (earlier when negative)", default=0,
        soft_min=-24, soft_max=24,
    )  # fmt: skip


class PTalkerStatus(bpy.types.PropertyGroup):
    """For scripts and panels. Getters only, so nothing is stored in files and undo cannot roll it back."""

    running: BoolProperty(name="Running", get=lambda self: RUN.running != "")
    stage: StringProperty(name="Stage", get=lambda self: RUN.stage)
    fraction: FloatProperty(name="Fraction", get=lambda self: RUN.fraction)
    error: StringProperty(name="Error", get=lambda self: RUN.error.sentence if RUN.error else "")
    result: StringProperty(name="Result", get=lambda self: "\n".join(RUN.result))


def register() -> None:
    bpy.types.Scene.ptalker = PointerProperty(type=PTalkerSettings)
    bpy.types.WindowManager.ptalker = PointerProperty(type=PTalkerStatus)


def unregister() -> None:
    del bpy.types.WindowManager.ptalker
    del bpy.types.Scene.ptalker
