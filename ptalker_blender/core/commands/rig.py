"""``rig HEAD.npz --out BASIS.npz``: what each channel does on this very mesh."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from .options import Terminal, add_device, add_model, load_model


def register(commands: Any) -> None:
    parser = commands.add_parser("rig", help="a basis of shapes for a head mesh", description=__doc__)
    parser.add_argument("mesh", metavar="HEAD.npz", help="vertices [V, 3] and faces [F, 3 or 4], -1 pads triangles")
    parser.add_argument("--landmarks", metavar="L.json", help='{"mouth_left": [x, y, z], ...}: docs/rig.md')
    parser.add_argument(
        "--out", metavar="BASIS.npz", required=True,
        help="names [K], basis [K, V, 3], landmark_names [L], landmarks [L, 3], confidence",
    )  # fmt: skip
    add_device(parser)
    add_model(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from .. import rig_job
    from ..protocol import Rig

    terminal = Terminal()
    try:
        job = Rig(id=0, mesh=args.mesh, out=args.out, landmarks=args.landmarks)
        result = rig_job.rig(job, lambda: load_model(args.device, args.model), terminal)
    finally:
        terminal.clear()
    for warning in result.warnings:
        print(warning, file=sys.stderr)
    return 0
