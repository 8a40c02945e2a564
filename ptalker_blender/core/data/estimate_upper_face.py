"""Estimate what blinks look like, when they come and what else the tracked speaker's upper face does from the GRID fits
(speaker s1, train split only).

A blink (habits.py) is measured as a closure of the opening between the lids, which the fits have from the tracked lids; what
belongs to it, against the median of the frames just before. Clips with untracked frames are left out.

usage: python -m ptalker_blender.core.data.estimate_upper_face --data CORPUS --fits FOLDER [--out upper_face.json]
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ..audio import load_audio
from ..habits import AWAKE, SOON, Blinks, both, find_blinks, habits_of
from ..stream import loudness
from ..upper_face import lid_closure
from .grid import load_grid

DEFAULT_OUT = Path(__file__).with_name("upper_face.json")
COMPLETE = 0.85  # lids count as shut; the shape is that of blinks which get there
NOISE = 0.08  # of the opening: shut eyes read -0.12 to 0.08 of it, most often 0.02; nearer to 1 a closure cannot be told from 1
AHEAD, BEHIND = 4, 15  # frames about the deepest one


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
    peak, t = float(course[AHEAD:].max()), np.arange(BEHIND) / fps
    halves, powers = np.meshgrid(np.arange(0.05, 0.4, 0.002), np.arange(1.0, 6.0, 0.05), indexing="ij")
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


def estimate(weights: np.ndarray, fps: float, levels: np.ndarray | None = None) -> dict:
    """weights [clips, T, 52], loudness [clips, T] -> what upper_face.json holds."""
    lid = lid_closure(weights)
    blinks = find_blinks(lid, fps)
    course = shape(lid, lid, blinks)
    _, half, power = opening(course, fps)
    shut = closing(course, fps)
    depth = np.quantile(blinks.depth, np.linspace(0, 1, 11)) / sampled(shut, half, power, fps)
    ring = opening(shape(both(weights, "eyeSquint"), lid, blinks), fps)
    soon = (waits := blinks.waits(fps))[waits < SOON]
    steady = lid < AWAKE
    down, blink = (both(weights, name)[steady] for name in ("eyeLookDown", "eyeBlink"))
    habits = habits_of(weights, fps, levels, opening=(half, power))
    return {
        "closing": round(shut, 3),
        "lid": [round(half, 3), round(power, 2)],
        "squint": [round(v, 3) for v in ring],
        "follow_look": round(float(blink @ down / max(down @ down, 1e-9)), 2),
        "depths": np.where(depth > 1 - NOISE, 1.0, depth).round(3).tolist(),
        "again_after": [round(float(np.median(soon)), 3), round(float(np.log(soon).std()), 2)],
        "habits": {k: round(v, 3) for k, v in asdict(habits).items()},
        "seen": {"blinks": len(blinks.clip), "minutes": round(lid.size / fps / 60, 1)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Estimate the upper face's constants from the GRID fits.")
    parser.add_argument("--data", type=Path, required=True, help="corpus folder (grid_s1)")
    parser.add_argument("--fits", type=Path, required=True, help="folder of data.fit")
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT)
    args = parser.parse_args()
    with np.load(args.fits / "grid_s1.npz") as z:
        chosen = (z["split"] == "train") & z["ok"].all(1)
        ids, weights, fps = z["ids"][chosen], z["weights"][chosen].astype(np.float32), float(z["fps"])
    sound = {c.id: c.audio for c in load_grid(args.data / "grid_s1", {"train"}).clips}
    times, levels = np.arange(weights.shape[1]) / fps, []
    for clip in ids:
        audio = load_audio(sound[str(clip)])
        levels.append(loudness(audio, 0, len(audio), times))
    found = estimate(weights, fps, np.stack(levels))
    args.out.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
