# SPDX-License-Identifier: GPL-3.0-or-later
"""``blender -b file.blend -c ptalker generate ...``: Generate Lip-Sync without a window, with an exit code."""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import bpy

from .core.errors import Cancelled, PTalkerError
from .operators.generate import run_blocking
from .scene import style_library
from .scene.request import Request

_handle: Any = None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise PTalkerError("option_invalid", f"{message[0].upper()}{message[1:]}.", "See 'ptalker generate --help'.")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="blender -b FILE.blend -c ptalker", description="PTalker: speech to facial animation.")
    commands = parser.add_subparsers(dest="command", required=True)
    generate = commands.add_parser("generate", help="animate meshes of the file so that they speak a sound")
    generate.add_argument(
        "--object", action="append", default=[], help="mesh to animate (again for more); default: selected"
    )
    source = generate.add_mutually_exclusive_group()
    source.add_argument(
        "--strip", default="", help="sound strip to speak; default: the panel's source, of strips the active or selected one"
    )
    source.add_argument("--audio", default="", help="sound file to speak instead, from the scene's first frame on")
    generate.add_argument(
        "--style", default=None, help="style of this file by name, else a built-in one, else a style file; default: the scene's"
    )
    generate.add_argument("--strength", type=_number, default=None, help="of the style, 0 to 3; default: the scene's")
    generate.add_argument("--seed", type=int, default=None, help="of blinks and brows; default: the scene's")
    generate.add_argument(
        "--offset", type=int, default=None, help="frames by which the animation comes later; default: the scene's"
    )
    generate.add_argument("--save", action="store_true", help="save the file afterwards")
    generate.add_argument("--output", default="", help="save a copy to this .blend instead")
    return parser


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"'{text}' is no number")
    return value


def run(argv: list[str]) -> int:
    """The command. 0, or 2 with one sentence on stderr."""
    try:
        _generate(_parser().parse_args(argv))
    except PTalkerError as error:
        print(error, file=sys.stderr, flush=True)
        return 2
    except Cancelled:
        print("Cancelled; nothing was changed.", file=sys.stderr, flush=True)
        return 2
    except SystemExit as stop:  # --help
        return stop.code if isinstance(stop.code, int) else 2
    return 0


def _generate(args: argparse.Namespace) -> None:
    output = _output(args)
    if output is not None:
        _check_writable(output)
    report = run_blocking(bpy.context, _request(args), console=True)
    for line in (*report.lines, *report.warnings):
        print(line, flush=True)
    if output is not None:
        _save(output, copy=bool(args.output))


def _request(args: argparse.Namespace) -> Request:
    """The scene's own settings, and what the options say instead. Raises PTalkerError style_missing."""
    request = Request.from_settings(bpy.context.scene)
    options = {"strength": args.strength, "seed": args.seed, "frame_offset": args.offset}
    options = {name: value for name, value in options.items() if value is not None}
    request = replace(request, strip=args.strip, objects=tuple(args.object), **options)
    if args.strip:
        request = replace(request, source="STRIP")
    elif args.audio:
        path = args.audio if args.audio.startswith("//") else str(Path(args.audio).absolute())
        request = replace(request, source="FILE", filepath=path)
    return request if args.style is None else _with_style(request, args.style)


def _with_style(request: Request, name: str) -> Request:
    """This style alone, with the scene's gains."""
    gains = request.voice or style_library.Voice()
    text = next((text.name for text in style_library.saved() if name in (text.name, style_library.about(text).get("name"))), None)
    if text is None:
        return replace(request, style=name, voice=replace(gains, shares=(), texts=frozenset()))
    return replace(request, voice=replace(gains, shares=((text, 1.0),), texts=frozenset({0})))


def _output(args: argparse.Namespace) -> Path | None:
    """Where the file is saved afterwards; None where it is not. Raises PTalkerError not_saved."""
    if args.output:
        path = Path(args.output).absolute()
        named = path.suffix.lower() == ".blend" or path.is_dir()
        return path if named else path.with_name(f"{path.name}.blend")
    if not args.save:
        return None
    if not bpy.data.filepath:
        raise PTalkerError("not_saved", "This file has no name yet, so it cannot be saved.", "Use --output FILE.blend.")
    return Path(bpy.data.filepath)


def _check_writable(path: Path) -> None:
    """Told before minutes of work are lost. Raises PTalkerError output_invalid, output_unwritable."""
    if path.is_dir():
        raise PTalkerError("output_invalid", f"'{path}' is a folder.", "Name a .blend file.")
    if not path.parent.is_dir():
        raise PTalkerError("output_invalid", f"The folder '{path.parent}' does not exist.")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
        writable = not path.exists() or os.access(path, os.W_OK)
    except OSError:
        writable = False
    if not writable:
        raise PTalkerError("output_unwritable", f"'{path}' cannot be written.", "Use --output FILE.blend.")


def _save(path: Path, copy: bool) -> None:
    """Raises PTalkerError output_unwritable, as where the disk is full."""
    try:
        if copy:
            bpy.ops.wm.save_as_mainfile(filepath=str(path), copy=True)
        else:
            bpy.ops.wm.save_mainfile()
    except RuntimeError as error:
        reason = " ".join(str(error).removeprefix("Error: ").split()).rstrip(".")
        raise PTalkerError("output_unwritable", f"The animation was made but not saved to '{path}': {reason}.") from error


def register() -> None:
    global _handle
    _handle = bpy.utils.register_cli_command("ptalker", run)


def unregister() -> None:
    global _handle
    if _handle is not None:
        bpy.utils.unregister_cli_command(_handle)
    _handle = None
