"""Fit by geometry: do keys whose names say nothing speak as the same keys do by name?

    python -m benchmarks.rig_fit --data DATA --heads HEADS [--out JSON] [--seed N] [--only PART]
DATA and HEADS as in benchmarks/rig.py; fast-simplification is needed. Every head of benchmarks/rig_heads.py stands in a random
pose and unit, its own true shapes are its keys, in random order and without names, in five guises:
  own       its own 52
  fewer     a third of them, drawn by chance, is missing
  extras    more keys: sums of two and more, correctives, half a side more than the other, a body's, an empty one
  scaled    each key's motion times 0.4 .. 1.6, left and right apart
  artist    another artist's: three others mixed into each key, turned by up to 30 degrees, 0.5 .. 1.5 as large; as left so right
The demo's speech is generated once. By name: the keys are driven by their channels' weights. By geometry: as the engine's job
Fit (core/fit_job.py) does it, with the shapes that the rig predicts for this mesh.

error: the mean distance, over frames and vertices, between the mesh by geometry and by name, over the mean size of the motion
by name (vertices that no key moves do not count); lips: the same where the lip channels move more than 0.4 of their most. told:
the share of the keys that are a channel, and move the mesh, which were recognised as that channel; false: how many other keys
were taken for a channel. For the guise fewer, in which by geometry the keys that are there stand in for those that are not, also
the error against what all 52 would do: by geometry, and by name.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from ptalker_blender.core.audio import load_audio
from ptalker_blender.core.channels import CHANNELS, INDEX, MIRROR
from ptalker_blender.core.mesh.key_fit import fit
from ptalker_blender.core.runtime import PTalker

from .rig_heads import Case, anny_cases, demo_case, ict_cases

ROOT = Path(__file__).resolve().parents[1]
FPS, EVERY = 30.0, 5  # frames: all are fitted, every fifth is compared
LIPS = [i for i, n in enumerate(CHANNELS) if n.startswith(("mouthPucker", "mouthFunnel", "mouthRoll", "mouthPress"))]
GOAL = 0.15  # issue 4


@dataclass(frozen=True)
class Keys:
    """A rig's keys [J, V, 3], which channel each is [J] (-1: none), and all channels' shapes [K, V, 3] where some are missing."""

    name: str
    keys: np.ndarray
    channel: np.ndarray
    whole: np.ndarray | None = None

    def shuffled(self, rng: np.random.Generator) -> Keys:
        order = rng.permutation(len(self.keys))
        return replace(self, keys=self.keys[order], channel=self.channel[order])


def rigs(own: np.ndarray, rng: np.random.Generator) -> Iterator[Keys]:
    """The guises of a head's own shapes [K, V, 3]."""
    every = np.arange(len(own))
    yield Keys("own", own, every)
    kept = np.sort(rng.permutation(every)[len(every) // 3 :])
    yield Keys("fewer", own[kept], kept, own)
    more = extras(own, rng)
    yield Keys("extras", np.concatenate([own, more]), np.concatenate([every, np.full(len(more), -1)]))
    yield Keys("scaled", own * rng.uniform(0.4, 1.6, len(own))[:, None, None].astype(np.float32), every)
    yield Keys("artist", artist(own, rng), every)


def extras(own: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Keys [J, V, 3] that artists' heads have beside the 52."""
    at = {n: own[i] for n, i in INDEX.items()}
    out = [at[f"{n}Left"] + at[f"{n}Right"] for n in ("mouthSmile", "eyeBlink", "eyeWide", "mouthFrown", "browDown")]
    out += [at["jawOpen"] + at["mouthPucker"], at["jawOpen"] + at["mouthSmileLeft"] + at["mouthSmileRight"]]
    out.append(at["mouthSmileLeft"] + 0.5 * at["mouthSmileRight"])
    for a, b in (("jawOpen", "mouthFunnel"), ("mouthSmileLeft", "jawOpen"), ("eyeBlinkLeft", "eyeSquintLeft")):
        both = np.sqrt(np.linalg.norm(at[a], axis=-1) * np.linalg.norm(at[b], axis=-1))  # a corrective moves where both do
        out.append(0.3 * both[:, None] * (at[a] - at[b]) / (np.abs(at[a] - at[b]).max() + 1e-12))
    size = float(np.abs(own).max())
    away = np.linalg.norm(own, axis=-1).max(0) < 0.01 * size
    for _ in range(3):  # a body's: the face goes along as a whole, or stays
        body = np.broadcast_to(rng.normal(0, 0.3 * size, 3), own.shape[1:])
        out += [body, body * away[:, None]]
    return np.stack([*out, 0 * own[0]]).astype(np.float32)


def artist(own: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Other shapes of the same names."""
    size = np.linalg.norm(own, axis=(1, 2)) + 1e-12
    mirror, out = np.array(MIRROR), np.empty_like(own)
    side = sideways(own)
    flip = np.eye(3) - 2 * np.outer(side, side)
    for k in range(len(own)):
        if mirror[k] < k:
            continue
        mix = rng.choice(np.delete(np.arange(len(own)), k), 3, replace=False)
        part = rng.normal(0, 0.25, 3) * size[k] / size[mix]
        turn = Rotation.from_rotvec(np.radians(rng.uniform(-30, 30)) * _unit(rng.normal(size=3))).as_matrix()
        if mirror[k] == k:
            turn = Rotation.from_rotvec(side * np.radians(rng.uniform(-30, 30))).as_matrix()
        gain = rng.uniform(0.5, 1.5)
        out[k] = gain * (own[k] + np.tensordot(part, own[mix], 1)) @ turn.T
        if mirror[k] != k:
            out[mirror[k]] = gain * (own[mirror[k]] + np.tensordot(part, own[mirror[mix]], 1)) @ (flip @ turn @ flip).T
    return out


def sideways(own: np.ndarray) -> np.ndarray:
    """The direction [3] from the face's right to its left, from the jaw's way."""
    return _unit((own[INDEX["jawLeft"]] - own[INDEX["jawRight"]]).sum(0))


def _unit(v: np.ndarray) -> np.ndarray:
    return v / (np.linalg.norm(v) + 1e-30)


def distance(made: np.ndarray, wanted: np.ndarray) -> float:
    """Two motions [T, v, 3]: the mean distance over the mean size of what was wanted."""
    return float(np.linalg.norm(made - wanted, axis=-1).sum() / max(np.linalg.norm(wanted, axis=-1).sum(), 1e-30))


def moved(weights: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Weights [T, J] of keys [J, V, 3] -> [T, V, 3]."""
    return (weights @ keys.reshape(len(keys), -1)).reshape(len(weights), *keys.shape[1:])


def measure(weights: np.ndarray, basis: np.ndarray, rig: Keys) -> dict:
    """One rig of a head: weights [T, K] of the speech, basis [K, V, 3] that the rig network predicts."""
    start = time.process_time()
    found = fit(weights, basis, rig.keys)
    seconds = time.process_time() - start
    named = np.where(rig.channel >= 0, weights[:, rig.channel], 0)
    size = np.linalg.norm(rig.keys, axis=-1)
    lip = size[np.isin(rig.channel, LIPS)].mean(0)
    true = (rig.channel >= 0) & (size.max(1) > 0)
    wrong = np.flatnonzero(true & (found.channel != rig.channel))
    made, wanted = (moved(w[::EVERY], rig.keys) for w in (found.weights, named))
    lips = lip > 0.4 * lip.max()
    out = {
        "error": distance(made, wanted), "lips": distance(made[:, lips], wanted[:, lips]),
        "told": 1 - len(wrong) / true.sum(), "false": int((found.channel[rig.channel < 0] >= 0).sum()),
        "wrong": [[CHANNELS[rig.channel[j]], CHANNELS[found.channel[j]] if found.channel[j] >= 0 else ""] for j in wrong],
        "explained": found.explained, "seconds": seconds,
    }  # fmt: skip
    if rig.whole is not None:
        whole = moved(weights[::EVERY], rig.whole)
        out["of all 52"] = [distance(made, whole), distance(wanted, whole)]
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--heads", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=777)
    parser.add_argument("--only", default="", help="heads whose name has this in it")
    parser.add_argument("--out", type=Path)
    a = parser.parse_args()
    torch.set_num_threads(1)
    model, rng = PTalker.load(device="cpu"), np.random.default_rng(a.seed)
    weights = model.generate(load_audio(ROOT / "demo" / "speech" / "demo.ogg"), FPS)
    cases = [*ict_cases(a.data / "heads" / "ict_facekit.npz", a.seed), *anny_cases(a.heads), demo_case()]
    result: dict[str, dict] = {}
    for case in cases:
        posed = case.posed(rng)
        if a.only in case.name:
            result[case.name] = head(model, posed, weights, rng)
    for name in next(iter(result.values())):
        errors = np.array([[r[name]["error"], r[name]["lips"], r[name]["told"]] for r in result.values()])
        mean, within = errors.mean(0), (errors[:, :2] <= GOAL).mean(0)
        print(f"{name:8s} error {mean[0]:.3f}  lips {mean[1]:.3f}  told {mean[2]:.3f}  "
              f"heads within {GOAL}: {within[0]:.2f}, lips {within[1]:.2f}")  # fmt: skip
    missing = np.mean([r["fewer"]["of all 52"] for r in result.values()], axis=0)
    print("fewer    of all 52: by geometry {:.3f}, by name {:.3f}".format(*missing))
    if a.out:
        a.out.write_text(json.dumps(result, indent=1))


def head(model: PTalker, case: Case, weights: np.ndarray, rng: np.random.Generator) -> dict[str, dict]:
    """All rigs of one head."""
    basis, found = model.rig(case.vertices, case.faces), {}
    for rig in rigs(case.basis.astype(np.float32), rng):
        found[rig.name] = r = measure(weights, basis, rig.shuffled(rng))
        print(f"{case.name:28s} {rig.name:8s} error {r['error']:.3f}  lips {r['lips']:.3f}  told {r['told']:.2f}  "
              f"false {r['false']}" + ("  of all 52: {:.3f}, by name {:.3f}".format(*r["of all 52"]) if "of all 52" in r else ""),
              flush=True)  # fmt: skip
    return found


if __name__ == "__main__":
    main()
