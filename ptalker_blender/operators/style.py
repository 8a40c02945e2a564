# SPDX-License-Identifier: GPL-3.0-or-later
"""Styles: read one from a reference or a voice, keep, mix, save, load, delete them, show where they lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
from bpy.props import EnumProperty, StringProperty

from ..core.errors import PTalkerError
from ..panels.parts import redraw
from ..scene import picture, reference, style_library
from ..scene.style_jobs import ExplainJob, ReferenceJob, StyleJob, VoiceJob, add, choose
from ..state import RUN
from .running import EngineOperator, Work, busy_reason

SLICE = 0.1  # s of reading between two looks at the window


class StyleOperator(EngineOperator):
    """A mixin: reads the frames of a reference in slices before the engine is asked."""

    _work: StyleJob | None  # pyright: ignore[reportIncompatibleVariableOverride]

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        work = self._work
        if work is None or work.fraction >= 1.0 or RUN.cancel_requested or event.type != "TIMER":
            return super().modal(context, event)
        try:
            work.read(SLICE)
        except PTalkerError as error:
            self.finish(context)
            return self._fail(error)
        except BaseException:
            self.finish(context)
            raise
        RUN.stage, RUN.fraction = "reading frames", work.fraction
        redraw(context)
        return {"PASS_THROUGH"}


class ReferenceOperator(StyleOperator):
    """A mixin: grey without an object that can be read."""

    @classmethod
    def reason(cls, context: bpy.types.Context) -> PTalkerError | None:
        try:
            reference.check(context.scene.ptalker_style.reference)
        except PTalkerError as error:
            return error
        return busy_reason()


class PTALKER_OT_style_from_reference(ReferenceOperator, bpy.types.Operator):
    """Read the way of speaking of an animated mesh, which may be another one than the head to animate"""

    bl_idname = "ptalker.style_from_reference"
    bl_label = "Style from Reference"
    bl_options = {"UNDO"}

    def make(self, context: bpy.types.Context) -> Work:
        return ReferenceJob(context)


class PTALKER_OT_style_from_voice(StyleOperator, bpy.types.Operator):
    """Guess a way of speaking from a voice alone"""

    bl_idname = "ptalker.style_from_voice"
    bl_label = "Style from Voice"
    bl_options = {"UNDO"}

    source: EnumProperty(
        name="Source", items=(("STRIP", "Strip", "The active or selected sound strip"), ("FILE", "File", "A sound file")),
        options={"SKIP_SAVE"},
    )  # fmt: skip
    filepath: StringProperty(subtype="FILE_PATH", options={"SKIP_SAVE"})

    def make(self, context: bpy.types.Context) -> Work:
        if self.source == "FILE" and not self.filepath:
            raise PTalkerError("no_file", "No sound file is chosen.")
        return VoiceJob(context, self.filepath if self.source == "FILE" else "")

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if self.source == "FILE" and not self.filepath and not bpy.app.background:
            context.window_manager.fileselect_add(self)
            return {"RUNNING_MODAL"}
        return super().invoke(context, event)


class PTALKER_OT_explain_styles(StyleOperator, bpy.types.Operator):
    """Draw a map of the styles, this file's own among the built-in ones"""

    bl_idname = "ptalker.explain_styles"
    bl_label = "Map of Styles"

    def make(self, context: bpy.types.Context) -> Work:
        return ExplainJob(context)


class PTALKER_OT_show_picture(bpy.types.Operator):
    """Show the last picture in a window of its own"""

    bl_idname = "ptalker.show_picture"
    bl_label = "Open Picture"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return picture.IMAGE in bpy.data.images and not bpy.app.background

    def execute(self, context: bpy.types.Context) -> set[str]:
        bpy.ops.wm.window_new()
        area = context.window_manager.windows[-1].screen.areas[0]
        area.type = "IMAGE_EDITOR"
        area.spaces.active.image = bpy.data.images[picture.IMAGE]
        return {"FINISHED"}


# ------------------------------------------------------------------------------------------------ the list
def active_row(context: bpy.types.Context) -> Any | None:
    settings = context.scene.ptalker_style
    return settings.rows[settings.active_row] if 0 <= settings.active_row < len(settings.rows) else None


class PTALKER_OT_style_add(bpy.types.Operator):
    """Speak in this style, too; several are blended by their weights"""

    bl_idname = "ptalker.style_add"
    bl_label = "Add Style"
    bl_options = {"UNDO"}

    style: StringProperty(name="Style", description="A built-in style, or a text of this file that is one")
    only: bpy.props.BoolProperty(name="Only", description="In the place of the others", options={"SKIP_SAVE"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        text = next((t for t in style_library.saved() if t.name == self.style), None)
        if text is None and self.style not in style_library.built_in():
            self.report({"ERROR"}, f"There is no style '{self.style}'.")
            return {"CANCELLED"}
        (choose if self.only else add)(context.scene.ptalker_style, text, self.style)
        return {"FINISHED"}


class PTALKER_OT_style_remove(bpy.types.Operator):
    """Take the style out of the blend; it stays in the file"""

    bl_idname = "ptalker.style_remove"
    bl_label = "Remove from Blend"
    bl_options = {"UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return active_row(context) is not None

    def execute(self, context: bpy.types.Context) -> set[str]:
        settings = context.scene.ptalker_style
        settings.rows.remove(settings.active_row)
        settings.active_row = max(0, min(settings.active_row, len(settings.rows) - 1))
        return {"FINISHED"}


def own_style(context: bpy.types.Context) -> bpy.types.Text:
    """The active style, one of this file. Raises PTalkerError no_style where it is none that can be saved."""
    row = active_row(context)
    if row is None or row.text is None:
        raise PTalkerError("no_style", "Choose a style of this file; built-in ones are everywhere.")
    if not style_library.is_style(row.text):
        raise PTalkerError("no_style", f"'{row.text.name}' is not a style.")
    return row.text


class PTALKER_OT_style_delete(bpy.types.Operator):
    """Delete the style from this file"""

    bl_idname = "ptalker.style_delete"
    bl_label = "Delete Style"
    bl_options = {"UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        try:
            if own_style(context).library is None:
                return True
            cls.poll_message_set("The style is linked from another file.")
        except PTalkerError as error:
            cls.poll_message_set(str(error))
        return False

    def execute(self, context: bpy.types.Context) -> set[str]:
        text = own_style(context)
        for scene in bpy.data.scenes:
            settings = scene.ptalker_style
            for index in reversed([i for i, row in enumerate(settings.rows) if row.text == text]):
                settings.rows.remove(index)
            settings.active_row = max(0, min(settings.active_row, len(settings.rows) - 1))
        bpy.data.texts.remove(text)
        return {"FINISHED"}


class PTALKER_OT_style_save(bpy.types.Operator):
    """Save the style as a file, for other scenes and other people"""

    bl_idname = "ptalker.style_save"
    bl_label = "Save Style"

    filepath: StringProperty(subtype="FILE_PATH", options={"SKIP_SAVE"})
    filter_glob: StringProperty(default=f"*{style_library.ENDING}", options={"HIDDEN"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        try:
            own_style(context)
        except PTalkerError as error:
            cls.poll_message_set(str(error))
            return False
        return True

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        self.filepath = style_library.free_name(own_style(context).name) + style_library.ENDING
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        path = Path(bpy.path.ensure_ext(bpy.path.abspath(self.filepath), style_library.ENDING))
        try:
            path.write_bytes(style_library.data_of(own_style(context)))
        except (OSError, PTalkerError) as error:
            sentence = str(error) if isinstance(error, PTalkerError) else f"The style cannot be written to '{path}'."
            self.report({"ERROR"}, sentence)
            return {"CANCELLED"}
        self.report({"INFO"}, f"PTalker: saved '{path}'")
        return {"FINISHED"}


class PTALKER_OT_style_load(bpy.types.Operator):
    """Take a style file into this file, and speak in it"""

    bl_idname = "ptalker.style_load"
    bl_label = "Load Style"
    bl_options = {"UNDO"}

    filepath: StringProperty(subtype="FILE_PATH", options={"SKIP_SAVE"})
    filter_glob: StringProperty(default=f"*{style_library.ENDING}", options={"HIDDEN"})

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        path = Path(bpy.path.abspath(self.filepath))
        try:
            text = style_library.keep(path.read_bytes(), path.stem)
        except (OSError, PTalkerError) as error:
            sentence = str(error) if isinstance(error, PTalkerError) else f"The style file '{path}' cannot be read."
            self.report({"ERROR"}, sentence)
            return {"CANCELLED"}
        choose(context.scene.ptalker_style, text)
        return {"FINISHED"}


CLASSES = (
    PTALKER_OT_style_from_reference, PTALKER_OT_style_from_voice, PTALKER_OT_explain_styles, PTALKER_OT_show_picture,
    PTALKER_OT_style_add, PTALKER_OT_style_remove, PTALKER_OT_style_delete, PTALKER_OT_style_save, PTALKER_OT_style_load,
)  # fmt: skip
