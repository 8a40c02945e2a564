"""Near lips meet, open lips are left alone, and nothing jumps in between."""

from __future__ import annotations

import pytest
import torch

from ptalker_blender.core.channels import CHANNELS, INDEX, UPPER_FACE
from ptalker_blender.core.data.teacher import default_parameters
from ptalker_blender.core.model.contact import NARROW, Contact


@pytest.fixture(scope="module")
def contact() -> Contact:
    out = Contact()
    out.gap.copy_(torch.from_numpy(default_parameters()[0].gap))
    return out


def opened(jaw: torch.Tensor) -> torch.Tensor:
    """Weights [n, K] with the jaw open by ``jaw`` [n]."""
    z = torch.zeros(len(jaw), len(CHANNELS))
    z[:, INDEX["jawOpen"]] = jaw
    return z


def height(contact: Contact, z: torch.Tensor) -> torch.Tensor:
    return (z @ contact.gap)[..., 0]


def test_a_narrow_gap_closes_in_height_and_depth(contact: Contact) -> None:
    z = opened(torch.tensor([0.01]))  # 0.3 mm
    z[:, INDEX["mouthLowerDownLeft"]] = z[:, INDEX["mouthLowerDownRight"]] = 0.02
    before, after = z @ contact.gap, contact(z) @ contact.gap
    assert before[0, 0] > 0.04
    assert after[0, 0] < 0.25 * before[0, 0]
    assert after[0].norm() < 0.4 * before[0].norm()


def test_lips_that_are_apart_stay(contact: Contact) -> None:
    z = opened(torch.tensor([0.0, 0.1, 0.3, 1.0]))
    assert torch.allclose(contact(z), z, atol=1e-3)


def test_the_gap_grows_with_the_jaw_all_along(contact: Contact) -> None:
    jaw = torch.linspace(0, 0.2, 200)
    gap = height(contact, contact(opened(jaw)))
    assert (torch.diff(gap) > -1e-4).all()
    assert torch.diff(gap).max() < 4 * float(height(contact, opened(jaw)).max()) / len(jaw)
    assert (gap > -0.01).all(), "lips never cross"


def test_weights_stay_in_range_and_the_upper_face_stays(contact: Contact) -> None:
    torch.manual_seed(0)
    z = torch.rand(500, len(CHANNELS)) * (torch.rand(500, 1) * 0.3)
    out = contact(z)
    assert float(out.min()) >= 0 and float(out.max()) <= 1
    assert torch.equal(out[:, list(UPPER_FACE)], z[:, list(UPPER_FACE)])
    small = height(contact, z).abs() < NARROW / 2
    assert height(contact, out)[small].abs().mean() < 0.6 * height(contact, z)[small].abs().mean()


def test_both_sides_do_the_same(contact: Contact) -> None:
    z = opened(torch.tensor([0.02]))
    z[:, INDEX["mouthLowerDownLeft"]] = z[:, INDEX["mouthLowerDownRight"]] = 0.1
    out = contact(z)[0]
    for name in ("mouthLowerDown", "mouthUpperUp"):
        assert abs(float(out[INDEX[name + "Left"]] - out[INDEX[name + "Right"]])) < 2e-3


def test_gradients_pass(contact: Contact) -> None:
    z = opened(torch.tensor([0.02, 0.05])).requires_grad_()
    contact(z).square().sum().backward()
    assert z.grad is not None and torch.isfinite(z.grad).all()


def test_without_a_known_gap_nothing_is_done() -> None:
    z = torch.rand(5, len(CHANNELS)) * 0.01
    assert torch.equal(Contact()(z), z)


def test_half_precision_round_about_does_not_matter(contact: Contact) -> None:
    z = opened(torch.tensor([0.01, 0.02, 0.3]))
    with torch.autocast("cpu", torch.bfloat16):
        half = contact(z)
    assert half.dtype == torch.float32 and torch.equal(half, contact(z))
