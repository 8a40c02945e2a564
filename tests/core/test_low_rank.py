"""Motion as a few shapes with curves: bounds, the errors that are told, masks."""

from __future__ import annotations

import numpy as np
import pytest

from ptalker_blender.scene.low_rank import decompose


@pytest.fixture
def motion() -> tuple[np.ndarray, np.ndarray]:
    """positions [80, 300, 3] of six shapes with smooth curves, rest [300, 3]."""
    rng = np.random.default_rng(0)
    rest = rng.normal(0, 1, (300, 3)).astype(np.float32)
    shapes = rng.normal(0, 0.1, (6, 300, 3)) / np.arange(1, 7)[:, None, None]
    time = np.linspace(0, 6, 80)
    curves = np.stack([0.5 + 0.5 * np.sin(time * (k + 1) + k) for k in range(6)], axis=1)
    return (rest + np.einsum("tk,kvc->tvc", curves, shapes)).astype(np.float32), rest


@pytest.mark.parametrize("count", [1, 3, 7, 40])
def test_error_is_what_is_told(motion: tuple[np.ndarray, np.ndarray], count: int) -> None:
    positions, rest = motion
    found = decompose(positions, rest, count)
    made = rest + np.einsum("tk,kvc->tvc", found.weights, found.shapes)
    left = np.linalg.norm(made - positions, axis=2)
    assert found.weights.min() >= 0 and found.weights.max() <= 1.0001 and len(found.shapes) <= count
    assert left.max() == pytest.approx(found.worst, abs=1e-5)
    assert np.sqrt((left**2).mean()) == pytest.approx(found.rms, abs=1e-5)
    if count >= 7:
        assert found.worst < 1e-4 and len(found.shapes) == 7


def test_more_is_closer(motion: tuple[np.ndarray, np.ndarray]) -> None:
    errors = [decompose(*motion, count).rms for count in (1, 2, 4, 6)]
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.3 * errors[0]


def test_masks_and_stillness(motion: tuple[np.ndarray, np.ndarray]) -> None:
    positions, rest = motion
    mask = np.zeros(300, np.float32)
    mask[:50] = 0.5
    found = decompose(positions, rest, 7, mask)
    made = np.einsum("tk,kvc->tvc", found.weights, found.shapes)
    assert not made[:, 50:].any() and np.allclose(made[:, :50], 0.5 * (positions - rest)[:, :50], atol=1e-4)
    assert len(decompose(np.repeat(rest[None], 5, 0), rest, 4).shapes) == 0
