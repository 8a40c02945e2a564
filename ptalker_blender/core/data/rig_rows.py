"""What the coefficient fit compares: rows of tracked displacement and the channels' effect on the same rows.

Rows are coordinates of corresponding landmarks (Multi-PIE 68 on the ICT head, MediaPipe on the face) and differences
between landmarks that carry the meaning of speech: inner-lip gap, mouth width, jaw drop. Unit: cm on the ICT head.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..channels import CHANNELS, INDEX, LOWER_FACE
from .grid import Tracks

GAP_PAIRS = ((62, 66), (61, 67), (63, 65))  # upper, lower inner lip in the 68 (MediaPipe 13-14, 82-87, 312-317)
CLOSED_GAP = 0.012  # units; a mouth with less than this between the inner lips is closed
DEPTH = 0.1  # weight of z against x, y: the tracker infers depth, it does not measure it

# (landmarks of the 68, weight of a coordinate)
REGIONS = ((range(0, 6), 0.0), (range(6, 11), 0.3), (range(11, 17), 0.0), (range(18, 26), 1.0), (range(32, 35), 0.5),
           (range(48, 60), 1.0), (range(60, 68), 1.0))  # fmt: skip


@dataclass(frozen=True)
class Rows:
    """R rows: which signed combination of landmarks and which axis, their weight, and each channel's effect."""

    landmark: np.ndarray  # [R, 2] places in the 68: first minus second; second = -1 for the plain coordinate
    axis: np.ndarray  # [R] 0 x, 1 y, 2 z
    weight: np.ndarray  # [R]
    effect: np.ndarray  # [R, 52] cm per unit weight
    depth: np.ndarray  # [52] cm by which a channel moves the upper inner lip in front of the lower one

    def of(self, points: np.ndarray) -> np.ndarray:
        """points [..., 68, 3] -> row values [..., R]."""
        first = points[..., self.landmark[:, 0], self.axis]
        second = points[..., np.maximum(self.landmark[:, 1], 0), self.axis]
        return first - np.where(self.landmark[:, 1] >= 0, second, 0.0)


@dataclass(frozen=True)
class Measured:
    """Tracked clips in terms of rows; signals as in fit.Fit."""

    targets: np.ndarray  # [clips, T, R] cm
    points: np.ndarray  # [clips, T, 68, 3] as tracked, units
    prior: np.ndarray  # [clips, T, 52]
    gap: np.ndarray
    width: np.ndarray
    jaw: np.ndarray
    closed: np.ndarray  # [clips, T] 1 where the lips meet, 0 where the gap is well above CLOSED_GAP


@dataclass(frozen=True)
class Settings:
    """Per-channel constants of the fit, each [52]."""

    prior: np.ndarray  # weight of (x - MediaPipe's score)^2
    linear: np.ndarray  # L1 weight
    smooth: np.ndarray  # weight of (x_t - x_(t-1))^2
    upper: np.ndarray  # upper bound


def ict_rows(head: dict[str, np.ndarray]) -> Rows:
    """Rows of the ICT head (arrays of ict_facekit.npz)."""
    spec: list[tuple[int, int, int, float]] = []
    for marks, weight in REGIONS:
        spec += [(m, -1, axis, weight * (DEPTH if axis == 2 else 1.0)) for m in marks if weight for axis in range(3)]
    for upper, lower in GAP_PAIRS:
        spec.append((upper, lower, 1, 60.0 if upper == 62 else 10.0))
    spec += [(54, 48, 0, 10.0), (64, 60, 0, 2.0), (8, -1, 1, 4.0)]
    first, second, axis, weight = (np.array(column) for column in zip(*spec, strict=True))
    rows = Rows(np.stack([first, second], 1), axis, weight.astype(float), np.zeros(0), np.zeros(0))
    deltas = head["arkit"][:, head["landmarks68"]].astype(float)
    upper, lower = GAP_PAIRS[0]
    return Rows(rows.landmark, axis, rows.weight, rows.of(deltas).T, deltas[:, upper, 2] - deltas[:, lower, 2])


def channel_settings() -> Settings:
    """Constants, tuned on s1 train: agreement of the signals against noise and implausible combinations."""
    n = len(CHANNELS)
    prior, linear, smooth, upper = np.full(n, 0.02), np.full(n, 0.05), np.full(n, 1.0), np.ones(n)
    for i, name in enumerate(CHANNELS):
        if name.startswith("eye"):  # no row moves these: a first guess for eyes.py, which fits them to the lids
            prior[i], linear[i], smooth[i] = 5.0, 0.0, 0.2
        if name.startswith("brow"):
            prior[i], linear[i], smooth[i] = 0.5, 0.01, 2.0
        if name.startswith(("noseSneer", "cheekSquint")):
            prior[i], upper[i] = 2.0, 0.3
    for name, weight in (("jawOpen", 0.0), ("mouthPucker", 0.2), ("mouthFunnel", 0.1), ("mouthClose", 0.0)):
        prior[INDEX[name]] = weight
    for name in ("jawForward", "mouthShrugUpper", "mouthDimpleLeft", "mouthDimpleRight"):
        linear[INDEX[name]] = 0.08
    for name in ("jawLeft", "jawRight", "mouthLeft", "mouthRight", "jawForward"):
        upper[INDEX[name]], linear[INDEX[name]] = 0.2, 0.5
    for side in ("Left", "Right"):
        linear[INDEX["mouthFrown" + side]], linear[INDEX["mouthPress" + side]] = 0.15, 0.1
        prior[INDEX["mouthPress" + side]] = 0.1
        smooth[INDEX["mouthUpperUp" + side]] = 3.0
        linear[INDEX["noseSneer" + side]] = 0.1
    linear[INDEX["mouthRollUpper"]], smooth[INDEX["mouthRollUpper"]] = 0.25, 3.0
    linear[INDEX["jawOpen"]] = 0.0
    smooth[INDEX["jawOpen"]] = 2.0
    upper[INDEX["cheekPuff"]] = upper[INDEX["tongueOut"]] = 0.0  # not visible to the tracker
    return Settings(prior, linear, smooth, upper)


def _rest_frames(tracks: Tracks, gap: np.ndarray, clips: np.ndarray) -> np.ndarray:
    """[clips, T] bool, the given clips' frames of closed-mouth silence; where a speaker never rests with closed lips,
    the twentieth of the frames with the smallest gap."""
    silent = np.zeros_like(tracks.ok)
    for i in clips:
        start, end = tracks.clips[i].phones[0][1] - 0.25, tracks.clips[i].phones[-1][2] + 0.4
        silent[i] = (tracks.times < start) | (tracks.times > end)
    closed = silent & tracks.ok & (np.nan_to_num(gap, nan=1.0) < CLOSED_GAP)
    if closed.sum() >= 5:
        return closed
    mine = np.zeros_like(tracks.ok)
    mine[clips] = tracks.ok[clips]
    return mine & (np.nan_to_num(gap, nan=1.0) <= np.quantile(gap[mine], 0.05))


def _prior(tracks: Tracks, rest: np.ndarray, clips: np.ndarray) -> np.ndarray:
    """MediaPipe's scores relative to their value at rest, rescaled so that 1 stays 1: [len(clips), T, 52]."""
    base = np.median(tracks.scores[rest], axis=0)
    score = np.nan_to_num((tracks.scores[clips] - base) / (1.0 - np.minimum(base, 0.8))).clip(0, 1)
    for side in ("Left", "Right"):  # the tracker reads at most about 0.75 for a lid that is shut
        score[..., INDEX["eyeBlink" + side]] = (score[..., INDEX["eyeBlink" + side]] / 0.65).clip(0, 1)
    return score


def tracked_rows(tracks: Tracks, head: dict[str, np.ndarray], rows: Rows) -> Measured:
    """Displacement of every clip from its speaker's rest, in rows of the ICT head."""
    corners = head["neutral"][head["landmarks68"][[36, 45]]]
    unit = float(np.linalg.norm(corners[1] - corners[0]))
    seen = np.isin(head["mediapipe68"], tracks.index)
    points = tracks.points(np.where(seen, head["mediapipe68"], tracks.index[0]))
    used = np.union1d(rows.landmark[rows.landmark >= 0], range(36, 48))
    if not seen[used].all():
        raise ValueError(f"landmarks {used[~seen[used]].tolist()} of the 68 are not in the tracks")
    distance = lambda a, b: np.linalg.norm(points[:, :, a] - points[:, :, b], axis=-1)  # noqa: E731
    gap, width, jaw = distance(62, 66), distance(48, 54), -points[:, :, 8, 1]
    shape = gap.shape
    targets = np.zeros((*shape, len(rows.axis)), np.float32)
    prior = np.zeros((*shape, len(CHANNELS)), np.float32)
    lower = [m for m in used if m >= 48 or m <= 16]
    for speaker in sorted({c.speaker for c in tracks.clips}):
        clips = np.array([i for i, c in enumerate(tracks.clips) if c.speaker == speaker])
        rest = _rest_frames(tracks, gap, clips)
        neutral = np.median(points[rest], axis=0)
        prior[clips] = _prior(tracks, rest, clips)
        for i in clips:
            here = neutral.copy()
            if rest[i].sum() >= 5:  # drift of the lower face against the skull frame (head pitch): translation only
                here[lower] += np.median(points[i, rest[i]][:, lower] - neutral[lower], axis=(0, 1))
            targets[i] = rows.of(points[i] - here) * unit
            gap[i] -= np.linalg.norm(here[62] - here[66])
            width[i] -= np.linalg.norm(here[48] - here[54])
            jaw[i] += here[8, 1]
    prior[..., LOWER_FACE] = np.where(tracks.ok[..., None], prior[..., LOWER_FACE], 0.0)
    closed = np.exp(-((np.nan_to_num(gap, nan=1.0).clip(min=0) / (2.5 * CLOSED_GAP)) ** 2))
    return Measured(targets, points, prior, gap, width, jaw, closed)
