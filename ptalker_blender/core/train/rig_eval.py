"""Measure the rig on heads it was not trained on.

``python -m ptalker_blender.core.train.rig_eval --data DIR --heads DIR [--rig FILE] [--out JSON]``
--heads: people made by ``rig_anny`` with another seed than the training's.

For each channel, over the vertices that the true shape moves by more than 5 % of its largest displacement: the mean
cosine between predicted and true displacement, and the ratio of their summed lengths. For the lips of ICT's neutral
head: how much each channel opens the mouth (millimetres), predicted and true.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from ptalker_blender.core.channels import CHANNELS, INDEX
from ptalker_blender.core.mesh.graph import triangles
from ptalker_blender.core.mesh.rig import Rigger
from ptalker_blender.core.train.rig_pool import FINE
from ptalker_blender.core.train.rig_topology import paired, subdivided

SPEECH = (
    "jawOpen mouthFunnel mouthPucker mouthSmileLeft mouthSmileRight mouthLowerDownLeft mouthLowerDownRight "
    "mouthUpperUpLeft mouthUpperUpRight mouthStretchLeft mouthStretchRight eyeBlinkLeft eyeBlinkRight"
).split()
TO_Z_UP = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], np.float32)  # y up, +z out -> z up, looking to -y


def compare(predicted: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two bases [K, V, 3] -> mean vertex cosine [K] and magnitude ratio [K]; NaN where the truth is empty."""
    p, t = np.linalg.norm(predicted, axis=-1), np.linalg.norm(true, axis=-1)
    moved = t > 0.05 * t.max(1, keepdims=True).clip(1e-9)
    cosine = (predicted * true).sum(-1) / (p * t + 1e-12)
    count = np.where(t.max(1) > 0, moved.sum(1), np.nan)
    return (cosine * moved).sum(1) / count, (p * moved).sum(1) / np.where(count > 0, (t * moved).sum(1), np.nan)


def decimated(vertices: np.ndarray, faces: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Faces over a subset of the vertices, about ``share`` of them: which vertices [n], faces [F, 3]."""
    import fast_simplification

    tri, v = triangles(faces).astype(np.int32), vertices.astype(np.float32)
    collapses = fast_simplification.simplify(v, tri, 1 - share, return_collapses=True)[2]
    points, tri, group = fast_simplification.replay_simplification(v, tri, collapses)
    order = np.lexsort((((v - points[group]) ** 2).sum(1), group))
    which, first = np.unique(group[order], return_index=True)
    chosen = np.zeros(len(points), np.int64)
    chosen[which] = order[first]
    return chosen, tri.astype(np.int64)


def lips(rigger: Rigger, z: dict[str, np.ndarray], faces: np.ndarray) -> dict[str, tuple[float, float]]:
    """Change of the lip aperture of ICT's neutral head in millimetres for each mouth channel: (predicted, true)."""
    v = z["neutral"] @ TO_Z_UP.T * 0.01
    basis = rigger.rig(v, faces) @ TO_Z_UP * 100
    upper, lower = z["landmarks68"][[62, 66]]

    def opening(b: np.ndarray, i: int) -> float:
        gap = z["neutral"][upper] - z["neutral"][lower]
        return float((gap + b[i, upper] - b[i, lower])[1] - gap[1]) * 10

    names = [n for n in CHANNELS if n.startswith(("jaw", "mouth"))]
    return {n: (opening(basis, INDEX[n]), opening(z["arkit"].astype(np.float32), INDEX[n])) for n in names}


def cases(data: Path, heads: Path, people: int, seed: int):
    """Name, vertices [V, 3], faces, true basis [K, V, 3] of each held-out head."""
    z = dict(np.load(data / "heads" / "ict_facekit.npz"))
    faces = z["quads"].astype(np.int64)
    faces[faces[:, 3] == faces[:, 2], 3] = -1
    rng = np.random.default_rng(seed)
    true = z["arkit"].astype(np.float32)
    yield "ICT neutral", z["neutral"], faces, true
    for i in range(people):
        v = z["neutral"] + np.tensordot(rng.normal(size=100).astype(np.float32) * 0.7, z["identity"].astype(np.float32), 1)
        yield "ICT people", v, faces, true
        if i:
            continue
        chosen, tri = decimated(v, faces, 0.5)
        yield "ICT half", v[chosen], tri, true[:, chosen]
        yield "ICT triangles", v, triangles(faces), true
        skin = np.isin(z["part"], [0, 1])
        keep = skin[faces].all(1) | ((faces[:, 3] < 0) & skin[faces[:, :3]].all(1))
        number = np.cumsum(skin) - 1
        few, tri = decimated(v[skin], np.where(faces[keep] < 0, -1, number[faces[keep]]), 0.12)
        yield "ICT skin, 1.3k", v[skin][few], tri, true[:, skin][:, few]
        yield "ICT skin, 1.3k quads", v[skin][few], paired(v[skin][few], tri, rng), true[:, skin][:, few]
        pick, four = subdivided(np.stack([few, few], 1), tri)
        yield "ICT skin, 1.3k subdivided", v[skin][pick].mean(1), four, true[:, skin][:, pick].mean(2)
    for file in sorted(heads.glob("anny_*.npz")):
        a = np.load(file)
        for i in range(min(people, len(a["vertices"]))):
            yield file.stem.replace("_", " "), a["vertices"][i], a["faces"].astype(np.int64), a["basis"][i].astype("f4")


def measure(rigger: Rigger, data: Path, heads: Path, people: int = 3, seed: int = 12345) -> dict:
    z = dict(np.load(data / "heads" / "ict_facekit.npz"))
    found: dict[str, list] = {}
    worst = 0.0
    for name, v, f, true in cases(data, heads, people, seed):
        start = time.time()
        basis = rigger.rig(v @ TO_Z_UP.T * 0.01 + 0.7, f) @ TO_Z_UP * 100
        worst = max(worst, time.time() - start)
        found.setdefault(name, []).append(compare(basis, true))
    speech, fine = [INDEX[n] for n in SPEECH], [INDEX[n] for n in FINE]
    sets = {}
    for name, pairs in found.items():
        cosine, ratio = (np.nanmean([p[i] for p in pairs], 0) for i in range(2))
        sets[name] = {
            "speech": float(np.nanmean(cosine[speech])), "fine": float(np.nanmean(cosine[fine])),
            "all": float(np.nanmean(cosine[:51])), "ratio": float(np.nanmean(ratio[speech])),
            "channels": {n: [round(float(cosine[i]), 3), round(float(ratio[i]), 2)] for n, i in INDEX.items()},
        }  # fmt: skip
    faces = z["quads"].astype(np.int64)
    faces[faces[:, 3] == faces[:, 2], 3] = -1
    return {"sets": sets, "lips": lips(rigger, z, faces), "slowest_seconds": worst}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--heads", type=Path, required=True)
    parser.add_argument("--rig", type=Path)
    parser.add_argument("--people", type=int, default=3)
    parser.add_argument("--out", type=Path)
    a = parser.parse_args()
    torch.set_num_threads(1)
    result = measure(Rigger.load(a.rig), a.data, a.heads, a.people)
    for name, s in result["sets"].items():
        print(f"{name:28s} speech {s['speech']:.3f}  fine {s['fine']:.3f}  all {s['all']:.3f}  ratio {s['ratio']:.2f}")
    names = list(result["sets"])
    print("cosine/ratio", *names, sep="; ")
    for n in CHANNELS:
        row = "  ".join("{:5.2f}/{:4.2f}".format(*result["sets"][s]["channels"][n]) for s in names)
        gap = "  opens {:6.2f} mm, true {:6.2f}".format(*result["lips"][n]) if n in result["lips"] else ""
        print(f"{n:20s} {row}{gap}")
    print(f"slowest mesh {result['slowest_seconds']:.1f} s")
    if a.out:
        a.out.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
