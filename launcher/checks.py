"""``ptalker test``: style, types, core tests in the engine's environment, Blender tests in each Blender's."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from . import ROOT
from .environments import BLENDERS, ENGINE, find_python


@dataclass
class Outcome:
    """What one part came to: "passed", "FAILED" or "skipped"."""

    name: str
    state: str
    seconds: float = 0.0
    note: str = ""


def run_all(blenders: list[str], pytest_arguments: list[str]) -> int:
    """Run every part, also after one failed; print one summary. -> exit code."""
    engine = ENGINE.ensure()
    outcomes = [
        _part("ruff", [str(engine), "-m", "ruff", "check", "."]),
        _part("types", [str(engine), "-m", "basedpyright", "--level", "error", "--pythonpath", str(engine)]),
        _part("core tests", [str(engine), "-m", "pytest", "tests/core", *pytest_arguments], _variables(engine)),
    ]
    outcomes += [_blender_part(version, engine, pytest_arguments) for version in blenders]
    return _summary(outcomes)


def _blender_part(version: str, engine: Path, pytest_arguments: list[str]) -> Outcome:
    name, environment = f"Blender {version} tests", BLENDERS[version]
    if not environment.ready() and find_python(environment.python) is None:
        return Outcome(name, "skipped", note=f"there is no Python {environment.python} here")
    python = environment.ensure()
    return _part(name, [str(python), "-m", "pytest", "tests/blender", *pytest_arguments], _variables(engine))


def _variables(engine: Path) -> dict[str, str]:
    """Two cores are shared by Blender, the engine and pytest; the tests' engine is the one set up here."""
    return {"PTALKER_ENGINE_PYTHON": str(engine), "PYTHONDONTWRITEBYTECODE": "1"}


def _part(name: str, command: list[str], variables: dict[str, str] | None = None) -> Outcome:
    print(f"\n=== {name} ===", flush=True)
    started = time.monotonic()
    environment = {**os.environ, **(variables or {})}
    code = subprocess.run(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL).returncode
    state = "passed" if code == 0 else "FAILED"
    return Outcome(name, state, time.monotonic() - started, "" if code == 0 else f"exit code {code}")


def _summary(outcomes: list[Outcome]) -> int:
    print("\n=== summary ===")
    for outcome in outcomes:
        note = f"  ({outcome.note})" if outcome.note else ""
        print(f"{outcome.state:8} {outcome.name:20} {outcome.seconds:6.1f} s{note}")
    count = {state: sum(o.state == state for o in outcomes) for state in ("passed", "FAILED", "skipped")}
    print(f"parts: {count['passed']} passed, {count['FAILED']} failed, {count['skipped']} skipped", flush=True)
    return 1 if count["FAILED"] else 0
