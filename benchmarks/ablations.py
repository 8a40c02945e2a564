"""The table of ours against others and of each part taken out, over seeds; one command, to be repeated until it is done.

    python -m benchmarks.ablations --data DATA --corpus CORPUS --out OUT
    python -m benchmarks.ablations --out OUT --table
Every run leaves OUT/ROW-SEED.json and is not done again; an interrupted one goes on from its last.pt. Rows are run for
one seed after another, so the table is whole, if wide, early. It is printed after each run and is in OUT/table.md.
All rows have the same windows, speech features, steps and width (--config; its default is for one core). A GPU does the
full size: --config default --set loop.every=6000 (nothing is validated on the way).
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path

import torch

from ptalker_blender.core.errors import PTalkerError
from ptalker_blender.core.train.settings import RunSettings, read_settings

from .baselines.bench import Amount, Bench
from .baselines.rows import ROWS, Place, run
from .baselines.table import markdown

CONFIG = Path(__file__).with_name("ablations.toml")


def finished(out: Path) -> dict[str, list[dict[str, float]]]:
    """Figures of the runs that are done, by row."""
    runs: dict[str, list[dict[str, float]]] = {}
    for row in ROWS:
        files = sorted(out.glob(f"{row}-*.json"))
        runs[row] = [json.loads(f.read_text("utf-8"))["figures"] for f in files]
    return runs


def claim(out: Path, settings: RunSettings) -> None:
    """Runs of one folder share their settings. Raises PTalkerError run_differs."""
    text, file = json.dumps(settings.to_dict(), indent=1), out / "settings.json"
    if not file.is_file():
        out.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    elif file.read_text("utf-8") != text:
        raise PTalkerError("run_differs", f"'{out}' holds runs with other settings.", "Name another folder with --out.")


def write(path: Path, text: str) -> None:
    part = path.with_suffix(".part")
    part.write_text(text, "utf-8")
    os.replace(part, path)


def study(settings: RunSettings, place: Place, out: Path, rows: Sequence[str], seeds: Sequence[int], amount: Amount) -> None:
    """All runs that are missing in ``out``."""
    claim(out, settings)
    if settings.loop.threads > 0:
        torch.set_num_threads(settings.loop.threads)
    bench = None
    for seed in seeds:
        for name in rows:
            done = out / f"{name}-{seed}.json"
            if done.is_file():
                continue
            bench = bench or Bench(place.data, place.fits, place.corpus, amount, settings.data.dev)
            folder = out / f"{name}-{seed}"
            result = run(ROWS[name], settings, seed, place, bench, folder)
            write(done, json.dumps({"row": name, "seed": seed} | result, indent=1))
            (folder / "last.pt").unlink(missing_ok=True)
            write(out / "table.md", markdown(finished(out)))
            print(json.dumps({"row": name, "seed": seed} | result), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--table", action="store_true", help="print the table of what is there, run nothing")
    parser.add_argument("--data", type=Path, help="the folder with grid_s1, grid_dev, speech, heads")
    parser.add_argument("--corpus", type=Path, help="training shards")
    parser.add_argument("--fits", type=Path, help="fitted tracks; default: CORPUS/fits")
    parser.add_argument("--config", default=str(CONFIG), help="a settings file, or the name of one that ships")
    parser.add_argument("--set", action="append", default=[], metavar="TABLE.NAME=VALUE")
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    args = parser.parse_args()
    if not args.table:
        if not (args.data and args.corpus):
            parser.error("--data and --corpus are needed to run anything")
        try:
            place = Place(args.data, args.corpus, args.fits or args.corpus / "fits")
            study(read_settings(args.config, args.set), place, args.out, args.rows, args.seeds, Amount())
        except PTalkerError as error:
            raise SystemExit(f"{error.sentence} {error.fix}".strip()) from error
    print(markdown(finished(args.out)))


if __name__ == "__main__":
    main()
