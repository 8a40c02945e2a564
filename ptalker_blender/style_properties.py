# SPDX-License-Identifier: GPL-3.0-or-later
"""A scene's style: which ones, how much of each, the gains, and where a new one is read from."""

# Annotations are calls here, as in properties.py.

import bpy
from bpy.props import BoolProperty, CollectionProperty, FloatProperty, IntProperty, PointerProperty

USE_GAIN = {"min": 0.0, "max": 3.0, "soft_max": 2.0, "default": 1.0}


def _is_mesh(_self, obj: bpy.types.Object) -> bool:
    return obj.type == "MESH"


class PTalkerShare(bpy.types.PropertyGroup):
    """A style and how much of it. ``name`` is a built-in one's; a style of this file is ``text``."""

    text: PointerProperty(name="Style", description="A style of this file", type=bpy.types.Text)
    weight: FloatProperty(
        name="Weight", description="How much of this style; weights are made to add up to 1", default=1.0, min=0.0, max=1.0
    )


class PTalkerStyle(bpy.types.PropertyGroup):
    rows: CollectionProperty(type=PTalkerShare)
    active_row: IntProperty(name="Active Style", default=0, min=0)
    jaw: FloatProperty(name="Jaw", description="How far the jaw moves; p, b and m stay closed", **USE_GAIN)
    lips: FloatProperty(name="Lips", description="How far lips and cheeks move; p, b and m stay closed", **USE_GAIN)
    upper_face: FloatProperty(name="Upper Face", description="How far brows and gaze move", **USE_GAIN)
    blink: FloatProperty(name="Blink", description="How often the eyes blink", **USE_GAIN)
    reference: PointerProperty(
        name="Reference", description="The mesh whose way of speaking is read; it may be another one than the head to animate",
        type=bpy.types.Object, poll=_is_mesh,
    )  # fmt: skip
    use_range: BoolProperty(
        name="Frame Range", description="Read these frames only, not all that are animated", default=False
    )
    first: IntProperty(name="First", description="First frame that is read", default=1)
    last: IntProperty(name="Last", description="Last frame that is read", default=250)
    use_sound: BoolProperty(
        name="With Its Sound", description="Listen also to the sound strip that is heard in these frames", default=True
    )
    minutes: FloatProperty(
        name="Minutes", description="Fine-tuning takes so long at most", default=4.0, min=0.5, max=120.0, soft_max=20.0
    )


CLASSES = (PTalkerShare, PTalkerStyle)


def register() -> None:
    bpy.types.Scene.ptalker_style = PointerProperty(type=PTalkerStyle, name="PTalker Style")


def unregister() -> None:
    del bpy.types.Scene.ptalker_style
