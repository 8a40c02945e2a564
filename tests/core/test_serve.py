"""The real engine in a process of its own, spoken to as Blender speaks to it."""

from __future__ import annotations

import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import soundfile
from style_clips import clip, write

from ptalker_blender.core import protocol
from ptalker_blender.core.channels import CHANNELS
from ptalker_blender.core.protocol import (
    Cancel,
    CancelledJob,
    Failed,
    FineTune,
    Generate,
    Hello,
    Progress,
    ReadStyle,
    Ready,
    Result,
    Rig,
)

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 180.0  # s; generous, because the machine may be busy
E = TypeVar("E", bound=protocol.Event)


class Client:
    """An engine process; every line it prints must be an event."""

    def __init__(self, log: Path, root: Path = ROOT) -> None:
        self.log = log
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ptalker_blender.core.serve", "--device", "cpu"],
            cwd=log.parent,
            env={**os.environ, "PYTHONPATH": str(root)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log.open("wb"),
        )
        self._lines: queue.Queue[bytes | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def send(self, *messages: protocol.Request | bytes) -> None:
        assert self.process.stdin
        for message in messages:
            self.process.stdin.write(message if isinstance(message, bytes) else protocol.encode(message))
        self.process.stdin.flush()

    def event(self) -> protocol.Event | None:
        """The next event; None at the end of stdout."""
        line = self._lines.get(timeout=PATIENCE)
        return None if line is None else protocol.decode_event(line)

    def until(self, kind: type[E], job: int) -> tuple[E, list[Progress]]:
        """The next event of a kind and an id, and the progress of that id before it. Fails on another's answer."""
        progress: list[Progress] = []
        while True:
            event = self.event()
            assert event is not None, self.log.read_text()
            if isinstance(event, Progress):
                progress += [event] if event.id == job else []
                continue
            assert isinstance(event, kind) and event.id == job, event
            return event, progress

    def started(self, job: int) -> None:
        """Wait until the job is under way: listening."""
        while not (isinstance(event := self.event(), Progress) and event.id == job and event.stage == "listening"):
            assert isinstance(event, Progress | Ready), event

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()

    def ended(self) -> int:
        return self.process.wait(timeout=PATIENCE)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """An engine that is loaded once; each test leaves it idle."""
    client = Client(tmp_path_factory.mktemp("engine") / "log")
    client.until(Ready, 0)
    yield client
    client.close()
    assert client.ended() == 0


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Client]:
    """An engine of the test's own, still loading."""
    client = Client(tmp_path / "log")
    yield client
    client.process.kill()
    client.process.wait()


def test_hello(engine: Client) -> None:
    engine.send(Hello(1))
    ready, _ = engine.until(Ready, 1)
    assert ready.info["device"] == "cpu" and ready.info["torch"]


def test_generate(engine: Client, speech: Path, head: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.npz"
    engine.send(Generate(2, str(speech), str(out), fps=25.0, mesh=str(head)))
    result, progress = engine.until(Result, 2)
    seconds = soundfile.info(speech).duration
    assert result.out == str(out) and result.frames == round(seconds * 25) and result.warnings == ()
    assert result.seconds == pytest.approx(seconds, abs=1e-3)
    fractions = [p.fraction for p in progress]
    assert fractions == sorted(fractions) and 0 <= fractions[0] and fractions[-1] <= 1
    assert len({p.stage for p in progress}) >= 3
    with np.load(out) as archive:
        assert set(archive.files) == {"fps", "names", "weights", "basis"}  # the moving vertices only on request
        assert archive["weights"].shape == (result.frames, len(CHANNELS))


def test_rig(engine: Client, head: Path, tmp_path: Path) -> None:
    engine.send(Rig(3, str(head), str(tmp_path / "basis.npz")))
    engine.until(Result, 3)
    with np.load(tmp_path / "basis.npz") as archive, np.load(head) as given:
        assert archive["basis"].shape == (len(CHANNELS), len(given["vertices"]), 3)


def test_a_style_and_its_fine_tuning(engine: Client, speech: Path, tmp_path: Path) -> None:
    """Read, then learned from the same clip until something is better; the cancel keeps it, and it animates."""
    path, read, tuned = write(tmp_path / "clip.npz", clip(repeats=2)), tmp_path / "read.safetensors", tmp_path / "t.safetensors"
    engine.send(ReadStyle(30, str(path), str(read)))
    result, progress = engine.until(Result, 30)
    assert result.out == str(read) and 0 < result.figures["confidence"] <= 1 and read.is_file() and len(progress) >= 3
    engine.send(FineTune(31, (str(path),), str(tuned), minutes=30.0))
    while not (isinstance(event := engine.event(), Progress) and event.held_out is not None and event.held_out < 1):
        assert isinstance(event, Progress) and (event.loss is None or event.loss > 0), event
    engine.send(Cancel(32, 31))
    result, _ = engine.until(Result, 31)
    assert result.figures["cancelled"] and result.figures["after_mm"] < result.figures["before_mm"]
    engine.send(Generate(33, str(speech), str(tmp_path / "o.npz"), blend=((str(tuned), 0.7), (str(read), 0.3)), jaw=0.8))
    engine.until(Result, 33)
    engine.send(ReadStyle(34, str(tmp_path / "none.npz"), str(read)), Generate(35, str(speech), str(tmp_path / "o"), jaw=-1.0))
    assert engine.until(Failed, 34)[0].code == "reference_missing"
    assert engine.until(Failed, 35)[0].code == "option_invalid"


def test_silence_is_told(engine: Client, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silent.wav", np.zeros(16000), 16000)
    engine.send(Generate(4, str(tmp_path / "silent.wav"), str(tmp_path / "o.npz")))
    result, _ = engine.until(Result, 4)
    assert len(result.warnings) == 1 and "silent" in result.warnings[0]


def test_errors_leave_the_engine_at_work(engine: Client, speech: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.npz"
    engine.send(Generate(5, str(tmp_path / "none.wav"), str(out)))
    failed, _ = engine.until(Failed, 5)
    assert failed.code == "audio_missing" and failed.sentence and "Traceback" in failed.traceback
    engine.send(b"garbage\n", b'{"v":99,"id":6,"op":"hello"}\n')
    engine.send(Generate(7, str(speech), str(tmp_path / "no" / "o.npz")))
    assert engine.until(Failed, 0)[0].code == "protocol_invalid"
    assert engine.until(Failed, 6)[0].code == "protocol_version"
    assert engine.until(Failed, 7)[0].code == "out_unwritable"
    engine.send(Generate(8, str(speech), str(out)))
    engine.until(Result, 8)


def test_cancel_in_the_middle(engine: Client, long_speech: Path, speech: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.npz"
    engine.send(Generate(9, str(long_speech), str(out)))
    engine.started(9)
    asked = time.monotonic()
    engine.send(Cancel(10, 9))
    engine.until(CancelledJob, 9)
    assert time.monotonic() - asked < 2.0  # after that, Blender kills it
    assert not list(tmp_path.iterdir())
    engine.send(Cancel(11, 9), Cancel(12, 999), Generate(13, str(speech), str(out)))  # too late, never there: nothing
    engine.until(Result, 13)


def test_cancel_of_a_waiting_job_and_numbers_used_twice(engine: Client, long_speech: Path, tmp_path: Path) -> None:
    jobs = [Generate(n, str(long_speech), str(tmp_path / f"{n}.npz")) for n in (14, 15)]
    engine.send(jobs[0])
    engine.started(14)
    engine.send(jobs[1], jobs[0])
    assert engine.until(Failed, 14)[0].code == "protocol_invalid"
    engine.send(Cancel(16, 15))
    engine.until(CancelledJob, 15)  # although 14 goes on
    engine.send(Cancel(17, 14))
    engine.until(CancelledJob, 14)
    engine.send(Cancel(18, 14), jobs[0])  # the number is free again: nothing to cancel, and it runs
    engine.started(14)
    engine.send(Cancel(19, 14))
    engine.until(CancelledJob, 14)


def test_the_engine_s_own_number_is_no_job(engine: Client, speech: Path, tmp_path: Path) -> None:
    for _ in range(2):
        engine.send(Generate(0, str(speech), str(tmp_path / "o.npz")), Cancel(20, 0), Hello(21))
        assert engine.until(Failed, 0)[0].code == "protocol_invalid"
        engine.until(Ready, 21)  # nothing was cancelled


@pytest.mark.parametrize("end", [b"x", protocol.encode(Hello(22)).strip()], ids=["text", "message"])
def test_a_line_that_is_too_long_is_refused_once(engine: Client, end: bytes) -> None:
    line = b"x" * protocol.MAX_LINE + b" " * (2 * protocol.MAX_LINE) + end + b"\n"
    engine.send(line, Hello(23))
    assert "too long" in engine.until(Failed, 0)[0].sentence
    engine.until(Ready, 23)


def test_jobs_and_cancels_while_loading(fresh: Client, speech: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "o.npz")
    fresh.send(Generate(1, str(speech), out), Cancel(2, 1), Generate(3, str(speech), out))
    loading, answers = [], []
    while not answers or not isinstance(answers[-1], Result):
        event = fresh.event()
        assert event is not None
        if isinstance(event, Progress):
            loading += [event.stage] if event.id == 0 else []
        else:
            answers.append(event)
    assert [(type(a), a.id) for a in answers] == [(CancelledJob, 1), (Ready, 0), (Result, 3)]
    assert set(loading) == {protocol.LOADING}


def test_closed_stdin_ends_it_in_the_middle(fresh: Client, long_speech: Path, tmp_path: Path) -> None:
    fresh.send(Generate(1, str(long_speech), str(tmp_path / "o.npz")))
    fresh.started(1)
    asked = time.monotonic()
    fresh.close()
    assert fresh.ended() == 0 and time.monotonic() - asked < 4
    assert not list(tmp_path.glob("*npz*")) and not list(tmp_path.glob(".*"))


def test_closed_stdin_ends_it_while_loading(fresh: Client) -> None:
    fresh.close()
    assert fresh.ended() == 0


def test_shutdown(fresh: Client) -> None:
    fresh.until(Ready, 0)
    fresh.send(protocol.Shutdown(1))
    assert fresh.ended() == 0 and fresh.event() is None


def test_killed_in_the_middle(fresh: Client, long_speech: Path, tmp_path: Path) -> None:
    fresh.send(Generate(1, str(long_speech), str(tmp_path / "o.npz")))
    fresh.started(1)
    fresh.process.kill()
    while fresh.event() is not None:
        pass
    assert fresh.ended() == -signal.SIGKILL and not (tmp_path / "o.npz").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="asks whether a process lives with signal 0")
def test_ends_when_its_parent_is_killed(long_speech: Path, tmp_path: Path) -> None:
    parent = f"""
import subprocess, sys
engine = subprocess.Popen([sys.executable, "-m", "ptalker_blender.core.serve"], stdin=-1, stdout=-1)
from ptalker_blender.core.protocol import Generate, encode
engine.stdin.write(encode(Generate(1, {str(long_speech)!r}, {str(tmp_path / "o.npz")!r})))
engine.stdin.flush()
for line in engine.stdout:
    if b"listening" in line:
        print(engine.pid, flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", parent], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    engine = int(process.stdout.readline())
    process.kill()
    process.wait()
    deadline = time.monotonic() + 30
    while _lives(engine) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _lives(engine)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")  # nobody may have collected it yet: that is not alive
    return not (status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] == "Z")


@pytest.mark.parametrize("damage", ["missing", "garbage", "half"])
def test_damaged_model(tmp_path: Path, damage: str) -> None:
    """A copy of the extension whose checkpoint is not what it should be: one event, exit code 3."""
    package, assets = ROOT / "ptalker_blender", tmp_path / "ptalker_blender" / "assets"
    shutil.copytree(package, assets.parent, ignore=shutil.ignore_patterns("__pycache__", "assets"))
    shutil.copytree(package / "assets", assets)
    model = assets / "ptalker.safetensors"
    if damage == "missing":
        model.unlink()
    elif damage == "garbage":
        model.write_bytes(np.random.default_rng(0).bytes(10_000))
    else:
        model.write_bytes(model.read_bytes()[: model.stat().st_size // 2])
    client = Client(tmp_path / "log", tmp_path)
    failed, progress = client.until(Failed, 0)
    assert progress and failed.sentence and failed.fix and failed.code != "internal"
    assert client.event() is None and client.ended() == 3


def test_stray_prints_cannot_reach_stdout(tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "from ptalker_blender.core.serve import Channel\nfrom ptalker_blender.core.protocol import Ready\n"
        "channel = Channel()\nprint('stray')\nos.system('echo stray')\nos.write(1, b'stray')\n"
        "channel.send(Ready(0, {}))\nprint('stray', file=sys.__stdout__, flush=True)\nassert sys.stdin.read() == ''\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, input=b"not for libraries", capture_output=True)
    assert done.stdout == protocol.encode(Ready(0, {})) and done.stderr.count(b"stray") == 4
