"""Put ICT-FaceKit's skin in full into a packed rig head, beside the 1024 points that it was trained with (mesh/skin.py).

``python -m ptalker_blender.core.train.rig_skin --data DIR [--rig FILE]``
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from scipy.spatial import KDTree
from torch import Tensor

from ptalker_blender.core.mesh.graph import build_graph
from ptalker_blender.core.mesh.rig import ASSET
from ptalker_blender.core.mesh.skin import PREFIX
from ptalker_blender.core.train.rig_heads import CENTRE, UNIT
from ptalker_blender.core.train.rig_pack import packed, put

PIECES = (("face", "head_neck"), ("mouth_socket",), ("eye_socket_left", "eye_socket_right"))  # ICT's parts that are skin


def skin_of(z: dict[str, np.ndarray], points: np.ndarray) -> dict[str, Tensor]:
    """heads/ict_facekit.npz and the rig head's template points [M, 6] -> the tensors of Skin."""
    names = [str(n) for n in z["part_names"]]
    piece = np.full(len(names), -1)
    for number, parts in enumerate(PIECES):
        piece[[i for i, name in enumerate(names) if name in parts]] = number
    piece = piece[z["part"]]
    faces = z["quads"].astype(np.int64)
    faces[faces[:, 3] == faces[:, 2], 3] = -1
    vertices = ((z["neutral"] - CENTRE) / UNIT).astype(np.float32)
    place = np.concatenate([vertices, build_graph(z["neutral"], faces).normal], 1)
    lies = np.array([1.0, 1.0, 1.0, 0.05, 0.05, 0.05])
    belongs = piece[KDTree(place * lies).query(points * lies)[1]]
    own = piece >= 0
    basis = z["arkit"][:, own].astype(np.float32).transpose(1, 0, 2) / UNIT
    half = {"place": place[own], "basis": basis}
    whole = {"part": piece[own], "points": belongs}
    return {k: torch.from_numpy(v).to(torch.float16).contiguous() for k, v in half.items()} | {
        k: torch.from_numpy(v).to(torch.int8) for k, v in whole.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rig", type=Path, default=ASSET)
    a = parser.parse_args()
    z = dict(np.load(a.data / "heads" / "ict_facekit.npz"))
    skin = skin_of(z, packed(a.rig)[1]["head.place"].float().numpy())
    put(a.rig, {PREFIX + k: v for k, v in skin.items()})
    print(f"{a.rig.name}: {len(skin['part'])} vertices of skin, {a.rig.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
