# SPDX-License-Identifier: GPL-3.0-or-later
"""From a sound strip, a sound or a file to a file that the engine reads, and where on the timeline it starts.

A strip is heard exactly as Blender plays it (trim, offset, volume, speed, enclosing meta strips) because Blender
itself mixes it down. Where this build of Blender cannot, the engine reads the strip's file between the cuts.
"""

from __future__ import annotations

import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from ..core import SAMPLE_RATE
from ..core.errors import PTalkerError
from . import compat

ENGINE_READS = {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff"}


@dataclass(frozen=True)
class Clip:
    """What is heard: ``path`` between ``start`` and ``start + duration`` seconds, from ``first_frame`` on.

    ``frames`` is its length on the timeline, None where only the engine can tell. ``fps`` is frames per second.
    """

    path: Path
    name: str
    first_frame: int
    fps: float
    frames: int | None = None
    start: float = 0.0
    duration: float | None = None
    warnings: tuple[str, ...] = ()


def frame_rate(scene: bpy.types.Scene) -> float:
    return scene.render.fps / scene.render.fps_base


def find_strip(context: bpy.types.Context, name: str = "") -> tuple[bpy.types.Scene, Any]:
    """(scene, sound strip): the one of that name, else the active, else the selected, else the only one.

    Raises PTalkerError where there is none or where it is open which one is meant.
    """
    for scene in compat.sequencer_scenes(context):
        found = [strip for strip, _ in compat.strips_with_parents(scene) if strip.type == "SOUND"]
        if name:
            for strip in found:
                if strip.name == name:
                    return scene, strip
            continue
        active = scene.sequence_editor.active_strip if scene.sequence_editor else None
        if active is not None and active.type == "SOUND" and (active.select or len(found) == 1):
            return scene, active
        selected = [strip for strip in found if strip.select]
        if len(selected) == 1 or len(found) == 1:
            return scene, (selected or found)[0]
        if len(selected) > 1:
            raise PTalkerError("strip_ambiguous", f"{len(selected)} sound strips are selected.", "Make one the active strip.")
        if found:
            raise PTalkerError("no_strip", "No sound strip is selected.", "Select one in the Video Sequencer.")
    if name:
        raise PTalkerError("no_strip", f"There is no sound strip named '{name}'.")
    raise PTalkerError("no_strip", "There is no sound strip in the sequencer.", "Add one, or choose a file as source.")


def check_strip(scene: bpy.types.Scene, strip: Any) -> tuple[int, int]:
    """[first, last + 1) frame at which the strip is heard. Raises PTalkerError where nothing can be heard."""
    parents = next(p for s, p in compat.strips_with_parents(scene) if s == strip)
    editor = scene.sequence_editor
    begin, end = compat.strip_range(strip)
    for one in (strip, *parents):
        if one.mute:
            raise PTalkerError("strip_muted", f"The strip '{one.name}' is muted.", "Unmute it and run again.")
        first, last = compat.strip_range(one)
        begin, end = max(begin, first), min(end, last)
    # A meta strip has channels of its own, and lies in a channel itself.
    for inside, one in zip((editor, *parents), (*parents, strip), strict=True):
        if inside.channels[one.channel].mute:
            raise PTalkerError("strip_muted", f"The channel of the strip '{one.name}' is muted.", "Unmute the channel.")
    if end <= begin:
        raise PTalkerError("strip_empty", f"The strip '{strip.name}' is empty: nothing of it can be heard.")
    if strip.sound is None:
        raise PTalkerError("strip_empty", f"The strip '{strip.name}' has no sound.")
    return begin, end


def clip_from_strip(scene: bpy.types.Scene, strip: Any, folder: Path) -> Clip:
    """What is heard of a strip. ``folder`` takes temporary files. The scene is not touched."""
    begin, end = check_strip(scene, strip)
    fps = frame_rate(scene)
    source = sound_file(strip.sound, folder)
    wav = folder / "strip.wav"
    if mix_down(scene, strip.name, begin, end, wav):
        keep_samples(wav, round((end - begin) / fps * SAMPLE_RATE))
        # Blender mixes a file that it cannot decode as silence, and knows no sample rate of it.
        if strip.sound.samplerate == 0 and not any_sound(wav):
            raise PTalkerError(
                "audio_unreadable",
                f"'{strip.sound.name}' cannot be read as sound.",
                "Convert it to wav, flac, ogg or mp3, or relink the strip's sound.",
            )
        # A sound without samples makes a strip of one frame.
        if end - begin <= 1 and not any_sound(wav):
            raise PTalkerError("strip_empty", f"The strip '{strip.name}' is empty: nothing of it can be heard.")
        return Clip(wav, strip.name, begin, fps, end - begin)
    if compat.is_retimed(strip):
        raise PTalkerError(
            "strip_speed", f"This Blender cannot mix sound, so the changed speed of '{strip.name}' cannot be heard."
        )
    second = compat.strip_source_second(strip, fps)
    return Clip(engine_readable(source, folder), strip.name, begin, fps, end - begin, second, (end - begin) / fps)


def mix_down(scene: bpy.types.Scene, strip_name: str, begin: int, end: int, wav: Path) -> bool:
    """Write frames [begin, end) of one strip as 16 kHz mono WAV; False where this Blender cannot.

    It happens in a copy of the scene without objects, so that neither the artist's mutes, range and frame nor the
    time that the scene takes to evaluate matter.
    """
    copy = scene.copy()
    action = None
    try:
        for child in list(copy.collection.children):
            copy.collection.children.unlink(child)
        for obj in list(copy.collection.objects):
            copy.collection.objects.unlink(obj)
        parents = next(p for s, p in compat.strips_with_parents(copy) if s.name == strip_name)
        heard = {strip_name, *(p.name for p in parents)}
        for other, _ in compat.strips_with_parents(copy):
            other.mute = other.name not in heard
        action = own_action(copy)
        play_sound(copy)
        if begin < 0:  # a scene cannot start there
            move_later(copy, next(s for s in compat.strips(copy.sequence_editor) if s.name in heard), -begin)
            begin, end = 0, end - begin
        copy.use_preview_range = False
        copy.frame_start, copy.frame_end = begin, end - 1
        with bpy.context.temp_override(**compat.override_scene(copy)):
            bpy.ops.sound.mixdown(
                filepath=str(wav), check_existing=False, container="WAV", codec="PCM", format="S16",
                mixrate=SAMPLE_RATE, channels="MONO",
            )  # fmt: skip
    except (AttributeError, RuntimeError, TypeError):
        # A Blender built without audio lacks the operator, its WAV choice or the strip's sound: the caller's other
        # way is then the only one.
        return False
    finally:
        compat.remove_scene(copy)
        if action is not None:
            bpy.data.actions.remove(action)
    # One build of Blender says FINISHED and writes nothing.
    return wav.is_file() and wav.stat().st_size > 44


def own_action(copy: bpy.types.Scene) -> bpy.types.Action | None:
    """Give a copied scene its own Action, so that keys can change; None where nothing is keyed."""
    if compat.action_curves(copy) is None:
        return None
    compat.assign_copied_action(copy, "PTalker Mixdown")
    return copy.animation_data.action


def play_sound(copy: bpy.types.Scene) -> None:
    """Sound is on and at full volume, keyed or not: artists turn a scene down because it disturbs, not the face."""
    copy.use_audio, copy.audio_volume = True, 1.0
    curves = compat.action_curves(copy)
    if curves is not None:
        for curve in [c for c in curves if c.data_path in ("use_audio", "audio_volume")]:
            curves.remove(curve)


def move_later(copy: bpy.types.Scene, strip: Any, frames: int) -> None:
    """Move a top-level strip with what is in it. Blender moves their keys too, so the Action must be the copy's own."""
    # Where it meets another strip Blender puts it into another channel, which may be muted.
    for channel in copy.sequence_editor.channels:
        channel.mute = False
    compat.move_strip(strip, frames)


def any_sound(wav: Path) -> bool:
    """Whether a 16 bit mono WAV holds anything but zeros."""
    with wave.open(str(wav), "rb") as file:
        return bool(np.frombuffer(file.readframes(file.getnframes()), np.int16).any())


def keep_samples(wav: Path, count: int) -> None:
    """Cut or pad a 16 bit mono WAV to exactly ``count`` samples: Blender mixes about a frame more than asked."""
    with wave.open(str(wav), "rb") as file:
        parameters, data = file.getparams(), file.readframes(count)
    with wave.open(str(wav), "wb") as file:
        file.setparams(parameters)
        file.writeframes(data.ljust(2 * count, b"\0"))


def sound_file(sound: bpy.types.Sound, folder: Path) -> Path:
    """The file of a sound datablock; a packed one is written to ``folder``."""
    if sound.packed_file is not None:
        # The ending tells the decoder what it is.
        path = folder / ("packed" + Path(sound.filepath).suffix.lower())
        path.write_bytes(sound.packed_file.data)
        return path
    path = Path(bpy.path.abspath(sound.filepath, library=sound.library))
    if not path.is_file():
        raise PTalkerError(
            "audio_missing",
            f"The file of the sound '{sound.name}' is missing: {path}.",
            "Find it, or relink the sound.",
        )
    return path


def engine_readable(path: Path, folder: Path) -> Path:
    """The file itself where the engine reads its format, else a WAV that Blender decoded (films, AAC).

    Where Blender cannot decode it either the file itself comes back, and the engine says what is wrong with it.
    """
    if path.suffix.lower() in ENGINE_READS:
        return path
    try:
        import aud
    except ImportError:  # a build without audio
        return path
    try:
        # data() and not write(): write() fails on files that end a little before they say.
        samples = aud.Sound(str(path)).rechannel(1).resample(SAMPLE_RATE, 3).data()  # [n, 1] float32
    except aud.error:
        return path
    wav = folder / "decoded.wav"
    with wave.open(str(wav), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes((np.clip(samples[:, 0], -1.0, 1.0) * 32767).astype("<i2").tobytes())
    return wav


def clip_from_sound(scene: bpy.types.Scene, sound: bpy.types.Sound | None, folder: Path) -> Clip:
    """A whole sound datablock from the scene's first frame on."""
    if sound is None:
        raise PTalkerError("no_sound", "No sound is chosen.", "Choose one in the PTalker panel.")
    path = engine_readable(sound_file(sound, folder), folder)
    return Clip(path, sound.name, scene.frame_start, frame_rate(scene))


def clip_from_file(scene: bpy.types.Scene, filepath: str, folder: Path) -> Clip:
    """A whole file from the scene's first frame on."""
    if not filepath:
        raise PTalkerError("no_file", "No sound file is chosen.", "Choose one in the PTalker panel.")
    path = Path(bpy.path.abspath(filepath))
    if not path.is_file():
        raise PTalkerError("audio_missing", f"The sound file '{path}' does not exist.")
    return Clip(engine_readable(path, folder), path.stem, scene.frame_start, frame_rate(scene))
