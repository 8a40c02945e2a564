"""A blink reaches the lower lid: on skin with a hole for an eye, as on skin without one."""

from __future__ import annotations

import numpy as np
import pytest

from ptalker_blender.core.channels import CHANNELS
from ptalker_blender.core.mesh.graph import MeshGraph, build_graph
from ptalker_blender.core.mesh.lids import BLINKS, OVER, UNKNOWN, closed, needed

STEP = 0.02


def skin(opening: float) -> tuple[MeshGraph, np.ndarray]:
    """A sheet in the face frame with an eye ``opening`` high at each side, and the basis of lids that move by 0.04 at most."""
    x, y = (a.ravel() for a in np.meshgrid(np.arange(-0.6, 0.61, STEP), np.arange(0.0, 0.7, STEP), indexing="ij"))
    columns = len(np.arange(0.0, 0.7, STEP))
    i = np.arange(len(x)).reshape(-1, columns)[:-1, :-1].ravel()
    faces = np.stack([i, i + columns, i + columns + 1, i + 1], 1)
    hole = (np.abs(np.abs(x) - 0.32) < 0.13) & (y > 0.4 - opening + 1e-6) & (y < 0.4 - 1e-6)
    faces = faces[~hole[faces].any(1)]
    pos = np.stack([x, y, 0.5 - x**2 / 4], 1)
    basis = np.zeros((len(CHANNELS), len(x), 3), np.float32)
    for k, side in zip(BLINKS, (1, -1), strict=True):
        lid = np.exp(-(((x - side * 0.32) / 0.12) ** 2) - ((y - 0.4) / 0.05) ** 2) * (y > 0.4 - 1e-6)
        basis[k, :, 1] = -0.04 * lid
    graph = build_graph(pos, faces)
    return graph.moved(np.eye(3), 1 / graph.frame.scale, graph.frame.origin), basis


@pytest.mark.parametrize("opening", [0.06, 0.1, 0.16])
def test_the_lid_reaches_the_other(opening: float) -> None:
    graph, basis = skin(opening)
    found = needed(basis[BLINKS[0]], graph)
    assert found is not None and abs(found * 0.04 - opening - OVER) < 0.35 * opening
    way = closed(basis, graph)[list(BLINKS), :, 1].min(1)
    assert np.allclose(way, way[0], rtol=1e-3) and abs(-way[0] - opening - OVER) < 0.35 * opening


def test_without_an_eye_nothing_is_guessed() -> None:
    graph, basis = skin(0.0)
    assert needed(basis[BLINKS[0]], graph) is None and needed(np.zeros_like(basis[0]), graph) is None
    assert np.isclose(closed(basis, graph)[BLINKS[0]].min(), UNKNOWN * basis[BLINKS[0]].min(), rtol=1e-3)
