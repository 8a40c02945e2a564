# SPDX-License-Identifier: GPL-3.0-or-later
"""Several jobs, one after the other, on one engine: what one press of the button needs.

``step()`` is called from a modal operator's timer or in a loop; it never blocks longer than it is told to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..core import protocol
from ..core.errors import Cancelled, PTalkerError
from .client import Engine, State

LOADING_SHARE = 0.1  # of the progress bar, for an engine that has to start first

MakeJob = Callable[[int], protocol.Job]


@dataclass(frozen=True)
class Step:
    """One job: how to make it for an id, what to call it before the engine names a stage, its share of the bar."""

    make: MakeJob
    stage: str
    weight: float = 1.0


class EngineRun:
    """The run of all steps. ``stage`` and ``fraction`` (0..1) tell how far it is; ``results`` has one entry a step."""

    def __init__(self, engine: Engine, steps: Sequence[Step]) -> None:
        self.engine = engine
        self.steps = steps
        self.results: list[protocol.Result] = []
        self.learned: list[tuple[float, float | None]] = []  # of fine-tuning: loss, held-out error where it was measured
        self.stage, self.fraction = "starting the engine", 0.0
        self._base = LOADING_SHARE if engine.state is State.LOADING else 0.0
        self._job: int | None = None
        self.cancelled = False

    def cancel(self) -> None:
        """Ask for the end. ``step()`` raises Cancelled once the engine has let go, or was killed for not doing so."""
        self.cancelled = True
        self.stage = "cancelling"
        self.engine.cancel()

    def step(self, wait: float = 0.0) -> bool:
        """Take what the engine has said; True when every result is there. Raises PTalkerError and Cancelled."""
        for event in self.engine.poll(wait):
            self._take(event)
        if self.engine.state is State.DEAD:
            if self.cancelled:
                raise Cancelled
            raise self.engine.death or PTalkerError(
                "engine_died", "The PTalker engine was stopped; the scene is unchanged.", "Run it again."
            )
        if self._job is None:
            # A loading engine needs no answer to a cancel: no job was sent, and it may go on loading for the next run.
            if self.cancelled and not self._kept():
                raise Cancelled
            if len(self.results) == len(self.steps):
                self.fraction = 1.0
                return True
            if self.engine.state is State.IDLE:
                step = self.steps[len(self.results)]
                self._job = self.engine.next_id()
                self.engine.submit(step.make(self._job))
                self._show(step.stage, 0.0)
        return False

    def _kept(self) -> bool:
        """Whether a cancelled job has given what it had so far."""
        return bool(self.results) and bool(self.results[-1].figures.get("cancelled"))

    def _take(self, event: protocol.Event) -> None:
        if isinstance(event, protocol.Progress):
            if event.id == self._job and event.loss is not None:
                self.learned.append((event.loss, event.held_out))
            if event.id == protocol.ENGINE_ID and self._job is None and not self.cancelled:
                self.stage, self.fraction = "loading the model", self._base * event.fraction
            elif event.id == self._job and not self.cancelled:
                self._show(event.stage, event.fraction)
        elif self._job is None or event.id != self._job:
            return
        elif isinstance(event, protocol.Result):
            self._job = None
            self.results.append(event)
        elif isinstance(event, protocol.CancelledJob):
            self._job = None
            raise Cancelled
        elif isinstance(event, protocol.Failed):
            self._job = None
            raise self._named(event.error())

    def _named(self, error: PTalkerError) -> PTalkerError:
        """The engine knows no objects' names: of several meshes the step tells which one it worked on."""
        if error.code not in ("face_not_found", "two_faces"):
            return error
        step, sentence = self.steps[len(self.results)].stage, error.sentence
        return PTalkerError(error.code, f"{step[0].upper()}{step[1:]}: {sentence[0].lower()}{sentence[1:]}", error.fix)

    def _show(self, stage: str, fraction: float) -> None:
        done = sum(s.weight for s in self.steps[: len(self.results)])
        now = self.steps[len(self.results)].weight * min(max(fraction, 0.0), 1.0)
        share = (done + now) / sum(s.weight for s in self.steps)
        self.stage, self.fraction = stage, self._base + (1.0 - self._base) * share
