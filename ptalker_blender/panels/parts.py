# SPDX-License-Identifier: GPL-3.0-or-later
"""Pieces that several panels draw."""

from __future__ import annotations

import blf
import bpy

from ..state import RUN

# Error codes -> the operator that mends it.
FIXES = {
    "engine_missing": "ptalker.install_engine",
    "engine_broken": "ptalker.install_engine",
    "engine_incomplete": "ptalker.install_engine",
    "engine_python_missing": "ptalker.install_engine",
    "install_failed": "ptalker.install_engine",
    "install_check": "ptalker.install_engine",
    "engine_start_failed": "ptalker.restart_engine",
    "protocol_version": "ptalker.install_engine",
    "protocol_invalid": "ptalker.restart_engine",
}
MARGIN = 92  # pixels at a scale of 1 of a sidebar's width that are not text: tabs, borders, a box, an icon
TALL = 1.6  # the big button and the bar that takes its place: nothing below them jumps
REGIONS = {"VIEW_3D": "UI", "SEQUENCE_EDITOR": "UI", "PREFERENCES": "WINDOW"}  # area -> where it shows PTalker


def redraw(context: bpy.types.Context) -> None:
    """Have the regions that show PTalker drawn again: nothing else does it while the mouse rests.

    Not their areas: the sidebar costs nothing, a heavy scene in the 3D View a lot.
    """
    for window in context.window_manager.windows:
        for area in window.screen.areas:
            for region in area.regions:
                if region.type == REGIONS.get(area.type):
                    region.tag_redraw()


def draw_text(layout: bpy.types.UILayout, text: str, icon: str = "NONE") -> None:
    """A sentence over as many lines as it needs; Blender's labels do not wrap."""
    column = layout.column(align=True)
    column.scale_y = 0.85  # lines of one sentence
    for number, line in enumerate(wrapped(text)):
        column.label(text=line, icon=icon if number == 0 else "BLANK1" if icon != "NONE" else "NONE")


def wrapped(text: str) -> list[str]:
    """Lines that fit into the region that is drawn, measured in Blender's own font."""
    preferences = bpy.context.preferences
    scale = preferences.system.ui_scale
    blf.size(0, preferences.ui_styles[0].widget.points * scale)
    width = max(bpy.context.region.width - MARGIN * scale, 100 * scale)
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and blf.dimensions(0, longer)[0] <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def progress_text() -> str:
    """What the bar says."""
    stage = RUN.stage[:1].upper() + RUN.stage[1:]  # not capitalize(): a stage may name an object
    return f"{stage}  {round(100 * RUN.fraction)}%"


def draw_progress(layout: bpy.types.UILayout) -> None:
    """The bar with the stage, and Cancel."""
    row = layout.row(align=True)
    row.scale_y = TALL
    row.progress(factor=RUN.fraction, text=progress_text())
    row.operator("ptalker.cancel", text="", icon="X")


def draw_error(layout: bpy.types.UILayout) -> None:
    """The last error with the button that mends it."""
    error = RUN.error
    if error is None:
        return
    box = layout.box()
    draw_text(box, error.sentence, "ERROR")
    if error.fix:
        draw_text(box, error.fix, "BLANK1")
    if error.code in FIXES:
        box.operator(FIXES[error.code])
    if error.code.startswith(("engine", "install", "internal", "protocol")):
        box.operator("ptalker.show_log")


def draw_result(layout: bpy.types.UILayout) -> None:
    """What the last run made, and what else there is to say about it; nothing once that is undone."""
    if not (RUN.result or RUN.warnings) or any(name not in bpy.data.actions for name in RUN.actions):
        return
    box = layout.box()
    for line in RUN.result:
        draw_text(box, line, "CHECKMARK")
    for warning in RUN.warnings:
        draw_text(box, warning, "INFO")


def draw_generate(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """The big button with the reason when it is grey; while it works, the progress; then what came of it."""
    from ..operators.generate import disabled_reason

    if RUN.running:
        draw_progress(layout)
        return
    reason = disabled_reason(context)
    column = layout.column()
    column.scale_y = TALL
    column.operator_context = "INVOKE_DEFAULT"
    column.operator("ptalker.generate", icon="PLAY_SOUND")
    if reason is not None:
        draw_text(layout, str(reason), "INFO")
        if reason.code in FIXES:
            layout.operator(FIXES[reason.code], icon="IMPORT")
    draw_error(layout)
    draw_result(layout)
