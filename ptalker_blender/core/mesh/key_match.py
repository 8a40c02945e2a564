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
ALIKE = 0.2  # cosine from which an assigned key may be the channel
MOST = 0.6  # of the face keys must be alike, for the rig to be one of ARKit's kind
SIDED = 6  # keys that prefer their side of the face, as ARKit's do and visemes do not
SIDE_MARGIN = 1.3
PAIRED, SIZED, KIN = 0.4, 0.1, 2.0  # what a wrong partner, size (a factor of e) and relations take from the cosine
ROUNDS = 5  # of assigning: each knows from the last the usual size and who is related to whom
COMBINED = 0.8  # share of a key's energy that a sum of others has, from which it is (nearly) their combination
EXACT = 0.995  # share from which it is nothing else
PART, TRACE = 0.25, 0.05  # of a key's length: a part of a sum; of one that is nothing else
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
    """The channel of each key [J], -1 where it is none: the assignment with the largest sum of likenesses (Hungarian). A key
    that is a sum of others is no channel: it would take the place of one.

    Likeness is the cosine, less what speaks against it: no partner on the other side of the face, another size, other
    relations to the other keys. All -1 where the rig is not of ARKit's kind: visemes and phoneme poses resemble channels
    without being them.
    """
    none = np.full(len(g.dd), -1)
    used = np.flatnonzero(of_the_face(g) & ~sums(g))
    alive = np.flatnonzero(np.diag(g.bb) > 0)
    if not len(used) or not len(alive):
        return none
    cosine = np.zeros(g.bd.shape)
    cosine[np.ix_(alive, used)] = g.bd[np.ix_(alive, used)] / np.sqrt(np.outer(np.diag(g.bb)[alive], np.diag(g.dd)[used]))

    def assigned(likeness: np.ndarray) -> np.ndarray:
        channel = none.copy()
        rows, columns = linear_sum_assignment(-likeness[np.ix_(alive, used)])
        channel[used[columns]] = alive[rows]
        return np.where(cosine[channel, np.arange(len(channel))] >= ALIKE, channel, -1)

    fair = cosine - PAIRED * _unpaired(cosine, used)
    channel = assigned(fair)
    for _ in range(ROUNDS):
        if not (channel >= 0).any():
            break
        last, channel = channel, assigned(fair - SIZED * _other_size(g, channel) - KIN * _other_kin(g, channel))
        if (channel == last).all():
            break
    return channel if _is_arkit(channel, cosine, len(used)) else none


def _unpaired(cosine: np.ndarray, used: np.ndarray) -> np.ndarray:
    """How much [K, J], 0..1, each key lacks the partner that a channel has: a mirror image among the ``used`` keys that has
    none nearer than this one, or, for a channel in the middle, itself. A key is seen as its cosines with all channels."""
    seen = cosine[:, used] / np.maximum(np.linalg.norm(cosine[:, used], axis=0), 1e-12)
    far = np.sqrt(np.clip(2 - 2 * seen[list(MIRROR)].T @ seen, 0, 2))  # [keys, keys] chords, from a key's image to another
    itself = np.diag(far).copy()
    np.fill_diagonal(far, 2.0)
    partner = (2 * far - far.min(0)).min(1)
    out = np.ones(cosine.shape)
    middle = np.array(MIRROR) == np.arange(len(MIRROR))
    out[:, used] = np.clip(np.where(middle[:, None], itself, partner), 0, 1)
    return out


def _other_size(g: Grams, channel: np.ndarray) -> np.ndarray:
    """How far [K, J] each key's size is from each channel's, in factors of e (2 at most), where all keys may be larger or
    smaller than the channels as the recognised are. Tells a blink from a look down, which lowers the same lid less far."""
    b, d = 0.5 * np.log(np.diag(g.bb) + 1e-30), 0.5 * np.log(np.diag(g.dd) + 1e-30)
    known = np.flatnonzero(channel >= 0)
    usual = np.median(d[known] - b[channel[known]])
    return np.minimum(np.abs(d - b[:, None] - usual), 2.0)


def _other_kin(g: Grams, channel: np.ndarray) -> np.ndarray:
    """How differently [K, J] each key and each channel stand to those that are recognised: a mean difference of cosines."""
    known = np.flatnonzero(channel >= 0)
    b, d = (np.where(np.diag(x) > 0, np.sqrt(np.diag(x)), 1.0) for x in (g.bb, g.dd))
    of_b, of_d = (g.bb / np.outer(b, b))[:, channel[known]], (g.dd / np.outer(d, d))[:, known]
    return np.abs(of_b[:, None] - of_d).mean(-1)


def _is_arkit(channel: np.ndarray, cosine: np.ndarray, count: int) -> bool:
    """Most keys are alike, and enough of them prefer their own side of the face."""
    keys = np.flatnonzero(channel >= 0)
    sided = 0
    for key in keys:
        other = MIRROR[channel[key]]
        if other != channel[key]:
            sided += bool(cosine[channel[key], key] > SIDE_MARGIN * max(cosine[other, key], 0.0))
    return len(keys) >= MOST * min(count, len(CHANNELS)) and sided >= SIDED


def combinations(g: Grams) -> np.ndarray:
    """How much [J] each key is a sum of two or more others (nonnegative least squares): 0, or COMBINED .. 1.

    "smile" is smileLeft + smileRight; the halves are no sums of others, because a sum takes nothing away.
    """
    used = of_the_face(g)
    share = np.array([_made_of(g, key, used, PART) if used[key] else 0.0 for key in range(len(used))])
    return np.where(share >= COMBINED, share, 0.0)


def sums(g: Grams) -> np.ndarray:
    """Which keys [J] are nothing but a sum of others. The most exact is taken first, and what is taken makes up no other:
    where jawOpen + mouthPucker is a key, jawOpen itself is nearly that and some corrective that takes the pucker back."""
    taken, used = np.zeros(len(g.dd), bool), of_the_face(g)
    share = np.array([_made_of(g, key, used, TRACE) if used[key] else 0.0 for key in range(len(used))])
    for key in np.argsort(-share, kind="stable"):
        if share[key] < EXACT:
            break
        taken[key] = _made_of(g, key, used & ~taken, TRACE) >= EXACT
    return taken


def _made_of(g: Grams, key: int, used: np.ndarray, part: float) -> float:
    """The share of a key's energy that a nonnegative sum of the other ``used`` [J] keys has; 0 where fewer than two of them
    are longer in it than ``part`` of the key's own length."""
    others = np.flatnonzero(used & (np.arange(len(used)) != key))
    if len(others) < 2:
        return 0.0
    gram, right = g.dd[np.ix_(others, others)], g.dd[others, key]
    root = np.linalg.cholesky(gram + 1e-9 * np.trace(gram) * np.eye(len(others)))
    x, _ = nnls(root.T, np.linalg.solve(root, right), maxiter=50 * len(others))
    if (x * np.sqrt(np.diag(gram)) > part * np.sqrt(g.dd[key, key])).sum() < 2:
        return 0.0
    return min(float(2 * x @ right - x @ gram @ x) / g.dd[key, key], 1.0)
