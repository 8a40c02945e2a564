"""``style CLIP.npz|AUDIO --out STYLE.safetensors``: a way of speaking from a reference."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from .options import Terminal, add_device, add_model, load_model, muted_stderr


def register(commands: Any) -> None:
    parser = commands.add_parser("style", help="a speaking style from a reference", description=__doc__)
    what = "a mesh in motion (vertices [T, V, 3], faces, fps; optional audio, sample_rate, rest) or a sound file"
    parser.add_argument("reference", metavar="CLIP.npz|AUDIO", help=what)
    parser.add_argument("--out", metavar="STYLE.safetensors", required=True)
    parser.add_argument("--name", default="", help="default: the reference's")
    parser.add_argument("--use", choices=("both", "motion", "voice"), default="both", help="of a clip with sound (default: both)")
    parser.add_argument("--plot", metavar="PNG", help="where the style lies, and curves of the reference against the result")
    add_device(parser)
    add_model(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from .. import style_jobs
    from ..protocol import ReadStyle

    job = ReadStyle(0, args.reference, args.out, args.name, args.use, args.plot)
    terminal = Terminal()
    try:
        with muted_stderr():
            result = style_jobs.read(job, lambda: load_model(args.device, args.model), terminal)
    finally:
        terminal.clear()
    f = result.figures
    agreement = f", motion and voice agree by {f['agreement']:.2f}" if "agreement" in f else ""
    print(
        f"'{args.out}' from {f['made_from']}: {f['seconds']:.1f} s, {f['speech']:.0%} of it speech{agreement}; "
        f"confidence {f['confidence']:.2f} ({f['confidence_word']})." + (f" Shows: {f['shows']}." if "shows" in f else "")
    )
    for warning in result.warnings:
        print(warning, file=sys.stderr)
    return 0
