"""``styles [STYLE ...]``: the built-in styles and what style files say of themselves; ``--plot``: a map of them."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from .options import Terminal, add_device, add_model, load_model

if TYPE_CHECKING:
    from ..styles import Style


def register(commands: Any) -> None:
    parser = commands.add_parser("styles", help="built-in styles, style files, a map of them", description=__doc__)
    parser.add_argument("styles", metavar="STYLE", nargs="*", help="style files to look at")
    parser.add_argument("--plot", metavar="PNG", help="map of the style space")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_device(parser)
    add_model(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from .. import style_jobs
    from ..protocol import Explain
    from ..styles import find

    model = load_model(args.device, args.model)
    found = [find(each, model.network.styles, model.fingerprint) for each in args.styles]
    if args.plot:
        style_jobs.explain(Explain(0, args.plot, tuple(args.styles)), lambda: model, Terminal())
    about = {"built_in": sorted(model.network.styles), "styles": [s.about() | {"fine_tuned": bool(s.adapter)} for s in found]}
    if args.json:
        print(json.dumps(about, indent=2))
    else:
        print("built in: " + ", ".join(about["built_in"]))
        for s in found:
            print(described(s))
    return 0


def described(style: Style) -> str:
    """One line for a terminal: what a file says of itself may hold line breaks and escape codes."""
    kind = ", fine-tuned" if style.adapter else ""
    source = style.made_from or "an unknown source"
    text = f"{style.name}: from {source}, {style.seconds:.1f} s, confidence {style.confidence:.2f}{kind}"
    return "".join(c for c in text if c.isprintable())
