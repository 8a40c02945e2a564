"""Ship a trained run: half precision, figures in both cards, SHA-256 sums of all assets.

    python -m ptalker_blender.core.train.pack --run RUN [RUN ...] [--speech-encoder FOLDER]
    python -m ptalker_blender.core.train.pack --figures FIGURES.json
A run's best weights and its last ones are averaged weight by weight, as are several runs that went on from one another
("model soups", Wortsman et al. 2022); what a style vector means, the motion encoder decides, and that is the last one's.
FOLDER is
the encoder that the runs' corpus was heard with (train/speech.py); without it the one that is there stays.
FIGURES.json is what ``evaluate DATA --report OUT --assets ASSETS --card FIGURES.json`` wrote of what is packed: it goes into
the checkpoint's own card and into MODEL_CARD.md. Without --run the weights and styles stay as they are.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
from pathlib import Path

import torch

from ..errors import PTalkerError
from ..evaluate.card import fill
from ..model.ptalker import PTalker
from ..runtime import ASSETS
from .loop import final

ENCODER = ("config.json", "model.safetensors", "preprocessor_config.json")
DATA = "GRID s1 (CC BY 4.0), synthetic speech by Kokoro-82M, flite, festival, espeak-ng, ICT-FaceKit (MIT)"


def write_sums(assets: Path) -> None:
    """SHA256SUMS over the weights, in the format of sha256sum."""
    files = sorted(p for p in assets.rglob("*.safetensors"))
    lines = [f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.relative_to(assets).as_posix()}" for p in files]
    (assets / "SHA256SUMS").write_text("\n".join(lines) + "\n", "utf-8")


def save_packed(net: PTalker, path: Path, card: dict) -> None:
    """In half precision; with the sums of the folder, where it is one of assets."""
    net.to(torch.float16).save(path, card)
    if (path.parent / "SHA256SUMS").is_file():
        write_sums(path.parent)


def averaged(runs: list[Path]) -> tuple[PTalker, dict]:
    """The mean of the runs' best and last weights, with the motion encoder, the styles and the card of the last.
    Raises PTalkerError."""
    files = [f for run in runs for best in [run / "ptalker.safetensors"] for f in (best, final(best)) if f is best or f.is_file()]
    loaded = [PTalker.load(f) for f in files]
    (net, card), others = loaded[-1], [n for n, _ in loaded[:-1]]
    if any(n.config != net.config for n in others):
        raise PTalkerError("run_differs", "The runs have different sizes.", "Average runs that went on from one another.")
    states = [n.state_dict() for n in (*others, net)]
    mean = {k: v if k.startswith("motion.") else torch.stack([s[k] for s in states]).mean(0) for k, v in states[-1].items()}
    net.load_state_dict(mean)
    return net, card


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, nargs="+")
    parser.add_argument("--speech-encoder", type=Path)
    parser.add_argument("--figures", type=Path)
    parser.add_argument("--assets", type=Path, default=ASSETS)
    args = parser.parse_args()
    if not (args.run or args.figures):
        parser.error("name a --run to pack, or the --figures of what is packed")
    net, card = averaged(args.run) if args.run else PTalker.load(args.assets / "ptalker.safetensors")
    if args.speech_encoder:
        for name in ENCODER:
            shutil.copyfile(args.speech_encoder / name, args.assets / "speech_encoder" / name)
    if args.figures:
        card["figures"] = json.loads(args.figures.read_text("utf-8"))
        page = args.assets / "MODEL_CARD.md"
        page.write_text(fill(page.read_text("utf-8"), card["figures"]), "utf-8")
    card["data"] = DATA
    net.to(torch.float16).save(args.assets / "ptalker.safetensors", card)
    write_sums(args.assets)


if __name__ == "__main__":
    main()
