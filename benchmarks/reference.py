# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a reference in Blender: milliseconds a frame, and whether the artist's scene is as it was.

    .ptalker/blender-5.0/bin/python -m benchmarks.reference [--vertices 30000] [--seconds 4] [--plain]
A grid with 52 animated shape keys and an armature of four animated bones; beside it, in the same scene, an animated mesh
whose subdivision takes longer than all that (``--plain``: without it). Runs in an environment with bpy.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import bpy
import numpy as np

from ptalker_blender.scene.reference import Reader, Span

FPS, BOUND = 24, 15.0  # ms
KEYS, BONES = 52, 4
BESIDE = 40_000  # vertices of the neighbour before two subdivisions


def grid(name: str, vertices: int) -> bpy.types.Object:
    side = round(vertices**0.5)
    bpy.ops.mesh.primitive_grid_add(x_subdivisions=side - 1, y_subdivisions=side - 1, size=2)
    obj = bpy.context.object
    assert obj is not None
    obj.name = name
    return obj


def face(vertices: int, frames: int) -> bpy.types.Object:
    """Every key and bone is keyed on every third frame."""
    obj, rng = grid("Face", vertices), np.random.default_rng(0)
    mesh = obj.data
    assert isinstance(mesh, bpy.types.Mesh)
    place = np.empty(len(mesh.vertices) * 3, np.float32)
    mesh.vertices.foreach_get("co", place)
    obj.shape_key_add(name="Basis")
    for k in range(KEYS):
        key = obj.shape_key_add(name=f"key {k}")
        at = rng.uniform(-0.8, 0.8, 2)
        bump = np.exp(-((place.reshape(-1, 3)[:, :2] - at) ** 2).sum(1) / 0.05)
        moved = place.reshape(-1, 3).copy()
        moved[:, 2] += 0.1 * bump
        key.data.foreach_set("co", moved.ravel())
        for frame in range(1, frames + 1, 3):
            key.value = rng.uniform()
            key.keyframe_insert("value", frame=frame)
    armature = bpy.data.objects.new("Rig", bpy.data.armatures.new("Rig"))
    bpy.context.collection.objects.link(armature)
    bpy.context.view_layer.objects.active = armature
    bpy.ops.object.mode_set(mode="EDIT")
    for b in range(BONES):
        bone = armature.data.edit_bones.new(f"bone {b}")
        bone.head, bone.tail = (b / BONES, 0, 0), (b / BONES, 0, 0.5)
    bpy.ops.object.mode_set(mode="OBJECT")
    for b in range(BONES):
        near = np.flatnonzero(np.arange(len(mesh.vertices)) % BONES == b)
        obj.vertex_groups.new(name=f"bone {b}").add(near.tolist(), 0.5, "REPLACE")
        pose = armature.pose.bones[f"bone {b}"]
        for frame in range(1, frames + 1, 3):
            pose.location = rng.normal(size=3) * 0.05
            pose.keyframe_insert("location", frame=frame)
    obj.modifiers.new("Rig", "ARMATURE").object = armature
    return obj


def neighbour(frames: int) -> bpy.types.Object:
    obj = grid("Neighbour", BESIDE)
    for frame, height in ((1, 0.0), (frames, 1.0)):
        obj.location.z = height
        obj.keyframe_insert("location", frame=frame)
    obj.shape_key_add(name="Basis")
    key = obj.shape_key_add(name="moves")
    key.data[0].co.z += 1
    for frame, value in ((1, 0.0), (frames, 1.0)):
        key.value = value
        key.keyframe_insert("value", frame=frame)
    obj.modifiers.new("Subdivision", "SUBSURF").levels = 2
    return obj


def state() -> dict[str, object]:
    """What the artist would miss."""
    scene = bpy.context.scene
    return {
        "frame": (scene.frame_current, scene.frame_subframe), "scenes": sorted(s.name for s in bpy.data.scenes),
        "objects": sorted(o.name for o in bpy.data.objects), "meshes": sorted(m.name for m in bpy.data.meshes),
        "selected": sorted(o.name for o in scene.objects if o.select_get()),
        "active": getattr(bpy.context.view_layer.objects.active, "name", None),
        "modifiers": sorted((o.name, m.name, m.type, m.show_viewport) for o in bpy.data.objects for m in o.modifiers),
        "actions": sorted((a.name, a.users) for a in bpy.data.actions),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vertices", type=int, default=30_000)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--plain", action="store_true", help="without the heavy neighbour")
    args = parser.parse_args()
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene, frames = bpy.context.scene, round(args.seconds * FPS)
    scene.render.fps = FPS
    if not args.plain:
        neighbour(frames)
    obj = face(args.vertices, frames)
    for each in bpy.data.objects:
        each.select_set(each is obj)
    bpy.context.view_layer.objects.active = obj
    scene.frame_set(7, subframe=0.25)
    before = state()
    with tempfile.TemporaryDirectory() as folder:
        reader = Reader(obj, scene, Span.of(1, frames, FPS), Path(folder) / "clip.npz")
        busy, slices = time.process_time(), 0
        try:
            while not reader.read(0.25):  # as the panel reads: Blender goes on between two slices
                slices += 1
            wall, busy = reader.seconds, time.process_time() - busy
            reader.finish()
        finally:
            reader.close()
    found = {
        "blender": bpy.app.version_string, "vertices": len(obj.data.vertices), "frames": reader.done, "slices": slices + 1,
        f"wall_ms_a_frame (<= {BOUND:g})": 1000 * wall / reader.done, "processor_ms_a_frame": 1000 * busy / reader.done,
        "unchanged": state() == before,
    }  # fmt: skip
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
