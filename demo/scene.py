"""The demo's scene: the head from `head.npz`, a sound strip, camera, lights and a Workbench look."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
from mathutils import Vector

HERE = Path(__file__).resolve().parent
HEAD = HERE / "head.npz"
# Roughness and subsurface of each material, for whoever renders lipsync.blend with EEVEE or Cycles.
SURFACE = {"skin": (0.55, 0.06), "eye": (0.12, 0.0), "iris": (0.1, 0.0), "pupil": (0.05, 0.0), "teeth": (0.25, 0.02),
           "tongue": (0.35, 0.05), "hair": (0.6, 0.0)}  # fmt: skip


def empty_scene(fps: float) -> bpy.types.Scene:
    """A scene with nothing in it at `fps` (24000/1001 and the like are kept exact through fps_base)."""
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    scene = bpy.context.scene
    scene.render.fps = round(fps)
    scene.render.fps_base = round(fps) / fps
    return scene


def material(name: str) -> bpy.types.Material:
    """A material that shows the mesh's colour attribute."""
    result = bpy.data.materials.new(f"Demo {name}")
    if result.node_tree is None:  # 5.0 and later give every material its nodes
        result.use_nodes = True
    tree = result.node_tree
    assert tree is not None
    nodes, links = tree.nodes, tree.links
    shader = next(node for node in nodes if node.type == "BSDF_PRINCIPLED")
    attribute = nodes.new("ShaderNodeAttribute")
    attribute.attribute_name = "Color"
    attribute.location = (-300, 200)
    links.new(attribute.outputs["Color"], shader.inputs["Base Color"])
    roughness, subsurface = SURFACE.get(name, (0.7, 0.0))
    shader.inputs["Roughness"].default_value = roughness
    shader.inputs["Subsurface Weight"].default_value = subsurface
    shader.inputs["Subsurface Scale"].default_value = 0.01
    return result


def make_head(scene: bpy.types.Scene, with_keys: bool = True, path: Path = HEAD) -> bpy.types.Object:
    """The head as one object; `with_keys` gives it the 52 ARKit shape keys, all at 0."""
    with np.load(path) as data:
        head = {key: data[key] for key in data.files}
    mesh = bpy.data.meshes.new("Head")
    faces = [[int(i) for i in face if i >= 0] for face in head["faces"]]
    mesh.from_pydata(head["vertices"].tolist(), [], faces)
    mesh.polygons.foreach_set("use_smooth", np.ones(len(faces), bool))
    mesh.polygons.foreach_set("material_index", head["material"].astype(np.int32))
    for name in head["material_names"]:
        mesh.materials.append(material(str(name)))
    colour = mesh.color_attributes.new("Color", "BYTE_COLOR", "POINT")
    rgba = np.ones((len(mesh.vertices), 4), np.float32)
    rgba[:, :3] = head["color"] / 255.0
    colour.data.foreach_set("color_srgb", rgba.ravel())
    mesh.color_attributes.active_color = colour
    mesh.update()
    obj = bpy.data.objects.new("Head", mesh)
    scene.collection.objects.link(obj)
    if with_keys:
        add_keys(obj, head)
    smooth = obj.modifiers.new("Smooth", "SUBSURF")
    smooth.levels = smooth.render_levels = 1
    return obj


def add_keys(obj: bpy.types.Object, head: dict[str, np.ndarray]) -> None:
    obj.shape_key_add(name="Basis", from_mix=False)
    for name, delta in zip(head["names"], head["basis"], strict=True):
        key = obj.shape_key_add(name=str(name), from_mix=False)
        key.value = 0.0  # 5.0 makes new keys with value 1
        key.points.foreach_set("co", (head["vertices"] + delta.astype(np.float32)).ravel())


def add_sound(scene: bpy.types.Scene, audio: Path, start: int = 1) -> bpy.types.Strip:
    """A sound strip from frame `start`; the scene ends where it ends."""
    editor = scene.sequence_editor_create()
    strips = editor.strips if hasattr(editor, "strips") else editor.sequences
    strip = strips.new_sound(audio.stem, str(audio), 1, start)
    scene.frame_start = start
    scene.frame_end = max(start, int(strip.frame_final_end) - 1)
    scene.frame_set(start)
    return strip


def add_camera(scene: bpy.types.Scene, head: bpy.types.Object) -> bpy.types.Object:
    """A portrait lens, slightly to the side, that frames the face from hair to collar."""
    top = max(corner[2] for corner in head.bound_box)
    target = Vector((0.0, -0.03, top - 0.142))
    data = bpy.data.cameras.new("Camera")
    data.lens = 114
    camera = bpy.data.objects.new("Camera", data)
    camera.location = target + Vector((0.17, -0.93, 0.01))
    camera.rotation_euler = (target - camera.location).to_track_quat("-Z", "Y").to_euler()
    scene.collection.objects.link(camera)
    scene.camera = camera
    return camera


def add_lights(scene: bpy.types.Scene) -> None:
    """Key, fill and rim, for EEVEE and Cycles; Workbench has its own."""
    for name, place, size, power in (
        ("Key", (0.9, -1.1, 1.1), 0.7, 22.0),
        ("Fill", (-1.2, -0.9, 0.5), 1.2, 7.0),
        ("Rim", (-0.6, 1.0, 1.1), 0.5, 18.0),
    ):
        data = bpy.data.lights.new(name, "AREA")
        data.size, data.energy = size, power
        light = bpy.data.objects.new(name, data)
        light.location = place
        light.rotation_euler = (Vector((0, 0, 0.35)) - light.location).to_track_quat("-Z", "Y").to_euler()
        scene.collection.objects.link(light)


def look(scene: bpy.types.Scene, pixels: int) -> None:
    """Workbench with the mesh's colours: needs no GPU and draws a frame in a fraction of a second."""
    world = bpy.data.worlds.new("World")
    world.color = (0.055, 0.062, 0.075)
    scene.world = world
    scene.render.engine = "BLENDER_WORKBENCH"
    scene.render.resolution_x = scene.render.resolution_y = pixels
    scene.render.resolution_percentage = 100
    scene.render.film_transparent = False
    scene.view_settings.view_transform = "Standard"
    scene.display.render_aa = "FXAA"
    shading = scene.display.shading
    shading.light = "STUDIO"
    shading.studio_light = "paint.sl"
    shading.color_type = "VERTEX"
    shading.show_cavity = True
    shading.cavity_type = "WORLD"
    shading.cavity_ridge_factor = 0.0
    shading.cavity_valley_factor = 0.8
    shading.show_shadows = False
    shading.show_specular_highlight = False  # one gloss for everything would grey the pupils
