# SPDX-License-Identifier: GPL-3.0-or-later
"""Install Engine: a virtual environment with the pinned packages, made in a thread.

Resumable: what a cancelled or failed run left is used by the next one. Checked: the engine counts as installed only
after it started in the new environment, which a marker file tells together with the requirements' SHA-256.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from ..core.errors import Cancelled, PTalkerError
from .interpreter import EXTENSION_FOLDER, environment, venv_python

REQUIREMENTS = EXTENSION_FOLDER / "assets" / "requirements-engine.txt"
PYTHONS = ((3, 11), (3, 14))  # [oldest, first that is too new) that the pinned packages are made for
_MARKER = "ptalker-engine.json"

# What pip says -> what it means. The first match wins.
_PIP_SAYS = (
    (r"No space left|not enough space|Errno 28", "the disk is full", "Make room and press Install Engine again."),
    (
        r"CERTIFICATE_VERIFY|SSLError|SSL:",
        "the secure connection was refused (SSL)",
        "Check clock and proxy, or name a Python that has the packages in the preferences.",
    ),
    (r"ProxyError|407 Proxy", "the proxy refused the connection", "Set HTTPS_PROXY and start Blender again."),
    (
        r"NewConnectionError|NameResolution|name resolution|ConnectTimeout|ReadTimeout|Network is unreachable"
        r"|Connection refused|getaddrinfo",
        "the package index cannot be reached",
        "Check the network and press Install Engine again: it goes on where it stopped.",
    ),
    (
        r"No matching distribution|Could not find a version",
        "a package does not exist for this Python or system",
        "Name another Python (3.11 to 3.13) in the preferences.",
    ),
    (r"HASHES|do not match", "a download was damaged", "Press Install Engine again."),
    (r"Permission denied|Errno 13|Access is denied", "files could not be written", "Check the folder's permissions."),
)  # fmt: skip


def checksum(requirements: Path = REQUIREMENTS) -> str:
    return hashlib.sha256(requirements.read_bytes()).hexdigest()


def installed_python(folder: Path, requirements: Path = REQUIREMENTS) -> Path | None:
    """The interpreter of a finished environment made from these very requirements; else None."""
    python, marker = venv_python(folder), folder / _MARKER
    if not (python.is_file() and marker.is_file()):
        return None
    try:
        wanted = json.loads(marker.read_text("utf-8")).get("requirements")
    except ValueError:
        return None
    return python if wanted == checksum(requirements) else None


class Installer:
    """One installation. ``stage`` and ``fraction`` tell how far it is; at the end ``error`` is set, or ``done``."""

    def __init__(self, base_python: Path, folder: Path, log: Path, requirements: Path = REQUIREMENTS) -> None:
        self.base_python, self.folder, self.log, self.requirements = base_python, folder, log, requirements
        self.stage, self.fraction = "preparing", 0.0
        self.error: PTalkerError | None = None
        self.cancelled = self.done = False
        self._process: subprocess.Popen[str] | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    @property
    def running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        self._thread = threading.Thread(target=self.run, name="ptalker-install", daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        """End the running step. What is downloaded and installed so far stays for the next time."""
        with self._lock:
            self.cancelled = True
            if self._process is not None:
                self._process.kill()

    def run(self) -> None:
        """All steps; never raises."""
        try:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            self.log.write_text("", "utf-8")
            self._check_python()
            self._make_venv()
            self._install()
            self._check_engine()
            marker = {"requirements": checksum(self.requirements), "base": str(self.base_python)}
            (self.folder / _MARKER).write_text(json.dumps(marker), "utf-8")
            self.stage, self.fraction, self.done = "installed", 1.0, True
        except Cancelled:
            self.stage = "cancelled"
        except PTalkerError as error:
            self.error = error
        except OSError as error:
            self.error = PTalkerError("install_failed", f"The engine could not be installed: {error}.", "Show Log.")

    def _lines(self, *command: str) -> Iterator[str]:
        """Output of a command, line by line, into the log too. The last item is ``rc=N``. Raises Cancelled."""
        with self._lock:
            if self.cancelled:
                raise Cancelled
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                encoding="utf-8", errors="replace", env=environment(), start_new_session=sys.platform != "win32",
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )  # fmt: skip
        assert self._process.stdout is not None
        with self.log.open("a", encoding="utf-8") as log:
            log.write("> " + " ".join(command) + "\n")
            for line in self._process.stdout:
                if not line.startswith("Progress "):
                    log.write(line)
                    log.flush()
                yield line.rstrip()
        code = self._process.wait()
        if self.cancelled:
            raise Cancelled
        yield f"rc={code}"

    def _run(self, *command: str) -> tuple[int, list[str]]:
        *lines, code = self._lines(*command)
        return int(code[3:]), lines

    def _check_python(self) -> None:
        self.stage = "checking Python"
        code, lines = self._run(str(self.base_python), "-c", "import sys; print(*sys.version_info[:2])")
        version = tuple(map(int, lines[-1].split())) if code == 0 and lines else (0, 0)
        if not PYTHONS[0] <= version < PYTHONS[1]:
            found = ".".join(map(str, version)) if code == 0 else "something else"
            raise PTalkerError(
                "install_python", f"The engine needs Python 3.11 to 3.13, but {self.base_python} is {found}.",
                "Name another Python in the preferences.",
            )  # fmt: skip

    def _make_venv(self) -> None:
        self.stage, self.fraction = "making the environment", 0.02
        python = venv_python(self.folder)
        (self.folder / _MARKER).unlink(missing_ok=True)
        if python.is_file() and self._run(str(python), "-m", "pip", "--version")[0] == 0:
            return  # a run that was cut short: go on with it
        code, lines = self._run(str(self.base_python), "-m", "venv", "--clear", str(self.folder))
        if code != 0:
            raise PTalkerError(
                "install_venv", f"No Python environment could be made: {_last(lines)}.",
                "Name another Python in the preferences (on Debian and Ubuntu: install python3-venv).",
            )  # fmt: skip

    def _install(self) -> None:
        self.stage, self.fraction = "preparing pip", 0.04
        python = str(venv_python(self.folder))
        pip = (python, "-m", "pip", "--disable-pip-version-check", "--no-input", "install")
        # 24.1 is the first pip that tells its progress to a program.
        code, lines = self._run(*pip, "--upgrade", "pip>=24.1")
        if code != 0:
            raise _pip_error(lines)
        wanted = sum(1 for s in self.requirements.read_text("utf-8").splitlines() if re.match(r"\s*[A-Za-z0-9]", s))
        count, lines = 0, []
        for line in self._lines(*pip, "--progress-bar", "raw", "-r", str(self.requirements)):
            lines.append(line)
            if progress := re.match(r"Progress (\d+) of (\d+)", line):
                part = int(progress[1]) / max(1, int(progress[2]))
                self.fraction = 0.05 + 0.8 * min(1.0, (count - 1 + part) / max(1, wanted))
            elif found := re.match(r"(?:Collecting|Requirement already satisfied:) ([A-Za-z0-9_.-]+)", line):
                count += 1
                self.stage = f"downloading {found[1]}"
                self.fraction = 0.05 + 0.8 * min(1.0, (count - 1) / max(1, wanted))
            elif line.startswith("Installing collected packages"):
                self.stage, self.fraction = "installing packages", 0.87
        if lines[-1] != "rc=0":
            raise _pip_error(lines)

    def _check_engine(self) -> None:
        self.stage, self.fraction = "checking the engine", 0.95
        python = str(venv_python(self.folder))
        code, lines = self._run(python, "-m", f"{EXTENSION_FOLDER.name}.core", "info")
        if code != 0:
            raise PTalkerError(
                "install_check",
                f"The engine was installed but does not run: {_last(lines)}.",
                "Show Log has the details.",
            )


def _last(lines: list[str]) -> str:
    said = [line for line in lines if line.strip() and not line.startswith("rc=")]
    return said[-1].strip().rstrip(".")[:300] if said else "it said nothing"


def _pip_error(lines: list[str]) -> PTalkerError:
    text = "\n".join(lines)
    for pattern, meaning, fix in _PIP_SAYS:
        if re.search(pattern, text):
            return PTalkerError("install_failed", f"The engine's packages could not be installed: {meaning}.", fix)
    errors = [line for line in lines if line.startswith("ERROR:")]
    return PTalkerError(
        "install_failed",
        f"The engine's packages could not be installed: {_last(errors or lines).removeprefix('ERROR: ')}.",
        "Show Log has the details.",
    )
