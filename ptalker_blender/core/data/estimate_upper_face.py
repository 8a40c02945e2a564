"""Estimate what blinks look like and when they come from the GRID fits (speaker s1, train split only).

A blink is a rise of the lids by RISE within two frames. What belongs to it is measured against the median of the frames
just before; clips with untracked frames are left out. Also printed: how the other channels of the upper face behave,
for whoever sets the constants of core/upper_face.py that are not estimated.

usage: python -m ptalker_blender.core.data.estimate_upper_face --fits FOLDER [--out upper_face.json]
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..channels import INDEX

DEFAULT_OUT = Path(__file__).with_name("upper_face.json")
RISE = 0.25
COMPLETE = 0.85  # lids count as shut; the shape is that of blinks which get there
AHEAD, BEHIND = 4, 15  # frames about the deepest one
SOON = 0.8  # s, in which the second blink of a pair begins


@dataclass(frozen=True)
class Blinks:
    """Every blink of the clips."""

    clip: np.ndarray  # [n]
    onset: np.ndarray  # [n] frame
    deepest: np.ndarray  # [n] frame
    depth: np.ndarray  # [n] closure there


def both(weights: np.ndarray, name: str) -> np.ndarray:
    """weights [..., 52] -> [...], mean of the channel's two sides."""
    return (weights[..., INDEX[name + "Left"]] + weights[..., INDEX[name + "Right"]]) / 2


def find(lid: np.ndarray) -> Blinks:
    """lid [clips, T] -> its blinks."""
    rows: list[tuple[float, ...]] = []
    clips, last = lid.shape[0], lid.shape[1] - 1
    for i in range(clips):
        x, k = lid[i], 2
        while k < last:
            if x[k] - x[k - 2] > RISE:
                deepest = k + int(np.argmax(x[k : k + 4]))
                rows.append((i, k - 2, deepest, x[deepest]))
                k = deepest + 2
            else:
                k += 1
    found = np.array(rows)
    clip, onset, deepest = found[:, :3].astype(int).T
    return Blinks(clip, onset, deepest, found[:, 3])


def shape(x: np.ndarray, lid: np.ndarray, blinks: Blinks) -> np.ndarray:
    """Median course [AHEAD + BEHIND] of x about complete blinks that no other follows, over the frames before."""
    courses = []
    for i, k, depth in zip(blinks.clip, blinks.deepest, blinks.depth, strict=True):
        if depth < COMPLETE or k < AHEAD + 2 or k + BEHIND > lid.shape[1]:
            continue
        after = lid[i, k + 2 : k + BEHIND]
        if (np.diff(after) < 0.03).all() and lid[i, k - AHEAD] < 0.2:
            courses.append(x[i, k - AHEAD : k + BEHIND] - np.median(x[i, k - AHEAD - 2 : k - 2]))
    return np.median(courses, axis=0)


def opening(course: np.ndarray, fps: float) -> tuple[float, float, float]:
    """Peak, and (half time s, power) of peak / (1 + (t / half) ** power), the nearest to the course behind its peak."""
    peak, t = float(course[AHEAD]), np.arange(BEHIND) / fps
    halves, powers = np.meshgrid(np.arange(0.05, 0.4, 0.002), np.arange(1.0, 4.0, 0.05), indexing="ij")
    curves = 1 / (1 + (t / halves[..., None]) ** powers[..., None])
    error = np.square(curves - np.clip(course[AHEAD:] / peak, 0, None)).sum(-1)
    best = np.unravel_index(error.argmin(), error.shape)
    return peak, float(halves[best]), float(powers[best])


def closing(course: np.ndarray, fps: float) -> float:
    """Seconds of a smoothstep whose steepest slope is that of the rise (slope 1.5 / duration). Frames cannot tell less than
    two of them."""
    rise = np.diff(course[: AHEAD + 1]) / course[AHEAD]
    return max(float(1.5 / (rise.max() * fps)), 2 / fps)


def sampled(shut: float, half: float, power: float, fps: float) -> float:
    """What share of a blink's depth its deepest frame shows, on average: the deepest moment lies between frames."""
    t = np.arange(0, 1 / fps, 0.001)[:, None] + np.arange(-AHEAD, BEHIND)[None] / fps
    rise = np.clip(1 + t / shut, 0, 1)
    curve = np.where(t < 0, rise * rise * (3 - 2 * rise), 1 / (1 + (np.maximum(t, 0) / half) ** power))
    return float(curve.max(1).mean())


def estimate(weights: np.ndarray, fps: float) -> dict:
    """weights [clips, T, 52] -> what upper_face.json holds."""
    lid = both(weights, "eyeBlink")
    blinks = find(lid)
    course = shape(lid, lid, blinks)
    _, half, power = opening(course, fps)
    shut = closing(course, fps)
    shown = sampled(shut, half, power, fps)
    ring = opening(shape(both(weights, "eyeSquint"), lid, blinks), fps)
    same = np.diff(blinks.clip) == 0
    wait = np.diff(blinks.onset)[same] / fps
    soon = wait[wait < SOON]
    minutes = lid.size / fps / 60
    awake = lid < 0.15
    horizontal = weights[..., INDEX["eyeLookOutLeft"]] - weights[..., INDEX["eyeLookInLeft"]]
    signals = {
        "gaze_horizontal": (horizontal + weights[..., INDEX["eyeLookInRight"]] - weights[..., INDEX["eyeLookOutRight"]]) / 2,
        "gaze_vertical": both(weights, "eyeLookUp") - both(weights, "eyeLookDown"),
        "brow": both(weights, "browOuterUp") - both(weights, "browDown"),
    }
    most = awake.mean(1) > 0.4
    moving = {n: round(float(np.mean([x[i][awake[i]].std() for i in np.flatnonzero(most)])), 3) for n, x in signals.items()}
    seen = ("eyeBlink", "eyeSquint", "eyeLookDown", "browOuterUp")
    rest = {n: round(float(np.median(both(weights, n)[awake])), 3) for n in seen}
    return {
        "closing": round(shut, 3),
        "lid": [round(half, 3), round(power, 2)],
        "squint": [round(v, 3) for v in ring],
        "look_down": round(float(shape(both(weights, "eyeLookDown"), lid, blinks)[AHEAD]), 3),
        "depths": np.minimum(np.quantile(blinks.depth, np.linspace(0, 1, 11)) / shown, 1).round(3).tolist(),
        "again_after": [round(float(np.median(soon)), 3), round(float(np.log(soon).std()), 2)],
        "seen": {
            "blinks": len(blinks.clip), "blinks_per_minute": round(len(blinks.clip) / minutes, 1),
            "pairs_share": round(len(soon) / len(blinks.clip), 2),
            "open_eye": rest, "moving": moving,
        },
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="Estimate the upper face's constants from the GRID fits.")
    parser.add_argument("--fits", type=Path, required=True, help="folder of data.fit")
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT)
    args = parser.parse_args()
    with np.load(args.fits / "grid_s1.npz") as z:
        chosen = (z["split"] == "train") & z["ok"].all(1)
        found = estimate(z["weights"][chosen].astype(np.float32), float(z["fps"]))
    args.out.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
