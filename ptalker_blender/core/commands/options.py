"""Options that several sub-commands share, and the parser whose errors are one sentence."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from ..runtime import PTalker

DEVICES = ("auto", "cpu", "cuda", "mps")


class Parser(argparse.ArgumentParser):
    """Bad arguments end with exit code 2 and one sentence, without the usage lines."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, allow_abbrev=False, **kwargs)

    def error(self, message: str) -> NoReturn:
        text = " ".join(message.split()).rstrip(".")
        print(f"{text[:1].upper()}{text[1:]} (see {self.prog} --help).", file=sys.stderr)
        raise SystemExit(2)


def add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", choices=DEVICES, default="auto", help="where the model runs (default: auto)")


def at_least(least: int) -> Callable[[str], int]:
    """A whole number of an option; argparse says what is wrong with another."""

    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{text} is below {least}")
        return value

    return number


def add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="FOLDER", type=Path, help="what `train` or `pack` left (default: the shipped model)")


def load_model(device: str, folder: Path | None = None) -> PTalker:
    """The shipped model, or that of a folder; imports torch. Raises PTalkerError."""
    from ..runtime import PTalker

    return PTalker.load(folder, device)


class Terminal:
    """A reporter (jobs.Reporter) that keeps one line of a terminal up to date, and prints nothing into a file."""

    def __init__(self) -> None:
        self.shown = self.held_out = ""

    def progress(self, stage: str, fraction: float, more: str = "") -> None:
        text = f"{stage} {fraction:4.0%}{more}"
        if sys.stderr.isatty() and text != self.shown:
            self.shown = text
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)

    def learned(self, fraction: float, loss: float, held_out: float | None) -> None:
        if held_out is not None:
            self.held_out = f", held out {held_out:.3f}"
        self.progress("fine-tuning", fraction, f" loss {loss:.3f}{self.held_out}")

    def cancelled(self) -> bool:
        return False

    def clear(self) -> None:
        if self.shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


@contextmanager
def muted_stderr() -> Iterator[None]:
    """Keep what C libraries print (libmpg123 on a damaged file) off the terminal; Python's sys.stderr stays."""
    kept, python_stderr = os.dup(2), sys.stderr
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        with os.fdopen(os.dup(kept), "w", buffering=1, errors="backslashreplace") as sys.stderr:
            os.dup2(nowhere, 2)
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
        sys.stderr = python_stderr
