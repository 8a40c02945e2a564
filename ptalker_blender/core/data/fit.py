"""Rig coefficients fitted to tracked landmarks: bounded, smooth least squares on the ICT-FaceKit head.

For every clip the weights x [T, 52] in 0..1 minimise

    sum_t |A x_t - d_t|^2_W + prior |x_t - p_t|^2_P + smooth |x_t - x_(t-1)|^2_S + linear . x_t + couplings + limits

with A the channels' effect on the rows (landmark coordinates; differences that must be right: inner-lip gap, mouth
width, jaw drop), d the tracked displacement from the speaker's own closed-mouth rest, p MediaPipe's scores.
All rows are centimetres on the ICT head (tracked unit = outer-eye-corner distance). Solved over all clips at once
(descent.py). The eyes' channels, which move nothing else, are fitted to the lids afterwards (eyes.py).

usage: python -m ptalker_blender.core.data.fit --data CORPUS --out FOLDER
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..channels import CHANNELS, INDEX, MIRROR
from .descent import descend
from .eyes import fit_eyes
from .grid import Tracks, load_grid
from .rig_rows import GAP_PAIRS, Rows, channel_settings, ict_rows, tracked_rows

CONTACT = 30.0  # weight of the depth between closed lips
MOUTH_CLOSE_LIMIT = 0.84  # mouthClose lifts the lower lip 3.89 cm, jawOpen lowers it 3.28 cm: more would cross the lips


@dataclass(frozen=True)
class Fit:
    """Fitted weights with the measured signals they should reproduce."""

    weights: np.ndarray  # [clips, T, 52] float32
    ok: np.ndarray  # [clips, T] bool; weights of untracked frames are interpolated by the smoothness term
    gap: np.ndarray  # [clips, T] inner-lip distance 13-14 minus rest, units; NaN where not ok
    width: np.ndarray  # [clips, T] mouth-corner distance 61-291 minus rest, units
    jaw: np.ndarray  # [clips, T] chin (152) drop from rest, units, positive = down
    residual: np.ndarray  # [clips, T] weighted root-mean-square row residual, cm on the ICT head


def _couplings() -> np.ndarray:
    """[n, 52] rows c of penalties (c . x)^2: left-right differences, and pairs that must not both be large."""
    rows = []
    for name, weight in (("mouth", 0.5), ("brow", 0.25), ("cheekSquint", 0.5), ("noseSneer", 0.5)):
        for i, channel in enumerate(CHANNELS):
            if channel.startswith(name) and channel.endswith("Left") and channel != "mouthLeft":
                row = np.zeros(len(CHANNELS))
                row[i], row[MIRROR[i]] = weight, -weight
                rows.append(row)
    antagonists = [("mouthPucker", "mouthFunnel"), ("mouthRollLower", "mouthShrugLower"), ("mouthLeft", "mouthRight"),
                   ("mouthRollUpper", "mouthShrugUpper"), ("jawLeft", "jawRight"), ("browInnerUp", "browDownLeft"),
                   ("browInnerUp", "browDownRight")]  # fmt: skip
    for side in ("Left", "Right"):
        corner = ["mouthSmile", "mouthFrown", "mouthStretch", "mouthDimple"]
        antagonists += [(a + side, b + side) for i, a in enumerate(corner) for b in corner[i + 1 :]]
        antagonists += [("mouthPucker", a + side) for a in corner[:1] + corner[2:3]]
        antagonists += [("mouthUpperUp" + side, "mouthRollUpper"), ("mouthLowerDown" + side, "mouthShrugLower"),
                        ("mouthLowerDown" + side, "mouthClose"), ("mouthLowerDown" + side, "mouthPress" + side),
                        ("browDown" + side, "browOuterUp" + side)]  # fmt: skip
    for a, b in antagonists:
        row = np.zeros(len(CHANNELS))
        row[INDEX[a]] = row[INDEX[b]] = 0.25
        rows.append(row)
    return np.array(rows)


def solve(
    rows: Rows, targets: np.ndarray, ok: np.ndarray, prior: np.ndarray, closed: np.ndarray, iterations: int = 400,
    tolerance: float = 2e-4,
) -> np.ndarray:  # fmt: skip
    """targets [N, T, R] cm (any value where not ok), ok [N, T], prior [N, T, 52] 0..1, closed [N, T] 0..1 how surely
    the lips meet -> weights [N, T, 52] float32."""
    s = channel_settings()
    f = lambda a: torch.as_tensor(np.asarray(a), dtype=torch.float32)  # noqa: E731
    mask = f(ok)[..., None]
    effect, weight = f(rows.effect), f(rows.weight)
    couplings = f(_couplings())
    data = effect.T @ (weight[:, None] * effect)
    always = couplings.T @ couplings + torch.diag(f(s.prior) + 1e-3)
    # a penalty that is linear in x >= 0 is the L1 norm
    pull = mask * (torch.nan_to_num(f(targets)) * weight @ effect + f(s.prior) * f(prior)) - f(s.linear)
    smooth, upper, depth = f(s.smooth), f(s.upper), f(rows.depth)
    # lips that meet in height meet in depth; depth is not in the rows because the tracker cannot measure it
    touching = CONTACT * mask * f(closed)[..., None]
    close, jaw, crossing = INDEX["mouthClose"], INDEX["jawOpen"], 5.0
    bound = torch.linalg.eigvalsh(data + always)[-1] + 4 * smooth.max() + 2 * crossing + CONTACT * depth.square().sum()

    def gradient(y: torch.Tensor) -> torch.Tensor:
        out = mask * (y @ data) + y @ always - pull + touching * (y @ depth)[..., None] * depth
        difference = smooth * (y[:, 1:] - y[:, :-1])
        out[:, 1:] += difference
        out[:, :-1] -= difference
        excess = crossing * (y[..., close] - MOUTH_CLOSE_LIMIT * y[..., jaw]).clamp(min=0)
        out[..., close] += excess
        out[..., jaw] -= MOUTH_CLOSE_LIMIT * excess
        return out

    start = torch.minimum(f(prior) * 0.5, upper)
    return descend(gradient, bound, start, upper, iterations, tolerance / 10).numpy()


def seal(weights: np.ndarray, rows: Rows, targets: np.ndarray, closed: np.ndarray) -> np.ndarray:
    """Where the lips meet, take what smoothness and shrinkage left of the gap into mouthClose (height) and the lips'
    rolling in (depth); arguments as in solve."""
    out = weights.copy()
    upper, lower = GAP_PAIRS[0]
    row = int(np.flatnonzero((rows.landmark == (upper, lower)).all(1) & (rows.axis == 1))[0])
    close, roll_upper, roll_lower = (INDEX[n] for n in ("mouthClose", "mouthRollUpper", "mouthRollLower"))
    behind = closed * (out @ rows.depth)
    if rows.depth[roll_upper] < 0 < rows.depth[roll_lower]:
        out[..., roll_upper] += np.maximum(behind, 0) / -rows.depth[roll_upper]
        out[..., roll_lower] += np.maximum(-behind, 0) / rows.depth[roll_lower]
    excess = closed * (out @ rows.effect[row] - targets[..., row])
    out[..., close] += np.nan_to_num(excess) / -rows.effect[row, close]
    return np.clip(out, 0, channel_settings().upper).astype(np.float32)


def fit_tracks(tracks: Tracks, head: dict[str, np.ndarray], iterations: int = 400) -> Fit:
    """Fit the ICT `head` (arrays of ict_facekit.npz) to all clips of `tracks`."""
    rows = ict_rows(head)
    measured = tracked_rows(tracks, head, rows)
    weights = solve(rows, measured.targets, tracks.ok, measured.prior, measured.closed, iterations)
    weights = seal(weights, rows, measured.targets, measured.closed * tracks.ok)
    speakers = [c.speaker for c in tracks.clips]
    weights = fit_eyes(weights, measured.points, measured.prior, tracks.ok, speakers, head)
    error = weights @ rows.effect.T.astype(np.float32) - measured.targets
    residual = np.sqrt((error**2 * rows.weight).sum(-1) / rows.weight.sum())
    return Fit(weights, tracks.ok, measured.gap, measured.width, measured.jaw, residual)


def ict_signals(weights: np.ndarray, head: dict[str, np.ndarray]) -> np.ndarray:
    """weights [..., 52] -> [..., 3] inner-lip distance, mouth width, chin drop of the ICT head, cm, minus rest."""
    marks = head["landmarks68"][[GAP_PAIRS[0][0], GAP_PAIRS[0][1], 48, 54, 8]]
    neutral, effect = head["neutral"][marks].astype(np.float32), head["arkit"][:, marks].astype(np.float32)

    def measure(p: np.ndarray) -> np.ndarray:
        distance = lambda a, b: np.linalg.norm(p[..., a, :] - p[..., b, :], axis=-1)  # noqa: E731
        return np.stack([distance(0, 1), distance(2, 3), -p[..., 4, 1]], -1)

    return measure(neutral + np.tensordot(weights.astype(np.float32), effect, 1)) - measure(neutral)


def report(fit: Fit, head: dict[str, np.ndarray], select: np.ndarray) -> dict[str, float]:
    """Agreement of the fitted head with the tracked signals over the clips of `select` [clips] bool."""
    signals = ict_signals(fit.weights[select], head)
    unit = float(np.linalg.norm(np.diff(head["neutral"][head["landmarks68"][[36, 45]]], axis=0)))
    out = {"residual_cm": float(np.nanmedian(fit.residual[select]))}
    for i, name in enumerate(("gap", "width", "jaw")):
        true = getattr(fit, name)[select]
        good = np.isfinite(true)
        out[f"r_{name}"] = float(np.corrcoef(true[good], signals[..., i][good])[0, 1])
        out[f"slope_{name}"] = float(np.polyfit(true[good], signals[..., i][good] / unit, 1)[0])
    return out


def save(fit: Fit, tracks: Tracks, path: Path) -> None:
    """Write the cache: clip-indexed arrays, float16 where precision allows."""
    np.savez_compressed(
        path, ids=np.array([c.id for c in tracks.clips]), split=np.array([c.split for c in tracks.clips]),
        speaker=np.array([c.speaker for c in tracks.clips]), names=np.array(CHANNELS), fps=tracks.fps,
        weights=fit.weights.astype(np.float16), ok=fit.ok, gap=fit.gap.astype(np.float32),
        width=fit.width.astype(np.float32), jaw=fit.jaw.astype(np.float32), residual=fit.residual.astype(np.float32),
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="Fit rig coefficients to the GRID tracks.")
    parser.add_argument("--data", type=Path, required=True, help="corpus folder (grid_s1, grid_dev, heads)")
    parser.add_argument("--out", type=Path, required=True, help="folder for the caches")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    with np.load(args.data / "heads" / "ict_facekit.npz") as z:
        head = {k: z[k] for k in ("neutral", "arkit", "landmarks68", "mediapipe68")}
    for part in ("grid_dev", "grid_s1"):
        start = time.perf_counter()
        tracks = load_grid(args.data / part)
        fit = fit_tracks(tracks, head)
        save(fit, tracks, args.out / f"{part}.npz")
        print(f"{part}: {len(tracks.clips)} clips in {time.perf_counter() - start:.0f} s")
        groups = np.array([f"{c.speaker} {c.split}" for c in tracks.clips])
        for group in np.unique(groups):
            figures = report(fit, head, groups == group)
            print(f"  {group:28s}", " ".join(f"{k} {v:.3f}" for k, v in figures.items()))


if __name__ == "__main__":
    main()
