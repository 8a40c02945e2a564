# SPDX-License-Identifier: GPL-3.0-or-later
"""One Generate Lip-Sync: read the scene, ask the engine, write the result. The scene changes in ``apply`` only."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import bpy
import numpy as np

from ..core import protocol
from ..core.channels import CHANNELS
from ..core.errors import PTalkerError
from ..core.poses import vector
from ..engine.run import Step
from . import cache, followers, landmarks, own_lips, sound, targets
from .actions import write_action
from .mesh_export import export, export_keys
from .own_shape import worn
from .request import Report, Request, chosen_meshes
from .rig_map import MOUTH, is_mouth_pose
from .sinks import Curves, collect, value_path
from .targets import CACHE, FOLLOW, NAMES, NEW, SHAPES, Target

RIG_WEIGHT = 0.3  # of the progress bar, against 1 for the speech
POOR = 0.5  # of the motion, below which own keys fitted by shape are not worth it


class Job:
    """Made and applied on the main thread; ``close()`` always. Between the two only the engine works."""

    def __init__(self, context: bpy.types.Context, request: Request) -> None:
        """Reads sound and meshes into a temporary folder. Raises PTalkerError; the scene is not touched."""
        self.request = request
        self.scene_name = context.scene.name
        self.targets: list[Target] = [targets.examine(obj) for obj in chosen_meshes(context, request)]
        followers.assign(self.targets)
        self.leaders = own_lips.leaders([targets.resolve(target) for target in self.targets], self.targets)
        self.folder = Path(tempfile.mkdtemp(prefix="ptalker-"))
        try:
            self.clip = self._clip(context)
            for number, target in enumerate(self.targets):
                self._export(number, target)
        except BaseException:
            self.close()
            raise

    def _export(self, number: int, target: Target) -> None:
        """What the engine has to know of a target."""
        obj, path = targets.resolve(target), self.folder / f"mesh{number}.npz"
        if parts := self._followers(target):
            followers.export_parts(obj, target, parts, self.folder / f"parts{number}.npz")
        elif target.mode in (NEW, CACHE):
            export(obj.data, path, landmarks.guide(obj))
        if target.mode == SHAPES:
            export_keys(obj, list(target.keys), path, landmarks.guide(obj))
        elif self._meets(number):
            own_lips.export_keys(obj, target, self.folder / f"keys{number}.npz")
        elif target.mode == NAMES and target.poses:
            sources = pose_sources(target)
            poses = np.array([vector(source) for source in sources])
            np.savez(path, poses=poses, low=np.zeros(len(sources)), high=np.ones(len(sources)))

    def _meets(self, number: int) -> bool:
        """Whether a target's own keys, by name, decide how its lips meet."""
        return self.leaders[number] == number and self.targets[number].mode == NAMES

    def _followers(self, head: Target) -> list[bpy.types.Object]:
        """The objects that move with a head, in the order in which the engine gets them."""
        return [targets.resolve(target) for target in self.targets if target.mode == FOLLOW and target.head == head.object_name]

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
        voice = request.voice.write(folder) if request.voice else {}

        def speech(number: int) -> protocol.Job:
            return protocol.Generate(
                number, audio=str(clip.path), out=str(folder / "weights.npz"), fps=clip.fps, style=request.style,
                strength=request.strength, seed=request.seed, start=clip.start, duration=clip.duration, **voice,
            )  # fmt: skip

        def rig(index: int, number: int) -> protocol.Job:
            file = "parts" if self._followers(self.targets[index]) else "mesh"
            made = self.leaders[index] == index and self.targets[index].mode in (NEW, CACHE)
            meet = str(folder / "weights.npz") if made else None
            return protocol.Rig(number, str(folder / f"{file}{index}.npz"), str(folder / f"basis{index}.npz"), weights=meet)

        def fit(index: int, number: int) -> protocol.Job:
            keys, out = str(folder / f"mesh{index}.npz"), str(folder / f"fit{index}.npz")
            lips = self.leaders[index] is not None
            return protocol.Fit(number, weights=str(folder / "weights.npz"), keys=keys, out=out, meet=lips)

        def meet(index: int, number: int) -> protocol.Job:
            mesh, out = str(folder / f"keys{index}.npz"), str(folder / f"met{index}.npz")
            return protocol.Meet(number, weights=str(folder / "weights.npz"), mesh=mesh, out=out)

        steps = [Step(speech, "listening")]
        for index, target in enumerate(self.targets):
            if target.mode in (NEW, CACHE) or self._followers(target):
                steps.append(Step(partial(rig, index), f"making shapes for {target.object_name}", RIG_WEIGHT))
            if target.mode == SHAPES or target.poses:
                steps.append(Step(partial(fit, index), f"fitting {target.object_name}", RIG_WEIGHT))
            if self._meets(index):
                steps.append(Step(partial(meet, index), f"closing the lips of {target.object_name}", RIG_WEIGHT))
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
        followers.assign(fresh)
        for old, new in zip(self.targets, fresh, strict=True):
            same_keys = old.mode != SHAPES or list(old.keys) == list(new.keys)
            if (old.mode, old.head) != (new.mode, new.head) or not same_keys or pose_sources(old) != pose_sources(new):
                raise PTalkerError(
                    "target_changed", f"The shape keys of '{new.object_name}' changed meanwhile; nothing was changed.",
                    "Run again.",
                )  # fmt: skip
        report = Report(warnings=[*self.clip.warnings, *(w for result in results for w in result.warnings)])
        undo: list[Callable[[], None]] = []
        try:
            written = Curves()
            made: list[tuple[bpy.types.Object, Curves, str]] = []
            for index, (obj, target) in enumerate(zip(objects, fresh, strict=True)):
                curves, note = self._curves(index, obj, target, columns, report, undo)
                written.merge(curves)
                made.append((obj, curves, note))
            actions = self._write(written, objects, undo, report)
            self._report(made, actions, len(weights), report)
        except BaseException:
            for back in reversed(undo):
                back()
            raise
        scene = bpy.data.scenes.get(self.scene_name)
        if scene is not None:
            scene.frame_set(scene.frame_current)
        return report

    def _curves(
        self,
        index: int,
        obj: bpy.types.Object,
        target: Target,
        columns: dict[str, np.ndarray],
        report: Report,
        undo: list[Callable[[], None]],
    ) -> tuple[Curves, str]:
        """What is animated on one object, and what else is to be said about it. Makes shape keys where they are wanted."""
        report.warnings += target.warnings
        columns = self._with_lips(index, obj, columns, report)
        if target.mode == NAMES:
            if target.poses:
                fitted = self._archive(f"fit{index}.npz")["weights"]
                columns = dict(zip(pose_sources(target), fitted[: len(next(iter(columns.values())))].T, strict=True))
            # An upper face that the take leaves at rest keeps what the artist animated there.
            lines = [line for line in target.lines if is_mouth(line.source) or np.any(columns[line.source] != 0)]
            return collect(obj, lines, columns), ""
        if target.mode == SHAPES:
            return self._fitted(index, obj, target, columns, report, undo)
        leader = next((t for t in self.targets if t.object_name == target.head), self.targets[index])
        archive = self._archive(f"basis{self.targets.index(leader)}.npz")
        basis, parts = archive["basis"], self._followers(leader)
        if parts:
            basis = followers.basis_of(basis, targets.resolve(leader), parts, obj)
        if CACHE in (target.mode, leader.mode):
            return self._cached(obj, basis, columns, report, undo)
        return self._new_keys(obj, target, basis, [str(n) for n in archive["names"]], columns, undo)

    def _with_lips(
        self, index: int, obj: bpy.types.Object, columns: dict[str, np.ndarray], report: Report
    ) -> dict[str, np.ndarray]:
        """The weights with which the lips of the head that an object belongs to meet; as they are where nothing tells."""
        leader = self.leaders[index]
        if leader is None:
            return columns
        weights, why = own_lips.answer(self.folder, leader, self.targets[leader], POOR)
        if why and leader == index:
            report.warnings.append(f"'{obj.name}': its lips were not made to meet on this very mesh. {why}")
        return dict(zip(CHANNELS, weights[: len(next(iter(columns.values())))].T, strict=True))

    def _fitted(
        self,
        index: int,
        obj: bpy.types.Object,
        target: Target,
        columns: dict[str, np.ndarray],
        report: Report,
        undo: list[Callable[[], None]],
    ) -> tuple[Curves, str]:
        """Own keys by their shapes; new ones where those cannot speak and the artist did not insist."""
        fit = self._archive(f"fit{index}.npz")
        share = float(fit["explained"])
        percent = f"{100 * share:.0f} %"
        if share < POOR:
            sentence = f"'{obj.name}': its own shape keys could make only {percent} of the speech"
            if target.automatic:
                fresh = replace(target, mode=NEW, keys={})
                targets.check_riggable(obj)
                report.warnings.append(f"{sentence}, so new ones were made.")
                return self._new_keys(obj, fresh, fit["basis"], list(CHANNELS), columns, undo)
            report.warnings.append(f"{sentence}. New Shape Keys would do better.")
        weights = fit["weights"][: len(next(iter(columns.values())))]
        known, curves = int((fit["channel"] >= 0).sum()), Curves()
        for key, values in zip(target.keys, weights.T, strict=True):
            if np.any(values != 0):
                curves.add(obj.data.shape_keys, (value_path(key), 0), values)
        return curves, f", fitted by shape: {percent} of the motion, {known} keys recognised"

    def _new_keys(
        self,
        obj: bpy.types.Object,
        target: Target,
        basis: np.ndarray,
        names: list[str],
        columns: dict[str, np.ndarray],
        undo: list[Callable[[], None]],
    ) -> tuple[Curves, str]:
        keys = targets.create_keys(obj, target, basis, names, undo, mouth=target.mode != FOLLOW)
        made, curves = len(keys) - len(target.keys), Curves()
        for channel in CHANNELS:
            if channel in keys and channel in columns and (channel in MOUTH or np.any(columns[channel] != 0)):
                curves.add(obj.data.shape_keys, (value_path(keys[channel]), 0), columns[channel])
        note = f", {made} new shape keys" if made else ""
        if target.head and not curves.count:
            return curves, f", stays still: nothing of '{target.head}' that moves is near it"
        return curves, note + (f", follows '{target.head}'" if target.head else "")

    def _cached(
        self,
        obj: bpy.types.Object,
        basis: np.ndarray,
        columns: dict[str, np.ndarray],
        report: Report,
        undo: list[Callable[[], None]],
    ) -> tuple[Curves, str]:
        """A vertex cache beside the .blend and the modifier that plays it."""
        weights = np.stack([columns[channel] for channel in CHANNELS], axis=1)
        first = self.clip.first_frame + self.request.frame_offset
        path = cache.free_path(obj.name, self.clip.name)
        cache.write_pc2(path, worn(obj), basis, weights, first)
        undo.append(lambda: path.unlink(missing_ok=True))
        mask = cache.add_mask(obj, basis, undo)
        if off := cache.add_modifier(obj, path, self.clip.name, first, mask, undo):
            report.warnings.append(f"'{obj.name}': the earlier cache {targets.listed(off)} was turned off; it is still there.")
        return Curves(), f", vertex cache {path.name} ({path.stat().st_size / 1e6:.0f} MB)"

    def _archive(self, name: str) -> dict[str, np.ndarray]:
        with np.load(self.folder / name) as archive:
            return {key: archive[key] for key in archive.files}

    def _write(
        self, curves: Curves, objects: list[bpy.types.Object], undo: list[Callable[[], None]], report: Report
    ) -> dict[bpy.types.ID, bpy.types.Action]:
        """One new Action for every datablock that is animated, named for the object that it belongs to."""
        first = self.clip.first_frame + self.request.frame_offset
        actions = {}
        for owner, values in zip(curves.owners, curves.values, strict=True):
            name = next((o.name for o in objects if owner in (o, o.data, o.data.shape_keys)), owner.name)
            actions[owner] = write_action(owner, f"{name} - {self.clip.name}", first, values, undo, report.warnings)
        return actions

    def _report(
        self,
        made: list[tuple[bpy.types.Object, Curves, str]],
        actions: dict[bpy.types.ID, bpy.types.Action],
        frames: int,
        report: Report,
    ) -> None:
        first = self.clip.first_frame + self.request.frame_offset
        report.actions += [action.name for action in actions.values()]
        for obj, curves, note in made:
            names = ", ".join(f"'{actions[owner].name}'" for owner in curves.owners)
            what = f"{curves.count} channels, " if curves.count else ""
            line = f"'{obj.name}': {what}frames {first} to {first + frames - 1}" + (f", Action {names}" if names else "")
            report.lines.append(line + note)


def is_mouth(source: str) -> bool:
    return source in MOUTH or is_mouth_pose(source)


def pose_sources(target: Target) -> list[str]:
    """What the engine is asked to make a target's weights of, in order; nothing where channels do."""
    return list(dict.fromkeys(line.source for line in target.lines)) if target.poses else []
