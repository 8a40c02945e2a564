"""A made-up head of 408 vertices in the layout of heads/ict_facekit.npz: a bulge with a slit for a mouth."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ptalker_blender.core.channels import CHANNELS, INDEX

UNIT = 9.0  # cm between the outer eye corners
COLUMNS = np.array([-7, -6, -5.2, -4.5, -3.5, -2.5, -1.7, -0.8])
COLUMNS = np.concatenate([COLUMNS, [0.0], -COLUMNS[::-1]])
ROWS = np.array([9, 8, 7, 6, 5, 4.2, 3.4, 2.6, 1.8, 1, 0.2, -0.6, -1.4, -2.1, -2.7, -3.3,  # the last: upper inner lip
                 -3.38, -3.9, -4.6, -5.4, -6.2, -7, -8, -9])  # fmt: skip
SLIT = 15  # between this row and the next, for |x| < 2.5, there is no face


def places() -> np.ndarray:
    """[68, 2] where the Multi-PIE landmarks are: x, y in cm, x to the subject's left."""
    turn = np.pi * np.arange(17) / 16
    jaw = np.stack([-7 * np.cos(turn), 2 - 10 * np.sin(turn)], 1)
    brows = [(x, 5.0) for x in (-5.2, -4.5, -3.5, -2.5, -1.7, 1.7, 2.5, 3.5, 4.5, 5.2)]
    nose = [(0, 3.4), (0, 2.6), (0, 1.8), (0, 1.0)] + [(x, -0.6) for x in (-1.7, -0.8, 0, 0.8, 1.7)]
    eye = [(-4.5, 3.4), (-3.5, 4.2), (-2.5, 4.2), (-1.7, 3.4), (-2.5, 2.6), (-3.5, 2.6)]
    other = [(-eye[i][0], eye[i][1]) for i in (3, 2, 1, 0, 5, 4)]
    outer = [(-2.5, -3.38), (-1.7, -2.7), (-0.8, -2.7), (0, -2.7), (0.8, -2.7), (1.7, -2.7),
             (2.5, -3.38), (1.7, -3.9), (0.8, -3.9), (0, -4.6), (-0.8, -3.9), (-1.7, -3.9)]  # fmt: skip
    inner = [(-2.5, -3.3), (-0.8, -3.3), (0, -3.3), (0.8, -3.3), (2.5, -3.3), (0.8, -3.38), (0, -3.38), (-0.8, -3.38)]
    return np.array([*jaw.tolist(), *brows, *nose, *eye, *other, *outer, *inner])


def _bump(p: np.ndarray, x: float, y: float, wide: float) -> np.ndarray:
    return np.exp(-((p[:, 0] - x) ** 2 + (p[:, 1] - y) ** 2) / wide**2)


def channels(p: np.ndarray) -> np.ndarray:
    """[52, V, 3] what the channels do: lips, jaw and corners as their names say, elsewhere a small push."""
    out = np.zeros((len(CHANNELS), len(p), 3))
    below = (p[:, 1] < ROWS[SLIT] - 0.01).astype(float)
    across, mouth = np.exp(-((p[:, 0] / 4) ** 2)), np.exp(-((p[:, 1] - ROWS[SLIT]) ** 2))
    upper, lower = (1 - below) * mouth * across, below * mouth * across
    corners = {"Left": _bump(p, 2.5, -3.4, 1.2), "Right": _bump(p, -2.5, -3.4, 1.2)}

    def add(name: str, amount: np.ndarray, *push: float) -> None:
        out[INDEX[name]] += amount[:, None] * np.array(push)

    add("jawOpen", below * across, 0, -3.0, -0.5)
    add("mouthClose", lower, 0, 3.2, 0.5)
    add("mouthRollUpper", upper, 0, -0.1, -0.3)
    add("mouthRollLower", lower, 0, 0.1, -0.3)
    add("mouthShrugUpper", upper, 0, 0.3, 0.2)
    add("mouthShrugLower", lower, 0, 0.3, 0.2)
    for side, sign in (("Left", 1.0), ("Right", -1.0)):
        half = 0.5 + 0.5 * np.tanh(sign * p[:, 0])
        corner = corners[side]
        add("mouthUpperUp" + side, upper * half, 0, 0.8, 0)
        add("mouthLowerDown" + side, lower * half, 0, -0.8, 0)
        add("mouthPress" + side, lower * half, 0, 0.1, -0.1)
        for name, push in (
            ("mouthPucker", (-0.9 * sign, 0, 0.5)), ("mouthFunnel", (-0.6 * sign, 0, 0.8)),
            ("mouthLeft", (0.8, 0, 0)), ("mouthRight", (-0.8, 0, 0)), ("mouthSmile" + side, (0.7 * sign, 1.0, 0)),
            ("mouthFrown" + side, (0.2 * sign, -0.9, 0)), ("mouthStretch" + side, (0.9 * sign, -0.2, 0)),
            ("mouthDimple" + side, (0.3 * sign, 0, -0.4)),
        ):  # fmt: skip
            add(name, corner, *push)
    for i, name in enumerate(CHANNELS):
        if not out[i].any() and name != "tongueOut":
            side = -1.0 if name.endswith("Right") else 1.0
            height = 5.5 if name.startswith("brow") else 3.4 if name.startswith("eye") else -0.6
            add(name, _bump(p, 3.0 * side, height, 1.5), 0.05 * (i % 5 - 2), 0.3, 0.1)
    return out


def tiny_head() -> dict[str, np.ndarray]:
    """The arrays of heads/ict_facekit.npz."""
    x, y = np.meshgrid(COLUMNS, ROWS)
    neutral = np.stack([x, y, 12 - 0.1 * x**2 - 0.02 * y**2], -1).reshape(-1, 3)
    wide = len(COLUMNS)
    quads = [
        (r * wide + c, (r + 1) * wide + c, (r + 1) * wide + c + 1, r * wide + c + 1)
        for r in range(len(ROWS) - 1)
        for c in range(wide - 1)
        if r != SLIT or abs(COLUMNS[c] + COLUMNS[c + 1]) > 5
    ]
    rng = np.random.default_rng(0)
    waves = rng.normal(size=(100, 2, 1)) * 0.3
    identity = np.sin(waves[:, 0] * neutral[:, 0] + waves[:, 1] * neutral[:, 1])[..., None] * rng.normal(size=(100, 1, 3))
    near = ((neutral[None, :, :2] - places()[:, None]) ** 2).sum(-1).argmin(1)
    everywhere = np.ones(len(neutral), bool)
    lips = (np.abs(neutral[:, 1] + 3.3) < 0.7) & (np.abs(neutral[:, 0]) < 2.6)
    return {
        "neutral": neutral.astype(np.float32), "quads": np.array(quads, np.int32),
        "identity": (0.03 * identity).astype(np.float16), "arkit": channels(neutral).astype(np.float16),
        "arkit_names": np.array(CHANNELS), "arkit_missing": np.array(["tongueOut"]),
        "landmarks68": near, "mediapipe68": np.arange(68),
        "is_skin": everywhere, "narrow_face": everywhere, "is_lips": lips, "is_eye": ~everywhere,
        "is_teeth": ~everywhere, "is_tongue_approx": ~everywhere, "rigid": np.flatnonzero(neutral[:, 1] > 6),
        "part": np.zeros(len(neutral), np.uint8), "part_names": np.array(["face"]),
    }  # fmt: skip


def write_head(path: Path) -> dict[str, np.ndarray]:
    head = tiny_head()
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **head)
    return head
