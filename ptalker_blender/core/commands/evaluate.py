"""``evaluate DATA --report OUT``: how good the model is on a data set, as figures (JSON) and a page with plots."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from .options import Terminal, add_device, at_least


def register(commands: Any) -> None:
    parser = commands.add_parser("evaluate", help="figures and plots on a data set", description=__doc__)
    parser.add_argument("data", metavar="DATA", type=Path, help="folder of a data set (docs/evaluate.md)")
    parser.add_argument(
        "--report", metavar="OUT", type=Path, required=True, help="folder for report.json and report.html, or such a file"
    )
    parser.add_argument("--assets", metavar="FOLDER", type=Path, help="another checkpoint (default: the shipped one)")
    parser.add_argument("--fits", metavar="FOLDER", type=Path, help="fitted tracks (data.fit); default: made beside OUT")
    parser.add_argument("--style", help="built-in style or style file (default: neutral)")
    parser.add_argument("--rig", action="store_true", help="faces moved by the rig head, not by their own shapes")
    parser.add_argument("--most", metavar="N", type=at_least(1), help="at most N clips of a group, for a quick look")
    parser.add_argument("--card", metavar="FILE", type=Path, help="also write the model card's figures, for train.pack")
    parser.add_argument("--no-floor", action="store_true", help="without the ridge floor (saves a minute)")
    parser.add_argument("--no-speed", action="store_true", help="without the speed test")
    parser.add_argument("--threads", metavar="N", type=at_least(1), help="threads of torch")
    parser.add_argument("--seed", type=at_least(0), default=0, help="of the upper face, the choice of clips, the styles")
    add_device(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from ..evaluate import card, plots, report, sets

    plots.require()
    sets.find_reader(args.data)
    files = report.prepare(args.report)
    if args.card:
        report.try_writing(args.card)
    import torch

    from ..evaluate import vertices
    from ..evaluate.run import Wanted, evaluate
    from ..runtime import PTalker
    from ..vertex_runtime import is_run

    if args.threads:
        torch.set_num_threads(args.threads)
    terminal = Terminal()
    wanted = Wanted(args.data, args.fits, args.style, args.most, args.seed, args.rig, not args.no_floor, not args.no_speed)
    vertex_run: Path | None = args.assets if args.assets and is_run(args.assets) else None
    try:
        if vertex_run:
            options = sets.Options(most=args.most, seed=args.seed)
            result, pictures = vertices.evaluate_run(vertex_run, args.data, options, args.style, terminal.progress)
        else:
            model = PTalker.load(args.assets, args.device)
            result, pictures = evaluate(model, wanted, files[0].parent / "fits", terminal.progress)
    finally:
        terminal.clear()
    report.write(files, result, pictures)
    if args.card:
        args.card.write_text(json.dumps(card.figures(result), indent=1) + "\n", "utf-8")
    if vertex_run:
        print(vertices.table(result))
        print(f"{files[1]} and {files[0].name}")
        return 0
    for group, row in result["groups"].items():
        shown = [f"{report.LEGEND[k][0]} {report.show(row[k])}" for k in ("r", "closed", "lve_mm2", "fdd_mm") if k in row]
        print(f"{group:24s}" + "  ".join(shown))
    print(f"{files[1]} and {files[0].name}")
    return 0
