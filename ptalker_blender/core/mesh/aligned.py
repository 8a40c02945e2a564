"""Motion in the terms of the mesh's own shapes: how much of each lower-face channel a displacement is.

The shapes are the rig head's for this mesh, so what comes out means the same on every head: topology, proportions and how
far this face opens its mouth are gone. Ridge regression over all vertices, without bounds: it is linear, and one matrix.
"""

import numpy as np

from ptalker_blender.core.channels import LOWER_FACE

RIDGE, FLOOR = 0.05, 0.003  # of a channel's own size; of the mean size, so that shapes that barely exist stay silent
LIPS = 5.0  # how much more what the mouth moves counts


def solver(basis: np.ndarray, area: np.ndarray) -> np.ndarray:
    """basis [K, V, 3], area [V] (0: does not count) -> [C, V, 3]: displacements [T, V, 3], contracted with it over vertices
    and axes, become aligned motion [T, C]. Any unit and frame, the same for both."""
    shapes = np.asarray(basis, np.float32)[list(LOWER_FACE)]
    amount = np.linalg.norm(shapes, axis=-1).sum(0)
    weight = area * (1 + LIPS * amount / max(float(amount.max()), 1e-12))
    weighted = shapes * weight[:, None].astype(np.float32)
    gram = np.tensordot(weighted, shapes, ((1, 2), (1, 2))).astype(np.float64)
    size = np.diag(gram)
    extra = RIDGE * size + FLOOR * max(float(size.mean()), 1e-30)
    flat = np.linalg.solve(gram + np.diag(extra), weighted.reshape(len(shapes), -1).astype(np.float64))
    return flat.astype(np.float32).reshape(shapes.shape)
