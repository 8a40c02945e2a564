"""``generate AUDIO --out OUT.npz``: speech to weights, and to moving vertices where a head is given."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from .options import Terminal, add_device, load_model, muted_stderr


def register(commands: Any) -> None:
    parser = commands.add_parser("generate", help="speech to facial animation", description=__doc__)
    parser.add_argument("audio", metavar="AUDIO", help="wav, flac, ogg or mp3")
    parser.add_argument("--out", metavar="OUT.npz", required=True, help="fps, names, weights; with --mesh vertices too")
    parser.add_argument("--fps", type=float, default=30.0, help="frames a second, also 23.976 (default: 30)")
    parser.add_argument("--mesh", metavar="HEAD.npz", help="vertices [V, 3] and faces [F, 3 or 4], -1 pads triangles")
    parser.add_argument("--style", metavar="NAME|FILE", help="a built-in style or a style file")
    parser.add_argument("--strength", type=float, default=1.0, help="how strongly the face moves (default: 1)")
    parser.add_argument("--seed", type=int, default=0, help="another seed is another take of the upper face")
    add_device(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from .. import jobs
    from ..protocol import Generate

    job = Generate(
        id=0,
        audio=args.audio,
        out=args.out,
        fps=args.fps,
        style=args.style,
        strength=args.strength,
        seed=args.seed,
        mesh=args.mesh,
        vertices=args.mesh is not None,
    )
    terminal = Terminal()
    try:
        with muted_stderr():
            result = jobs.generate(job, lambda: load_model(args.device), terminal)
    finally:
        terminal.clear()
    for warning in result.warnings:
        print(warning, file=sys.stderr)
    return 0
