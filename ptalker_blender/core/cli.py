"""The command line, ``python -m ptalker_blender.core COMMAND``.

Exit codes: 0; 2 for input that a person can mend, with one sentence on stderr; 1 for a fault of ours, also one
sentence (set PTALKER_TRACEBACK=1 to see more); 130 when interrupted or told to end (SIGTERM).
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import FrameType

from . import __version__
from .commands.options import Parser
from .errors import PTalkerError

# Each module has register(commands), which adds its parser and sets its function as the parser's default `run`.
COMMANDS = (
    "ptalker_blender.core.commands.generate",
    "ptalker_blender.core.commands.style",
    "ptalker_blender.core.commands.styles",
    "ptalker_blender.core.commands.finetune",
    "ptalker_blender.core.commands.rig",
    "ptalker_blender.core.commands.info",
    "ptalker_blender.core.commands.corpus",
    "ptalker_blender.core.commands.train",
    "ptalker_blender.core.commands.evaluate",
)


def build_parser() -> Parser:
    parser = Parser(prog="ptalker", description="Speech to facial animation, on any face mesh.")
    parser.add_argument("--version", action="version", version=f"ptalker {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name in COMMANDS:
        import_module(name).register(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    args = build_parser().parse_args(arguments)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # one sentence on stderr; libraries' warnings are for `python -W default`
    # Nothing of ours is ever fetched: the libraries shall not try, nor say that they cannot.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    try:
        with interrupted_by_sigterm():
            return args.run(args)
    except PTalkerError as error:
        return _say(error, 2)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        from .failures import as_ptalker_error

        known = as_ptalker_error(error)
        return _say(known, 1 if known.code == "internal" else 2)


@contextmanager
def interrupted_by_sigterm() -> Iterator[None]:
    """SIGTERM cleans up as Ctrl-C does, and leaves no unfinished file. What handles or ignores it already goes on doing so."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _say(error: PTalkerError, code: int) -> int:
    if os.environ.get("PTALKER_TRACEBACK"):
        traceback.print_exc()
    print(" ".join(str(error).split()), file=sys.stderr)
    return code
