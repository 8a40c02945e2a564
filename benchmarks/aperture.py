"""Lip aperture and closures in one table, beside the ridge floor: the quick part of ``evaluate``, which has all figures.

    python -m benchmarks.aperture --data DATA --fits FITS [--assets FOLDER] [--rig] [--most 80]
docs/evaluate.md says what the figures are.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ptalker_blender.core.evaluate.ours import Ours
from ptalker_blender.core.evaluate.run import Wanted, compare
from ptalker_blender.core.runtime import PTalker

COLUMNS = ("clips", "r", "r_floor", "lag_ms", "closures", "closed", "closed_height")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--fits", type=Path, required=True, help="fitted tracks; made there if they are not")
    parser.add_argument("--assets", type=Path, default=None)
    parser.add_argument("--style", default=None)
    parser.add_argument("--rig", action="store_true", help="the ICT head by the rig head, not by ICT's own shapes")
    parser.add_argument("--most", type=int, default=80, help="clips of a group")
    args = parser.parse_args()
    ours = Ours(PTalker.load(args.assets, "cpu"), args.style, rig=args.rig)
    wanted = Wanted(args.data, style=args.style, most=args.most, rig=args.rig)
    found = compare(ours, wanted, args.fits, lambda stage, fraction: None)
    for group, row in found.summaries.items():
        shown = {k: row[k] for k in COLUMNS if k in row}
        print(f"{group:24s}" + "  ".join(f"{k} {v:.3f}" if isinstance(v, float) else f"{k} {v}" for k, v in shown.items()))


if __name__ == "__main__":
    main()
