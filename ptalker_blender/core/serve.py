"""The engine's side of the process: ``python -m ptalker_blender.core.serve [--device auto|cpu|cuda|mps]``.

stdin brings requests, stdout carries nothing but events (protocol.py), stderr is the log. A reader thread takes every
line at once, so that a cancel is heard while the main thread works. The process ends when stdin closes, which is also
what happens when Blender dies. Exit codes: 0; 2 for bad arguments; 3 where the model cannot be loaded.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from typing import TYPE_CHECKING, NoReturn

from . import protocol
from .commands.options import Parser, add_device, load_model
from .errors import Cancelled
from .protocol import (
    Cancel,
    CancelledJob,
    Explain,
    Failed,
    FineTune,
    Fit,
    Generate,
    Hello,
    Job,
    Landmarks,
    Meet,
    Progress,
    ProtocolError,
    ReadStyle,
    Ready,
    Result,
    Rig,
)

if TYPE_CHECKING:
    from .runtime import PTalker

GRACE = 1.5  # s that a job may take to end by itself once nobody listens any more
PROGRESS_EVERY = 0.05  # s between two progress events of one stage
EXIT_NO_MODEL = 3


class Channel:
    """The two pipes. The process's own stdin and stdout are put out of reach of libraries and stray prints."""

    def __init__(self) -> None:
        self._in, self._out = os.dup(0), os.dup(1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)
        sys.stdout = sys.stderr
        self._lock = threading.Lock()

    def send(self, event: protocol.Event) -> None:
        """Write one event. Where nobody reads any more there is nobody to work for: the process ends."""
        left = memoryview(protocol.encode(event))
        with self._lock:
            try:
                while left:
                    left = left[os.write(self._out, left) :]
            except OSError:
                leave(0)

    def lines(self) -> Iterator[bytes]:
        """Lines from Blender until stdin closes. Read unbuffered: a buffered stdin can deadlock the exit."""
        rest, refused = b"", False
        while chunk := self._read():
            *whole, rest = (rest + chunk).split(b"\n")
            if refused and whole:
                whole, refused = whole[1:], False
            yield from whole
            if refused:
                rest = b""  # still the line that was too long: its end is no message
            elif len(rest) > protocol.MAX_LINE:
                yield rest  # refused by the decoder
                rest, refused = b"", True

    def _read(self) -> bytes:
        try:
            return os.read(self._in, 1 << 16)
        except OSError:  # the other end broke: the same as closed
            return b""


class Inbox:
    """The jobs that wait, the one that runs, and which of them are cancelled. Shared by both threads."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.closed = threading.Event()
        self._queue: queue.SimpleQueue[Job | Hello | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._waiting: set[int] = set()
        self._running: int | None = None
        self._cancelled = False

    def read(self) -> None:
        """The reader thread: to the end of stdin, or to a shutdown."""
        for line in self.channel.lines():
            if not line.strip():
                continue
            try:
                message = protocol.decode_request(line)
            except ProtocolError as error:
                self.channel.send(Failed(error.id, error.code, error.sentence, error.fix))
                continue
            if isinstance(message, protocol.Shutdown):
                break
            self._take(message)
        self.closed.set()
        self._queue.put(None)
        time.sleep(GRACE)
        leave(0)  # the main thread is in the middle of something that does not ask whether it is cancelled

    def _take(self, message: Job | Hello | Cancel) -> None:
        if isinstance(message, Cancel):
            self._cancel(message.job)
            return
        if not isinstance(message, Hello):
            with self._lock:
                used = message.id in self._waiting or message.id in (self._running, protocol.ENGINE_ID)
                if not used:
                    self._waiting.add(message.id)
            if used:
                sentence = f"The job number {message.id} is already in use."
                self.channel.send(Failed(message.id, "protocol_invalid", sentence))
                return
        self._queue.put(message)

    def _cancel(self, job: int) -> None:
        """A waiting job is answered here and now; the running one sees it in cancelled(); a finished one is over."""
        with self._lock:
            if job == self._running:
                self._cancelled = True
                return
            waiting = job in self._waiting
            self._waiting.discard(job)
        if waiting:
            self.channel.send(CancelledJob(job))

    def next(self) -> Job | Hello | None:
        """The next thing to do, now running; None when it is time to end."""
        while not self.closed.is_set():
            message = self._queue.get()
            if message is None or isinstance(message, Hello):
                return message
            with self._lock:
                if message.id in self._waiting:
                    self._waiting.remove(message.id)
                    self._running, self._cancelled = message.id, False
                    return message
        return None

    def done(self) -> None:
        with self._lock:
            self._running = None

    def cancelled(self) -> bool:
        return self._cancelled or self.closed.is_set()


class JobReporter:
    """Progress of one job to Blender, not more often than it can be seen (jobs.Reporter)."""

    def __init__(self, inbox: Inbox, job: int) -> None:
        self.inbox, self.job = inbox, job
        self.stage, self.said = "", 0.0

    def progress(self, stage: str, fraction: float) -> None:
        now = time.monotonic()
        if stage == self.stage and now - self.said < PROGRESS_EVERY:
            return
        self.stage, self.said = stage, now
        self.inbox.channel.send(Progress(self.job, stage, round(float(fraction), 4)))

    def learned(self, fraction: float, loss: float, held_out: float | None) -> None:
        """Every step counts for the curve, but none of them more often than it can be seen; what is held out always."""
        now = time.monotonic()
        if held_out is None and now - self.said < PROGRESS_EVERY:
            return
        self.stage, self.said = "fine-tuning", now
        self.inbox.channel.send(Progress(self.job, self.stage, round(float(fraction), 4), float(loss), held_out))

    def cancelled(self) -> bool:
        return self.inbox.cancelled()


def leave(code: int) -> NoReturn:
    """End at once, whatever other threads do. Nothing is lost: results are renamed into place when complete."""
    sys.stderr.flush()
    os._exit(code)


def main() -> NoReturn:
    parser = Parser(prog="serve", description="The PTalker engine; Blender starts it and talks to it.")
    add_device(parser)
    args = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C in Blender's terminal is meant for Blender
    os.environ["HF_HUB_OFFLINE"] = "1"  # all that is needed ships with the extension
    inbox = Inbox(Channel())
    threading.Thread(target=inbox.read, name="reader", daemon=True).start()
    model = _load(args.device, inbox.channel)
    while (message := inbox.next()) is not None:
        if isinstance(message, Hello):
            inbox.channel.send(Ready(message.id, model.info()))
        else:
            _work(message, model, inbox)
    leave(0)


def _load(device: str, channel: Channel) -> PTalker:
    """The model; where that fails, says why and ends the process with exit code 3."""
    try:
        channel.send(Progress(protocol.ENGINE_ID, protocol.LOADING, 0.0))
        import torch  # noqa: F401  the larger half of the wait

        from . import audio, jobs  # noqa: F401  not only when the first job comes

        channel.send(Progress(protocol.ENGINE_ID, protocol.LOADING, 0.5))
        model = load_model(device)
        channel.send(Progress(protocol.ENGINE_ID, protocol.LOADING, 1.0))
        channel.send(Ready(protocol.ENGINE_ID, model.info()))
        return model
    except Exception as error:
        channel.send(_failed(protocol.ENGINE_ID, error))
        leave(EXIT_NO_MODEL)


def _work(job: Job, model: PTalker, inbox: Inbox) -> None:
    """Do one job; exactly one Result, Failed or CancelledJob follows, and the engine is ready for the next."""
    from . import fit_job, jobs, meet_job, rig_job, style_jobs

    reporter = JobReporter(inbox, job.id)
    answer: Result | Failed | CancelledJob
    try:
        match job:
            case Generate():
                answer = jobs.generate(job, lambda: model, reporter)
            case Rig():
                answer = rig_job.rig(job, lambda: model, reporter)
            case Landmarks():
                answer = rig_job.landmarks(job, lambda: model, reporter)
            case ReadStyle():
                answer = style_jobs.read(job, lambda: model, reporter)
            case FineTune():
                answer = style_jobs.fine_tune(job, lambda: model, reporter)
            case Explain():
                answer = style_jobs.explain(job, lambda: model, reporter)
            case Meet():
                answer = meet_job.meet(job, lambda: model, reporter)
            case Fit():
                answer = fit_job.fit(job, lambda: model, reporter)
    except Cancelled:
        answer = CancelledJob(job.id)
    except Exception as error:
        answer = _failed(job.id, error)
    inbox.done()
    inbox.channel.send(answer)


def _failed(job: int, error: Exception) -> Failed:
    from .failures import as_ptalker_error

    known = as_ptalker_error(error)
    log = traceback.format_exc()
    print(log, file=sys.stderr, flush=True)
    return Failed(job, known.code, known.sentence, known.fix, log)


if __name__ == "__main__":
    main()
