"""The environments under .ptalker/: made once, whole or not at all.

The engine (torch) and each Blender (the bpy module) have one of their own, as they do on an artist's computer. A stamp
with the hash of what was asked for is written last; an environment without the right stamp is made anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from . import HOME, ROOT, LauncherError

FORMAT = "1"  # raise it when environments must be made anew although the requirements are the same
SPACE = 3 << 30  # bytes that an environment may need on the disk


@dataclass(frozen=True)
class Environment:
    """``python`` is the version "3.11" it must run; ``requirements`` are files below the root."""

    name: str
    python: str
    requirements: tuple[str, ...]

    @property
    def folder(self) -> Path:
        return HOME / self.name

    @property
    def interpreter(self) -> Path:
        return self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    @property
    def files(self) -> list[Path]:
        return [ROOT / name for name in self.requirements]

    def ready(self) -> bool:
        return self.interpreter.exists() and self._stamp() == self._wanted()

    def _stamp(self) -> str:
        with contextlib.suppress(OSError):
            return (self.folder / "stamp").read_text()
        return ""

    def _wanted(self) -> str:
        digest = hashlib.sha256(f"{FORMAT} {self.python}".encode())
        for file in self.files:
            digest.update(file.read_bytes())
        return digest.hexdigest()

    def ensure(self) -> Path:
        """Make the environment where it is not there; -> its interpreter. Raises LauncherError."""
        if not self.ready():
            with _lock():
                if not self.ready():  # another run may have made it while this one waited
                    self._make()
        return self.interpreter

    def _make(self) -> None:
        base = find_python(self.python)
        if base is None:
            raise LauncherError(f"There is no Python {self.python} on this computer, which '{self.name}' needs.")
        if shutil.disk_usage(HOME).free < SPACE:
            raise LauncherError(f"The disk is too full: '{self.name}' needs about {SPACE >> 30} GB below {HOME}.")
        started = time.monotonic()
        print(f"Setting up {self.name} (once, some minutes) ...", flush=True)
        log = HOME / f"{self.name}.log"
        try:
            shutil.rmtree(self.folder, ignore_errors=True)
            with log.open("wb") as out:
                pip = self._make_venv(base, out)
                arguments = [part for file in self.files for part in ("-r", str(file))]
                _call([*pip, "install", "--no-input", "--disable-pip-version-check", *arguments], out, log)
            (self.folder / "stamp").write_text(self._wanted())
        except OSError as error:
            raise LauncherError(f"Setting up '{self.name}' failed: {error}.") from error
        print(f"  {self.name} is ready ({time.monotonic() - started:.0f} s).", flush=True)

    def _make_venv(self, base: str, out: IO[bytes]) -> list[str]:
        """-> the pip command for the new environment. Debian's bare Python has no ensurepip: its own pip does it."""
        log = Path(out.name)
        has_pip = subprocess.run([base, "-c", "import ensurepip"], capture_output=True).returncode == 0
        _call([base, "-m", "venv", *([] if has_pip else ["--without-pip"]), str(self.folder)], out, log)
        if has_pip:
            return [str(self.interpreter), "-m", "pip"]
        if importlib.util.find_spec("pip") is None:
            raise LauncherError("This Python has neither ensurepip nor pip: install one of them.")
        return [sys.executable, "-m", "pip", "--python", str(self.interpreter)]


# What the engine needs is listed once, in the extension, which makes the same environment on an artist's computer.
SHIPPED = "ptalker_blender/assets/requirements-engine.txt"
ENGINE = Environment("engine", "3.11", (SHIPPED, "requirements/dev.txt", "requirements/train.txt"))
BLENDERS = {
    version: Environment(f"blender-{version}", python, (f"requirements/blender-{version}.txt",))
    for version, python in (("4.2", "3.11"), ("4.5", "3.11"), ("5.0", "3.11"), ("5.2", "3.13"))
}
DEFAULT_BLENDER = "5.0"


def find_python(version: str) -> str | None:
    """An interpreter of this version that really runs: this one, on PATH or pyenv's; None where there is none."""
    if version == ".".join(map(str, sys.version_info[:2])):
        return sys.executable
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [shutil.which(f"python{version}"), *map(str, sorted(pyenv.glob(f"{version}.*/bin/python{version}")))]
    for candidate in candidates:
        if candidate and _runs(candidate, version):
            return candidate
    return None


def _runs(candidate: str, version: str) -> bool:
    """Whether it is there for real: pyenv's shims exist for versions that are not selected, and then only complain."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run([candidate, "-c", code], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and done.stdout.strip() == version


def _call(command: list[str], out: IO[bytes], log: Path) -> None:
    # close_fds=False: the lock's file stays open in the child (see _lock).
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, close_fds=False)
    if done.returncode:
        out.flush()
        raise LauncherError(explain(log.read_text(errors="replace"), log))


def explain(text: str, log: Path) -> str:
    """What pip's log says went wrong, in one sentence."""
    if "No space left on device" in text:
        return f"The disk is full; the environments below {HOME} need about {SPACE >> 30} GB each."
    network = ("NewConnectionError", "NameResolutionError", "Max retries exceeded", "ProxyError", "ReadTimeoutError")
    if any(sign in text for sign in (*network, "SSLError", "Network is unreachable")):
        return f"The packages cannot be downloaded: check the network or the proxy (details in {log})."
    for line in text.splitlines():
        if line.startswith("ERROR: No matching distribution found for "):
            return f"A package cannot be found: {line.rsplit(' for ', 1)[1]} (details in {log})."
    return f"Installing packages failed (details in {log})."


@contextlib.contextmanager
def _lock() -> Iterator[None]:
    """One set-up at a time. The system frees the lock when the process ends, however it ends."""
    HOME.mkdir(exist_ok=True)
    with (HOME / "lock").open("a+b") as file:
        if not _try_lock(file):
            print("Another run is setting up; waiting for it ...", flush=True)
            while not _try_lock(file):
                time.sleep(0.5)
        # pip inherits the lock: were only this process killed, the next run waits until pip has ended, too.
        os.set_inheritable(file.fileno(), True)
        yield


def _try_lock(file: IO[bytes]) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
