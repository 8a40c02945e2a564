# SPDX-License-Identifier: GPL-3.0-or-later
"""One engine process: start it, send requests, collect its messages, cancel, notice its death.

Nothing here blocks: a thread reads the process's stdout into a queue, and ``poll()`` is called from a timer (window)
or in a loop (background).
"""

from __future__ import annotations

import enum
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any

from ..core import protocol
from ..core.errors import PTalkerError
from .interpreter import EngineSpec, environment

CANCEL_PATIENCE = 2.0  # s; an engine that has not answered a cancel by then is killed
KEEP_PATIENCE = 60.0  # s; the same for a job that saves what it has so far


class State(enum.Enum):
    DEAD = "dead"  # not started, ended or killed
    LOADING = "loading"
    IDLE = "idle"
    RUNNING = "running"
    CANCELLING = "cancelling"


class Engine:
    """The process. ``state`` is as of the last ``poll()``, ``info`` what it said when ready, ``death`` why it ended."""

    def __init__(self, spec: EngineSpec) -> None:
        self.spec = spec
        self.state = State.DEAD
        self.info: dict[str, Any] = {}
        self.death: PTalkerError | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._messages: queue.SimpleQueue[protocol.Event | PTalkerError | None] = queue.SimpleQueue()
        self._log: IO[bytes] | None = None
        self._last_id = 0
        self._failed: PTalkerError | None = None  # what the engine itself said before it ended
        self._job: int | None = None
        self._cancel_deadline = 0.0
        self._patience = CANCEL_PATIENCE

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the process; returns at once, in state LOADING. Raises PTalkerError where it cannot be started."""
        self.spec.log.parent.mkdir(parents=True, exist_ok=True)
        self._log = open(self.spec.log, "wb")
        try:
            self._process = subprocess.Popen(
                self.spec.command(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                env=environment(),
                # Ctrl+C in the terminal that Blender was started from is not meant for the engine.
                start_new_session=sys.platform != "win32",
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError as error:
            self._log.close()
            raise PTalkerError(
                "engine_start_failed",
                f"The engine's Python could not be started: {error}.",
                "Press Install Engine, or name another Python in the preferences.",
            ) from error
        self.state = State.LOADING
        threading.Thread(target=self._read, args=(self._process.stdout,), name="ptalker-engine", daemon=True).start()

    def _read(self, stdout: IO[bytes]) -> None:
        """Reader thread: every line becomes an event, an unreadable one its error; None marks the end."""
        for line in stdout:
            try:
                self._messages.put(protocol.decode_event(line))
            except protocol.ProtocolError as error:
                self._messages.put(error)
                break
        self._messages.put(None)

    def poll_alive(self) -> bool:
        """Whether the process still lives; takes note when it has ended between jobs."""
        if self.state is not State.DEAD and self._process is not None and self._process.poll() is not None:
            self._died()
        return self.state is not State.DEAD

    def next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def submit(self, job: protocol.Job) -> None:
        """Send one job, whose id came from ``next_id()``. Only in state IDLE. Raises PTalkerError option_invalid, and is then
        as it was."""
        if self.state is not State.IDLE:
            raise RuntimeError(f"a job was submitted while the engine is {self.state.value}")
        try:
            line = protocol.encode(job)
        except ValueError as error:  # a setting that a driver or a script made NaN
            raise PTalkerError("option_invalid", "A setting is not a finite number.", "Look at the panel's numbers.") from error
        self._job = job.id
        self._patience = KEEP_PATIENCE if isinstance(job, protocol.FineTune) else CANCEL_PATIENCE
        self.state = State.RUNNING
        self._send(line)

    def _send(self, line: bytes) -> None:
        assert self._process is not None and self._process.stdin is not None
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
        except OSError:  # the pipe is broken; the end that this announces makes poll() find out why
            self._messages.put(None)

    def cancel(self) -> None:
        """Ask the engine to drop the running job; ``poll()`` kills it when it does not answer in time."""
        if self.state is State.RUNNING and self._job is not None:
            self._send(protocol.encode(protocol.Cancel(self.next_id(), self._job)))
            self.state = State.CANCELLING
            self._cancel_deadline = time.monotonic() + self._patience

    def poll(self, wait: float = 0.0) -> list[protocol.Event]:
        """Events since the last call, the first one awaited for at most ``wait`` seconds; the state follows them.

        A dead engine leaves ``state`` DEAD and the reason in ``death``. A cancel that was not answered ends in a kill
        and a CancelledJob, as if the engine had answered.
        """
        events: list[protocol.Event] = []
        try:
            message = self._messages.get(timeout=wait) if wait > 0 else self._messages.get_nowait()
            while True:
                if message is None or isinstance(message, PTalkerError):
                    if self.state is State.CANCELLING and self._job is not None:
                        events.append(protocol.CancelledJob(self._job))
                    self._died(message)
                    return events
                events.append(message)
                self._follow(message)
                message = self._messages.get_nowait()
        except queue.Empty:
            if self.state is State.CANCELLING and self._job is not None and time.monotonic() > self._cancel_deadline:
                events.append(protocol.CancelledJob(self._job))
                self.kill()
        return events

    def _follow(self, event: protocol.Event) -> None:
        if isinstance(event, protocol.Ready):
            self.info = event.info
            if self.state is State.LOADING:
                self.state = State.IDLE
        elif isinstance(event, protocol.Failed) and event.id == protocol.ENGINE_ID:
            self._failed = event.error()
        elif isinstance(event, protocol.Result | protocol.Failed | protocol.CancelledJob) and event.id == self._job:
            self._job = None
            self.state = State.IDLE

    def _died(self, unreadable: PTalkerError | None = None) -> None:
        """Take note of the end of the process and find the sentence for it."""
        if self.state is State.DEAD:
            return
        was, self.state, self._job = self.state, State.DEAD, None
        self._end_process(patience=1.0)
        assert self._process is not None
        code = self._process.returncode
        last = last_line(self.spec.log)
        if unreadable or self._failed:
            self.death = unreadable or self._failed
        elif was is State.LOADING:
            missing = "ModuleNotFoundError" in last or "No module named" in last
            self.death = PTalkerError(
                "engine_broken" if missing else "engine_start_failed",
                f"The PTalker engine could not start: {last or signal_or_code(code)}.".replace("..", "."),
                "Press Install Engine." if missing else "Show Log has the details.",
            )
        else:
            self.death = PTalkerError(
                "engine_died",
                f"The PTalker engine stopped unexpectedly ({signal_or_code(code)}); the scene is unchanged.",
                "Run it again: a new engine starts by itself.",
            )

    def kill(self) -> None:
        """End the process now. Never raises; a second call does nothing."""
        self.state, self._job = State.DEAD, None
        self._end_process(patience=0.0)

    def _end_process(self, patience: float) -> None:
        if self._process is None:
            return
        if patience > 0:
            try:
                self._process.wait(patience)
            except subprocess.TimeoutExpired:
                self._process.kill()
        else:
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._log):
            if stream is not None and not stream.closed:
                try:
                    stream.close()
                except BrokenPipeError:
                    self._log = None  # unsent bytes for a process that is gone: there is nobody to tell


def signal_or_code(code: int) -> str:
    """ "killed by SIGKILL" or "exit code 1"."""
    if code < 0:
        try:
            return f"killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"killed by signal {-code}"
    return f"exit code {code}"


def last_line(log: Path) -> str:
    """The last line of the log that says something, without a full stop; "" where there is none."""
    text = log.read_text("utf-8", "replace") if log.is_file() else ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300].rstrip(".") if lines else ""
