# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine does with styles: read one from a reference or a voice, fine-tune one, draw where they lie."""

from __future__ import annotations

import shutil
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from ..core import protocol
from ..core.errors import PTalkerError
from ..engine.run import Step
from . import picture, reference, sound, style_library
from .request import Report


class StyleJob(ABC):
    """Made and applied on the main thread; ``close()`` always. Frames are read by ``read()``, at the latest by its step."""

    stage = "reading the reference"
    fraction = 1.0  # of reading frames

    def __init__(self, context: bpy.types.Context, name: str) -> None:
        self.scene_name, self.name = context.scene.name, name
        self.folder = Path(tempfile.mkdtemp(prefix="ptalker-"))
        self.out, self.plot = self.folder / "style.safetensors", self.folder / "plot.png"
        self.warnings: list[str] = []

    def read(self, seconds: float = float("inf")) -> bool:
        """Read frames for about so long; whether all are there."""
        return True

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def steps(self) -> list[Step]:
        return [Step(self._ask, self.stage)]

    def _ask(self, number: int) -> protocol.Job:
        self.read()
        return self.job(number)

    @abstractmethod
    def job(self, number: int) -> protocol.Job: ...

    def apply(self, results: list[protocol.Result]) -> Report:
        """The style into the file, alone in use. Raises PTalkerError and leaves the scene as it is."""
        figures = results[-1].figures
        data = self.out.read_bytes()
        scene = bpy.data.scenes.get(self.scene_name)
        if scene is None:
            raise PTalkerError("scene_gone", f"The scene '{self.scene_name}' is gone.")
        text = style_library.keep(data, self.name, figures)
        choose(scene.ptalker_style, text)
        if self.plot.is_file():
            picture.show(self.plot)
        return Report(lines=self.lines(text, figures), warnings=[*self.warnings, *results[-1].warnings])

    def lines(self, text: bpy.types.Text, figures: dict[str, Any]) -> list[str]:
        return [f"Style '{text.name}'. {style_library.sentence(text)}"]


def choose(settings: Any, text: bpy.types.Text | None, built_in: str = "") -> None:
    """This style alone is used."""
    settings.rows.clear()
    add(settings, text, built_in)


def add(settings: Any, text: bpy.types.Text | None, built_in: str = "") -> None:
    """This style, too."""
    row = settings.rows.add()
    row.text, row.name = text, text.name if text is not None else built_in
    settings.active_row = len(settings.rows) - 1


def frames(settings: Any, obj: bpy.types.Object, scene: bpy.types.Scene) -> tuple[int, int]:
    """(first, last) frame that is read."""
    return (settings.first, settings.last) if settings.use_range else reference.default_range(obj, scene)


class ReferenceJob(StyleJob):
    """A style from the motion of an object and the sound that is heard with it."""

    def __init__(self, context: bpy.types.Context) -> None:
        """Raises PTalkerError; the scene is not touched."""
        settings = context.scene.ptalker_style
        obj = reference.check(settings.reference)
        span = reference.Span.of(*frames(settings, obj, context.scene), sound.frame_rate(context.scene))
        super().__init__(context, obj.name)
        self.reader: reference.Reader | None = None
        self.clip = self.folder / f"{style_library.free_name(obj.name)}.npz"
        try:
            self.audio = self._listen(context, span) if settings.use_sound else None
            self.reader = reference.Reader(obj, context.scene, span, self.clip)
        except BaseException:
            self.close()
            raise

    def _listen(self, context: bpy.types.Context, span: reference.Span) -> np.ndarray | None:
        found = reference.strip_within(context, span.first, span.last)
        if found is None:
            return None
        audio = reference.heard(*found, span, self.folder)
        if audio is None:
            self.warnings.append("This Blender cannot mix sound, so the reference was read without its own.")
        return audio

    @property
    def fraction(self) -> float:
        return self.reader.fraction if self.reader is not None else 1.0

    def read(self, seconds: float = float("inf")) -> bool:
        if self.reader is None:
            return True
        if not self.reader.read(seconds):
            return False
        self.reader.finish(self.audio)
        self.reader = None
        return True

    def close(self) -> None:
        if self.reader is not None:
            self.reader.close()
        super().close()

    def job(self, number: int) -> protocol.Job:
        return protocol.ReadStyle(number, str(self.clip), str(self.out), self.name, plot=str(self.plot))


class FineTuneJob(ReferenceJob):
    """A style learned from the motion of an object with its sound."""

    stage = "preparing"

    def __init__(self, context: bpy.types.Context) -> None:
        super().__init__(context)
        if self.audio is None:
            self.close()
            raise PTalkerError(
                "reference_no_sound", "Fine-tuning needs the sound of the reference, and no strip is heard in its frames.",
                "Put it into the sequencer where the reference speaks it.",
            )  # fmt: skip
        self.minutes, self.seed = context.scene.ptalker_style.minutes, context.scene.ptalker.seed

    def job(self, number: int) -> protocol.Job:
        return protocol.FineTune(
            number, (str(self.clip),), str(self.out), self.name, str(self.plot), self.minutes, self.seed
        )

    def lines(self, text: bpy.types.Text, figures: dict[str, Any]) -> list[str]:
        ended = " Stopped early; the best so far was kept." if figures.get("cancelled") else ""
        return [
            f"Fine-tuned style '{text.name}': {figures['before_mm']:.2f} mm before, {figures['after_mm']:.2f} mm after on what "
            f"was held out ({-100 * figures['gain']:+.0f} %).{ended}"
        ]


class VoiceJob(StyleJob):
    """A style from a voice alone: the sound strip, or a file."""

    stage = "listening"

    def __init__(self, context: bpy.types.Context, filepath: str = "") -> None:
        """Raises PTalkerError. Without ``filepath`` it is the active or selected sound strip."""
        super().__init__(context, "")
        try:
            if filepath:
                clip = sound.clip_from_file(context.scene, filepath, self.folder)
            else:
                clip = sound.clip_from_strip(*sound.find_strip(context), self.folder)
        except BaseException:
            self.close()
            raise
        if clip.start or clip.duration is not None:
            self.warnings.append("This Blender cannot mix sound, so the strip's whole file was heard.")
        self.name, self.path = clip.name, clip.path

    def job(self, number: int) -> protocol.Job:
        return protocol.ReadStyle(number, str(self.path), str(self.out), self.name, use="voice", plot=str(self.plot))


class ExplainJob(StyleJob):
    """The map of the style space with the file's own styles in it."""

    stage = "drawing"

    def __init__(self, context: bpy.types.Context) -> None:
        super().__init__(context, "")
        try:
            texts = style_library.saved()
            self.files = tuple(str(style_library.write(t.name, self.folder, i)) for i, t in enumerate(texts))
        except BaseException:
            self.close()
            raise

    def job(self, number: int) -> protocol.Job:
        return protocol.Explain(number, str(self.plot), self.files)

    def apply(self, results: list[protocol.Result]) -> Report:
        picture.show(self.plot)
        return Report(lines=[f"Map of the styles, {len(self.files)} of this file in it."])
