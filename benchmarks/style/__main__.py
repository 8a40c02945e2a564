"""What issue 5 asks of styles, as far as the corpus allows: one line a part.

    python -m benchmarks.style --data DATA --fits FITS [--assets FOLDER] [--styles 20] [--strangers]
        [--only transfer,triples] [--out JSON]
Unseen teacher styles in dev sentences on ICT heads, whose references are read from vertices as an artist's are, with the rig
head's shapes of that mesh (lessons.Shown). About 10 minutes of one processor core. docs/style.md says what the figures are.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch

from ptalker_blender.core.runtime import PTalker

from .bench import Bench
from .people import people
from .probes import probes
from .taught import across, told_apart, transfer, voice
from .tuned import tuned

PARTS: dict[str, Callable[[Bench], dict[str, float]]] = {
    "triples": told_apart, "across": across, "voice": voice, "people": people, "probes": probes, "transfer": transfer,
    "tuned": tuned,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--fits", type=Path, help="fitted tracks (data/fit.py); without: no real people")
    parser.add_argument("--assets", type=Path)
    parser.add_argument("--styles", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--strangers", action="store_true", help="people whom another teacher makes (stranger.py)")
    parser.add_argument("--only", help=f"some of {','.join(PARTS)}")
    parser.add_argument("--out", type=Path, help="JSON")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    chosen = args.only.split(",") if args.only else list(PARTS)
    if unknown := set(chosen) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    torch.set_num_threads(args.threads)
    bench = Bench(PTalker.load(args.assets, "cpu"), args.data, args.fits, args.styles, args.seed, args.strangers)
    found: dict[str, dict[str, float]] = {"model": {bench.model.fingerprint: 1.0}}
    for name in chosen:
        began = time.process_time()
        found[name] = PARTS[name](bench)
        print(f"{name} ({time.process_time() - began:.0f} s of processor)")
        for key, value in found[name].items():
            print(f"  {key:48s}{value:8.3f}", flush=True)
        if args.out:
            args.out.write_text(json.dumps(found, indent=2), "utf-8")


if __name__ == "__main__":
    main()
