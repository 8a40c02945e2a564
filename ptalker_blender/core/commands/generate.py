"""``generate AUDIO --out OUT.npz``: speech to weights, and to moving vertices where a head is given."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from .options import Terminal, add_device, add_model, load_model, muted_stderr

GAINS = {
    "jaw": "how far the jaw moves", "lips": "how far the lips move", "upper-face": "how far brows and gaze move",
    "blink": "how often the eyes blink",
}  # fmt: skip


def register(commands: Any) -> None:
    parser = commands.add_parser("generate", help="speech to facial animation", description=__doc__)
    parser.add_argument("audio", metavar="AUDIO", help="wav, flac, ogg or mp3")
    parser.add_argument("--out", metavar="OUT.npz", required=True, help="fps, names, weights; with --mesh vertices too")
    parser.add_argument("--fps", type=float, default=30.0, help="frames a second, also 23.976 (default: 30)")
    parser.add_argument("--mesh", metavar="HEAD.npz", help="vertices [V, 3] and faces [F, 3 or 4], -1 pads triangles")
    style = "a built-in style or a style file; several with shares are blended: --style clear:0.6 --style a.safetensors:0.4"
    parser.add_argument("--style", metavar="NAME|FILE[:SHARE]", action="append", default=[], help=style)
    parser.add_argument("--reference", metavar="CLIP.npz|AUDIO", help="take the style from this, instead of --style")
    parser.add_argument("--strength", type=float, default=1.0, help="of the style: 0 neutral, above 1 exaggerated (default: 1)")
    for name, what in GAINS.items():
        parser.add_argument(f"--{name}", type=float, default=1.0, metavar="GAIN", help=f"{what}, 0 to 3 (default: 1)")
    parser.add_argument("--seed", type=int, default=0, help="another seed is another take of the upper face")
    add_device(parser)
    add_model(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from .. import jobs
    from ..errors import PTalkerError
    from ..protocol import Generate
    from ..styles import read_shares

    if args.style and args.reference:
        raise PTalkerError("option_invalid", "Use either --style or --reference.")
    shares = read_shares(args.style)
    single = len(shares) == 1 and shares[0][1] == 1.0

    job = Generate(
        id=0,
        audio=args.audio,
        out=args.out,
        fps=args.fps,
        style=shares[0][0] if single else None,
        blend=() if single else tuple(shares),
        reference=args.reference,
        strength=args.strength,
        seed=args.seed,
        mesh=args.mesh,
        vertices=args.mesh is not None,
        jaw=args.jaw,
        lips=args.lips,
        upper_face=args.upper_face,
        blink=args.blink,
    )
    terminal = Terminal()
    try:
        with muted_stderr():
            result = jobs.generate(job, lambda: load_model(args.device, args.model), terminal)
    finally:
        terminal.clear()
    for warning in result.warnings:
        print(warning, file=sys.stderr)
    return 0
