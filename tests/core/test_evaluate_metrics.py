"""Each formula against numbers that can be worked out by hand, or against the formula written out again in loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ptalker_blender.core.evaluate import lips, metrics
from ptalker_blender.core.evaluate.sets import Face, Mouth

LIPS, UPPER = np.array([0, 2, 3]), np.array([1, 4])


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    """(ours, truth) [7, 5, 3]"""
    rng = np.random.default_rng(3)
    return rng.normal(size=(7, 5, 3)), rng.normal(size=(7, 5, 3))


def test_lip_vertex_error_by_hand() -> None:
    true = np.zeros((2, 5, 3))
    pred = np.zeros((2, 5, 3))
    pred[0, 0], pred[0, 2] = (1, 2, 2), (0, 3, 0)  # squared 9 and 9
    pred[1, 3], pred[1, 1] = (0, 0, 2), (100, 0, 0)  # squared 4; vertex 1 is no lip
    assert metrics.lip_errors(pred, true, LIPS).tolist() == [9, 4]


def test_lip_vertex_error_is_that_of_torchmetrics(pair: tuple[np.ndarray, np.ndarray]) -> None:
    """torchmetrics.functional.multimodal.lip_vertex_error, written out."""
    pred, true = (torch.from_numpy(x) for x in pair)
    squares = ((true[:, LIPS.tolist(), :] - pred[:, LIPS.tolist(), :]) ** 2).sum(dim=-1)
    expected = torch.mean(torch.max(squares, dim=1).values)
    assert metrics.lip_errors(*pair, LIPS).mean() == pytest.approx(float(expected), rel=1e-12)


def test_upper_face_dynamics_deviation_is_that_of_torchmetrics(pair: tuple[np.ndarray, np.ndarray]) -> None:
    """torchmetrics.functional.multimodal.upper_face_dynamics_deviation, written out: population std of step lengths."""
    pred, true = pair
    spreads = []
    for x in (true, pred):
        of_vertex = []
        for v in UPPER:
            steps = [float(np.sqrt(((x[t + 1, v] - x[t, v]) ** 2).sum())) for t in range(len(x) - 1)]
            middle = sum(steps) / len(steps)
            of_vertex.append((sum((s - middle) ** 2 for s in steps) / len(steps)) ** 0.5)
        spreads.append(of_vertex)
    expected = sum(a - b for a, b in zip(*spreads, strict=True)) / len(UPPER)
    assert metrics.upper_face_dynamics_deviation(pred, true, UPPER) == pytest.approx(expected, rel=1e-12)


def test_step_error(pair: tuple[np.ndarray, np.ndarray]) -> None:
    pred, true = pair
    total = 0.0
    for t in range(6):
        for v in UPPER:
            total += float((((true[t + 1, v] - true[t, v]) - (pred[t + 1, v] - pred[t, v])) ** 2).sum())
    assert metrics.step_error(pred, true, UPPER) == pytest.approx(total / 6 / 2)


def test_signed_fdd_by_hand() -> None:
    """Squared motion of vertex 1: truth 0, 4 (std 2), ours 0, 1 (std 0.5); vertex 4 still; template not at zero."""
    template = np.arange(15.0).reshape(5, 3)
    true, pred = np.stack([template, template]), np.stack([template, template])
    true[1, 1, 0] += 2
    pred[1, 1, 2] -= 1
    assert metrics.signed_fdd(pred, true, template, UPPER) == pytest.approx((2 - 0.5) / 2)
    assert metrics.signed_fdd(true, pred, template, UPPER) == pytest.approx((0.5 - 2) / 2)


def test_mean_vertex_error_and_jerk() -> None:
    true = np.zeros((5, 4, 3))
    pred = true + np.array([0, 3, 4])
    assert metrics.vertex_errors(pred, true).tolist() == [5.0] * 5
    t = np.arange(8) / 10.0
    cubic = np.zeros((8, 2, 3))
    cubic[:, :, 1] = (t**3)[:, None]
    assert metrics.jerk(cubic, 10.0) == pytest.approx(6.0)  # d3/dt3 t^3
    assert metrics.jerk(cubic[:3], 10.0) == 0.0


def test_correlations() -> None:
    a = np.array([0.0, 1, 2, 3])
    pairs = [(a, 2 * a + 5), (a, 2 * a - 100)]
    assert metrics.pooled_r(pairs) == pytest.approx(1.0)  # clips' means do not matter
    assert metrics.pooled_r([(a, 3 * a), (a, -a)]) == pytest.approx(5 * 2 / np.sqrt(10 * 50))
    assert metrics.mean_r([(a, 3 * a), (a, -a), (a, np.ones(4))]) == pytest.approx(0.0)  # the still one does not count
    assert metrics.gain(pairs) == pytest.approx(0.5)
    assert metrics.pearson(a, np.ones(4)) == 0.0


@pytest.mark.parametrize("late", [-0.06, 0.0, 0.03])
def test_lag(late: float) -> None:
    t = np.arange(200) / 25
    wave = lambda s: np.sin(5 * s) + 0.5 * np.sin(11.3 * s)  # noqa: E731
    curve = metrics.lag_curve([(wave(t - late), wave(t))], 25.0)
    assert metrics.LAGS[int(curve.argmax())] == round(late * 1000)
    assert curve.max() > 0.99


def test_closures() -> None:
    times = np.arange(101) / 100
    gap = np.full(101, 10.0)
    gap[30:33], gap[60:63], gap[90] = 0.7, 0.9, 0.1
    phones = [["p", 0.26, 0.38], ["ɑ", 0.38, 0.5], ["bː", 0.58, 0.64], ["m", 0.8, 0.86], ["m", 3.0, 3.1], ["??", 0, 1]]
    # the limit is 8 % of 10; the second is above it, the third is 70 ms from its phone's middle, the fourth has no frames
    assert metrics.closures(gap, times, phones) == [True, False, False]
    assert metrics.closures(gap, times, phones, floor=0.1) == [True, False, False]
    assert metrics.closures(gap, times, phones, floor=0.5) == [True, True, False]
    assert metrics.closures(gap[:2], times[:2], phones) == []


def test_auc() -> None:
    positive, negative = [3.0, 1.0, 2.0], [0.0, 2.0]
    wins = [(p > n) + 0.5 * (p == n) for p in positive for n in negative]
    assert metrics.auc(positive, negative) == pytest.approx(sum(wins) / 6)
    assert metrics.auc([1.0], []) == 0.5


def test_retrieval_and_triples() -> None:
    assert metrics.retrieval(np.array([[0.9, 0.1], [0.8, 0.2]])) == 0.5
    styles = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]])
    words = np.array([[0.2, 0.1, 0], [0, -0.1, 0.2]])
    by_style = styles[:, None] + 0.5 * words
    assert metrics.triples(by_style) == 1.0
    by_words = 0.01 * styles[:, None] + np.eye(2, 3)[None]
    assert metrics.triples(by_words) == 0.0


def test_lip_signals() -> None:
    """A mouth of two pairs: opened 4 units down and 3 back, corners drawn in by 1 each, chin down by 2; 10 mm a unit."""
    neutral = np.array([[0, 1, 0], [0, 0, 0], [1, 1, 0], [1, 0, 0], [-2, 0, 0], [2, 0, 0], [0, -5, 0]], np.float32)
    face = Face("a", neutral, np.arange(4), np.arange(0), 10.0, Mouth((0, 2), (1, 3), (4, 5), 6))
    moved = neutral.copy()
    moved[[1, 3]] += (0, -3, 0)
    moved[[1, 3], 2] -= 3
    moved[4, 0], moved[5, 0] = -1, 1
    moved[6, 1] -= 2
    s = lips.signals(np.stack([neutral, moved]), face)
    np.testing.assert_allclose(s.gap, [0, 40], atol=1e-5)  # |(0, 4, 3)| = 5, 1 at rest
    np.testing.assert_allclose(s.height, [0, 30], atol=1e-5)
    np.testing.assert_allclose(s.width, [0, -20], atol=1e-5)
    np.testing.assert_allclose(s.jaw, [0, 20], atol=1e-5)


def test_narrowness() -> None:
    width = np.linspace(0, 10, 11)  # at 10 fps
    phones = [["u", 0.2, 0.4], ["iː", 0.55, 0.75], ["t", 0.8, 0.9], ["ɑ̃", 5.0, 6.0]]
    rounded, plain = lips.narrowness(width, 10.0, phones)
    assert rounded == pytest.approx([-3.0]) and plain == pytest.approx([-6.5])
