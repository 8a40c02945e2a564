"""Ship a trained run: half precision, figures in both cards, SHA-256 sums of all assets.

    python -m ptalker_blender.core.train.pack --run RUN [--figures FIGURES.json]
FIGURES.json is what ``evaluate DATA --report OUT --assets ASSETS --card FIGURES.json`` wrote for this run: pack once
without, evaluate, pack again with it. It goes into the checkpoint's own card and into MODEL_CARD.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import torch

from ..evaluate.card import fill
from ..model.ptalker import PTalker
from ..runtime import ASSETS


def write_sums(assets: Path) -> None:
    """SHA256SUMS over the weights, in the format of sha256sum."""
    files = sorted(p for p in assets.rglob("*.safetensors"))
    lines = [f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.relative_to(assets).as_posix()}" for p in files]
    (assets / "SHA256SUMS").write_text("\n".join(lines) + "\n", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--figures", type=Path)
    parser.add_argument("--assets", type=Path, default=ASSETS)
    args = parser.parse_args()
    net, card = PTalker.load(args.run / "ptalker.safetensors")
    if args.figures:
        card["figures"] = json.loads(args.figures.read_text("utf-8"))
        page = args.assets / "MODEL_CARD.md"
        page.write_text(fill(page.read_text("utf-8"), card["figures"]), "utf-8")
    card["data"] = "GRID s1 (CC BY 4.0), synthetic speech by Kokoro-82M (Apache-2.0), ICT-FaceKit (MIT)"
    net.to(torch.float16).save(args.assets / "ptalker.safetensors", card)
    write_sums(args.assets)


if __name__ == "__main__":
    main()
