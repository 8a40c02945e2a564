# SPDX-License-Identifier: GPL-3.0-or-later
"""Generate Lip-Sync: modal with progress in a window, from start to end at once in background mode and from scripts."""

from __future__ import annotations

from typing import Any

import bpy

from .. import engine
from ..core.errors import Cancelled, PTalkerError
from ..engine.run import EngineRun
from ..panels.parts import progress_text, redraw
from ..preferences import engine_spec
from ..scene.job import Job, Report, Request, check
from ..state import RUN

INTERVAL = 0.05  # s between two looks at what the engine says

_active: PTALKER_OT_generate | None = None


def disabled_reason(context: bpy.types.Context) -> PTalkerError | None:
    """Why the button is grey; None where it is not."""
    if RUN.running:
        return PTalkerError("busy", "PTalker is at work.", "Wait, or press Cancel.")
    try:
        engine_spec()
        check(context, Request.from_settings(context.scene))
    except PTalkerError as error:
        return error
    return None


def run_blocking(context: bpy.types.Context, request: Request, console: bool) -> Report:
    """All of it at once. Raises PTalkerError and Cancelled; the scene is then as it was."""
    job = Job(context, request)
    run = None
    try:
        run = EngineRun(engine.obtain(engine_spec()), job.steps())
        said = ""
        while not run.step(wait=0.1):
            RUN.stage, RUN.fraction = run.stage, run.fraction
            if RUN.cancel_requested and not run.cancelled:  # another thread may ask for it
                run.cancel()
            now = f"PTalker: {run.stage} {10 * int(10 * run.fraction)}%"
            if console and now != said:
                said = now
                print(now, flush=True)
        return job.apply(run.results)
    finally:
        if run is not None:
            run.engine.cancel()  # does nothing unless an exception, such as Ctrl+C, left a job running
        job.close()


def end_all() -> None:
    """Drop a modal run; for unregister."""
    if _active is not None:
        _active.finish(bpy.context)


class PTALKER_OT_generate(bpy.types.Operator):
    """Animate the selected meshes so that they speak the sound"""

    bl_idname = "ptalker.generate"
    bl_label = "Generate Lip-Sync"
    bl_options = {"UNDO"}

    _job: Job | None = None
    _run: EngineRun | None = None
    _timer: Any = None

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        reason = disabled_reason(context)
        if reason is not None:
            cls.poll_message_set(str(reason))
        return reason is None

    def execute(self, context: bpy.types.Context) -> set[str]:
        RUN.begin("generate")
        try:
            report = run_blocking(context, Request.from_settings(context.scene), bpy.app.background)
        except PTalkerError as error:
            RUN.end()
            return self._fail(error)
        except Cancelled:
            RUN.end()
            return self._cancelled()
        except BaseException:
            RUN.end()  # a defect: Blender shows the traceback, and the button must not stay grey
            raise
        RUN.end()
        return self._succeed(report)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        global _active
        if bpy.app.background:
            return self.execute(context)
        RUN.begin("generate")
        try:
            self._job = Job(context, Request.from_settings(context.scene))
            self._run = EngineRun(engine.obtain(engine_spec()), self._job.steps())
        except PTalkerError as error:
            self.finish(context)
            return self._fail(error)
        _active = self
        manager = context.window_manager
        self._timer = manager.event_timer_add(INTERVAL, window=context.window)
        manager.progress_begin(0, 100)
        manager.modal_handler_add(self)
        redraw(context)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if self._run is None or self._job is None:  # the extension was disabled meanwhile
            return {"CANCELLED"}
        if event.type == "ESC" and event.value == "PRESS":
            RUN.cancel_requested = True
        elif event.type != "TIMER":
            return {"PASS_THROUGH"}
        try:
            if RUN.cancel_requested and not self._run.cancelled:
                self._run.cancel()
            before = progress_text()
            done = self._run.step()
            RUN.stage, RUN.fraction = self._run.stage, self._run.fraction
            if progress_text() != before:
                context.window_manager.progress_update(100 * self._run.fraction)
                redraw(context)
            if not done:
                return {"RUNNING_MODAL"} if event.type == "ESC" else {"PASS_THROUGH"}
            report = self._job.apply(self._run.results)
        except Cancelled:
            self.finish(context)
            return self._cancelled()
        except PTalkerError as error:
            self.finish(context)
            return self._fail(error)
        except BaseException:
            self.finish(context)  # a defect: Blender shows the traceback, and the button must not stay grey
            raise
        self.finish(context)
        return self._succeed(report)

    def cancel(self, context: bpy.types.Context) -> None:
        """Blender ends the operator itself: another file was loaded, or the window closed."""
        self.finish(context)

    def finish(self, context: bpy.types.Context) -> None:
        """Give everything back; also tells an engine that still works that nobody waits."""
        global _active
        if self._run is not None:
            self._run.engine.cancel()
        if self._job is not None:
            self._job.close()
        if self._timer is not None:
            context.window_manager.event_timer_remove(self._timer)
            context.window_manager.progress_end()
        self._job = self._run = self._timer = None
        _active = None
        RUN.end()
        redraw(context)

    def _fail(self, error: PTalkerError) -> set[str]:
        RUN.error = error
        self.report({"ERROR"}, str(error))
        return {"CANCELLED"}

    def _cancelled(self) -> set[str]:
        RUN.warnings = ["Cancelled; nothing was changed."]
        self.report({"INFO"}, "PTalker: cancelled, nothing was changed")
        return {"CANCELLED"}

    def _succeed(self, report: Report) -> set[str]:
        RUN.error, RUN.result, RUN.warnings, RUN.actions = None, report.lines, report.warnings, report.actions
        for warning in report.warnings:
            self.report({"WARNING"}, warning)
        self.report({"INFO"}, "PTalker: " + "; ".join(report.lines))
        return {"FINISHED"}
