# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of a scene (saved, undone with it) and a read-only view of the run state on the WindowManager."""

# Annotations are calls here, as Blender wants them, and not postponed: Blender would evaluate the strings without
# this module's names.

import bpy
from bpy.app.handlers import persistent
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)

from .core.poses import POSES
from .scene import mapping
from .state import RUN

SOURCES = (
    ("STRIP", "Strip", "The active or selected sound strip of the sequencer, as it is heard"),
    ("SOUND", "Sound", "A sound of this file, from the scene's first frame on"),
    ("FILE", "File", "A sound file, from the scene's first frame on"),
)


class PTalkerSettings(bpy.types.PropertyGroup):
    source: EnumProperty(name="Source", description="What is heard", items=SOURCES, default="STRIP")
    sound: PointerProperty(name="Sound", description="The sound to speak", type=bpy.types.Sound)
    filepath: StringProperty(
        name="Sound File", description="wav, flac, ogg, mp3 and what Blender decodes", subtype="FILE_PATH"
    )
    strength: FloatProperty(
        name="Style Strength", description="0 is neutral, 1 the style itself, more exaggerates it",
        default=1.0, min=0.0, max=3.0,
    )  # fmt: skip
    seed: IntProperty(
        name="Seed", description="Another number, another take of blinks and brows; the same number, the same take",
        default=0, min=0,
    )  # fmt: skip
    frame_offset: IntProperty(
        name="Frame Offset", description="Frames by which the animation comes later (earlier when negative)", default=0,
        soft_min=-24, soft_max=24,
    )  # fmt: skip


OUTPUTS = (
    ("AUTO", "Automatic", "Shape keys that it has: by their names, else by their shapes; where it has none, new ones"),
    ("NAMES", "Own Keys by Name", "The list below says what drives what"),
    ("SHAPES", "Own Keys by Shape", "Fit the motion onto the shape keys by what they move; their names do not matter"),
    ("NEW", "New Shape Keys", "Make the shape keys that are missing, for this very mesh"),
    ("CACHE", "Vertex Cache", "Write every frame into a PC2 file beside the .blend, played by a Mesh Cache modifier"),
    ("FOLLOW", "Follow the Head", "Move with the selected head: teeth, tongue, eyes, beard, brows"),
)
KINDS = (
    ("KEY", "Shape Key", "A shape key of this mesh", "SHAPEKEY_DATA", 0),
    ("PROPERTY", "Property", "Any number that can be animated: a custom property, a bone's or a modifier's", "RNA", 1),
    ("BONE", "Bone", "Location, rotation or scale of a pose bone", "BONE_DATA", 2),
)
TRANSFORM_NAMES = {"LOC": "Location", "ROT": "Rotation", "SCALE": "Scale"}
TRANSFORMS = tuple((t, f"{TRANSFORM_NAMES[t[:-2]]} {t[-1]}", "") for t in mapping.TRANSFORMS)


def _search_source(_self, _context, text: str) -> list[str]:
    return [source for source in mapping.SOURCES if text.lower() in source.lower()]


OVERRIDE = {"LIBRARY_OVERRIDABLE"}  # a character is often linked, and speaks through a library override
EDITED = {"update": mapping.was_edited, "override": OVERRIDE}


class PTalkerRow(bpy.types.PropertyGroup):
    """One line of an object's mapping (scene/mapping.py)."""

    source: StringProperty(
        name="Channel", description="What drives: one of ARKit's 52 channels, or a pose: " + ", ".join(POSES),
        search=_search_source, **EDITED,
    )  # fmt: skip
    kind: EnumProperty(name="Kind", description="What is driven", items=KINDS, default="KEY", **EDITED)
    key: StringProperty(name="Shape Key", description="The shape key that is driven", **EDITED)
    owner: PointerProperty(
        name="Object", description="The object with the property or the bone; empty: this one", type=bpy.types.Object,
        **EDITED,
    )  # fmt: skip
    path: StringProperty(
        name="Data Path", description='From the object, as Copy Data Path gives it: ["smile"], pose.bones["jaw"]["open"]',
        **EDITED,
    )  # fmt: skip
    bone: StringProperty(name="Bone", description="The pose bone that is driven", **EDITED)
    transform: EnumProperty(
        name="Transform", description="What of the bone, in its own axes", items=TRANSFORMS, default="ROT_X",
        **EDITED,
    )  # fmt: skip
    gain: FloatProperty(
        name="Gain", description="Value at full strength; for a bone metres, degrees, or by how much its scale grows",
        default=1.0, soft_min=-2.0, soft_max=2.0, precision=2, **EDITED,
    )  # fmt: skip
    rest: FloatProperty(
        name="At Rest", description="The property's value where the face is at rest", default=0.0, precision=3,
        **EDITED,
    )  # fmt: skip
    enabled: BoolProperty(name="Use", description="Animate this", default=True, **EDITED)
    edited: BoolProperty(name="Edited", description="Changed by hand: mapping again keeps it", override=OVERRIDE)
    auto: StringProperty(options={"HIDDEN"}, override=OVERRIDE)


class PTalkerObject(bpy.types.PropertyGroup):
    """How an object speaks."""

    output: EnumProperty(name="Output", description="What is animated", items=OUTPUTS, default="AUTO", override=OVERRIDE)
    rows: CollectionProperty(type=PTalkerRow, override=OVERRIDE | {"USE_INSERTION"})
    active_row: IntProperty(name="Active Row", default=0, min=0, override=OVERRIDE)
    face_group: StringProperty(
        name="Face Group", description="The vertex group of the face: it is looked for there only", override=OVERRIDE,
    )  # fmt: skip
    meet_lips: BoolProperty(
        name="Lips Meet", default=True, override=OVERRIDE,
        description="Correct the motion, as little as can be, so that the lips of this very mesh meet at p, b and m and do not"
        " cross. Without it the keys get what the model says, as for a capture that other heads are to play",
    )  # fmt: skip
    bake_keys: IntProperty(
        name="Shape Keys", description="How many shape keys the vertex cache is baked to; more are closer to it",
        default=24, min=1, max=200, soft_max=64, override=OVERRIDE,
    )  # fmt: skip


class PTalkerStatus(bpy.types.PropertyGroup):
    """For scripts and panels. Getters only, so nothing is stored in files and undo cannot roll it back."""

    running: BoolProperty(name="Running", get=lambda self: RUN.running != "")
    stage: StringProperty(name="Stage", get=lambda self: RUN.stage)
    fraction: FloatProperty(name="Fraction", get=lambda self: RUN.fraction)
    error: StringProperty(name="Error", get=lambda self: RUN.error.sentence if RUN.error else "")
    result: StringProperty(name="Result", get=lambda self: "\n".join(RUN.result))


@persistent
def touch_references(*_: object) -> None:
    """Blender 5 loses all settings of an override on loading where the library's object has none at all, as in a file that
    was made without PTalker. Writing any of them, to linked data and so for this session only, makes them be there."""
    for obj in bpy.data.objects:
        reference = obj.override_library.reference if obj.override_library is not None else None
        if reference is not None and obj.is_property_set("ptalker") and not reference.is_property_set("ptalker"):
            reference.ptalker.output = reference.ptalker.output


def register() -> None:
    bpy.types.Object.ptalker = PointerProperty(type=PTalkerObject, name="PTalker", override=OVERRIDE)
    bpy.types.Scene.ptalker = PointerProperty(type=PTalkerSettings)
    bpy.types.WindowManager.ptalker = PointerProperty(type=PTalkerStatus)
    bpy.app.handlers.save_pre.append(touch_references)


def unregister() -> None:
    bpy.app.handlers.save_pre.remove(touch_references)
    del bpy.types.WindowManager.ptalker
    del bpy.types.Scene.ptalker
    del bpy.types.Object.ptalker
