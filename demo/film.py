"""Pictures of the demo's scene without a display: the film with sound, and single frames as arrays."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import bpy
import numpy as np


def playblast(scene: bpy.types.Scene, path: Path) -> int:
    """The whole frame range as h264 with aac sound; -> the number of frames."""
    render = scene.render
    settings = render.image_settings
    if hasattr(settings, "media_type"):  # 5.0 and later: films are another kind of media
        settings.media_type = "VIDEO"
    settings.file_format = "FFMPEG"
    render.ffmpeg.format = "MPEG4"
    render.ffmpeg.codec = "H264"
    render.ffmpeg.constant_rate_factor = "HIGH"
    render.ffmpeg.gopsize = 12
    render.ffmpeg.audio_codec = "AAC"
    render.ffmpeg.audio_bitrate = 160
    render.use_sequencer = True  # or the film is silent; with nothing but sound strips it shows the camera's view
    render.use_file_extension = True
    render.filepath = str(path.with_suffix(""))
    path.unlink(missing_ok=True)
    with _quiet():
        bpy.ops.render.render(animation=True)
    # Blender adds the frame range to the name of a film.
    made = [file for file in path.parent.glob(f"{path.stem}*{path.suffix}") if file != path]
    if made:
        max(made, key=lambda file: file.stat().st_mtime).replace(path)
    if not path.is_file() or path.stat().st_size == 0:
        raise RuntimeError(f"Blender wrote no film to {path}.")
    return scene.frame_end - scene.frame_start + 1


def still(scene: bpy.types.Scene, frame: float, pixels: int) -> np.ndarray:
    """The camera's view at a frame (fractions allowed) -> [pixels, pixels, 3] uint8, first row at the top."""
    before = (scene.render.resolution_x, scene.render.resolution_y, scene.frame_current)
    scene.render.resolution_x = scene.render.resolution_y = pixels
    scene.frame_set(int(frame), subframe=float(frame - int(frame)))
    try:
        return render_array(scene)
    finally:
        scene.render.resolution_x, scene.render.resolution_y = before[:2]
        scene.frame_set(before[2])


def render_array(scene: bpy.types.Scene) -> np.ndarray:
    """Render a scene and read it back -> [h, w, 3] uint8, first row at the top."""
    settings = scene.render.image_settings
    if hasattr(settings, "media_type"):
        settings.media_type = "IMAGE"
    settings.file_format = "PNG"
    settings.color_mode = "RGB"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "still.png"
        scene.render.filepath = str(path)
        with _quiet():
            bpy.ops.render.render(write_still=True, scene=scene.name)
        image = bpy.data.images.load(str(path))
        width, height = image.size
        flat = np.empty(width * height * 4, np.float32)
        image.pixels.foreach_get(flat)
        bpy.data.images.remove(image)
    return np.round(flat.reshape(height, width, 4)[::-1, :, :3] * 255).astype(np.uint8)


def save_png(array: np.ndarray, path: Path) -> None:
    """[h, w, 3] uint8, first row at the top."""
    height, width = array.shape[:2]
    image = bpy.data.images.new("sheet", width, height)
    rgba = np.ones((height, width, 4), np.float32)
    rgba[..., :3] = array[::-1] / 255.0
    image.pixels.foreach_set(rgba.ravel())
    image.filepath_raw = str(path)
    image.file_format = "PNG"
    image.save()
    bpy.data.images.remove(image)


class _quiet:
    """Blender's own lines about every frame would bury the demo's; its C code writes to the descriptor itself."""

    def __enter__(self) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        self._saved = [os.dup(1), os.dup(2)]
        self._null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(self._null, 1)
        os.dup2(self._null, 2)

    def __exit__(self, *_: object) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, saved in zip((1, 2), self._saved, strict=True):
            os.dup2(saved, number)
            os.close(saved)
        os.close(self._null)
