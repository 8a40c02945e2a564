"""What the rig head has to beat: nearest-surface transfer from ICT-FaceKit that is told where eyes, mouth and chin are.

    python -m benchmarks.rig_nearest --data DATA --heads HEADS
DATA and HEADS as for benchmarks/rig.py. The true shapes of a head say where its eyes (what blinks move), corners of the mouth
(what stretches move) and chin (what the jaw moves) are; a similarity lays these on ICT's neutral skin; each vertex takes the
shapes of the three nearest there. `speech` and its ratio as in benchmarks/rig.py, of this transfer, and of the rig head, which
is told nothing.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from scipy.spatial import KDTree

from ptalker_blender.core.channels import INDEX
from ptalker_blender.core.mesh.pose import umeyama
from ptalker_blender.core.mesh.rig import Rigger
from ptalker_blender.core.train.motion_heads import parts
from ptalker_blender.core.train.rig_eval import SPEECH, compare

from .rig_heads import Case, anny_cases, demo_case, ict_cases

ROWS = [INDEX[n] for n in SPEECH]
TOLD = (("eyeBlinkLeft", 2), ("eyeBlinkRight", 2), ("mouthStretchLeft", 6), ("mouthStretchRight", 6), ("jawOpen", 8))
NEAR, FADED = 1.5, 3.0  # cm on ICT's head: farther from its skin shapes fade, and are nothing


def places(vertices: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """[5, 3]: the middle of what each of TOLD moves; the higher the power, the more only of what it moves most."""
    out = []
    for name, power in TOLD:
        size = np.linalg.norm(basis[INDEX[name]], axis=1)
        weight = (size / size.max()) ** power
        out.append(weight @ vertices / weight.sum())
    return np.array(out)


class Nearest:
    """The transfer from ICT's neutral skin."""

    def __init__(self, file: Path) -> None:
        z = dict(np.load(file))
        skin = parts(z)[2]
        self.vertices, self.basis = z["neutral"][skin].astype(np.float64), z["arkit"][:, skin].astype(np.float32)
        self.places, self.tree = places(self.vertices, self.basis), KDTree(self.vertices)

    def basis_of(self, case: Case) -> np.ndarray:
        """[K, V, 3] in the case's units and frame."""
        told = places(case.vertices, case.basis)
        rotation, scale, shift = umeyama(told, self.places, np.ones(len(told)))
        far, which = self.tree.query(scale * case.vertices @ rotation.T + shift, 3)
        weight = 1 / (far + 1e-3) ** 2
        weight /= weight.sum(1, keepdims=True)
        fade = 1 - ((far[:, 0] - NEAR) / (FADED - NEAR)).clip(0, 1)
        carried = (self.basis[:, which] * (weight * fade[:, None])[None, ..., None]).sum(2)
        return carried @ rotation / scale


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--heads", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=4242)
    parser.add_argument("--threads", type=int, default=2)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    ict = a.data / "heads" / "ict_facekit.npz"
    nearest, rigger, rng = Nearest(ict), Rigger.load(), np.random.default_rng(a.seed)
    for case in (*ict_cases(ict, a.seed), *anny_cases(a.heads), demo_case()):
        posed, row = case.posed(rng), []
        for basis in (nearest.basis_of(posed), rigger.rig(posed.vertices, posed.faces)):
            cosine, ratio = compare(basis, posed.basis)
            row.append(f"{np.nanmean(cosine[ROWS]):.3f}  ratio {np.nanmean(ratio[ROWS]):.2f}")
        print(f"{case.name:28s} nearest {row[0]}   rig head {row[1]}", flush=True)


if __name__ == "__main__":
    main()
