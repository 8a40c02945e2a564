# SPDX-License-Identifier: GPL-3.0-or-later
"""Install Engine: downloads the engine's packages into an environment of their own, with progress and Cancel."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import bpy

from .. import engine
from ..core.errors import PTalkerError
from ..engine.install import Installer
from ..panels.parts import redraw
from ..preferences import engine_folder, preferences, user_folder
from ..state import RUN

_active: PTALKER_OT_install_engine | None = None


def end_all() -> None:
    """Stop an installation; for unregister."""
    if _active is not None:
        _active.finish(bpy.context)


def base_python() -> Path:
    """The Python that the environment is made from: the one that the preferences name, else Blender's own."""
    named = preferences().base_python
    return Path(bpy.path.abspath(named) if named else sys.executable)


class PTALKER_OT_install_engine(bpy.types.Operator):
    """Download what the speech engine needs (PyTorch and others). Needs the network once; goes on where it stopped"""

    bl_idname = "ptalker.install_engine"
    bl_label = "Install Engine"

    _installer: Installer | None = None
    _timer: Any = None

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if RUN.running:
            cls.poll_message_set("PTalker is at work.")
        return not RUN.running

    def _begin(self) -> Installer:
        """Raises PTalkerError where Blender is set to stay offline."""
        if not bpy.app.online_access:
            raise PTalkerError(
                "offline", "Blender is set to stay offline, so the engine cannot be downloaded.",
                "Turn on Allow Online Access in Preferences > System.",
            )  # fmt: skip
        engine.stop()  # it may run in the very environment that is about to change
        return Installer(base_python(), engine_folder(), user_folder("logs") / "install.log")

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            installer = self._begin()
        except PTalkerError as error:
            return self._fail(error)
        installer.run()
        return self._end(installer)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        global _active
        if bpy.app.background:
            return self.execute(context)
        try:
            self._installer = self._begin()
        except PTalkerError as error:
            return self._fail(error)
        RUN.begin("install")
        _active = self
        self._installer.start()
        manager = context.window_manager
        self._timer = manager.event_timer_add(0.2, window=context.window)
        manager.modal_handler_add(self)
        redraw(context)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        # Esc does not cancel this one: it takes minutes, and an artist who works on meanwhile presses it a lot.
        installer = self._installer
        if installer is None:
            return {"CANCELLED"}
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        if RUN.cancel_requested and not installer.cancelled:
            installer.cancel()
        RUN.stage, RUN.fraction = installer.stage, installer.fraction
        redraw(context)
        if installer.running:
            return {"PASS_THROUGH"}
        self.finish(context)
        return self._end(installer)

    def cancel(self, context: bpy.types.Context) -> None:
        self.finish(context)

    def finish(self, context: bpy.types.Context) -> None:
        global _active
        if self._installer is not None and self._installer.running:
            self._installer.cancel()
        if self._timer is not None:
            context.window_manager.event_timer_remove(self._timer)
        self._installer = self._timer = None
        _active = None
        RUN.end()
        redraw(context)

    def _end(self, installer: Installer) -> set[str]:
        if installer.error is not None:
            return self._fail(installer.error)
        if not installer.done:
            self.report({"INFO"}, "PTalker: installation cancelled; the next one goes on from here")
            return {"CANCELLED"}
        RUN.error, RUN.result = None, ["The engine is installed."]
        self.report({"INFO"}, "PTalker: the engine is installed")
        return {"FINISHED"}

    def _fail(self, error: PTalkerError) -> set[str]:
        RUN.error = error
        self.report({"ERROR"}, str(error))
        return {"CANCELLED"}
