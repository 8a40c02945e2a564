# SPDX-License-Identifier: GPL-3.0-or-later
"""Every frame of every vertex: a PC2 file beside the .blend, played by a Mesh Cache modifier on the face only.

PC2: "POINTCACHE2\\0", int32 version 1, vertices, float32 first frame, frames a sample, int32 samples, then float32
[T, V, 3], little-endian (the format of 3ds Max's Point Cache, as Blender's Mesh Cache modifier reads it).
"""

from __future__ import annotations

import re
import shutil
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import bpy
import numpy as np

from ..core.errors import PTalkerError

FOLDER = "ptalker_cache"
MASK = "PTalker Face"
PREFIX = "PTalker"
HEADER = struct.Struct("<12siiffi")
MAGIC = b"POINTCACHE2\0"
FADE = 0.02  # of the largest motion, below which a vertex belongs to the face less and less
_CHUNK = 32 << 20  # bytes in memory at a time


def write_pc2(path: Path, rest: np.ndarray, basis: np.ndarray, weights: np.ndarray, first: float) -> None:
    """rest [V, 3] + weights [T, K] x basis [K, V, 3] to ``path``, a few frames at a time, whole or not at all.

    Raises PTalkerError cache_unwritable.
    """
    flat = basis.reshape(len(basis), -1).astype(np.float32, copy=False)
    size = HEADER.size + 12 * len(rest) * len(weights)
    temporary = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(path.parent).free < size:
            raise PTalkerError(
                "cache_unwritable", f"The vertex cache needs {size / 1e9:.1f} GB, and the disk has less.", "Take New Shape Keys."
            )
        with temporary.open("wb") as file:
            file.write(HEADER.pack(MAGIC, 1, len(rest), first, 1.0, len(weights)))
            step = max(1, _CHUNK // (12 * max(1, len(rest))))
            for start in range(0, len(weights), step):
                part = weights[start : start + step].astype(np.float32) @ flat + rest.reshape(-1)
                file.write(part.astype("<f4", copy=False).tobytes())
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        blocked = path.parent.exists() and not path.parent.is_dir()
        why = f"'{path.parent.name}' is a file there, not a folder" if blocked else error.strerror
        raise PTalkerError("cache_unwritable", f"The vertex cache cannot be written to '{path}': {why}.") from error


def read_pc2(path: Path) -> tuple[np.ndarray, float]:
    """(positions [T, V, 3] float32 as a read-only map of the file, first frame). Raises PTalkerError cache_unreadable."""
    try:
        with path.open("rb") as file:
            head = file.read(HEADER.size)
        magic, version, vertices, first, _step, samples = HEADER.unpack(head)
        if magic != MAGIC or version != 1 or vertices < 1 or samples < 1:
            raise ValueError("not a PC2 file")
        shape = (samples, vertices, 3)
        return np.memmap(path, "<f4", "r", HEADER.size, shape), float(first)
    except (OSError, ValueError, struct.error) as error:
        raise PTalkerError(
            "cache_unreadable", f"The vertex cache '{path.name}' is missing or damaged.", "Generate again."
        ) from error


def free_path(obj_name: str, clip_name: str) -> Path:
    """A file name beside the .blend that is not in use: what was cached before stays. Raises PTalkerError not_saved."""
    if not bpy.data.filepath:
        raise PTalkerError(
            "not_saved", "The file has no name yet, and the vertex cache is written beside it.", "Save the file first."
        )
    blend = Path(bpy.data.filepath)
    stem = re.sub(r"[^\w.-]+", "_", f"{blend.stem}_{obj_name}_{clip_name}")[:120]
    number, path = 1, blend.parent / FOLDER / f"{stem}.pc2"
    while path.exists():
        number, path = number + 1, blend.parent / FOLDER / f"{stem}_{number:03}.pc2"
    return path


def add_modifier(
    obj: bpy.types.Object, path: Path, name: str, first: int, mask: str, undo: list[Callable[[], None]]
) -> list[str]:
    """A Mesh Cache modifier on top of the stack; earlier ones of PTalker are turned off, not removed. Returns their names."""
    earlier = [m for m in caches(obj) if m.show_viewport or m.show_render]
    shown = [(m.name, m.show_viewport, m.show_render) for m in earlier]
    modifier = obj.modifiers.new(f"{PREFIX} - {name}", "MESH_CACHE")
    own_name = modifier.name

    def back() -> None:
        obj.modifiers.remove(obj.modifiers[own_name])
        for other, viewport, render in shown:
            obj.modifiers[other].show_viewport, obj.modifiers[other].show_render = viewport, render

    undo.append(back)
    for other in earlier:
        other.show_viewport = other.show_render = False
    modifier.cache_format = "PC2"
    modifier.filepath = bpy.path.relpath(str(path))
    modifier.deform_mode = "OVERWRITE"
    modifier.forward_axis, modifier.up_axis = "POS_Y", "POS_Z"
    modifier.interpolation = "LINEAR"
    modifier.play_mode, modifier.time_mode = "SCENE", "FRAME"
    modifier.frame_start = first
    modifier.vertex_group = mask
    obj.modifiers.move(len(obj.modifiers) - 1, 0)  # before subdivision and armature: the cache has the mesh's own vertices
    return [m.name for m in earlier]


def caches(obj: bpy.types.Object) -> list[bpy.types.Modifier]:
    return [m for m in obj.modifiers if m.type == "MESH_CACHE" and m.name.startswith(PREFIX)]


def add_mask(obj: bpy.types.Object, basis: np.ndarray, undo: list[Callable[[], None]]) -> str:
    """A vertex group of what the face moves, fading out at its border; one that is there already is used as it is."""
    if MASK in obj.vertex_groups:
        return MASK
    reach = np.linalg.norm(basis, axis=2).max(axis=0)  # [V]
    weight = np.clip(reach / max(FADE * float(reach.max(initial=0.0)), 1e-30), 0.0, 1.0)
    group = obj.vertex_groups.new(name=MASK)
    undo.append(lambda: obj.vertex_groups.remove(obj.vertex_groups[MASK]))
    levels = np.round(weight * 20) / 20
    for level in np.unique(levels[levels > 0]):
        group.add(np.flatnonzero(levels == level).tolist(), float(level), "REPLACE")
    return MASK
