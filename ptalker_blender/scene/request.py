# SPDX-License-Identifier: GPL-3.0-or-later
"""What an artist asks for with one press of Generate Lip-Sync, what is told afterwards, and what can be told before."""

from __future__ import annotations

from dataclasses import dataclass, field

import bpy

from ..core.errors import PTalkerError
from . import followers, sound, targets
from .style_library import Voice, voice


@dataclass(frozen=True)
class Request:
    """What the artist asks for. Empty ``strip`` and ``objects``: what the context says."""

    source: str = "STRIP"  # STRIP | SOUND | FILE
    strip: str = ""
    sound: str = ""
    filepath: str = ""
    objects: tuple[str, ...] = ()
    style: str | None = None  # a built-in name or a file; None is neutral
    voice: Voice | None = None  # the scene's styles and gains
    strength: float = 1.0
    seed: int = 0
    frame_offset: int = 0

    @classmethod
    def from_settings(cls, scene: bpy.types.Scene) -> Request:
        """Raises PTalkerError style_missing."""
        s = scene.ptalker
        return cls(
            source=s.source, sound=s.sound.name if s.sound else "", filepath=s.filepath, voice=voice(scene.ptalker_style),
            strength=s.strength, seed=s.seed, frame_offset=s.frame_offset,
        )  # fmt: skip


@dataclass
class Report:
    """What was made: ``actions`` by name, ``lines`` for people, ``warnings`` for what is not as one might expect."""

    actions: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def chosen_meshes(context: bpy.types.Context, request: Request) -> list[bpy.types.Object]:
    """The meshes of a request. Raises PTalkerError no_mesh, no_object."""
    if not request.objects:
        meshes = targets.mesh_objects(context)
        if not meshes:
            raise PTalkerError("no_mesh", "No mesh is selected.", "Select the head to animate.")
        return meshes
    meshes = []
    for name in request.objects:
        obj = bpy.data.objects.get((name, None)) or bpy.data.objects.get(name)
        if obj is None or obj.type != "MESH":
            raise PTalkerError("no_object", f"There is no mesh object named '{name}'.")
        meshes.append(obj)
    return meshes


def check(context: bpy.types.Context, request: Request) -> None:
    """Whatever can be told before a run, quickly. Raises the PTalkerError that the run would raise."""
    if request.source == "STRIP":
        sound.check_strip(*sound.find_strip(context, request.strip))
    elif request.source == "SOUND" and not request.sound:
        raise PTalkerError("no_sound", "No sound is chosen.", "Choose one in the PTalker panel.")
    elif request.source == "FILE" and not request.filepath:
        raise PTalkerError("no_file", "No sound file is chosen.", "Choose one in the PTalker panel.")
    followers.assign([targets.examine(obj, quick=True) for obj in chosen_meshes(context, request)])
