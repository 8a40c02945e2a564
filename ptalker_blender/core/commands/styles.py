"""``styles [STYLE ...]``: the built-in styles and what style files say of themselves; ``--plot``: a map of them."""

from __future__ import annotations

import argparse
import json
from typing import Any

from .options import Terminal, add_device, add_model, load_model


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
            kind = ", fine-tuned" if s.adapter else ""
            print(f"{s.name}: from {s.made_from or 'an unknown source'}, {s.seconds:.1f} s, confidence {s.confidence:.2f}{kind}")
    return 0
