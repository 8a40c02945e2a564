# SPDX-License-Identifier: GPL-3.0-or-later
"""The only module that knows about differences between Blender versions (4.2 to 5.2)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import bpy


# ------------------------------------------------------------------------------------------------ sequencer
def sequencer_scenes(context: bpy.types.Context) -> list[bpy.types.Scene]:
    """Scenes whose sequencer the artist may mean, best first. From 5.0 the sequencer has a scene of its own."""
    own = getattr(context, "sequencer_scene", None)
    return [scene for scene in dict.fromkeys((own, context.scene)) if scene is not None]


def strips(editor_or_meta: Any) -> list[Any]:
    """The strips directly inside a sequence editor or a meta strip ("sequences" until 4.3)."""
    return list(editor_or_meta.strips if hasattr(editor_or_meta, "strips") else editor_or_meta.sequences)


def strips_with_parents(scene: bpy.types.Scene) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """(strip, enclosing meta strips from the outside in) for every strip of a scene."""

    def walk(container: Any, parents: tuple[Any, ...]) -> Iterator[tuple[Any, tuple[Any, ...]]]:
        for strip in strips(container):
            yield strip, parents
            if strip.type == "META":
                yield from walk(strip, (*parents, strip))

    if scene.sequence_editor is not None:
        yield from walk(scene.sequence_editor, ())


def strip_range(strip: Any) -> tuple[int, int]:
    """[first, last + 1) audible frame ("left_handle" from 5.2)."""
    if hasattr(strip, "left_handle"):
        return int(strip.left_handle), int(strip.right_handle)
    return int(strip.frame_final_start), int(strip.frame_final_end)


def move_strip(strip: Any, frames: int) -> None:
    """Move a strip as a whole ("content_start" from 5.2)."""
    start = "content_start" if hasattr(strip, "content_start") else "frame_start"
    setattr(strip, start, getattr(strip, start) + frames)


def strip_source_second(strip: Any, fps: float) -> float:
    """Where in its file (seconds) a sound strip without retiming starts to sound at its first audible frame."""
    if hasattr(strip, "content_start"):
        content = float(strip.content_start)
        cut = float(strip.animation_offset_start) if hasattr(strip, "animation_offset_start") else 0.0
    else:
        content, cut = float(strip.frame_start), float(strip.animation_offset_start)
    return (strip_range(strip)[0] - content + cut) / fps - float(getattr(strip, "sound_offset", 0.0))


def is_retimed(strip: Any) -> bool:
    """Whether the strip plays at another speed than its file."""
    keys = getattr(strip, "retiming_keys", None)
    return keys is not None and len(keys) > 0


def override_scene(scene: bpy.types.Scene) -> dict[str, Any]:
    """Arguments of ``context.temp_override`` that make operators work on this scene and its sequencer."""
    arguments: dict[str, Any] = {"scene": scene, "view_layer": scene.view_layers[0]}
    if hasattr(bpy.context, "sequencer_scene"):
        arguments["sequencer_scene"] = scene
    return arguments


# ------------------------------------------------------------------------------------------------ Actions
def action_curves(id_data: bpy.types.ID) -> Any | None:
    """The collection of F-curves that animates a datablock through its active Action; None where there is none."""
    adt = id_data.animation_data
    if adt is None or adt.action is None:
        return None
    if not hasattr(adt.action, "slots"):  # until 4.3
        return adt.action.fcurves
    slot = adt.action_slot
    if slot is None:
        return None
    for layer in adt.action.layers:
        for strip in layer.strips:
            bag = strip.channelbag(slot)
            if bag is not None:
                return bag.fcurves
    return None


def assign_new_action(id_data: bpy.types.ID, name: str) -> Any:
    """Give a datablock a new, empty Action; returns its collection of F-curves."""
    adt = id_data.animation_data or id_data.animation_data_create()
    action = bpy.data.actions.new(name)
    if hasattr(action, "slots"):
        slot = action.slots.new(id_type=id_data.id_type, name=id_data.name)
        curves = action.layers.new("Layer").strips.new(type="KEYFRAME").channelbag(slot, ensure=True).fcurves
        adt.action = action
        adt.action_slot = slot  # a fresh Action leaves the slot empty
        return curves
    action.id_root = id_data.id_type
    adt.action = action
    return action.fcurves


def assign_copied_action(id_data: bpy.types.ID, name: str) -> Any:
    """Replace a datablock's Action by a copy of what animates it, under a new name; returns the copy's F-curves.

    Only this datablock's own slot goes into the copy. The Action that was there is left as it is.
    """
    adt = id_data.animation_data
    old = adt.action
    copy = old.copy()
    copy.name = name
    if not hasattr(copy, "slots"):
        adt.action = copy
        return copy.fcurves
    identifier = adt.action_slot.identifier
    for slot in list(copy.slots):
        if slot.identifier != identifier:
            copy.slots.remove(slot)
    adt.action = copy
    adt.action_slot = copy.slots[0]
    return action_curves(id_data)


def restore_action(id_data: bpy.types.ID, action: bpy.types.Action | None, slot_handle: int | None) -> None:
    """Put back what ``action_state`` told."""
    adt = id_data.animation_data
    if adt is None:
        return
    adt.action = action
    if action is not None and slot_handle is not None:
        adt.action_slot = next((s for s in action.slots if s.handle == slot_handle), None)


def action_state(id_data: bpy.types.ID) -> tuple[bpy.types.Action | None, int | None]:
    """(active Action, handle of its slot), for ``restore_action``."""
    adt = id_data.animation_data
    if adt is None:
        return None, None
    slot = getattr(adt, "action_slot", None)
    return adt.action, slot.handle if slot is not None else None


def new_curve(curves: Any, data_path: str, group: str, index: int = 0) -> Any:
    """A new F-curve in a collection from this module, in a named group where the version has it."""
    names = curves.bl_rna.functions["new"].parameters.keys()
    if "group_name" in names:  # channelbag, from 5.0
        return curves.new(data_path, index=index, group_name=group)
    if "action_group" in names:  # Action.fcurves
        return curves.new(data_path, index=index, action_group=group)
    return curves.new(data_path, index=index)  # channelbag in 4.4 and 4.5


# ------------------------------------------------------------------------------------------------ datablocks
def add_shape_key(obj: bpy.types.Object, name: str) -> bpy.types.ShapeKey:
    """A new shape key at value 0 (5.0 starts it at 1)."""
    key = obj.shape_key_add(name=name, from_mix=False)
    key.value = 0.0
    return key


def remove_scene(scene: bpy.types.Scene) -> None:
    """``scenes.remove`` crashes (seen on 4.3) where the context has no window, as in "blender -c"."""
    if bpy.context.window is None:
        bpy.data.batch_remove([scene])
    else:
        bpy.data.scenes.remove(scene)
