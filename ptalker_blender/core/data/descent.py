"""Accelerated projected gradient: Beck & Teboulle 2009 (FISTA), with the restart of O'Donoghue & Candes 2015."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor


def descend(
    gradient: Callable[[Tensor], Tensor], bound: float | Tensor, start: Tensor, upper: Tensor, iterations: int, tolerance: float
) -> Tensor:
    """The minimum of a convex function over 0 <= x <= upper: ``gradient`` of it, ``bound`` >= its steepest curvature;
    ends where no value moves by ``tolerance``."""
    x = start
    y, momentum = x.clone(), 1.0
    for _ in range(iterations):
        new = (y - gradient(y) / bound).clamp(min=0).minimum(upper)
        step = new - x
        if ((y - new) * step).sum() > 0:  # momentum points uphill: restart
            momentum = 1.0
        following = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        y = new + (momentum - 1) / following * step
        x, momentum = new, following
        if step.abs().max() < tolerance:
            break
    return x
