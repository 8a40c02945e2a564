"""A smooth way from one set of points to another: space flows so that each of a few points comes where it should.

The way is cut into small steps. Each is the smoothest field (of Gaussians of two widths, the least squares one) that takes
every point a step further, and small enough not to fold space; so the whole does not fold either, and its Jacobian is the
product of the steps'.
"""

from __future__ import annotations

import numpy as np

WIDTHS = (0.55, 0.3), (1.0, 0.35)  # face frame, and how much each counts
LOOSE = 3e-3  # how far the points may be missed: two that lie side by side and disagree must not tear space
STEPS = 8


def kernel(x: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[n, 3], [m, 3] -> the kernel [n, m] and its gradient by x [n, m, 3]."""
    d = x[:, None] - at[None]
    far = (d**2).sum(-1)
    value, slope = np.zeros_like(far), np.zeros_like(far)
    for width, amount in zip(*WIDTHS, strict=True):
        one = amount * np.exp(-far / (2 * width**2))
        value += one
        slope -= one / width**2
    return value, slope[..., None] * d


def flow(x: np.ndarray, start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points x [n, 3] carried by the flow that takes ``start`` [m, 3] to ``end`` [m, 3] -> where they come to [n, 3], and the
    Jacobian there [n, 3, 3] (of the new place by the old)."""
    x, now = x.astype(np.float64), start.astype(np.float64)
    jacobian = np.tile(np.eye(3), (len(x), 1, 1))
    for step in range(STEPS):
        move = (end - now) / (STEPS - step)
        gram = kernel(now, now)[0]
        coefficient = np.linalg.solve(gram + LOOSE * np.eye(len(now)), move)  # [m, 3]
        for first in range(0, len(x), 20000):  # a piece at a time: meshes can be large
            rows = slice(first, first + 20000)
            value, gradient = kernel(x[rows], now)
            jacobian[rows] = (np.eye(3) + np.einsum("nmj,mi->nij", gradient, coefficient)) @ jacobian[rows]
            x[rows] = x[rows] + value @ coefficient
        now = now + gram @ coefficient
    return x, jacobian
