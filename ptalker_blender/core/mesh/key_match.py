"""Which of a rig's keys is which channel, told by what they move and not by what they are called. numpy and scipy only.

Everything is asked of inner products, so that a mesh of any size comes down to a few small matrices (``Grams``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment, nnls

from ptalker_blender.core.channels import CHANNELS, INDEX, MIRROR

FACE_SHARE = 0.2  # of a key's motion must be on the face, or the key is none of ours
TINY = 1e-4  # of the channels' usual energy: a key that moves less moves nothing
ALIKE = 0.3  # cosine from which an assigned key may be the channel
MOST = 0.6  # of the face keys must be alike, for the rig to be one of ARKit's kind
SIDED = 6  # keys that prefer their side of the face, as ARKit's do and visemes do not
SIDE_MARGIN = 1.3
COMBINED = 0.8  # share of a key's energy that a sum of others has, from which it is (nearly) their combination
EXACT = 0.995  # share from which it is nothing else
_CHUNK = 20000  # vertices at a time


@dataclass(frozen=True)
class Grams:
    """Inner products over the vertices: ``bb`` [K, K] of the channels, ``bd`` [K, J] channels and keys, ``dd`` [J, J]
    of the keys, all weighted and on the face only; ``share`` [J] of each key's motion that is on the face."""

    bb: np.ndarray
    bd: np.ndarray
    dd: np.ndarray
    share: np.ndarray


def grams(basis: np.ndarray, keys: np.ndarray) -> Grams:
    """basis [K, V, 3] and keys [J, V, 3], displacements in the same unit -> Grams. Lips count up to four times."""
    weight = _weight(basis)
    k, j = len(basis), len(keys)
    bb, bd, dd, everywhere = np.zeros((k, k)), np.zeros((k, j)), np.zeros((j, j)), np.zeros(j)
    for start in range(0, basis.shape[1], _CHUNK):
        part = slice(start, start + _CHUNK)
        plain = keys[:, part].reshape(j, -1).astype(np.float64)
        everywhere += (plain**2 * np.repeat(np.maximum(weight[part], 1), 3)).sum(1)
        root = np.repeat(np.sqrt(weight[part]), 3)
        b, d = basis[:, part].reshape(k, -1) * root, plain * root
        bb += b @ b.T
        bd += b @ d.T
        dd += d @ d.T
    share = np.divide(np.diag(dd), everywhere, out=np.zeros(j), where=everywhere > 0)
    return Grams(bb, bd, dd, share)


_LIPS = [INDEX[n] for n in CHANNELS if n.startswith(("mouthPucker", "mouthFunnel", "mouthRoll", "mouthPress"))]


def _weight(basis: np.ndarray) -> np.ndarray:
    """[K, V, 3] -> [V]: 0 off the face, 1 on it, up to 4 where the lips are (they move by the lip channels)."""
    moved = np.abs(basis).max(axis=(0, 2))
    lips = np.linalg.norm(basis[_LIPS], axis=-1).mean(0) if len(basis) == len(CHANNELS) else np.zeros(basis.shape[1])
    return np.where(moved > 1e-3 * moved.max(initial=0.0), 1 + 3 * lips / max(lips.max(initial=0.0), 1e-30), 0.0)


def of_the_face(g: Grams) -> np.ndarray:
    """Which keys [J] move the face at all: not a body's shape, not an empty key."""
    usual = np.median(np.diag(g.bb)[np.diag(g.bb) > 0]) if (np.diag(g.bb) > 0).any() else np.inf
    return (g.share > FACE_SHARE) & (np.diag(g.dd) > TINY * usual)


def recognise(g: Grams) -> np.ndarray:
    """The channel of each key [J], -1 where it is none: the assignment with the largest sum of cosines (Hungarian). A key that
    is a sum of others is no channel: it would take the place of one.

    All -1 where the rig is not of ARKit's kind: visemes and phoneme poses resemble channels without being them.
    """
    channel = np.full(len(g.dd), -1)
    used = np.flatnonzero(of_the_face(g) & (combinations(g) < EXACT))
    alive = np.flatnonzero(np.diag(g.bb) > 0)
    if not len(used) or not len(alive):
        return channel
    cosine = g.bd[np.ix_(alive, used)] / np.sqrt(np.outer(np.diag(g.bb)[alive], np.diag(g.dd)[used]))
    rows, columns = linear_sum_assignment(-cosine)
    for row, column in zip(rows, columns, strict=True):
        if cosine[row, column] >= ALIKE:
            channel[used[column]] = alive[row]
    full = np.zeros((len(g.bb), len(g.dd)))
    full[np.ix_(alive, used)] = cosine
    if not _is_arkit(channel, full, len(used)):
        return np.full(len(g.dd), -1)
    _tell_lids_apart(channel, np.diag(g.dd))
    return channel


def _is_arkit(channel: np.ndarray, cosine: np.ndarray, count: int) -> bool:
    """Most keys are alike, and enough of them prefer their own side of the face."""
    keys = np.flatnonzero(channel >= 0)
    sided = 0
    for key in keys:
        other = MIRROR[channel[key]]
        if other != channel[key]:
            sided += bool(cosine[channel[key], key] > SIDE_MARGIN * max(cosine[other, key], 0.0))
    return len(keys) >= MOST * min(count, len(CHANNELS)) and sided >= SIDED


def _tell_lids_apart(channel: np.ndarray, energy: np.ndarray) -> None:
    """Blink and looking down lower the same lid; a blink lowers it further. Changes ``channel``."""
    for side in ("Left", "Right"):
        blink = np.flatnonzero(channel == INDEX[f"eyeBlink{side}"])
        down = np.flatnonzero(channel == INDEX[f"eyeLookDown{side}"])
        if len(blink) and len(down) and energy[down[0]] > energy[blink[0]]:
            channel[blink[0]], channel[down[0]] = channel[down[0]], channel[blink[0]]


def combinations(g: Grams) -> np.ndarray:
    """How much [J] each key is a sum of two or more others (nonnegative least squares): 0, or COMBINED .. 1.

    "smile" is smileLeft + smileRight; the halves are no sums of others, because a sum takes nothing away.
    """
    out, used = np.zeros(len(g.dd)), np.flatnonzero(of_the_face(g))
    for key in used:
        others = used[used != key]
        if len(others) < 2:
            continue
        gram, right = g.dd[np.ix_(others, others)], g.dd[others, key]
        root = np.linalg.cholesky(gram + 1e-9 * np.trace(gram) * np.eye(len(others)))
        x, _ = nnls(root.T, np.linalg.solve(root, right), maxiter=50 * len(others))
        got = (2 * x @ right - x @ gram @ x) / g.dd[key, key]
        parts = x * np.sqrt(np.diag(gram)) > 0.25 * np.sqrt(g.dd[key, key])
        if got >= COMBINED and parts.sum() >= 2:
            out[key] = min(got, 1.0)
    return out
