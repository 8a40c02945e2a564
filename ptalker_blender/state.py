# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs right now and what came of the last run. In Python, not in the file: undo and loading must not touch it.

The WindowManager shows it read-only (properties.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .core.errors import PTalkerError


@dataclass
class RunState:
    """One kind of work at a time: what the engine is asked for, or installing it. Reset when it begins."""

    running: str = ""  # "" | "engine": whatever it is asked for | "install"
    stage: str = ""
    fraction: float = 0.0
    cancel_requested: bool = False
    error: PTalkerError | None = None
    result: list[str] = field(default_factory=list)  # lines for the panel
    warnings: list[str] = field(default_factory=list)
    learned: list[tuple[float, float | None]] = field(default_factory=list)  # fine-tuning: loss, held-out error
    actions: list[str] = field(default_factory=list)  # names of the Actions that the last run made

    def begin(self, kind: str) -> None:
        self.__init__(running=kind, stage="starting")

    def end(self, error: PTalkerError | None = None) -> None:
        self.running, self.stage, self.fraction, self.cancel_requested = "", "", 0.0, False
        self.error = error


RUN = RunState()
