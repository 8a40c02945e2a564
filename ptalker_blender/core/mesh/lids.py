"""Lids that meet: eyeBlink as the network predicts it stops half way, so it is drawn on to the lower lid."""

import numpy as np

from ptalker_blender.core.channels import INDEX
from ptalker_blender.core.mesh.graph import MeshGraph

BLINKS = INDEX["eyeBlinkLeft"], INDEX["eyeBlinkRight"]
EDGE = 0.75  # share of the largest displacement: the upper lid's edge moves more
ASIDE, DEPTH = 0.04, 0.08  # how far from below the upper edge the skin may lie that is looked at, face frame
REACH = 0.01, 0.3  # and how far above and below
VOID = 0.035  # an eye is a gap in the skin of at least this height
GAINS = 1.2, 4.5  # on held-out heads the prediction had to grow by 1.3 to 4.3
RIM = 0.02  # how far below a vertex of the upper lid's edge the gap begins at most; else it is the lid above the edge
OVER = 0.006  # face frame: by how much a lid passes the other's edge, or a slit would show
UNKNOWN = 1.8  # where no eye is found


def closed(basis: np.ndarray, graph: MeshGraph) -> np.ndarray:
    """Basis [K, V, 3] on a graph in the face frame -> the same with lids that reach as far as the lower lid's edge.

    The edge grows by the gain, what moves less by less. Both eyes have one gain, the smaller one where they differ: a symmetric
    face blinks symmetrically.
    """
    gains = [needed(basis[k], graph) for k in BLINKS]
    gain = float(np.clip(min([g for g in gains if g] or [UNKNOWN]), *GAINS))
    out = basis.copy()
    for k in BLINKS:
        size = np.linalg.norm(basis[k], axis=1)
        share = (size / max(float(size.max()), 1e-9) / 0.6).clip(0, 1)
        out[k] *= (1 + (gain - 1) * share * share * (3 - 2 * share)).astype(np.float32)[:, None]
    return out


def needed(blink: np.ndarray, graph: MeshGraph) -> float | None:
    """How many times longer a blink [V, 3] must be to bring the upper lid's edge to the lower lid; None: no lids seen.

    The eye is the largest gap in the skin on the way down from the upper lid; the lower lid is what comes after it. Lashes,
    eyeballs and what else is no part of the skin are looked through.
    """
    size = np.linalg.norm(blink, axis=1)
    if size.max() < 1e-3:
        return None
    moving = graph.island[size > 0.6 * size.max()]
    skin = graph.island == max(np.unique(moving), key=lambda i: int((graph.island == i).sum()))
    upper = np.flatnonzero(skin & (size > EDGE * size[skin].max()))
    way = blink[upper].sum(0) / (np.linalg.norm(blink[upper].sum(0)) + 1e-9)
    near = np.flatnonzero(skin & (np.linalg.norm(graph.pos - graph.pos[upper].mean(0), axis=1) < 2 * REACH[1]))
    found = []  # of the vertices at the edge of the gap, where it ends, in parts of the vertex's own way
    for u in upper[:: max(1, len(upper) // 100)]:
        off = graph.pos[near] - graph.pos[u]
        down = off @ way
        below = (np.abs(off[:, 0]) < ASIDE) & (np.abs(off[:, 2]) < DEPTH) & (down > -REACH[0]) & (down < REACH[1])
        steps = np.sort(down[below])
        if len(steps) > 1 and np.diff(steps).max() > VOID:
            i = int(np.diff(steps).argmax())
            if steps[i] < RIM:
                found.append((steps[i + 1] + OVER) / size[u])
    return float(np.median(found)) if len(found) > 2 else None
