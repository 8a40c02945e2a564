# SPDX-License-Identifier: GPL-3.0-or-later
"""Loaded by the driven Blender: installs the zip, sets the demo scene and the window up, keeps the state in a file.

``blender --python in_blender.py -- ZIP STATE AUDIO HEAD``; HEAD is "keys" or "plain". Nothing here touches PTalker's
operators: those are clicked.
"""

from __future__ import annotations

import faulthandler
import itertools
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import bpy
from mathutils import Vector

ZIP, STATE, AUDIO, HEAD = sys.argv[sys.argv.index("--") + 1 :][:4]
REPO = Path(__file__).resolve().parent.parent.parent
MODULE = "bl_ext.user_default.ptalker_blender"
FPS = 25
TABBED = ("VIEW_3D", "SEQUENCE_EDITOR")
sys.path.insert(0, str(REPO))


def install() -> None:
    """As *Install from Disk* does."""
    bpy.ops.extensions.package_install_files(filepath=ZIP, repo="user_default", enable_on_install=True)


def make_scene() -> bpy.types.Object:
    """The demo's head and sound strip in the factory scene; the head is selected."""
    from demo import scene as make

    scene = bpy.context.scene
    bpy.data.batch_remove(list(bpy.data.objects))
    scene.render.fps, scene.render.fps_base = FPS, 1.0
    head = make.make_head(scene, with_keys=HEAD == "keys")
    make.add_camera(scene, head)
    make.add_lights(scene)
    make.look(scene, 512)
    strip = make.add_sound(scene, Path(AUDIO))
    strip.name = "speech"
    scene.sequence_editor.active_strip = strip
    scene.sync_mode = "AUDIO_SYNC"
    bpy.context.view_layer.objects.active = head
    head.select_set(True)
    return head


def area_of(kind: str) -> bpy.types.Area:
    return next(area for area in bpy.context.window_manager.windows[0].screen.areas if area.type == kind)


def region_of(area: bpy.types.Area, kind: str) -> bpy.types.Region:
    return next(region for region in area.regions if region.type == kind)


def lay_out() -> None:
    """Sequencer where the timeline was; shape keys at the right."""
    timeline = area_of("DOPESHEET_EDITOR")
    timeline.ui_type = "SEQUENCE_EDITOR"
    timeline.spaces[0].show_region_ui = False
    timeline.spaces[0].timeline_overlay.show_strip_source = False
    area_of("PROPERTIES").spaces[0].context = "DATA"


def look_at(head: bpy.types.Object) -> None:
    """The view in front of the face, drawn with the colours of the mesh."""
    space = area_of("VIEW_3D").spaces[0]
    space.show_region_ui = True
    shading, want = space.shading, bpy.context.scene.display.shading
    shading.type, shading.light, shading.color_type = "SOLID", want.light, want.color_type
    shading.studio_light, shading.show_specular_highlight = want.studio_light, False
    space.overlay.show_floor = space.overlay.show_axis_x = space.overlay.show_axis_y = False
    space.overlay.show_cursor = space.overlay.show_extras = space.overlay.show_outline_selected = False
    space.overlay.show_relationship_lines = False
    for obj in bpy.context.scene.objects:  # landmarks are shown with the other extras: these would be in the way
        if obj.type in ("CAMERA", "LIGHT"):
            obj.hide_set(True)
    space.lens = 100
    camera = bpy.context.scene.camera
    view = space.region_3d
    view.view_perspective = "PERSP"
    view.view_rotation = camera.matrix_world.to_quaternion()
    view.view_location = Vector((0.012, -0.03, max(c[2] for c in head.bound_box) - 0.15))
    view.view_distance = 1.05


def curves_of(keys: bpy.types.Key | None) -> int:
    """How many F-curves animate the shape keys."""
    compat = sys.modules[f"{MODULE}.scene.compat"]
    curves = compat.action_curves(keys) if keys else None
    return len(curves) if curves else 0


def state() -> dict[str, Any]:
    """What the driver looks at, in the window's coordinates (y upwards)."""
    manager, scene = bpy.context.window_manager, bpy.context.scene
    status = manager.ptalker
    window = manager.windows[0]
    head = bpy.data.objects.get("Head")
    keys = head.data.shape_keys if head else None
    jaw = keys.key_blocks.get("jawOpen") if keys else None
    engine = sys.modules[f"{MODULE}.engine"].current()
    regions = {
        f"{area.type}.{region.type}": (region.x, region.y, region.width, region.height)
        for area in window.screen.areas
        for region in area.regions
    }
    return {
        "version": bpy.app.version_string, "running": status.running, "stage": status.stage,
        "fraction": status.fraction, "error": status.error, "result": status.result,
        "frame": scene.frame_current, "playing": window.screen.is_animation_playing,
        "keys": len(keys.key_blocks) if keys else 0, "curves": curves_of(keys),
        "actions": [action.name for action in bpy.data.actions], "jaw": jaw.value if jaw else 0.0,
        "muted": [strip.name for strip in strips(scene) if strip.mute], "engine": engine.pid if engine else 0,
        "styles": len(scene.ptalker_style.rows),
        "rows": len(head.ptalker.rows) if head else 0, "landmarks": len(head.children) if head else 0,
        "selected": [obj.name for obj in bpy.context.view_layer.objects.selected],
        "window": (window.width, window.height), "regions": regions,
        "tabs": {kind: getattr(region_of(area_of(kind), "UI"), "active_panel_category", "") for kind in TABBED},
    }  # fmt: skip


def strips(scene: bpy.types.Scene) -> list[Any]:
    editor = scene.sequence_editor
    return list(editor.strips if hasattr(editor, "strips") else editor.sequences) if editor else []


def steps() -> Any:
    """Setting up, a piece at a time: areas get their new sizes only when Blender has drawn them."""
    install()
    yield 0.5
    head = make_scene()
    lay_out()
    yield 1.0
    look_at(head)
    bpy.ops.ed.undo_push(message="The scene")
    yield 0.5
    for number in itertools.count():
        area_of("VIEW_3D").spaces[0].overlay.show_extras = state()["landmarks"] > 0  # they are Empties
        temporary = Path(STATE + ".part")
        temporary.write_text(json.dumps(state() | {"tick": number}), "utf-8")
        os.replace(temporary, STATE)
        yield 0.1


faulthandler.enable()
bpy.context.preferences.view.show_splash = False
bpy.context.preferences.system.viewport_aa = "FXAA"
_steps = steps()


def tick() -> float:
    """For the timer. A defect in here ends Blender: the driver must not wait for nothing."""
    try:
        return next(_steps)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


bpy.app.timers.register(tick, first_interval=1.0, persistent=True)
