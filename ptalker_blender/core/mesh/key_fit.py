"""Motion onto the keys that a rig has: what the channels would do to the mesh, made as well as its keys can.

Weights x [T, J] in their bounds minimise, summed over frames, |target - x D|^2 + sum_j r_j (x_j - prior_j)^2 +
mu |x_t - x_(t-1)|^2. ``target`` is what our basis predicts; where a key is recognised as a channel (key_match.py) it is
that key, because the rig's own artist knows best how it smiles. numpy and scipy only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ptalker_blender.core.errors import Cancelled, PTalkerError

from .key_match import combinations, grams, of_the_face, recognise

RIDGE = 1e-3  # of a usual key's energy: which of several equal ways is taken, the one with less motion
COMBINED_RIDGE = 0.3  # the same for a key that is the sum of others
SMOOTH = 2e-3  # of a usual key's energy, on the difference of two frames
ALONE = 0.5  # weight at which a channel is tried alone: keys that do more than a channel come to their end before its 1
SWEEPS, SETTLED = 200, 1e-4  # rounds over all keys; the largest change of a weight that ends them


@dataclass(frozen=True)
class KeyFit:
    """``weights`` [T, J]; ``channel`` [J] as which each key was recognised (-1: as none), ``used`` [J] whether it was
    used at all; ``explained`` 0..1, the share of the wanted motion (of its energy) that the keys make; ``spoken`` [T, K] the
    channels' weights that this is the fit of."""

    weights: np.ndarray
    channel: np.ndarray
    used: np.ndarray
    explained: float
    spoken: np.ndarray


def fit(
    weights: np.ndarray,
    basis: np.ndarray,
    keys: np.ndarray,
    low: np.ndarray | float = 0.0,
    high: np.ndarray | float = 1.0,
    *,
    known_as: np.ndarray | None = None,
    correct: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
    progress: Callable[[str, float], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> KeyFit:
    """weights [T, K] of the channels, basis [K, V, 3] and keys [J, V, 3] (displacements in one unit), bounds [J] -> KeyFit.

    ``known_as`` [J] says which channel each key is (-1: none) where that is known already. ``correct(weights, response)`` may
    change the weights once it is known what each channel alone makes the keys do, response [K, J].
    Raises PTalkerError keys_invalid, keys_no_face (no key moves the face), Cancelled.
    """
    if basis.ndim != 3 or keys.ndim != 3 or basis.shape[1:] != keys.shape[1:] or not len(keys):
        raise PTalkerError("keys_invalid", "The shape keys do not belong to this mesh.")
    if not np.isfinite(keys).all():
        raise PTalkerError("keys_invalid", "A shape key has positions that are not finite numbers.")
    tell = progress or (lambda stage, fraction: None)
    tell("comparing shape keys", 0.0)
    g = grams(basis, keys)
    used = of_the_face(g)
    if not used.any():
        raise PTalkerError("keys_no_face", "No shape key of the mesh moves its face.", "Let PTalker make new shape keys.")
    channel = recognise(g) if known_as is None else known_as
    known = np.flatnonzero(channel >= 0)
    # The target's inner products: a recognised channel's motion is its key's, the others' is the basis's.
    # How far to go with the basis is told by the recognised keys: they go along its way so many times as far.
    far = float(np.median(g.bd[channel[known], known] / np.diag(g.bb)[channel[known]])) if len(known) else 1.0
    to_keys, own = far * g.bd, far**2 * g.bb
    to_keys[channel[known]] = g.dd[known]
    own[channel[known], :] = far * g.bd[:, known].T
    own[:, channel[known]] = far * g.bd[:, known]
    own[np.ix_(channel[known], channel[known])] = g.dd[np.ix_(known, known)]
    usual = float(np.diag(g.dd)[used].mean())
    ridge = usual * (RIDGE + COMBINED_RIDGE * combinations(g) * (channel < 0))
    bounds = np.broadcast_to(low, len(keys)), np.broadcast_to(high, len(keys))
    limits = [np.where(used, bound, 0.0) for bound in bounds]

    def check(fraction: float) -> None:
        tell("fitting shape keys", fraction)
        if cancelled is not None and cancelled():
            raise Cancelled

    def prior(weights: np.ndarray) -> np.ndarray:
        out = np.zeros((len(weights), len(keys)))
        out[:, known] = weights[:, channel[known]]
        return out

    if correct is not None:
        alone = ALONE * np.eye(weights.shape[1])
        weights = correct(weights, solve(g.dd, alone @ to_keys, prior(alone), ridge, *limits) / ALONE)
    x = solve(g.dd, weights @ to_keys, prior(weights), ridge, *limits, smooth=SMOOTH * usual, check=check)
    wanted = np.einsum("tk,kl,tl->", weights, own, weights)
    missed = wanted - 2 * np.einsum("tj,tj->", x, weights @ to_keys) + np.einsum("tj,ji,ti->", x, g.dd, x)
    explained = float(np.clip(1 - missed / wanted, 0, 1)) if wanted > 0 else 1.0
    return KeyFit(x.astype(np.float32), channel, used, explained, weights)


def solve(
    gram: np.ndarray,
    right: np.ndarray,
    prior: np.ndarray,
    ridge: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    *,
    smooth: float = 0.0,
    check: Callable[[float], None] | None = None,
) -> np.ndarray:
    """x [T, J] in low .. high [J] of the sum above: gram [J, J] of the keys, right [T, J] their products with the target.

    Coordinate descent over the keys, all frames at once; neighbouring frames as of the round before (they are coupled
    more weakly than a frame with itself, so that it converges). A key with low = high stays there.
    """
    frames = len(right)
    full = gram + np.diag(ridge)
    wanted = right + prior * ridge
    x = np.clip(prior, low, high)
    reached = x @ full
    beside = np.zeros((frames, 1))  # neighbours of each frame
    beside[1:] += 1
    beside[:-1] += 1
    for sweep in range(SWEEPS):
        if check is not None:
            check(sweep / SWEEPS)
        largest = 0.0
        for j in np.flatnonzero(high > low):
            near = np.zeros(frames)
            near[1:] += x[:-1, j]
            near[:-1] += x[1:, j]
            bottom = full[j, j] + smooth * beside[:, 0]
            top = wanted[:, j] - reached[:, j] + full[j, j] * x[:, j] + smooth * near
            step = np.clip(np.divide(top, bottom, out=x[:, j].copy(), where=bottom > 0), low[j], high[j]) - x[:, j]
            size = float(np.abs(step).max(initial=0.0))
            if size > 1e-7:
                x[:, j] += step
                reached += step[:, None] * full[j]
                largest = max(largest, size)
        if largest < SETTLED:
            break
    return x
