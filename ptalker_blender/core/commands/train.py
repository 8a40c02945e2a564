"""``train CONFIG --data DATA --corpus SHARDS --out RUN``: train the model; goes on from RUN/last.pt.

``--init MODEL.safetensors``: a new run with a schedule of its own that begins with the weights of a model.

Several GPUs: ``torchrun --nproc-per-node N -m ptalker_blender.core train ...``.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any


def register(commands: Any) -> None:
    parser = commands.add_parser("train", help="train the model", description=__doc__)
    parser.add_argument("config", metavar="CONFIG", help="a TOML file, or: default, quick, tracks")
    parser.add_argument("--data", metavar="DATA", type=Path, required=True, help="the data folder")
    parser.add_argument("--corpus", metavar="SHARDS", type=Path, required=True, help="what `corpus` made of it")
    parser.add_argument("--fits", type=Path, help="folder of the fitted tracks (default: SHARDS/fits)")
    parser.add_argument("--out", metavar="RUN", type=Path, required=True, help="folder to write: model, last.pt, curves")
    parser.add_argument("--set", metavar="TABLE.NAME=VALUE", action="append", default=[], help="change a setting of CONFIG")
    parser.add_argument("--init", metavar="MODEL", type=Path, help="a new run begins with this model's weights")
    parser.add_argument("--fresh", action="store_true", help="begin anew even if RUN/last.pt is there")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from ..data.corpus import check_data
    from ..errors import PTalkerError
    from ..train.loop import fit
    from ..train.motion import MotionTask
    from ..train.settings import read_settings

    settings = read_settings(args.config, args.set)
    check_data(args.data)
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PTalkerError("out_unwritable", f"The folder '{args.out}' cannot be made.") from error
    task = MotionTask(settings, args.data, args.corpus, args.fits or args.corpus / "fits", args.init)
    if int(os.environ.get("RANK", "0")) == 0:
        (args.out / "settings.json").write_text(json.dumps(settings.to_dict(), indent=1) + "\n", "utf-8")
    best = fit(task, settings.loop, args.out, resume=not args.fresh)
    if int(os.environ.get("RANK", "0")) == 0:
        print(f"Best at step {int(best['step'])}: " + ", ".join(f"{k} {v:.4g}" for k, v in best.items() if k != "step"))
    return 0
