"""The launcher's sub-commands."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time

from . import ROOT, LauncherError
from .environments import BLENDERS, DEFAULT_BLENDER, ENGINE

HELP = """\
usage: python3.11 ptalker COMMAND ...

  demo     build the extension, let Blender's own operator animate a head, leave a film   [--out FOLDER ...]
  test     style, types and all tests                             [--blender 4.2,4.5,5.0,5.2] [pytest arguments]
  run      the command line: run generate AUDIO --out OUT.npz, run info, run --help
  setup    only make the environments below .ptalker/                            [--blender 4.2,4.5,5.0,5.2]
  build    only build the extension's zip into dist/
"""


def main(arguments: list[str]) -> int:
    commands = {"demo": demo, "test": test, "run": run, "setup": setup, "build": build}
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(HELP, end="", file=sys.stdout if arguments else sys.stderr)
        return 0 if arguments else 2
    command = commands.get(arguments[0])
    if command is None:
        print(f"There is no command '{arguments[0]}': use demo, test, run, setup or build.", file=sys.stderr)
        return 2
    try:
        return command(arguments[1:])
    except LauncherError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def setup(arguments: list[str]) -> int:
    versions, rest = _blenders(arguments)
    if rest:
        raise LauncherError(f"setup does not know '{rest[0]}'.")
    for environment in (ENGINE, *(BLENDERS[v] for v in versions)):
        environment.ensure()
    print("All is set up.")
    return 0


def build(arguments: list[str]) -> int:
    from .extension import build as build_extension

    if arguments:
        raise LauncherError(f"build does not know '{arguments[0]}'.")
    path = build_extension()
    print(f"{path.relative_to(ROOT)} ({path.stat().st_size / 1e6:.1f} MB)")
    return 0


def demo(arguments: list[str]) -> int:
    """demo/run.py in Blender's environment, with the engine of its own and the freshly built extension."""
    from .extension import build as build_extension

    started = time.monotonic()
    engine = ENGINE.ensure()
    blender = BLENDERS[DEFAULT_BLENDER].ensure()
    print(f"set up: {time.monotonic() - started:.1f} s", flush=True)
    started = time.monotonic()
    package = build_extension()
    print(f"built {package.relative_to(ROOT)}: {time.monotonic() - started:.1f} s", flush=True)
    variables = {"PTALKER_ENGINE_PYTHON": str(engine), "PTALKER_EXTENSION_ZIP": str(package)}
    return _call([str(blender), str(ROOT / "demo" / "run.py"), *arguments], variables)


def run(arguments: list[str]) -> int:
    """The command line, in the caller's folder so that relative paths are theirs."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    command = [str(ENGINE.ensure()), "-m", "ptalker_blender.core", *arguments]
    return _call(command, {"PYTHONPATH": os.pathsep.join(paths)})


def test(arguments: list[str]) -> int:
    from .checks import run_all

    return run_all(*_blenders(arguments))


def _blenders(arguments: list[str]) -> tuple[list[str], list[str]]:
    """``--blender 4.2,5.0`` -> the versions; the rest is passed on."""
    parser = argparse.ArgumentParser(prog="ptalker", add_help=False, allow_abbrev=False)
    parser.add_argument("--blender", default=DEFAULT_BLENDER)
    options, rest = parser.parse_known_args(arguments)
    versions = [v.strip() for v in options.blender.split(",") if v.strip()]
    for version in versions:
        if version not in BLENDERS:
            raise LauncherError(f"There is no set-up for Blender '{version}': choose from {', '.join(BLENDERS)}.")
    return versions, rest


def _call(command: list[str], variables: dict[str, str]) -> int:
    """Run to the end; -> its exit code, as a shell would say it where a signal ended it."""
    code = subprocess.run(command, env={**os.environ, **variables}).returncode
    return 128 - code if code < 0 else code
