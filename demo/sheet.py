"""The contact sheet: the face at closures (p, b, m) and at the open vowels after them, with what is said."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np

from demo.film import render_array, save_png, still

CLOSURES = {"p", "b", "m"}
OPEN_VOWELS = {"ɑ", "æ", "ɔ", "aɪ", "aʊ", "oʊ", "ɛ", "ʌ"}
COLUMNS = 6
TILE, LABEL = 256, 44  # pixels
ZOOM, ASIDE, DOWN = 1.6, -0.08, -0.16  # of the film's camera: from the brows to the chin
PAPER, INK, FAINT = (0.055, 0.062, 0.075), (0.95, 0.95, 0.95, 1), (0.55, 0.58, 0.62, 1)


@dataclass(frozen=True)
class Moment:
    """A picture to take: ``time`` in seconds of the sound, what is said then, and in which word."""

    time: float
    sign: str
    word: str = ""


def moments(phones_file: Path, pairs: int = COLUMNS) -> list[Moment]:
    """`pairs` closures, then the vowels that follow them. Chosen from the phone times alone, never by the result.

    A closure is taken a little before the middle of its phone, since stops end with the burst; a vowel in its middle.
    """
    said = json.loads(phones_file.read_text(encoding="utf-8"))
    phones, words = said["phones"], said["words"]
    found: list[tuple[Moment, Moment]] = []

    def moment(phone: list, share: float) -> Moment:
        sign, start, end, _ = phone
        word = next((w[0] for w in words if w[1] <= start + 1e-6 and end <= w[2] + 1e-6), "")
        return Moment(start + share * (end - start), sign, word)

    for index, phone in enumerate(phones):
        follower = phones[index + 1 : index + 3]
        vowel = next((p for p in follower if p[0] in OPEN_VOWELS and p[3] == phone[3]), None)
        if phone[0] in CLOSURES and vowel is not None and vowel[2] - vowel[1] >= 0.06:
            found.append((moment(phone, 0.45), moment(vowel, 0.5)))
    chosen = [found[round(i)] for i in np.linspace(0, len(found) - 1, min(pairs, len(found)))]
    return [closure for closure, _ in chosen] + [vowel for _, vowel in chosen]


def evenly(seconds: float, count: int = 2 * COLUMNS) -> list[Moment]:
    """For a sound whose phones nobody knows: pictures at equal distances."""
    return [Moment(seconds * (i + 0.5) / count, "") for i in range(count)]


def contact_sheet(scene: bpy.types.Scene, shots: list[Moment], path: Path, first_frame: int = 1) -> None:
    """Render each moment and write the sheet as PNG."""
    fps = scene.render.fps / scene.render.fps_base
    rows = -(-len(shots) // COLUMNS)
    sheet = text_layer(shots, rows)
    lens = scene.camera.data
    usual = lens.lens, lens.shift_x, lens.shift_y, scene.display.render_aa
    lens.lens, lens.shift_x, lens.shift_y, scene.display.render_aa = ZOOM * usual[0], ASIDE, DOWN, "8"
    for index, shot in enumerate(shots):
        row, column = divmod(index, COLUMNS)
        frame = first_frame + round(shot.time * fps)  # a real frame of the film, not one between two
        tile = still(scene, min(frame, scene.frame_end), TILE)
        top = row * (TILE + LABEL)
        sheet[top : top + TILE, column * TILE : (column + 1) * TILE] = tile
    lens.lens, lens.shift_x, lens.shift_y, scene.display.render_aa = usual
    save_png(sheet, path)


Label = tuple[str, float, float, float, str, tuple]  # what, x and y in pixels (y down), size, LEFT | CENTER | RIGHT, colour


def text_layer(shots: list[Moment], rows: int) -> np.ndarray:
    """The sheet's paper with its labels."""
    labels: list[Label] = []
    for index, shot in enumerate(shots):
        row, column = divmod(index, COLUMNS)
        x, y = (column + 0.5) * TILE, row * (TILE + LABEL) + TILE + 30
        note = f"{shot.word}  {shot.time:.2f} s" if shot.word else f"{shot.time:.2f} s"
        if shot.sign:
            labels += [(f"/{shot.sign}/", x - 8, y, 28, "RIGHT", INK), (note, x + 6, y, 17, "LEFT", FAINT)]
        else:
            labels.append((note, x, y, 17, "CENTER", FAINT))
    return label_layer(COLUMNS * TILE, rows * (TILE + LABEL), labels)


def label_layer(width: int, height: int, labels: list[Label]) -> np.ndarray:
    """Paper [height, width, 3] with labels, drawn by Blender from text objects in a scene of their own."""
    scene = bpy.data.scenes.new("Contact sheet")
    world = bpy.data.worlds.new("Paper")
    world.color = PAPER
    scene.world = world
    scene.render.engine = "BLENDER_WORKBENCH"
    scene.render.resolution_x, scene.render.resolution_y = width, height
    scene.view_settings.view_transform = "Standard"
    scene.display.render_aa = "16"
    scene.display.shading.light = "FLAT"
    scene.display.shading.color_type = "OBJECT"
    camera = bpy.data.objects.new("Sheet camera", bpy.data.cameras.new("Sheet camera"))
    camera.data.type = "ORTHO"
    camera.data.ortho_scale = max(width, height)
    camera.data.clip_end = 100
    camera.location = (width / 2, -height / 2, 10)
    scene.collection.objects.link(camera)
    scene.camera = camera
    for body, x, y, size, align, colour in labels:
        _text(scene, body, x, -y, size, align, colour)
    try:
        return render_array(scene)
    finally:
        for obj in list(scene.collection.objects):
            data = obj.data
            bpy.data.objects.remove(obj)
            (bpy.data.curves if isinstance(data, bpy.types.Curve) else bpy.data.cameras).remove(data)
        bpy.data.scenes.remove(scene)
        bpy.data.worlds.remove(world)


def _text(scene: bpy.types.Scene, body: str, x: float, y: float, size: float, align: str, colour: tuple) -> None:
    curve = bpy.data.curves.new("Label", "FONT")
    curve.body = body
    curve.size = size
    curve.align_x = align
    label = bpy.data.objects.new("Label", curve)
    label.location = (x, y, 0)
    label.color = colour
    scene.collection.objects.link(label)
