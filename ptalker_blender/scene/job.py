# SPDX-License-Identifier: GPL-3.0-or-later
"""One Generate Lip-Sync: read the scene, ask the engine, write the result. The scene changes in ``apply`` only."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import bpy
import numpy as np

from ..core import protocol
from ..core.channels import CHANNELS
from ..core.errors import PTalkerError
from ..engine.run import Step
from . import sound, targets
from .actions import write_action
from .mesh_export import export
from .targets import MOUTH, Target, value_path

RIG_WEIGHT = 0.3  # of the progress bar, against 1 for the speech


@dataclass(frozen=True)
class Request:
    """What the artist asks for. Empty ``strip`` and ``objects``: what the context says."""

    source: str = "STRIP"  # STRIP | SOUND | FILE
    strip: str = ""
    sound: str = ""
    filepath: str = ""
    objects: tuple[str, ...] = ()
    style: str | None = None  # a built-in name or a file; None is neutral
    strength: float = 1.0
    seed: int = 0
    frame_offset: int = 0

    @classmethod
    def from_settings(cls, scene: bpy.types.Scene) -> Request:
        """Raises PTalkerError style_missing."""
        s = scene.ptalker
        style = bpy.path.abspath(s.style_path) if s.style == "FILE" else None
        if style is not None and not Path(style).is_file():
            raise PTalkerError("style_missing", f"The style file '{style}' does not exist.", "Choose another style.")
        return cls(
            source=s.source, sound=s.sound.name if s.sound else "", filepath=s.filepath, style=style,
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
    for obj in chosen_meshes(context, request):
        targets.examine(obj)


class Job:
    """Made and applied on the main thread; ``close()`` always. Between the two only the engine works."""

    def __init__(self, context: bpy.types.Context, request: Request) -> None:
        """Reads sound and meshes into a temporary folder. Raises PTalkerError; the scene is not touched."""
        self.request = request
        self.scene_name = context.scene.name
        self.targets: list[Target] = [targets.examine(obj) for obj in chosen_meshes(context, request)]
        self.folder = Path(tempfile.mkdtemp(prefix="ptalker-"))
        try:
            self.clip = self._clip(context)
            for number, target in enumerate(self.targets):
                if target.create:
                    export(targets.resolve(target).data, self.folder / f"mesh{number}.npz")
        except BaseException:
            self.close()
            raise

    def _clip(self, context: bpy.types.Context) -> sound.Clip:
        request = self.request
        if request.source == "STRIP":
            scene, strip = sound.find_strip(context, request.strip)
            clip = sound.clip_from_strip(scene, strip, self.folder)
            own = sound.frame_rate(context.scene)
            if abs(own - clip.fps) < 1e-3:
                return clip
            # Frames are those of the sequencer's scene: there the face is in time with the sound.
            rates = f"'{scene.name}' has {clip.fps:.6g} frames a second and '{context.scene.name}' {own:.6g}"
            return replace(clip, warnings=(f"The scenes differ in frame rate: {rates}.",))
        if request.source == "SOUND":
            return sound.clip_from_sound(context.scene, bpy.data.sounds.get(request.sound), self.folder)
        return sound.clip_from_file(context.scene, request.filepath, self.folder)

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def steps(self) -> list[Step]:
        """What the engine is asked: the speech, then a basis for every mesh that has no face shape keys."""
        clip, request, folder = self.clip, self.request, self.folder

        def speech(number: int) -> protocol.Job:
            return protocol.Generate(
                number, audio=str(clip.path), out=str(folder / "weights.npz"), fps=clip.fps, style=request.style,
                strength=request.strength, seed=request.seed, start=clip.start, duration=clip.duration,
            )  # fmt: skip

        def rig(index: int, number: int) -> protocol.Job:
            return protocol.Rig(number, str(folder / f"mesh{index}.npz"), str(folder / f"basis{index}.npz"))

        steps = [Step(speech, "listening")]
        for index, target in enumerate(self.targets):
            if target.create:
                steps.append(Step(partial(rig, index), f"making shapes for {target.object_name}", RIG_WEIGHT))
        return steps

    def apply(self, results: list[protocol.Result]) -> Report:
        """Write everything, or raise PTalkerError and leave the scene as it is."""
        with np.load(self.folder / "weights.npz") as archive:
            names, weights = [str(n) for n in archive["names"]], archive["weights"]
        if self.clip.frames is not None:
            weights = weights[: self.clip.frames]
        columns = {name: weights[:, k] for k, name in enumerate(names)}
        # The scene may have changed while the engine worked: look at everything again before anything is written.
        objects = [targets.resolve(target) for target in self.targets]
        fresh = [targets.examine(obj) for obj in objects]
        for old, new in zip(self.targets, fresh, strict=True):
            if old.create != new.create:
                raise PTalkerError(
                    "target_changed", f"The shape keys of '{new.object_name}' changed meanwhile; nothing was changed.",
                    "Run again.",
                )  # fmt: skip
        report = Report(warnings=[*self.clip.warnings, *(w for result in results for w in result.warnings)])
        undo: list[Callable[[], None]] = []
        try:
            for index, (obj, target) in enumerate(zip(objects, fresh, strict=True)):
                self._write(index, obj, target, columns, report, undo)
        except BaseException:
            for back in reversed(undo):
                back()
            raise
        scene = bpy.data.scenes.get(self.scene_name)
        if scene is not None:
            scene.frame_set(scene.frame_current)
        return report

    def _write(
        self,
        index: int,
        obj: bpy.types.Object,
        target: Target,
        columns: dict[str, np.ndarray],
        report: Report,
        undo: list[Callable[[], None]],
    ) -> None:
        keys, made = target.keys, 0
        if target.create:
            with np.load(self.folder / f"basis{index}.npz") as archive:
                basis, names = archive["basis"], [str(n) for n in archive["names"]]
            keys = targets.create_keys(obj, target, basis, names, undo)
            made = len(keys) - len(target.keys)
        # An upper face that the take leaves at rest keeps what the artist animated there.
        curves = {
            value_path(keys[name]): columns[name]
            for name in CHANNELS
            if name in keys and name in columns and (name in MOUTH or np.any(columns[name] != 0))
        }
        first = self.clip.first_frame + self.request.frame_offset
        action = write_action(obj.data.shape_keys, f"{obj.name} - {self.clip.name}", first, curves, undo)
        frames = len(next(iter(columns.values())))
        line = f"'{obj.name}': {len(curves)} channels, frames {first} to {first + frames - 1}, Action '{action.name}'"
        report.actions.append(action.name)
        report.lines.append(line + (f", {made} new shape keys" if made else ""))
        report.warnings += target.warnings
