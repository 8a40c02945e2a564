# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender's side of the engine process: find an interpreter, start it, talk to it, recover. No bpy, no torch."""

from __future__ import annotations

from .client import Engine, State
from .interpreter import EngineSpec

_engine: Engine | None = None


def current() -> Engine | None:
    """The engine that was started last, or None. It may be dead."""
    return _engine


def obtain(spec: EngineSpec) -> Engine:
    """A living engine of this interpreter and device; a new one is started where there is none.

    The model stays loaded between jobs, so the usual answer is the engine that is there.
    """
    global _engine
    if _engine is not None and _engine.poll_alive() and _engine.spec == spec:
        return _engine
    stop()
    _engine = Engine(spec)
    _engine.start()
    return _engine


def stop() -> None:
    """End the engine, if one runs. Called at unregister, at exit and by Restart Engine."""
    global _engine
    if _engine is not None:
        _engine.kill()
    _engine = None


__all__ = ["Engine", "EngineSpec", "State", "current", "obtain", "stop"]
