# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine process from Blender's side: cancel, kill, crash, restart. The real process, never a stand-in."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import bpy
import helpers
import pytest


@pytest.fixture
def at_work(scene: bpy.types.Scene, speech: helpers.Speech) -> bpy.types.Object:
    """A face and speech that is long enough to be interrupted."""
    helpers.from_file(speech.long(240))
    return helpers.keyed_mesh()


def while_listening(act: Callable[[], None]) -> threading.Thread:
    """Do something from another thread once the engine works on the sound."""

    def wait() -> None:
        run = helpers.run_state()
        while not (run.stage == "listening" and run.fraction > 0.0):
            time.sleep(0.01)
        act()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def next_run_works(face: bpy.types.Object, speech: helpers.Speech) -> None:
    helpers.from_file(speech.bursts("next.wav", [0.4], 1.0))
    assert helpers.generate() == {"FINISHED"}
    assert helpers.curves(face)


def test_engine_stays_loaded(at_work: bpy.types.Object, speech: helpers.Speech) -> None:
    next_run_works(at_work, speech)
    pid = helpers.engine_process().pid
    next_run_works(at_work, speech)
    assert helpers.engine_process().pid == pid


def test_cancel(at_work: bpy.types.Object, speech: helpers.Speech) -> None:
    next_run_works(at_work, speech)
    before = helpers.snapshot()
    helpers.from_file(speech.long(240))
    with pytest.raises(RuntimeError, match="not at work"):
        bpy.ops.ptalker.cancel()
    while_listening(lambda: setattr(helpers.run_state(), "cancel_requested", True))  # what the button does
    assert helpers.generate() == {"CANCELLED"}
    assert helpers.snapshot() == before and not helpers.run_state().running
    next_run_works(at_work, speech)


def test_cancel_of_a_frozen_engine(at_work: bpy.types.Object, speech: helpers.Speech) -> None:
    """It does not answer, so it is killed, and the next run starts another."""
    before = helpers.snapshot()

    def freeze_and_cancel() -> None:
        os.kill(helpers.engine_process().pid, signal.SIGSTOP)
        helpers.run_state().cancel_requested = True

    while_listening(freeze_and_cancel)
    assert helpers.generate() == {"CANCELLED"}
    assert helpers.snapshot() == before
    next_run_works(at_work, speech)


def test_killed_in_the_middle(at_work: bpy.types.Object, speech: helpers.Speech) -> None:
    while_listening(lambda: os.kill(helpers.engine_process().pid, signal.SIGKILL))
    said = helpers.error_of_generate()
    assert "stopped unexpectedly" in said and "SIGKILL" in said
    next_run_works(at_work, speech)


def test_killed_between_runs(at_work: bpy.types.Object, speech: helpers.Speech) -> None:
    next_run_works(at_work, speech)
    os.kill(helpers.engine_process().pid, signal.SIGKILL)
    while helpers.engine_process().poll_alive():
        time.sleep(0.01)
    next_run_works(at_work, speech)


def test_python_without_the_packages(at_work: bpy.types.Object, speech: helpers.Speech, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blender's own Python has no torch: one sentence that names the fix."""
    monkeypatch.setenv("PTALKER_ENGINE_PYTHON", sys.executable)
    said = helpers.error_of_generate()
    assert "torch" in said and "Install the engine" in said
    assert helpers.run_state().error.code in helpers.module("panels.parts").FIXES
    monkeypatch.undo()
    next_run_works(at_work, speech)


def test_interpreter_that_is_none(at_work: bpy.types.Object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PTALKER_ENGINE_PYTHON", str(tmp_path / "python"))
    assert "is not there" in helpers.error_of_generate()
    (tmp_path / "python").write_text("no program")
    assert "could not be started" in helpers.error_of_generate()
    monkeypatch.delenv("PTALKER_ENGINE_PYTHON")
    assert "is not installed" in helpers.error_of_generate()
    preferences = helpers.module("preferences").preferences()
    preferences.engine_python = str(tmp_path / "nothing")
    assert "preferences names is not there" in helpers.error_of_generate()
    preferences.engine_python = ""


def test_interpreter_from_the_preferences(
    at_work: bpy.types.Object, speech: helpers.Speech, monkeypatch: pytest.MonkeyPatch
) -> None:
    preferences = helpers.module("preferences").preferences()
    preferences.engine_python = os.environ["PTALKER_ENGINE_PYTHON"]
    monkeypatch.delenv("PTALKER_ENGINE_PYTHON")
    next_run_works(at_work, speech)
    preferences.engine_python = ""


def test_blenders_environment_does_not_reach_the_engine(
    at_work: bpy.types.Object, speech: helpers.Speech, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A PYTHONHOME that Blender was started with would break another Python."""
    helpers.module("engine").stop()
    monkeypatch.setenv("PYTHONHOME", "/nonexistent")
    next_run_works(at_work, speech)


def test_restart_and_stop(at_work: bpy.types.Object, speech: helpers.Speech) -> None:
    next_run_works(at_work, speech)
    pid = helpers.engine_process().pid
    assert bpy.ops.ptalker.restart_engine() == {"FINISHED"}
    assert helpers.engine_process().pid != pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    next_run_works(at_work, speech)
    pid = helpers.engine_process().pid
    helpers.module("engine").stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_disabling_ends_the_engine(at_work: bpy.types.Object, speech: helpers.Speech) -> None:
    next_run_works(at_work, speech)
    pid = helpers.engine_process().pid
    bpy.ops.preferences.addon_disable(module=helpers.PACKAGE)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not hasattr(bpy.types.Scene, "ptalker")
    bpy.ops.preferences.addon_enable(module=helpers.PACKAGE)
    bpy.context.scene.ptalker.source = "FILE"
    next_run_works(bpy.data.objects[at_work.name], speech)
