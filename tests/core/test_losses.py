"""Each loss must prefer what it is there for."""

from __future__ import annotations

import torch

from ptalker_blender.core import losses


def test_vertex_loss_is_the_weighted_vertex_error() -> None:
    torch.manual_seed(0)
    basis, weight = torch.randn(6, 50, 3), torch.rand(50)
    z, target = torch.randn(1, 4, 6), torch.randn(1, 4, 6)
    root = losses.factor(basis, weight)[None]
    error = torch.einsum("btk,kvc->btvc", z - target, basis).square().sum(-1)
    direct = (error * weight / weight.sum()).sum(-1).mean()
    assert torch.allclose(losses.vertex_loss(z, target, root, torch.ones(1, 4)), direct, rtol=1e-4)


def test_contrastive_tells_aligned_from_shuffled() -> None:
    torch.manual_seed(0)
    a = torch.randn(64, 16)
    aligned = losses.contrastive_loss(a, a + 0.1 * torch.randn(64, 16), 16)
    shuffled = losses.contrastive_loss(a, a.roll(1, 0), 16)
    assert aligned < 0.2 < 2.0 < shuffled


def test_kl_is_zero_for_equal_clips_and_symmetric() -> None:
    torch.manual_seed(0)
    a, b = torch.randn(2, 30, 8), torch.randn(2, 30, 8) * 2 + 1
    assert losses.gaussian_kl(a, a) < 1e-6
    assert torch.allclose(losses.gaussian_kl(a, b), losses.gaussian_kl(b, a))
    assert losses.gaussian_kl(a, b) > 0.3


def test_info_nce_pulls_the_same_style_together() -> None:
    x = torch.eye(8)
    assert losses.info_nce(x, x) < losses.info_nce(x, torch.ones(8, 8)) < losses.info_nce(x, x.roll(1, 0))


def test_gap_loss_weighs_closures() -> None:
    mask = torch.ones(1, 1)
    closed = losses.gap_loss(torch.full((1, 1), 0.3), torch.zeros(1, 1), mask, 0.3)
    opened = losses.gap_loss(torch.full((1, 1), 2.3), torch.full((1, 1), 2.0), mask, 0.3)
    assert closed > 3 * opened


def test_correlation_ignores_scale_and_still_clips() -> None:
    t = torch.linspace(0, 6, 50)[None]
    mask = torch.ones_like(t)
    assert losses.correlation_loss(3 * t.sin() + 1, t.sin(), mask) < 1e-3
    assert losses.correlation_loss(-t.sin(), t.sin(), mask) > 1.9
    assert losses.correlation_loss(t.sin(), torch.zeros_like(t), mask) == 0


def test_reversed_gradient() -> None:
    x = torch.ones(3, requires_grad=True)
    (2 * losses.reverse_gradient(x)).sum().backward()
    assert x.grad is not None and torch.equal(x.grad, torch.full((3,), -2.0))


def test_orthogonality_sees_dependence() -> None:
    torch.manual_seed(0)
    s = torch.randn(200, 4)
    assert losses.orthogonality(s, s) > 5 * losses.orthogonality(s, torch.randn(200, 4))
