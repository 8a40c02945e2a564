# SPDX-License-Identifier: GPL-3.0-or-later
"""What operators share that let the engine work: modal with progress in a window, from start to end at once in background
mode and from scripts. The scene changes when everything is there, in one undo step, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import bpy

from .. import engine
from ..core import protocol
from ..core.errors import Cancelled, PTalkerError
from ..engine.run import EngineRun, Step
from ..panels.parts import progress_text, redraw
from ..preferences import engine_spec
from ..scene.request import Report
from ..state import RUN

INTERVAL = 0.05  # s between two looks at what the engine says

_active: EngineOperator | None = None


class Work(Protocol):
    """What is to be done: made and applied on the main thread, ``close()`` always."""

    def steps(self) -> list[Step]: ...
    def apply(self, results: list[protocol.Result]) -> Report: ...
    def close(self) -> None: ...


def run_work(work: Work, console: bool) -> Report:
    """All of it at once. Raises PTalkerError and Cancelled; the scene is then as it was."""
    run = None
    try:
        run = EngineRun(engine.obtain(engine_spec()), work.steps())
        said = ""
        while not run.step(wait=0.1):
            RUN.stage, RUN.fraction = run.stage, run.fraction
            if RUN.cancel_requested and not run.cancelled:  # another thread may ask for it
                run.cancel()
            now = f"PTalker: {run.stage} {10 * int(10 * run.fraction)}%"
            if console and now != said:
                said = now
                print(now, flush=True)
        return work.apply(run.results)
    finally:
        if run is not None:
            run.engine.cancel()  # does nothing unless an exception, such as Ctrl+C, left a job running
        work.close()


def end_all() -> None:
    """Drop a modal run; for unregister."""
    if _active is not None:
        _active.finish(bpy.context)


def busy_reason() -> PTalkerError | None:
    """Why nothing that needs the engine can start now; None where it can."""
    if RUN.running:
        return PTalkerError("busy", "PTalker is at work.", "Wait, or press Cancel.")
    try:
        engine_spec()
    except PTalkerError as error:
        return error
    return None


def reason_from(check: Callable[[bpy.types.Context], object], context: bpy.types.Context) -> PTalkerError | None:
    """Why a button is grey that needs the engine and ``check``, which raises PTalkerError; None where it is not."""
    if (busy := busy_reason()) is not None:
        return busy
    try:
        check(context)
    except PTalkerError as error:
        return error
    return None


class EngineOperator:
    """A mixin for operators: ``make`` gives the work, ``reason`` says why the button is grey (None: it is not)."""

    if TYPE_CHECKING:
        report: Any
        poll_message_set: Any

        def make(self, context: bpy.types.Context) -> Work:
            """Each operator's own. Raises PTalkerError; nothing is changed."""
            ...

    _work: Work | None = None
    _run: EngineRun | None = None
    _timer: Any = None

    @classmethod
    def reason(cls, context: bpy.types.Context) -> PTalkerError | None:
        return busy_reason()

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        reason = cls.reason(context)
        if reason is not None:
            cls.poll_message_set(str(reason))
        return reason is None

    def execute(self, context: bpy.types.Context) -> set[str]:
        RUN.begin("engine")
        try:
            report = run_work(self.make(context), bpy.app.background)
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
        RUN.begin("engine")
        try:
            self._work = self.make(context)
            self._run = EngineRun(engine.obtain(engine_spec()), self._work.steps())
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
        if self._run is None or self._work is None:  # the extension was disabled meanwhile
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
            report = self._work.apply(self._run.results)
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
        if self._work is not None:
            self._work.close()
        if self._timer is not None:
            context.window_manager.event_timer_remove(self._timer)
            context.window_manager.progress_end()
        self._work = self._run = self._timer = None
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
