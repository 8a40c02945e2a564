"""The eyes' channels, fitted to the tracked lids: a lid's height is explained once.

In a shut eye the tracker's scores read eyeBlink 0.5, eyeLookDown 0.5 and eyeSquint 0.25 more than in an open one: they say
three times over that the eye is shut, and on the ICT head, where all three lower the lid, the lids pass each other by 4 mm.
But lids are landmarks, and measured. So:

1. Gaze comes from its scores where the eye can be seen. Where the lids hide it, it goes smoothly from what was seen before
   to what is seen after: the score there says nothing but that the eye is shut, and the turn down by 1 to 2 degrees that
   goes with a blink (Collewijn et al. 1985) is less than the tracker can tell.
2. What gaze and the rest of the face leave of the lids' movement is eyeBlink, eyeSquint and eyeWide: x [T, 3] in 0..1 minimise

       sum_t |A x_t - d_t|^2_W + prior |x_t - p_t|^2 + smooth |x_t - x_(t-1)|^2 + linear . x_t

   with d the opening between the lids (two pairs of landmarks) and the height of the lower lid over the corners of the eye,
   which tells the ring muscle's part from the upper lid's; p the scores.

Displacements are in parts of the speaker's own opening, times the head's: a shut eye shuts whatever the eye's shape.
"""

from __future__ import annotations

import numpy as np
import torch

from ..channels import INDEX
from .descent import descend

# of the 68: upper lid, lower lid (outer pair, inner pair), outer corner, inner corner
EYES = {"Right": (37, 41, 38, 40, 36, 39), "Left": (44, 46, 43, 47, 45, 42)}
GAZE = "eyeLookDown", "eyeLookIn", "eyeLookOut", "eyeLookUp"
LIDS = "eyeBlink", "eyeSquint", "eyeWide"
PRIOR, LINEAR, SMOOTH = (0.0, 0.3, 1.0), (0.02, 0.0, 0.05), (0.2, 0.5, 0.5)  # of LIDS
ROWS = 20.0, 20.0, 5.0, 5.0  # weight of a squared cm
HIDDEN, SEEN = 0.75, 1.0  # parts of the usual opening between which the eye comes to be seen; below are blinks only
HELD = 0.04  # weight of gaze's squared steps against that of its distance from the scores


def fit_eyes(
    weights: np.ndarray, points: np.ndarray, prior: np.ndarray, ok: np.ndarray, speakers: list[str], head: dict[str, np.ndarray]
) -> np.ndarray:
    """weights [N, T, 52] fitted to the rest of the face, points [N, T, 68, 3] tracked (units), prior [N, T, 52] the tracker's
    scores above rest, ok [N, T], the clips' speakers -> weights with the eyes' 14 channels replaced."""
    out, prior = weights.copy(), np.nan_to_num(prior)
    deltas = head["arkit"][:, head["landmarks68"], 1].astype(float)
    neutral = head["neutral"][head["landmarks68"], 1].astype(float)
    for side, marks in EYES.items():
        tracked, effect, rest = (lid_rows(x, marks) for x in (points[..., 1], deltas, neutral))
        usual = np.zeros((len(tracked), 1, 4))
        for speaker in sorted(set(speakers)):
            mine = np.array([s == speaker for s in speakers])
            usual[mine] = at_rest(tracked[mine][ok[mine]])
        own = usual[..., :2].mean(-1)
        opening = np.where(ok, tracked[..., :2].mean(-1) / own, 0.0)
        gaze, lids = ([INDEX[name + side] for name in names] for names in (GAZE, LIDS))
        out[..., gaze] = held(prior[..., gaze], np.clip((opening - HIDDEN) / (SEEN - HIDDEN), 0, 1))
        out[..., lids] = 0.0
        targets = (tracked - usual) / own[..., None] * rest[:2].mean() - out @ effect
        out[..., lids] = _solve(effect[lids], targets, prior[..., lids], ok)
    return out


def lid_rows(height: np.ndarray, marks: tuple[int, ...]) -> np.ndarray:
    """height [..., 68] of the landmarks -> [..., 4]: two openings, two heights of the lower lid over the nearer corner."""
    outer_upper, outer_lower, inner_upper, inner_lower, outer, inner = (height[..., m] for m in marks)
    return np.stack([outer_upper - outer_lower, inner_upper - inner_lower, outer_lower - outer, inner_lower - inner], -1)


def at_rest(tracked: np.ndarray) -> np.ndarray:
    """Rows [n, 4] of one speaker -> [4], those of an open eye: the median where the opening is 0.8 of its 0.9 quantile."""
    opening = tracked[:, :2].mean(1)
    return np.median(tracked[opening >= 0.8 * np.quantile(opening, 0.9)], axis=0)


def held(score: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """score [N, T, n], seen [N, T] 0..1 -> the x [N, T, n] that minimise
    sum_t seen |x_t - score_t|^2 + HELD |x_t - x_(t-1)|^2."""
    steps = np.diff(np.eye(seen.shape[1]), axis=0)
    seen = seen + 1e-6  # an eye that is never seen stays where its scores are
    return np.linalg.solve(HELD * steps.T @ steps + seen[:, :, None] * np.eye(seen.shape[1]), seen[..., None] * score)


def _solve(effect: np.ndarray, targets: np.ndarray, prior: np.ndarray, ok: np.ndarray) -> np.ndarray:
    """effect [3, 4] and targets [N, T, 4] cm, prior [N, T, 3], ok [N, T] -> weights of LIDS [N, T, 3]."""
    f = lambda a: torch.as_tensor(np.asarray(a), dtype=torch.float32)  # noqa: E731
    a, row, mask, smooth = f(effect), f(ROWS), f(ok)[..., None], f(SMOOTH)
    data = a * row @ a.T + torch.diag(f(PRIOR))
    pull = mask * (f(np.nan_to_num(targets)) * row @ a.T + f(PRIOR) * f(prior)) - f(LINEAR)

    def gradient(x: torch.Tensor) -> torch.Tensor:
        out = mask * (x @ data) + 1e-3 * x - pull
        difference = smooth * (x[:, 1:] - x[:, :-1])
        out[:, 1:] += difference
        out[:, :-1] -= difference
        return out

    bound = float(torch.linalg.eigvalsh(data)[-1] + 4 * smooth.max()) + 1e-3
    return descend(gradient, bound, f(prior), torch.ones(len(LIDS)), 400, 2e-5).numpy()
