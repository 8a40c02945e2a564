# SPDX-License-Identifier: GPL-3.0-or-later
"""A mesh in motion to the clip that the engine reads (core/clips.py), and nothing that the artist sees is touched.

Frames are evaluated in a scene of their own, which holds a copy of the object and exists only while frames are read: the
artist's frame, selection, modifiers and unkeyed poses stay, and what else is in the scene costs nothing.
"""

from __future__ import annotations

import shutil
import time
import wave
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import bpy
import numpy as np
from numpy.lib import format as npy

from ..core import SAMPLE_RATE
from ..core.errors import PTalkerError
from . import compat, sound
from .mesh_export import faces, rest_positions

RATE = 30.0  # frames a second that are read at most: faster ones say nothing more of a style
SHORTEST = 1.0  # s, as in core/clips.py
SPARE = 1 << 28  # bytes of a disk that stay free
# Modifiers that move vertices or steer those that do; MIRROR makes the other half of a face. Others make new vertices.
MOVING = {
    "ARMATURE", "CAST", "CLOTH", "CORRECTIVE_SMOOTH", "CURVE", "DISPLACE", "HOOK", "LAPLACIANDEFORM", "LAPLACIANSMOOTH",
    "LATTICE", "MESH_CACHE", "MESH_DEFORM", "MESH_SEQUENCE_CACHE", "MIRROR", "NODES", "SHRINKWRAP", "SIMPLE_DEFORM",
    "SMOOTH", "SOFT_BODY", "SURFACE_DEFORM", "VERTEX_WEIGHT_EDIT", "VERTEX_WEIGHT_MIX", "VERTEX_WEIGHT_PROXIMITY",
    "WARP", "WAVE",
}  # fmt: skip


def check(obj: bpy.types.Object | None) -> bpy.types.Object:
    """The object, if it can be a reference. Raises PTalkerError reference_none, reference_no_mesh, reference_empty."""
    if obj is None:
        raise PTalkerError("reference_none", "No reference is chosen.", "Choose the mesh whose way of speaking you want.")
    if obj.type != "MESH":
        raise PTalkerError("reference_no_mesh", f"'{obj.name}' is not a mesh.", "Choose the face's mesh.")
    if not obj.data.polygons:
        raise PTalkerError("reference_empty", f"The mesh of '{obj.name}' has no faces.")
    return obj


def default_range(obj: bpy.types.Object, scene: bpy.types.Scene) -> tuple[int, int]:
    """(first, last) frame of what animates the object: its Actions and NLA strips, its shape keys' and its rig's.

    The scene's own range where nothing does, or where only a cache does.
    """
    low, high = float("inf"), float("-inf")
    for owner in _owners(obj):
        for first, last in _spans(owner):
            low, high = min(low, first), max(high, last)
    if high - low < 1:
        return scene.frame_start, scene.frame_end
    return int(np.floor(low)), int(np.ceil(high))


def _owners(obj: bpy.types.Object) -> Iterator[bpy.types.ID]:
    """What may carry the motion of a face."""
    yield obj
    if obj.data.shape_keys is not None:
        yield obj.data.shape_keys
    for modifier in obj.modifiers:
        if modifier.type == "ARMATURE" and modifier.object is not None:
            yield modifier.object


def _spans(owner: bpy.types.ID) -> Iterator[tuple[float, float]]:
    """(first, last) frame of the Action and of every NLA strip that is heard of a datablock."""
    if owner.animation_data is None:
        return
    for curve in compat.action_curves(owner) or ():
        if len(curve.keyframe_points) > 1:
            yield tuple(curve.range())
    for track in owner.animation_data.nla_tracks:
        if not track.mute:
            yield from ((s.frame_start, s.frame_end) for s in track.strips if not s.mute)


@dataclass(frozen=True)
class Span:
    """Frames ``first`` .. ``last`` of a scene that are read, every ``step``-th; ``fps`` is the clip's."""

    first: int
    last: int
    step: int
    fps: float

    @classmethod
    def of(cls, first: int, last: int, rate: float) -> Span:
        """``rate``: the scene's frames a second. Raises PTalkerError reference_short."""
        if (last - first + 1) / rate < SHORTEST:
            raise PTalkerError(
                "reference_short", f"Frames {first} to {last} are too short for a reference.",
                "Three seconds are enough, more are better.",
            )  # fmt: skip
        step = max(1, int(np.ceil(rate / RATE - 1e-3)))
        return cls(first, last, step, rate / step)

    @property
    def frames(self) -> range:
        return range(self.first, self.last + 1, self.step)


class Reader:
    """Reads a clip, a few frames at a time: ``read()`` until it says True, ``close()`` always."""

    def __init__(self, obj: bpy.types.Object, scene: bpy.types.Scene, span: Span, path: Path) -> None:
        """Raises what ``check`` raises."""
        check(obj)
        self.name, self.path, self.span = obj.name, path, span
        self.library = obj.library.filepath if obj.library else None
        self.rate = (scene.render.fps, scene.render.fps_base)
        self.done = 0
        self.seconds = 0.0  # spent in reading
        self._file: ClipFile | None = None
        self._faces: np.ndarray | None = None
        self._rest: np.ndarray | None = None

    @property
    def fraction(self) -> float:
        return self.done / len(self.span.frames)

    def read(self, seconds: float = float("inf")) -> bool:
        """Go on for about so long; whether all frames are there.

        Raises PTalkerError (reference_gone, reference_changed, reference_empty, disk_full). Between two calls the artist may
        do anything: the object is looked up by its name, and the scene for reading is made again.
        """
        obj = bpy.data.objects.get((self.name, self.library))
        if obj is None:
            raise PTalkerError("reference_gone", f"The reference '{self.name}' is gone.")
        began = time.perf_counter()
        with _stage(obj, self.rate) as (scene, copy):
            for frame in self.span.frames[self.done :]:
                scene.frame_set(frame)
                self._take(obj, copy.evaluated_get(scene.view_layers[0].depsgraph).data, frame)
                self.done += 1
                if time.perf_counter() - began >= seconds:
                    break
        self.seconds += time.perf_counter() - began
        return self.done == len(self.span.frames)

    def _take(self, obj: bpy.types.Object, mesh: bpy.types.Mesh, frame: int) -> None:
        if self._file is None:
            self._begin(obj, mesh)
        assert self._file is not None
        if len(mesh.vertices) != self._file.vertices:
            raise PTalkerError(
                "reference_changed",
                f"'{self.name}' has {len(mesh.vertices)} vertices at frame {frame} and {self._file.vertices} before: "
                "a style needs the same mesh throughout.",
                "Turn off the modifier that changes it, or choose other frames.",
            )
        self._file.add(_positions(mesh))

    def _begin(self, obj: bpy.types.Object, mesh: bpy.types.Mesh) -> None:
        """Faces and the face at rest, and the file. A modifier that made vertices leaves no rest that is known."""
        self._faces = faces(mesh)
        if not len(self._faces):
            raise PTalkerError("reference_empty", f"The mesh of '{self.name}' has no faces.")
        count = len(mesh.vertices)
        if count == len(obj.data.vertices):
            self._rest = rest_positions(obj.data)
        needed = 12 * count * len(self.span.frames)
        if shutil.disk_usage(self.path.parent).free < needed + SPARE:
            raise PTalkerError("disk_full", f"Reading '{self.name}' needs {needed / 1e6:.0f} MB of disk.", "Use fewer frames.")
        self._file = ClipFile(self.path, len(self.span.frames), count)

    def finish(self, audio: np.ndarray | None = None) -> None:
        """Write the rest of the file; ``audio`` [n] float32 at 16 kHz starts with the first frame."""
        assert self._file is not None and self._faces is not None
        arrays = {"faces": self._faces, "fps": np.float64(self.span.fps)}
        if self._rest is not None:
            arrays["rest"] = self._rest
        if audio is not None:
            arrays |= {"audio": audio, "sample_rate": np.int64(SAMPLE_RATE)}
        self._file.finish(arrays)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


@contextmanager
def _stage(obj: bpy.types.Object, rate: tuple[int, float]) -> Iterator[tuple[bpy.types.Scene, bpy.types.Object]]:
    """A scene with nothing in it but a copy of the object, without the modifiers that make vertices."""
    scene = bpy.data.scenes.new("PTalker Reference")
    copy = None
    watcher = bpy.data.objects.new("PTalker Watcher", None)
    try:
        scene.render.fps, scene.render.fps_base = rate
        copy = obj.copy()
        copy.hide_viewport = False
        for modifier in list(copy.modifiers):
            if modifier.type not in MOVING:
                copy.modifiers.remove(modifier)
        scene.collection.objects.link(copy)
        scene.collection.objects.link(watcher)
        # Where hiding is keyed or driven, Blender moves a mesh only if something visible needs its vertices.
        needs = watcher.constraints.new("COPY_LOCATION")
        needs.target, needs.subtarget = copy, "any vertex group"
        yield scene, copy
    finally:
        compat.remove_scene(scene)
        bpy.data.objects.remove(watcher)
        if copy is not None:
            bpy.data.objects.remove(copy)


def _positions(mesh: bpy.types.Mesh) -> np.ndarray:
    """[3 V] float32 of an evaluated mesh, in object space."""
    out = np.empty(3 * len(mesh.vertices), np.float32)
    mesh.attributes["position"].data.foreach_get("vector", out)
    return out


class ClipFile:
    """CLIP.npz, written frame by frame: memory does not grow with the clip."""

    def __init__(self, path: Path, frames: int, vertices: int) -> None:
        self.vertices = vertices
        self._archive = zipfile.ZipFile(path, "w", zipfile.ZIP_STORED)
        self._member: IO[bytes] | None = self._archive.open("vertices.npy", "w", force_zip64=True)
        npy.write_array_header_1_0(self._member, {"descr": "<f4", "fortran_order": False, "shape": (frames, vertices, 3)})

    def add(self, frame: np.ndarray) -> None:
        """[3 V] float32."""
        assert self._member is not None
        self._member.write(frame.astype("<f4", copy=False).tobytes())

    def finish(self, arrays: dict) -> None:
        self._end_member()
        for name, array in arrays.items():
            with self._archive.open(f"{name}.npy", "w") as member:
                npy.write_array(member, np.asanyarray(array), allow_pickle=False)
        self._archive.close()

    def close(self) -> None:
        """Does nothing after ``finish``."""
        self._end_member()
        self._archive.close()

    def _end_member(self) -> None:
        if self._member is not None:
            self._member.close()
            self._member = None


# ------------------------------------------------------------------------------------------------ sound
def strip_within(context: bpy.types.Context, first: int, last: int) -> tuple[bpy.types.Scene, str] | None:
    """(scene, name) of the sound strip that is heard most in frames first .. last; the active one where it is heard at all."""
    best, most = None, 0.0
    for scene in compat.sequencer_scenes(context):
        active = scene.sequence_editor.active_strip if scene.sequence_editor else None
        for strip, _ in compat.strips_with_parents(scene):
            if strip.type != "SOUND":
                continue
            try:
                begin, end = sound.check_strip(scene, strip)
            except PTalkerError:  # muted or empty: it is not heard
                continue
            heard = min(end, last + 1) - max(begin, first)
            heard += last - first + 1 if heard > 0 and strip == active else 0
            if heard > most:
                best, most = (scene, strip.name), heard
    return best


def heard(scene: bpy.types.Scene, strip_name: str, span: Span, folder: Path) -> np.ndarray | None:
    """What is heard of a strip in the frames of a clip: [n] float32 at 16 kHz; None where this Blender cannot mix sound."""
    wav = folder / "reference.wav"
    if not sound.mix_down(scene, strip_name, span.first, span.last + 1, wav):
        return None
    sound.keep_samples(wav, round(len(span.frames) / span.fps * SAMPLE_RATE))
    with wave.open(str(wav), "rb") as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768
