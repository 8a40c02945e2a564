"""``corpus --data DATA --out SHARDS``: make what training reads from a data folder. Goes on where it was stopped."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from .options import at_least


def register(commands: Any) -> None:
    parser = commands.add_parser("corpus", help="make training shards from a data folder", description=__doc__)
    parser.add_argument("--data", metavar="DATA", type=Path, required=True, help="grid_s1, grid_dev, speech, heads, encoders")
    parser.add_argument("--out", metavar="SHARDS", type=Path, required=True, help="folder to write; about 1 GB a pass")
    parser.add_argument("--passes", type=at_least(1), default=4, help="times that all clips are degraded anew (default: 4)")
    parser.add_argument(
        "--speech-encoder",
        metavar="FOLDER|NAME",
        help="any Whisper, wav2vec2, HuBERT or WavLM, as transformers names it (default: the shipped one)",
    )
    parser.add_argument("--quiet", metavar="N", type=at_least(0), default=160, help="windows without a voice (default: 160)")
    parser.add_argument("--device", default="auto", help="that the speech encoder runs on: auto | cpu | cuda | mps")
    parser.add_argument("--threads", type=at_least(0), default=0, help="of the CPU (default: as torch likes)")
    parser.add_argument("--estimate-teacher", action="store_true", help="estimate the coarticulation teacher anew, too")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if args.speech_encoder and not Path(args.speech_encoder).is_dir():
        os.environ["HF_HUB_OFFLINE"] = "0"  # a name was asked for: it may be fetched. The hub's library reads this when imported
    from ..data import corpus
    from ..device import pick_device
    from ..errors import PTalkerError
    from ..runtime import ASSETS
    from ..speech import SpeechEncoder

    corpus.check_data(args.data)
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PTalkerError("out_unwritable", f"The folder '{args.out}' cannot be made.") from error
    if args.threads > 0:
        import torch

        torch.set_num_threads(args.threads)
    wanted = args.speech_encoder or str(ASSETS / "speech_encoder")
    corpus.fit_all(args.data, args.out / "fits")
    if args.estimate_teacher:
        from ..data import estimate_teacher

        estimate_teacher.run(args.data, args.out / "fits")
    folder = Path(wanted).is_dir()
    encoder = SpeechEncoder.from_folder(wanted).to(pick_device(args.device))
    card = corpus.make_shards(
        args.data, args.out, encoder, Path(wanted).resolve().name if folder else wanted, args.passes, args.quiet
    )
    print(f"{args.out}: {card['hours']} h in {len(card['shards'])} shards, {card['features']} features")
    return 0
