# SPDX-License-Identifier: GPL-3.0-or-later
"""``blender -b file.blend -c ptalker generate ...``: Generate Lip-Sync without a window, with an exit code."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, NoReturn

import bpy

from .core.errors import Cancelled, PTalkerError
from .operators.generate import run_blocking
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
    source.add_argument("--strip", default="", help="sound strip to speak; default: the active or selected one")
    source.add_argument("--audio", default="", help="sound file to speak instead, from the scene's first frame on")
    generate.add_argument("--style", default=None, help="style by name or file")
    generate.add_argument("--strength", type=float, default=1.0, help="of the style, 0 to 3")
    generate.add_argument("--seed", type=int, default=0, help="of blinks and brows")
    generate.add_argument("--offset", type=int, default=0, help="frames by which the animation comes later")
    generate.add_argument("--save", action="store_true", help="save the file afterwards")
    generate.add_argument("--output", default="", help="save to this .blend instead")
    return parser


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
    if args.save and not args.output and not bpy.data.filepath:
        raise PTalkerError("not_saved", "This file has no name yet, so it cannot be saved.", "Use --output FILE.blend.")
    output = Path(args.output).absolute() if args.output else None
    if output is not None and not output.parent.is_dir():
        raise PTalkerError("output_invalid", f"The folder '{output.parent}' does not exist.")
    request = Request(
        source="FILE" if args.audio else "STRIP",
        strip=args.strip,
        filepath=str(Path(args.audio).absolute()) if args.audio and not args.audio.startswith("//") else args.audio,
        objects=tuple(args.object),
        style=args.style,
        strength=args.strength,
        seed=args.seed,
        frame_offset=args.offset,
    )
    report = run_blocking(bpy.context, request, console=True)
    for line in (*report.lines, *report.warnings):
        print(line, flush=True)
    if output is not None:
        bpy.ops.wm.save_as_mainfile(filepath=str(output), copy=True)
    elif args.save:
        bpy.ops.wm.save_mainfile()


def register() -> None:
    global _handle
    _handle = bpy.utils.register_cli_command("ptalker", run)


def unregister() -> None:
    global _handle
    if _handle is not None:
        bpy.utils.unregister_cli_command(_handle)
    _handle = None
