"""Tracked landmarks of speakers that were never seen as a mesh in motion: triangles in the frontal plane, mouth and eyes open."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial import Delaunay

from ptalker_blender.core.audio import load_audio

# MediaPipe's numbers of the inner lips and of both lids' edges, in order
HOLES = (
    (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95),
    (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466),
    (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246),
)
NOSE = 1  # below the tip of the nose, the mouth moves


@dataclass(frozen=True)
class Tracked:
    """frames [T, V, 3] in units of the distance between the outer eye corners, rest [V, 3] the speaker's mean face with closed
    lips, faces [F, 3], audio [n] at 16 kHz; ``lower`` [V] bool: below the nose."""

    frames: np.ndarray
    rest: np.ndarray
    faces: np.ndarray
    audio: np.ndarray
    lower: np.ndarray


def tracked_meshes(data: Path) -> list[Tracked]:
    """The clips of grid_dev, as far as every frame was tracked."""
    folder, out = data / "grid_dev", []
    for line in (folder / "clips.jsonl").read_text("utf-8").splitlines():
        clip = json.loads(line)
        with np.load(folder / clip["shard"]) as shard:
            frames = shard["landmarks"][clip["row"]].astype(np.float64)
            number = {int(n): i for i, n in enumerate(shard["index"])}
        if not np.isfinite(frames).all():
            continue
        shut = frames[:, number[13], 1] - frames[:, number[14], 1]
        calm = np.argsort(shut)[: max(3, len(frames) // 8)]  # the lips are closed
        rest = frames[calm].mean(0)
        triangles = Delaunay(rest[:, :2]).simplices
        centres = rest[triangles][:, :, :2].mean(1)
        hole = np.zeros(len(triangles), bool)
        for ring in HOLES:
            edge = rest[[number[n] for n in ring if n in number], :2]
            hole |= np.array([inside(edge, centre) for centre in centres])
        lower = rest[:, 1] < rest[number[NOSE], 1]
        out.append(Tracked(frames.astype(np.float32), rest, triangles[~hole], load_audio(folder / clip["audio"]), lower))
    return out


def inside(ring: np.ndarray, point: np.ndarray) -> bool:
    """Whether a polygon [n, 2] goes round a point [2]: a ray to the right crosses its edges an odd number of times."""
    a, b = ring, np.roll(ring, 1, 0)
    spans = (a[:, 1] > point[1]) != (b[:, 1] > point[1])
    slope = np.where(spans, (point[1] - a[:, 1]) / np.where(spans, b[:, 1] - a[:, 1], 1.0), 0.0)
    return bool((spans & (point[0] < a[:, 0] + slope * (b[:, 0] - a[:, 0]))).sum() % 2)
