"""``finetune CLIP.npz [...] --out STYLE.safetensors``: a speaking style learned from clips with sound.

Ctrl-C ends it and keeps the best so far."""

from __future__ import annotations

import argparse
import signal
import sys
from typing import Any

from .options import Terminal, add_device, add_model, load_model


class Interruptible(Terminal):
    """Ctrl-C asks for the end; a second one does not wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = False

    def __enter__(self) -> Interruptible:
        self.before = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self.before)
        self.clear()

    def _ask(self, *_: object) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def cancelled(self) -> bool:
        return self.asked


def register(commands: Any) -> None:
    parser = commands.add_parser("finetune", help="a speaking style learned from clips", description=__doc__)
    what = "a mesh in motion with its sound: vertices [T, V, 3], faces, fps, audio, sample_rate; optional rest"
    parser.add_argument("clips", metavar="CLIP.npz", nargs="+", help=what)
    parser.add_argument("--out", metavar="STYLE.safetensors", required=True)
    parser.add_argument("--name", default="", help="default: the first clip's")
    parser.add_argument("--minutes", type=float, default=4.0, help="of training at most (default: 4)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plot", metavar="PNG", help="curves before and after, on what was held out")
    add_device(parser)
    add_model(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from .. import style_jobs
    from ..errors import Cancelled
    from ..protocol import FineTune

    job = FineTune(0, tuple(args.clips), args.out, args.name, args.plot, args.minutes, args.seed)
    with Interruptible() as terminal:
        try:
            result = style_jobs.fine_tune(job, lambda: load_model(args.device, args.model), terminal)
        except Cancelled:
            return 130
    f = result.figures
    print(
        f"'{args.out}': {f['before_mm']:.3f} mm before, {f['after_mm']:.3f} mm after on what was held out "
        f"({-f['gain']:+.1%}), {f['steps']} steps."
    )
    for warning in result.warnings:
        print(warning, file=sys.stderr)
    return 130 if f["cancelled"] else 0
