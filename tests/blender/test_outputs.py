# SPDX-License-Identifier: GPL-3.0-or-later
"""Other outputs than own keys: vertex cache, baked keys, glTF and FBX that play the same; checked by vertices."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import bpy
import helpers
import numpy as np
import pytest
import rigs

FRAMES = np.arange(1, 31)
SOME = [1, 9, 14, 20, 27]


@pytest.fixture
def saved(scene: bpy.types.Scene, speech: helpers.Speech, tmp_path: Path) -> Path:
    """The folder of a saved file with 1 s of speech as the source."""
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    helpers.from_file(speech.bursts("outputs.wav", [0.2], 1.0))
    return tmp_path


def moved(positions: np.ndarray) -> float:
    """The longest way of any vertex [T, V, 3]."""
    return float(np.linalg.norm(positions - positions[:1], axis=2).max())


def test_vertex_cache(saved: Path) -> None:
    """The cache plays what new shape keys would, to the last vertex; on the face only; beside the .blend."""
    keyed = helpers.head("Keyed")
    helpers.generate()
    wanted = rigs.frames(keyed, FRAMES)
    keyed.hide_set(True)
    head = helpers.head()
    rest = rigs.rest(head)
    head.ptalker.output = "CACHE"
    assert helpers.generate() == {"FINISHED"}
    modifier = head.modifiers[0]
    assert head.data.shape_keys is None and modifier.type == "MESH_CACHE"
    assert modifier.filepath.startswith("//") and modifier.vertex_group == "PTalker Face"
    (file,) = (saved / "ptalker_cache").iterdir()
    assert Path(bpy.path.abspath(modifier.filepath)) == file
    played = rigs.frames(head, FRAMES)
    assert moved(played) > 0.004 and np.abs(played - wanted).max() < 2e-4 * np.ptp(rest)
    top = rest[:, 2] > np.percentile(rest[:, 2], 97)
    assert np.abs(played - rest)[:, top].max() < 5e-4 * np.ptp(rest)

    helpers.generate()
    again = [m for m in head.modifiers if m.type == "MESH_CACHE"]
    assert [m.show_viewport for m in again] == [True, False] and again[0].filepath != again[1].filepath
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.open_mainfile(filepath=str(saved / "shot.blend"))
    assert np.allclose(rigs.frames(bpy.data.objects["Head"], SOME), played[np.array(SOME) - 1], atol=1e-6)


def test_cache_wants_a_saved_file(scene: bpy.types.Scene, speech: helpers.Speech) -> None:
    helpers.from_file(speech.bursts("unsaved.wav", [0.2], 1.0))
    helpers.head().ptalker.output = "CACHE"
    assert "has no name yet" in helpers.error_of_generate()


def test_a_file_where_the_cache_folder_should_be(saved: Path) -> None:
    (saved / "ptalker_cache").write_text("mine")
    helpers.head().ptalker.output = "CACHE"
    assert "'ptalker_cache' is a file there, not a folder" in helpers.error_of_generate()
    assert (saved / "ptalker_cache").read_text() == "mine"


def test_bake_to_shape_keys(saved: Path) -> None:
    """More keys are closer; the error that is told is the error; a damaged or foreign cache is one sentence."""
    head = helpers.head()
    rest = rigs.rest(head)
    with pytest.raises(RuntimeError, match="has no vertex cache"):
        bpy.ops.ptalker.bake_keys()
    head.ptalker.output = "CACHE"
    helpers.generate()
    played = rigs.frames(head, FRAMES)
    errors = []
    for count in (2, 12):
        head.ptalker.bake_keys = count
        cache = next(m for m in head.modifiers if m.type == "MESH_CACHE")
        cache.show_viewport = True
        bpy.ops.ed.undo_push(message="before")
        assert bpy.ops.ptalker.bake_keys() == {"FINISHED"}
        said = helpers.run_state().result[0]
        keys = [key for key in head.data.shape_keys.key_blocks if key.name.startswith("PTalker")]
        assert len(keys) == count and not cache.show_viewport
        baked = rigs.frames(head, FRAMES)
        distance = np.linalg.norm(baked - played, axis=2)
        worst = float(said.split("average, ")[1].split(" mm")[0])
        assert 1000 * distance.max() == pytest.approx(worst, rel=0.05, abs=0.002)
        errors.append(float(distance.max()))
        head.shape_key_clear()
    assert errors[1] < 0.3 * errors[0] and errors[1] < 0.02 * np.ptp(rest)
    cache = next(m for m in head.modifiers if m.type == "MESH_CACHE")
    cache.show_viewport = True
    file = Path(bpy.path.abspath(cache.filepath))
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(RuntimeError, match="missing or damaged"):
        bpy.ops.ptalker.bake_keys()
    assert head.data.shape_keys is None


def test_a_cache_keeps_the_character(saved: Path) -> None:
    """Shape keys that make this character stay on in the cache and in what is baked of it; those of an earlier run, which the
    cache hides, do not move the face a second time once it is baked."""
    head = rigs.demo_head()
    helpers.generate()
    rest = rigs.rest(head)
    wide = head.shape_key_add(name="wide", from_mix=False)
    wide.points.foreach_set("co", (rest * np.array([1.2, 1.0, 1.0], np.float32)).ravel())
    wide.value = 0.5
    still = rigs.frames(head, [200])[0]  # the last frame of 1 s of speech is held: what the face comes to
    head.ptalker.output = "CACHE"
    bpy.ops.wm.save_mainfile()
    helpers.generate()
    head = bpy.data.objects["Head"]
    played = rigs.frames(head, FRAMES)
    width = np.array([1.1, 1.0, 1.0], np.float32)
    top = rest[:, 2] > np.percentile(rest[:, 2], 97)
    assert np.abs(played - rest * width)[:, top].max() < 5e-4 * np.ptp(rest)
    assert np.abs(np.ptp(played[..., 0], axis=1) - np.ptp(still[:, 0])).max() < 0.01 * np.ptp(rest[:, 0])
    assert bpy.ops.ptalker.bake_keys() == {"FINISHED"}
    baked = rigs.frames(head, FRAMES)
    assert moved(played) > 0.004 and np.abs(baked - played).max() < 0.15 * moved(played)


@pytest.mark.parametrize("output", ["AUTO", "CACHE", "own keys"])
def test_parts_follow_the_head(saved: Path, output: str) -> None:
    """Teeth, tongue, eyes, brows, lashes and hair as objects of their own: the lower teeth and the tongue go with the jaw,
    the upper ones, eyes and hair stay."""
    parts = rigs.split_head(with_keys=output == "own keys")
    if output == "CACHE":
        parts["face"].ptalker.output = "CACHE"
    assert helpers.generate() == {"FINISHED"}
    assert sum("follows 'Head'" in line for line in helpers.run_state().result) == (0 if output == "CACHE" else len(parts) - 1)
    if output == "AUTO":  # again, with the keys that were made: eyes have no mouth by which to be told
        assert helpers.generate() == {"FINISHED"}
        assert not any("fitted" in line for line in helpers.run_state().result)
    world = {name: rigs.in_world(obj, FRAMES) for name, obj in parts.items()}
    chin = world["face"][:, :, 2] - world["face"][:1, :, 2]
    frame = int(np.unravel_index(chin.argmin(), chin.shape)[0])
    jaw = -float(chin.min())
    down = {name: (places[0] - places[frame])[:, 2] for name, places in world.items()}
    assert jaw > 0.003
    assert 0.2 * jaw < down["teeth"].max() < 1.2 * jaw and np.abs(np.sort(down["teeth"])[:60]).max() < 0.1 * jaw
    assert 0.2 * jaw < down["tongue"].max() < 1.3 * jaw
    assert np.abs(down["hair"]).max() < 0.1 * jaw and np.abs(down["eyes"]).max() < 0.15 * jaw
    if output == "AUTO":
        assert all(len(m.modifiers) == 0 for m in parts.values()) and parts["teeth"].data.shape_keys is not None
        assert len(helpers.run_state().actions) == len(set(helpers.run_state().actions)) >= 3


def test_following_nothing(saved: Path) -> None:
    """An object that is to follow needs a head; one that lies elsewhere is no follower by itself."""
    teeth = helpers.head("Teeth")
    teeth.ptalker.output = "FOLLOW"
    assert "none is selected with it" in helpers.error_of_generate()
    teeth.ptalker.output = "AUTO"
    other = helpers.head("Other")
    other.location.x = 3.0
    helpers.select(teeth, other)
    helpers.generate()
    assert not any("follows" in line for line in helpers.run_state().result)


def glb(path: Path) -> None:
    bpy.ops.export_scene.gltf(filepath=str(path), use_selection=True, export_yup=True)


# With "All Actions" or "NLA Strips" on, Blender's FBX exporter leaves out what animates shape keys alone.
SCENE = {"bake_anim_use_all_actions": False, "bake_anim_use_nla_strips": False}


def fbx(path: Path) -> None:
    bpy.ops.export_scene.fbx(
        filepath=str(path), use_selection=True, use_mesh_modifiers=False, bake_anim_simplify_factor=0.0, **SCENE
    )


@pytest.mark.parametrize("baked", [False, True])
@pytest.mark.parametrize("kind", ["glb", "fbx"])
def test_exported_and_imported_again(saved: Path, kind: str, baked: bool) -> None:
    """Issue 4: the file plays the same animation when it is imported again, checked by vertices."""
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = 1, 30
    head = helpers.head()
    if baked:
        head.ptalker.output = "CACHE"
    helpers.generate()
    if baked:
        head.ptalker.bake_keys = 8
        bpy.ops.ptalker.bake_keys()
        head.modifiers.clear()
    wanted = rigs.frames(head, SOME)
    assert moved(wanted) > 0.003
    path = saved / f"head.{kind}"
    exports: dict[str, Callable[[Path], None]] = {"glb": glb, "fbx": fbx}
    exports[kind](path)
    bpy.ops.wm.read_homefile(use_empty=True)
    scene = bpy.context.scene
    scene.render.fps, scene.render.fps_base = 30, 1.0
    if kind == "glb":
        bpy.ops.import_scene.gltf(filepath=str(path))
    else:
        bpy.ops.import_scene.fbx(filepath=str(path), anim_offset=0.0)
    again = next(obj for obj in scene.objects if obj.type == "MESH")
    keys = again.data.shape_keys
    assert keys.animation_data is not None and keys.animation_data.action is not None
    start = round(keys.animation_data.action.frame_range[0])
    played = rigs.frames(again, np.array(SOME) - 1 + start)
    world = np.array(again.matrix_world)
    played = played @ world[:3, :3].T + world[:3, 3]
    # Exporters split and reorder vertices: each vertex of the original is looked for by its place at rest.
    order = nearest(wanted[0], played[0])
    assert np.linalg.norm(played[0][order] - wanted[0], axis=1).max() < 1e-4
    assert np.abs(played[:, order] - wanted).max() < 0.02 * moved(wanted)


def nearest(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """For every point [V, 3] the index of the nearest of the others."""
    from mathutils.kdtree import KDTree

    tree = KDTree(len(others))
    for index, place in enumerate(others):
        tree.insert(place, index)
    tree.balance()
    return np.array([tree.find(point)[1] for point in points])
