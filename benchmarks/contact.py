"""Do lips meet without crossing, do teeth stay behind them, do lids close: with generated speech on several heads.

    python -m benchmarks.contact --data DATA [--speech FILE] [--out JSON]
DATA has heads/ict_facekit.npz; fast-simplification is needed. The speech is the demo's. Of each head with the rig's shapes, and
of some with their own:
  cross   how far two points of the lips cross at most, % of the mouth's width (goal: at most 1); share of frames above
  shut    how open the middle of the mouth is in frames where ICT's lips meet, % of the width over rest; mean and largest
  single  the same crossing with one channel at 1 (mouthClose with jawOpen at 1), the three worst
  teeth   how far the upper and lower front teeth stand out of the lips' front in p, b, m, f, v, mm (heads with teeth)
  lids    how much of the way to the lower lid the upper lid's edge goes at eyeBlink 1
before and after the weights were made to meet on this mesh (core/mesh/meeting.py).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from ptalker_blender.core.audio import load_audio
from ptalker_blender.core.channels import CHANNELS, INDEX
from ptalker_blender.core.mesh.lips import Seam, seam
from ptalker_blender.core.mesh.meeting import meet
from ptalker_blender.core.runtime import PTalker
from ptalker_blender.core.train.rig_heads import CENTRE, UNIT

from .rig import lids
from .rig_heads import Case, demo_case, ict_cases

ROOT = Path(__file__).resolve().parents[1]
FPS = 30.0
SHUT = 0.03  # cm: ICT's lips meet
CLOSURES = set("pbmfv")


def closures(phones: Path, frames: int) -> np.ndarray:
    """[T] bool: the middle third of a p, b, m, f or v."""
    out = np.zeros(frames, bool)
    for sign, start, end, *_ in json.loads(phones.read_text("utf-8"))["phones"]:
        if sign in CLOSURES:
            a, b = start + (end - start) / 3, end - (end - start) / 3
            out[round(a * FPS) : max(round(b * FPS), round(a * FPS) + 1)] = True
    return out


def single(found: Seam, basis: np.ndarray) -> dict[str, float]:
    """The channels that make the lips cross most at weight 1, in % of the mouth's width."""
    every = np.eye(len(CHANNELS), dtype=np.float32)
    every[INDEX["mouthClose"], INDEX["jawOpen"]] = 1
    far = 100 * found.crossing(basis, every).max(1) / found.width
    return {CHANNELS[k]: round(float(far[k]), 1) for k in np.argsort(-far)[:3]}


def teeth(pos: np.ndarray, basis: np.ndarray, weights: np.ndarray, tooth: np.ndarray, skin: np.ndarray) -> float:
    """How far a tooth stands out of the skin before it, mm, at most: pos [V, 3], tooth and skin vertex numbers."""
    worst = 0.0
    for z in weights:
        now = pos + np.tensordot(z, basis, 1)
        for t in now[tooth]:
            near = now[skin][(np.abs(now[skin][:, :2] - t[:2]) < 0.03).all(1)]
            if len(near) > 2:  # else there is an opening before it
                worst = max(worst, float(t[2] - near[:, 2].max()))
    return 100 * worst


def row(name: str, pos: np.ndarray, basis: np.ndarray, weights: np.ndarray, opens: np.ndarray) -> dict:
    found = seam(pos, basis)
    if found is None:
        print(f"{name}: no mouth that opens")
        return {}
    out: dict = {"width": found.width, "pairs": len(found.upper), "single": single(found, basis)}
    shut = np.abs(weights @ opens) < SHUT
    for label, z in (("before", weights), ("after", meet(found, basis, weights, opens))):
        far = 100 * found.crossing(basis, z).max(1) / found.width
        apart = 100 * (z @ found.gap(basis)[:, found.middle, 1]).mean(1)[shut] / found.width
        out[label] = {
            "cross": float(far.max()), "share": float((far > 1).mean()), "shut": float(apart.mean()), "most": float(apart.max()),
        }  # fmt: skip
    b, a = out["before"], out["after"]
    print(
        f"{name:34s} cross {b['cross']:.2f} -> {a['cross']:.2f} %  frames {b['share']:.3f} -> {a['share']:.3f}  "
        f"shut {b['shut']:.2f} ({b['most']:.2f}) -> {a['shut']:.2f} ({a['most']:.2f}) %  single {out['single']}", flush=True,
    )  # fmt: skip
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--speech", type=Path, default=ROOT / "demo" / "speech" / "demo.ogg")
    parser.add_argument("--seed", type=int, default=777)
    parser.add_argument("--out", type=Path)
    a = parser.parse_args()
    torch.set_num_threads(1)
    model = PTalker.load(device="cpu")
    assert model.network.contact is not None
    opens = model.network.contact.gap[:, 0].numpy()
    weights = model.generate(load_audio(a.speech), FPS)
    z = dict(np.load(a.data / "heads" / "ict_facekit.npz"))
    faces = z["quads"].astype(np.int64)
    faces[faces[:, 3] == faces[:, 2], 3] = -1
    neutral = Case("ICT neutral", (z["neutral"] - CENTRE) / UNIT, faces, z["arkit"].astype(np.float32) / UNIT)
    people = list(ict_cases(a.data / "heads" / "ict_facekit.npz", a.seed))[1:]
    said = np.flatnonzero(closures(ROOT / "demo" / "speech" / "phones.json", len(weights)))
    parts = {str(n): i for i, n in enumerate(z["part_names"])}
    skin = np.flatnonzero(z["narrow_face"].astype(bool) & (z["part"] == parts["face"]))
    result = {}
    for case in [neutral, *people, demo_case()]:
        rigged = model.rigged(case.vertices, case.faces)
        frame = rigged.frame
        pos, shapes = frame.inside(case.vertices), {"rig's": rigged.basis, "own": case.basis}
        for whose, basis in shapes.items():
            basis = frame.displacement(basis)
            name = f"{case.name}, {whose} shapes"
            result[name] = row(name, pos, basis, weights, opens)
            found = seam(pos, basis)
            if case is neutral and found is not None:
                met = meet(found, basis, weights, opens)
                for n in ("teeth_upper", "teeth_lower"):
                    tooth = np.flatnonzero(z["part"] == parts[n])
                    tooth = tooth[pos[tooth, 2] > np.percentile(pos[tooth, 2], 60)][::7]
                    far = [teeth(pos, basis, w[said], tooth, skin) for w in (weights, met)]
                    result[name][n] = far
                    print(f"{name:34s} {n} out of the lips by {far[0]:.2f} -> {far[1]:.2f} mm, at rest "
                          f"{teeth(pos, basis, 0 * weights[:1], tooth, skin):.2f}", flush=True)  # fmt: skip
        result[f"{case.name}, rig's shapes"]["lids"] = lids(rigged.basis, case.basis, case.faces)
        print(f"{case.name:34s} lids {result[case.name + ', rig' + chr(39) + 's shapes']['lids']:.2f}", flush=True)
    if a.out:
        a.out.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
