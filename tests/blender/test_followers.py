# SPDX-License-Identifier: GPL-3.0-or-later
"""Teeth and tongue that hang on bones follow a head that the same bones deform, however they are posed."""

from __future__ import annotations

import bpy
import helpers
import numpy as np
import pytest
import rigs
from mathutils import Euler, Matrix

FRAMES = np.arange(1, 31, 3)
SAME = 0.3  # of the motion: rounded by 0.1 micrometres, the same teeth get a motion that differs by as much as half of this
TURNED = Matrix.Translation((3.0, -0.5, 0.4)) @ Euler((0.3, -0.2, 1.2)).to_matrix().to_4x4()
NUDGED = Matrix.Translation((0.0, 0.0, 0.1))


def mouth(pose: Matrix, jaw: bool, deformed: bool = True) -> dict[str, bpy.types.Object]:
    """The demo's face, and its teeth and tongue parented to a bone of the armature that is posed so; ``jaw``: to a child of
    the bone that deforms the face. Where the armature does not deform the face, it brings teeth and tongue to their place."""
    parts = rigs.split_head(with_keys=True)
    rig = rigs.armature(["head", "jaw"])
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    rig.data.edit_bones["jaw"].parent = rig.data.edit_bones["head"]
    bpy.ops.object.mode_set(mode="OBJECT")
    if not deformed:
        rig.pose.bones["head"].matrix = pose @ rig.pose.bones["head"].bone.matrix_local
    chosen = {name: parts[name] for name in ("face", "teeth", "tongue")}
    for name in ("teeth", "tongue"):
        obj, place = chosen[name], chosen[name].matrix_world.copy()
        obj.parent, obj.parent_type, obj.parent_bone = rig, "BONE", "jaw" if jaw else "head"
        bpy.context.view_layer.update()
        obj.matrix_world = place
    if deformed:
        face = chosen["face"]
        face.vertex_groups.new(name="head").add(range(len(face.data.vertices)), 1.0, "REPLACE")
        face.modifiers.new("Armature", "ARMATURE").object = rig
        rig.pose.bones["head"].matrix = pose @ rig.pose.bones["head"].bone.matrix_local
    bpy.context.view_layer.update()
    helpers.select(*chosen.values())
    return chosen


def spoken(parts: dict[str, bpy.types.Object]) -> dict[str, np.ndarray]:
    """How teeth and tongue move, in their own space [T, V, 3]."""
    before = [obj.matrix_world.copy() for obj in parts.values()]
    assert helpers.generate() == {"FINISHED"}
    assert sum("follows 'Head'" in line for line in helpers.run_state().result) == 2
    assert [obj.matrix_world for obj in parts.values()] == before
    return {name: rigs.frames(parts[name], FRAMES) for name in ("teeth", "tongue")}


@pytest.mark.parametrize(("pose", "jaw", "deformed"), [(NUDGED, False, True), (TURNED, True, True), (TURNED, False, False)])
def test_posed_bones(scene: bpy.types.Scene, speech: helpers.Speech, pose: Matrix, jaw: bool, deformed: bool) -> None:
    """The same motion as in the rest pose; and a pose that only brings the teeth to a head that stands still is kept."""
    file = speech.bursts("followers.wav", [0.2], 1.0)
    helpers.from_file(file)
    wanted = spoken(mouth(Matrix(), jaw))
    for obj in list(bpy.data.objects):
        bpy.data.objects.remove(obj)
    made = spoken(mouth(pose, jaw, deformed))
    for name, positions in wanted.items():
        assert rigs.vertex_error(made[name] - made[name][:1], positions - positions[:1], np.zeros(3)) < SAME
