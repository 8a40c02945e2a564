# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel Rig on linked characters: what an artist sets on a library override is kept, and what cannot be is told."""

from __future__ import annotations

from pathlib import Path

import bpy
import helpers
import pytest
import rigs


def library(path: Path, with_list: bool) -> None:
    """A file with a character: a face and its armature."""
    face = helpers.keyed_mesh(["jawOpen", "mouthSmile_L", "mouthPucker"])
    rigs.armature(["jaw"])
    if with_list:
        rigs.add_row(face, source="jawOpen", kind="BONE", owner=bpy.data.objects["Rig"], bone="jaw", gain=20.0)
        bpy.ops.ptalker.map_again()
    actor = bpy.data.collections.new("Actor")
    for obj in list(bpy.data.objects):
        bpy.context.scene.collection.objects.unlink(obj)
        actor.objects.link(obj)
    bpy.context.scene.collection.children.link(actor)
    bpy.ops.wm.save_as_mainfile(filepath=str(path))


def overridden(path: Path, editable: bool = True) -> bpy.types.Object:
    """A new file in which the character of a library is overridden, its face active."""
    bpy.ops.wm.read_homefile(use_empty=True)
    with bpy.data.libraries.load(str(path), link=True) as (_, wanted):
        wanted.collections = ["Actor"]
    scene, layer = bpy.context.scene, bpy.context.view_layer
    bpy.data.collections["Actor"].override_hierarchy_create(scene, layer, do_fully_editable=editable)
    return mine()


def mine() -> bpy.types.Object:
    face = next(obj for obj in bpy.data.objects if obj.override_library is not None and obj.type == "MESH")
    helpers.select(face)
    return face


def reloaded(path: Path) -> bpy.types.Object:
    """After saving and loading twice: what Blender keeps once it may lose the second time."""
    for _ in range(2):
        bpy.ops.wm.save_as_mainfile(filepath=str(path))
        bpy.ops.wm.open_mainfile(filepath=str(path))
    return mine()


def rows(face: bpy.types.Object) -> list[tuple[str, str, float, bool]]:
    """The rows that drive something, whatever their order."""
    used = [row for row in face.ptalker.rows if row.key or row.owner]
    return sorted((r.source, r.owner.name if r.owner else r.key, round(r.gain, 3), r.enabled) for r in used)


@pytest.mark.parametrize("with_list", [False, True], ids=["made without PTalker", "with a list"])
def test_settings_of_an_override_are_kept(scene: bpy.types.Scene, tmp_path: Path, with_list: bool) -> None:
    library(tmp_path / "library.blend", with_list)
    face = overridden(tmp_path / "library.blend")
    settings = face.ptalker
    settings.output, settings.meet_lips, settings.face_group, settings.bake_keys = "NAMES", False, "face", 9
    assert bpy.ops.ptalker.map_again() == {"FINISHED"}
    next(row for row in settings.rows if row.key == "jawOpen").gain = 0.5
    for gain in (5.0, 6.0):
        assert bpy.ops.ptalker.mapping_add() == {"FINISHED"}
        added = settings.rows[settings.active_row]
        added.source, added.kind, added.gain, added.bone = "jawOpen", "BONE", gain, "jaw"
        added.owner = next(obj for obj in bpy.data.objects if obj.override_library is not None and obj.type == "ARMATURE")
    assert not helpers.module("scene.mapping").is_stale(face)
    before = rows(face)
    assert ("jawOpen", "jawOpen", 0.5, True) in before and len(before) == (6 if with_list else 5)

    face = reloaded(tmp_path / "shot.blend")
    settings = face.ptalker
    assert (settings.output, settings.meet_lips, settings.face_group, settings.bake_keys) == ("NAMES", False, "face", 9)
    assert rows(face) == before
    assert all(row.owner is None or row.owner.library is None for row in settings.rows)
    assert bpy.ops.ptalker.map_again() == {"FINISHED"} and rows(face) == before, "edited rows stay"

    for gain in (6.0, 20.0):  # the shot's own goes, the library's cannot
        settings.active_row = next((i for i, row in enumerate(settings.rows) if row.gain == gain), 0)
        bpy.ops.ptalker.mapping_remove()
    assert not any(row.gain == 6.0 for row in settings.rows)
    assert not with_list or ("jawOpen", "Rig", 20.0, False) in rows(face)
    after = rows(face)
    assert rows(reloaded(tmp_path / "shot.blend")) == after

    bpy.ops.ptalker.map_again(forget=True)
    used = [row for row in rows(mine()) if row[3]]
    assert used == [(name, key, 1.0, True) for name, key in KEYS]


KEYS = (("jawOpen", "jawOpen"), ("mouthPucker", "mouthPucker"), ("mouthSmileLeft", "mouthSmile_L"))


def test_preset_on_an_override(scene: bpy.types.Scene, tmp_path: Path) -> None:
    library(tmp_path / "library.blend", with_list=True)
    preset = tmp_path / "mine.ptalker.json"
    line = helpers.module("scene.mapping").Line
    helpers.module("scene.presets").save(preset, "mine", [line("jawOpen", key="jawOpen", gain=0.25)])
    face = overridden(tmp_path / "library.blend")
    assert bpy.ops.ptalker.mapping_load(filepath=str(preset)) == {"FINISHED"}
    assert [row for row in rows(face) if row[3]] == [("jawOpen", "jawOpen", 0.25, True)]
    assert [row for row in rows(reloaded(tmp_path / "shot.blend")) if row[3]] == [("jawOpen", "jawOpen", 0.25, True)]


def test_where_no_rows_can_be_kept(scene: bpy.types.Scene, tmp_path: Path) -> None:
    """One sentence from every button, nothing is written, and drawing the panel asks for nothing."""
    library(tmp_path / "library.blend", with_list=True)
    face = overridden(tmp_path / "library.blend", editable=False)
    assert face.override_library.is_system_override
    refused(face, "linked from another file")
    linked = face.override_library.reference
    bpy.context.scene.collection.objects.link(linked)
    helpers.select(linked)
    refused(linked, "linked from another file")


def test_list_of_an_earlier_version(scene: bpy.types.Scene, tmp_path: Path) -> None:
    """Its rows have no names, by which Blender could tell rows that are added from them."""
    helpers.keyed_mesh(["jawOpen"])
    bpy.ops.ptalker.map_again()
    for row in bpy.data.objects["Face"].ptalker.rows:
        row.name = ""
    again = tmp_path / "library.blend"
    library_of_what_is_there(again)
    face = overridden(again)
    refused(face, "Press Map Again in")


def library_of_what_is_there(path: Path) -> None:
    actor = bpy.data.collections.new("Actor")
    actor.objects.link(bpy.data.objects["Face"])
    bpy.context.scene.collection.children.link(actor)
    bpy.ops.wm.save_as_mainfile(filepath=str(path))


def refused(face: bpy.types.Object, sentence: str) -> None:
    before = rows(face)
    for press in (bpy.ops.ptalker.map_again, bpy.ops.ptalker.mapping_add, bpy.ops.ptalker.mapping_remove):
        with pytest.raises(RuntimeError, match=sentence) as error:
            press()
        assert "Traceback" not in str(error.value)
    panel = helpers.module("panels.mapping")
    panel.ask_to_fill(face)
    panel._fill_wanted()
    panel.end_all()
    assert rows(face) == before
