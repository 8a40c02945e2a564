"""Join the trained parts into the shipped checkpoint.

``python -m ptalker_blender.core.train.rig_pack --net FILE --pose FILE --out FILE [--figures JSON]``
Weights are stored as 16-bit floats; the configuration and the figures as metadata."""

import argparse
import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from ptalker_blender.core.model.mesh_encoder import RigConfig, RigNet
from ptalker_blender.core.train.pack import write_sums


def packed(rig: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Metadata and tensors of a packed rig head."""
    with safe_open(rig, "pt") as file:
        return file.metadata(), {k: file.get_tensor(k) for k in file.keys()}


def put(rig: Path, more: dict[str, Tensor]) -> None:
    """Put further tensors into a packed rig head, and its new sum beside it where there are sums."""
    meta, state = packed(rig)
    save_file(state | more, rig, meta)
    if (rig.parent / "SHA256SUMS").is_file():
        write_sums(rig.parent)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("net", "pose", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--figures", type=Path)
    a = parser.parse_args()
    with safe_open(a.net, "pt") as file:
        meta = file.metadata()
    keep = RigConfig()
    known = {k: v for k, v in json.loads(meta["config"]).items() if k in keep.to_dict() and not k.startswith("pose")}
    cfg = RigConfig.from_dict({**keep.to_dict(), **known})
    state = load_file(a.net) | {f"pose.{k}": v for k, v in load_file(a.pose).items()}
    RigNet(cfg).load_state_dict(state)
    meta["config"] = json.dumps(cfg.to_dict())
    meta["licence"] = "GPL-3.0-or-later; trained on ICT-FaceKit (MIT, (c) 2020 USC ICT) and anny heads (CC0)"
    if a.figures:
        meta["figures"] = a.figures.read_text()
    save_file({k: v.to(torch.float16).contiguous() for k, v in state.items()}, a.out, meta)
    print(f"{a.out.name}: {sum(v.numel() for v in state.values()) / 1e6:.2f} M numbers, {a.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
