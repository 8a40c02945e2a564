"""Lids that meet: eyeBlink as the network predicts it stops half way, so it is drawn on to the lower lid."""

import numpy as np

from ptalker_blender.core.channels import INDEX
from ptalker_blender.core.mesh.graph import MeshGraph

BLINKS = INDEX["eyeBlinkLeft"], INDEX["eyeBlinkRight"]
EDGE, STILL = 0.75, 0.45  # shares of the largest displacement: the upper lid's edge moves more, the lower lid less
ASIDE, BEHIND, BEFORE = 0.06, 0.15, 0.06  # how far from below the upper edge the lower lid may lie, face frame
REACH = 0.02, 0.45  # and how far down
GAINS = 1.8, 2.5  # on held-out heads the prediction had to grow by 1.8 to 3.6; where no lid is found, the least


def closed(basis: np.ndarray, graph: MeshGraph) -> np.ndarray:
    """Basis [K, V, 3] on a graph in the face frame -> the same with lids that reach as far as the lower lid's edge.

    The edge grows by the gain, what moves less by less. Both eyes have one gain: a symmetric face blinks symmetrically.
    """
    gains = [needed(basis[k], graph) for k in BLINKS]
    gain = float(np.clip(np.mean([g for g in gains if g] or [GAINS[0]]), *GAINS))
    out = basis.copy()
    for k in BLINKS:
        size = np.linalg.norm(basis[k], axis=1)
        share = (size / max(float(size.max()), 1e-9) / 0.6).clip(0, 1)
        out[k] *= (1 + (gain - 1) * share * share * (3 - 2 * share)).astype(np.float32)[:, None]
    return out


def needed(blink: np.ndarray, graph: MeshGraph) -> float | None:
    """How many times longer a blink [V, 3] must be to bring the upper lid's edge to the lower lid; None: no lids seen."""
    size = np.linalg.norm(blink, axis=1)
    if size.max() < 1e-3:
        return None
    upper, lower = np.flatnonzero(size > EDGE * size.max()), np.flatnonzero(size < STILL * size.max())
    way = blink[upper].sum(0) / (np.linalg.norm(blink[upper].sum(0)) + 1e-9)
    middle = graph.pos[upper].mean(0)
    lower = lower[np.linalg.norm(graph.pos[lower] - middle, axis=1) < 0.6]
    gaps = []
    for u in upper[:: max(1, len(upper) // 100)]:
        off = graph.pos[lower] - graph.pos[u]
        down, aside = off @ way, np.abs(off[:, 0])
        below = (aside < ASIDE) & (off[:, 2] > -BEHIND) & (off[:, 2] < BEFORE) & (down > REACH[0]) & (down < REACH[1])
        below &= graph.island[lower] == graph.island[u]
        if below.any():
            gaps.append(down[below][(down + aside)[below].argmin()])
    return float(np.median(gaps) / np.median(size[upper])) if len(gaps) > 2 else None
