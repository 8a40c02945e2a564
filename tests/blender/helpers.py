# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenes, heads and sounds for the Blender tests. Standard library, numpy and bpy only."""

from __future__ import annotations

import importlib
import os
import subprocess
import wave
from pathlib import Path
from typing import Any

import bpy
import numpy as np

PACKAGE = "bl_ext.user_default.ptalker_blender"
ROOT = Path(__file__).resolve().parent.parent.parent
RATE = 16000
HAS_AUDIO = bpy.app.build_options.audaspace  # the bpy module 4.2 has none, so sound strips cannot be made there

# Decodes and encodes what this Python cannot; runs in the engine's interpreter.
_CONVERT = """
import sys, numpy as np, soundfile
source, target, rate, channels = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
x, r = soundfile.read(source, dtype="float32", always_2d=True)
n = round(len(x) * rate / r)
x = np.interp(np.arange(n) * r / rate, np.arange(len(x)), x.mean(1)).astype(np.float32)
x = np.repeat(x[:, None], channels, 1)
if channels == 2:
    x[:, 1] *= 0.5
kinds = {"mp3": ("MP3", "MPEG_LAYER_III"), "wav": ("WAV", "PCM_16"), "flac": ("FLAC", "PCM_16")}
kinds["ogg"] = ("OGG", "VORBIS")
format, subtype = kinds[target.rsplit(".", 1)[1]]
soundfile.write(target, x, rate, format=format, subtype=subtype)
"""


def module(name: str) -> Any:
    """A module of the installed extension, for example ``scene.names``."""
    return importlib.import_module(f"{PACKAGE}.{name}")


def run_state() -> Any:
    return module("state").RUN


def engine_process() -> Any:
    """The engine that runs, or None."""
    return module("engine").current()


class Speech:
    """Real sentences; ``samples`` [n] float32 at 16 kHz."""

    def __init__(self, ogg: Path, folder: Path) -> None:
        self.folder = folder
        self.ogg = ogg
        self.wav = self.converted("speech.wav", RATE, 1)
        with wave.open(str(self.wav)) as file:
            self.samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768

    def converted(self, name: str, rate: int, channels: int) -> Path:
        """The sentences in another format; the format is the name's ending."""
        target = self.folder / name
        command = [os.environ["PTALKER_ENGINE_PYTHON"], "-c", _CONVERT, str(self.ogg), str(target), str(rate)]
        subprocess.run([*command, str(channels)], check=True)
        return target

    def bursts(self, name: str, starts: list[float], seconds: float, burst: float = 0.6) -> Path:
        """A file of ``seconds`` that is silent but for ``burst`` seconds of the first sentence's "Papa bought" each."""
        samples = np.zeros(round(seconds * RATE), np.float32)
        loud = np.abs(self.samples) > 0.05
        first = int(np.argmax(loud))
        piece = self.samples[first : first + round(burst * RATE)].copy()
        piece[-400:] *= np.linspace(1, 0, 400)
        for start in starts:
            a = round(start * RATE)
            samples[a : a + len(piece)] = piece[: max(0, len(samples) - a)]
        return self.write(name, samples)

    def write(self, name: str, samples: np.ndarray) -> Path:
        path = self.folder / name
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
        return path

    def long(self, seconds: float) -> Path:
        """The sentences over and over."""
        count = round(seconds * RATE)
        return self.write(f"long{seconds:g}.wav", np.resize(self.samples, count))


def select(*objects: bpy.types.Object) -> None:
    """These are selected, the first is active."""
    bpy.context.view_layer.update()
    for obj in bpy.context.view_layer.objects:
        obj.select_set(obj in objects)
    bpy.context.view_layer.objects.active = objects[0] if objects else None


def keyed_mesh(names: list[str] | None = None, name: str = "Face") -> bpy.types.Object:
    """A small selected mesh with a Basis and shape keys of these names (default: the 52 ARKit names)."""
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata([(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)], [], [(0, 1, 2, 3)])
    obj = bpy.data.objects.new(name, mesh)
    bpy.context.scene.collection.objects.link(obj)
    if names is None:
        names = list(module("core.channels").CHANNELS)
    if names:
        obj.shape_key_add(name="Basis", from_mix=False)
    for number, key_name in enumerate(names):
        key = obj.shape_key_add(name=key_name, from_mix=False)
        key.value = 0.0
        key.points[0].co.z = 0.01 * (number + 1)
    select(obj)
    return obj


def head(name: str = "Head") -> bpy.types.Object:
    """The demo's head without shape keys, selected."""
    with np.load(ROOT / "demo" / "head.npz") as data:
        vertices, faces = data["vertices"], data["faces"]
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(vertices.tolist(), [], [[int(i) for i in face if i >= 0] for face in faces])
    obj = bpy.data.objects.new(name, mesh)
    bpy.context.scene.collection.objects.link(obj)
    select(obj)
    return obj


def add_strip(path: Path, start: int = 1, channel: int = 1, name: str = "") -> Any:
    """A sound strip, active and selected."""
    editor = bpy.context.scene.sequence_editor_create()
    strips = editor.strips if hasattr(editor, "strips") else editor.sequences
    for other in strips:
        other.select = False
    strip = strips.new_sound(name or path.stem, str(path), channel, start)
    strip.select = True
    editor.active_strip = strip
    return strip


def from_file(path: Path) -> None:
    """Let the scene's source be a file."""
    settings = bpy.context.scene.ptalker
    settings.source, settings.filepath = "FILE", str(path)


def curves(obj: bpy.types.Object) -> dict[str, Any]:
    """Shape key name -> F-curve of the active Action."""
    found = module("scene.compat").action_curves(obj.data.shape_keys)
    return {curve.data_path.split('"')[1]: curve for curve in found or ()}


def values(obj: bpy.types.Object, key: str, frames: Any) -> np.ndarray:
    """An F-curve at these frames."""
    curve = curves(obj)[key]
    return np.array([curve.evaluate(float(f)) for f in frames])


def opening(obj: bpy.types.Object, frames: Any) -> np.ndarray:
    """How much the mouth moves at these frames: the sum of the lower face's channels."""
    mouth = [name for name in curves(obj) if name.startswith(("jaw", "mouth"))]
    return np.sum([values(obj, name, frames) for name in mouth], axis=0)


def snapshot() -> tuple[Any, ...]:
    """What a failed run must leave as it was."""
    scene = bpy.context.scene
    keys = [
        (key.name, len(key.key_blocks), key.animation_data.action.name if has_action(key) else None)
        for key in bpy.data.shape_keys
    ]
    counts = [len(getattr(bpy.data, kind)) for kind in ("scenes", "sounds", "actions", "meshes", "objects", "texts")]
    compat = module("scene.compat")
    mutes = [(s.name, s.mute, s.select, *compat.strip_range(s)) for s, _ in compat.strips_with_parents(scene)]
    return keys, counts, mutes, scene.frame_current, scene.frame_start, scene.frame_end


def has_action(key: bpy.types.Key) -> bool:
    return key.animation_data is not None and key.animation_data.action is not None


def generate() -> set[str]:
    """Press the button."""
    return bpy.ops.ptalker.generate("EXEC_DEFAULT", True)


def error_of_generate() -> str:
    """Press the button and return the sentence with which it fails; the scene must stay as it was."""
    before = snapshot()
    try:
        done = bpy.ops.ptalker.generate("EXEC_DEFAULT", True)
    except RuntimeError as error:
        assert snapshot() == before
        assert not run_state().running
        text = str(error)
        assert "Traceback" not in text
        return text
    raise AssertionError(f"no error but {done}")
