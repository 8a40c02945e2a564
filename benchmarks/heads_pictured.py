"""A sheet of heads in visemes: docs/images/heads.png. Runs in the bpy module, after benchmarks/heads_shaped.py.

    .ptalker/blender-5.0/bin/python -m benchmarks.heads_pictured --heads DIR --out docs/images/heads.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import bpy
import numpy as np
from mathutils import Vector

from demo.film import render_array, save_png
from demo.scene import empty_scene, look
from demo.sheet import INK, Label, label_layer

TILE, HEIGHT = 150, 26  # pixels
TURN = 0.3  # radians that the camera stands aside
BEHIND = 0.45  # face frame: the middle of the head, behind the face
TALL = 2.25  # of the distance from eyes to chin: how much a tile shows


def to_blender(points: np.ndarray) -> np.ndarray:
    """Face frame (y up, z out of the face) -> z up, looking to -y."""
    return points[..., [0, 2, 1]] * np.array([1, -1, 1], np.float32)


def make(scene: bpy.types.Scene, head: dict[str, np.ndarray]) -> bpy.types.Object:
    mesh = bpy.data.meshes.new("Head")
    mesh.from_pydata(to_blender(head["vertices"]).tolist(), [], [[int(i) for i in f if i >= 0] for f in head["faces"]])
    mesh.polygons.foreach_set("use_smooth", np.full(len(mesh.polygons), not head["flat"]))
    colour = mesh.color_attributes.new("Color", "BYTE_COLOR", "POINT")
    rgba = np.ones((len(mesh.vertices), 4), np.float32)
    rgba[:, :3] = head["colour"] / 255
    colour.data.foreach_set("color_srgb", rgba.ravel())
    mesh.color_attributes.active_color = colour
    obj = bpy.data.objects.new("Head", mesh)
    scene.collection.objects.link(obj)
    return obj


def aim(scene: bpy.types.Scene, marks: np.ndarray) -> None:
    """An orthographic camera that frames eyes and chin: marks [L, 3] in the order of core/landmark_places.py."""
    eyes, chin = marks[[6, 7, 10, 11]].mean(0), marks[4]
    middle = Vector(to_blender(0.5 * (eyes + chin) - np.array([0, 0, BEHIND])).tolist())
    data = bpy.data.cameras.new("Camera")
    data.type, data.ortho_scale = "ORTHO", TALL * float(np.linalg.norm(eyes - chin))
    camera = bpy.data.objects.new("Camera", data)
    camera.location = middle + Vector((10 * np.sin(TURN), -10 * np.cos(TURN), 0.6))
    camera.rotation_euler = (middle - camera.location).to_track_quat("-Z", "Y").to_euler()
    scene.collection.objects.link(camera)
    scene.camera = camera


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heads", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    a = parser.parse_args()
    rows = []
    visemes: list[str] = []
    for file in sorted(a.heads.glob("*.npz")):
        with np.load(file) as z:
            head = {k: z[k] for k in z.files}
        scene = empty_scene(24.0)
        look(scene, TILE)
        scene.display.render_aa = "16"
        obj = make(scene, head)
        aim(scene, head["marks"])
        tiles = []
        for posed in head["posed"]:
            obj.data.vertices.foreach_set("co", to_blender(posed).astype(np.float32).ravel())
            obj.data.update()
            tiles.append(render_array(scene))
        rows.append(np.concatenate(tiles, 1))
        visemes = [str(v) for v in head["visemes"]]
        print(head["name"], flush=True)
    labels: list[Label] = [(v, (i + 0.5) * TILE, float(HEIGHT - 8), 17.0, "CENTER", INK) for i, v in enumerate(visemes)]
    save_png(np.concatenate([label_layer(rows[0].shape[1], HEIGHT, labels), *rows]), a.out)


if __name__ == "__main__":
    main()
