"""Training losses of PTalker. Weights z are [B, T, K]; ``mask`` [B, T] is 0 where nothing is known."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean of x [B, T] where mask is set."""
    return (x * mask).sum() / mask.sum().clamp(min=1e-6)


def vertex_loss(z: Tensor, target: Tensor, root: Tensor, mask: Tensor) -> Tensor:
    """Mean over meshes of the weighted squared vertex error, without making the vertices.

    root [M, K, K] with root_m^T root_m = sum_v w_v B_v^T B_v (``factor``), so |root (z - z*)|^2 is that error exactly.
    """
    e = torch.einsum("mjk,btk->mbtj", root, z - target)
    return masked_mean(e.square().sum(-1).mean(0), mask)


def factor(basis: Tensor, vertex_weight: Tensor) -> Tensor:
    """basis [K, V, 3], vertex_weight [V] -> root [K, K] for ``vertex_loss``, normalised by the sum of the weights."""
    flat = (basis * (vertex_weight / vertex_weight.sum()).sqrt()[None, :, None]).flatten(1).double()
    values, vectors = torch.linalg.eigh(flat @ flat.T)
    return (vectors * values.clamp(min=0).sqrt()).T.float()


def velocity_loss(z: Tensor, target: Tensor, root: Tensor, mask: Tensor, fps: float) -> Tensor:
    """``vertex_loss`` of frame differences, in units of 1/25 s."""
    both = mask[:, 1:] * mask[:, :-1]
    return vertex_loss(torch.diff(z, dim=1), torch.diff(target, dim=1), root, both) * (fps / 25.0) ** 2


def gap_loss(gap: Tensor, target: Tensor, mask: Tensor, width: float) -> Tensor:
    """Lip gap error [B, T], weighted by 1 + 3 exp(-gap / width): closures must close. Units as ``gap``."""
    weight = 1 + 3 * torch.exp(-target.clamp(min=0) / width)
    return masked_mean(weight * F.smooth_l1_loss(gap, target, reduction="none", beta=width), mask) / width


def correlation_loss(x: Tensor, y: Tensor, mask: Tensor) -> Tensor:
    """1 - Pearson r per clip over its known frames, x and y [B, T]; clips with no movement count nothing."""
    n = mask.sum(1, keepdim=True).clamp(min=1)
    a = (x - (x * mask).sum(1, keepdim=True) / n) * mask
    b = (y - (y * mask).sum(1, keepdim=True) / n) * mask
    vy = b.square().sum(1)
    r = (a * b).sum(1) / (a.square().sum(1) * vy + 1e-8).sqrt()
    moves = (vy / n[:, 0] > 1e-5).float()
    return ((1 - r) * moves).sum() / moves.sum().clamp(min=1)


def contrastive_loss(a: Tensor, m: Tensor, hardest: int, temperature: float = 0.1) -> Tensor:
    """Top-k bidirectional InfoNCE between frame-synchronous audio and motion content.

    a, m [n, d]: row i of both is the same instant (positive); for each row the ``hardest`` most similar other rows are
    the negatives. PTalker section 3.4, with the positive by time instead of by largest similarity.
    """
    a, m = F.normalize(a, dim=-1), F.normalize(m, dim=-1)
    s = a @ m.T / temperature
    eye = torch.eye(len(s), dtype=torch.bool, device=s.device)

    def one_way(x: Tensor) -> Tensor:
        positive = x.diagonal()[:, None]
        negative = x.masked_fill(eye, float("-inf")).topk(min(hardest, len(x) - 1), dim=1).values
        return -torch.log_softmax(torch.cat([positive, negative], 1), 1)[:, 0].mean()

    return 0.5 * (one_way(s) + one_way(s.T))


def gaussian_kl(a: Tensor, m: Tensor) -> Tensor:
    """Symmetric KL between diagonal Gaussians fitted to each clip's content a, m [B, T, d] (one rate); mean over d."""
    ma, mm = a.mean(1), m.mean(1)
    va, vm = a.var(1) + 1e-2, m.var(1) + 1e-2
    d = (ma - mm).square()
    return (0.25 * ((va + d) / vm + (vm + d) / va - 2)).mean()


def info_nce(x: Tensor, y: Tensor, temperature: float = 0.1) -> Tensor:
    """Row i of x [n, s] and of y [n, s] are the same style in different words; the other rows are negatives."""
    s = F.normalize(x, dim=-1) @ F.normalize(y, dim=-1).T / temperature
    target = torch.arange(len(s), device=s.device)
    return 0.5 * (F.cross_entropy(s, target) + F.cross_entropy(s.T, target))


def orthogonality(style: Tensor, content: Tensor) -> Tensor:
    """Squared cross-correlation between style [n, s] and a clip's mean content [n, d] over the batch."""
    a = (style - style.mean(0)) / (style.std(0) + 1e-3)
    b = (content - content.mean(0)) / (content.std(0) + 1e-3)
    return (a.T @ b / len(a)).square().mean()


class ReverseGradient(torch.autograd.Function):
    """Identity forwards, gradient times -1 backwards (Ganin & Lempitsky 2015)."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx, *grad: Tensor) -> Tensor:
        return -grad[0]


def reverse_gradient(x: Tensor) -> Tensor:
    return ReverseGradient.apply(x)  # type: ignore[return-value]
