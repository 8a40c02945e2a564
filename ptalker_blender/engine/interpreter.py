# SPDX-License-Identifier: GPL-3.0-or-later
"""Which Python runs the engine, and in what environment."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import PTalkerError

ENVIRONMENT_VARIABLE = "PTALKER_ENGINE_PYTHON"
EXTENSION_FOLDER = Path(__file__).resolve().parent.parent

# What Blender, or a virtual environment around it, sets for its own Python and what would break another one.
_OTHER_PYTHONS = (
    "PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONEXECUTABLE", "PYTHONPLATLIBDIR", "PYTHONSAFEPATH",
    "PYTHONINSPECT", "PYTHONOPTIMIZE", "PYTHONWARNINGS", "__PYVENV_LAUNCHER__", "VIRTUAL_ENV",
)  # fmt: skip


@dataclass(frozen=True)
class EngineSpec:
    """Everything that makes one engine process differ from another."""

    python: Path
    device: str  # auto | cpu | cuda | mps
    log: Path  # stderr of the process goes here

    def command(self) -> list[str]:
        return [str(self.python), "-u", "-m", f"{EXTENSION_FOLDER.name}.core.serve", "--device", self.device]


def venv_python(folder: Path) -> Path:
    """The interpreter inside a virtual environment."""
    return folder / "Scripts" / "python.exe" if sys.platform == "win32" else folder / "bin" / "python"


def find(preference: str, installed: Path | None) -> Path:
    """The engine's interpreter: the environment variable, else the preference, else what Install Engine made.

    ``installed`` is None where Install Engine has not finished. A path that was named but is not there is an error
    and never silently replaced by the next choice.
    """
    for source, value in (
        (f"the environment variable {ENVIRONMENT_VARIABLE}", os.environ.get(ENVIRONMENT_VARIABLE, "")),
        ("the PTalker preferences", preference),
    ):
        if value:
            # Not resolve(): a virtual environment's interpreter is a link, and it is the link's place that counts.
            path = Path(value).expanduser().absolute()
            if not path.is_file():
                raise PTalkerError(
                    "engine_python_missing",
                    f"The engine's Python that {source} names is not there: {path}.",
                    "Correct the path or empty it and press Install Engine.",
                )
            return path
    if installed is None:
        raise PTalkerError("engine_missing", "The PTalker engine is not installed.", "Press Install Engine.")
    return installed


def environment() -> dict[str, str]:
    """The environment of the engine process: this one without what belongs to Blender's Python."""
    env = {k: v for k, v in os.environ.items() if k not in _OTHER_PYTHONS}
    env["PYTHONPATH"] = str(EXTENSION_FOLDER.parent)
    env["PYTHONSAFEPATH"] = "1"  # or a ptalker_blender in the folder that Blender was started from would come first
    env["PYTHONUTF8"] = "1"
    return env
