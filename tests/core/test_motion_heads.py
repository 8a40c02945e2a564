"""The heads that the motion encoder sees in training: unlike each other, and each with shapes that are its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_head import tiny_head, write_head

from ptalker_blender.core.channels import INDEX, LOWER_FACE
from ptalker_blender.core.train import motion_heads as mh
from ptalker_blender.core.train.rig_heads import CENTRE, UNIT


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("heads") / "ict.npz"
    write_head(path)
    return path


@pytest.fixture
def mesh() -> mh.Shaped:
    head = tiny_head()
    neutral = (head["neutral"] - CENTRE) / UNIT
    return mh.Shaped(neutral, head["quads"].astype(np.int64), head["arkit"].astype(np.float32) / UNIT, neutral)


def chin(mesh: mh.Shaped) -> np.ndarray:
    """Where jawOpen moves the vertices in the lower middle of the canonical head: mean displacement [3]."""
    near = np.linalg.norm(mesh.place[:, :2] - np.array([0.0, -0.6]), axis=1) < 0.25
    return mesh.basis[INDEX["jawOpen"]][near].mean(0)


def test_heads_differ_and_keep_their_shapes(file: Path) -> None:
    heads = mh.motion_heads(file, 6, seed=3)
    assert len({len(h.graph["pos"]) for h in heads}) > 3
    for h in heads:
        pos, basis = h.graph["pos"], h.basis
        assert basis.shape == (52, len(pos), 3) and int(h.graph["edges"].max()) < len(pos)
        low = pos[:, 1] < pos[:, 1].quantile(0.35)
        jaw = basis[INDEX["jawOpen"]]
        size = jaw.norm(dim=-1)
        assert float(jaw[low, 1].mean()) < -0.02 and float(size[low].mean()) > 3 * float(size[~low].mean())
        for side, sign in (("Left", 1), ("Right", -1)):
            strongest = basis[INDEX[f"mouthSmile{side}"]].norm(dim=-1).argmax()
            assert float(pos[strongest, 0]) * sign > 0, f"{h.name}: the {side} corner is on the {side} side"
    again = mh.motion_heads(file, 6, seed=3)
    assert all(torch.equal(a.basis, b.basis) for a, b in zip(heads, again, strict=True))


def test_shapes_follow_a_warp_by_its_jacobian(mesh: mh.Shaped) -> None:
    """A vertex that a small shape moves is, after the warp, where the warp takes the moved vertex."""
    small = 1e-4
    channel = INDEX["jawOpen"]
    moved = replace(mesh, vertices=mesh.vertices + small * mesh.basis[channel])
    a, b = (mh.warped(m, np.random.default_rng(5), 1.0) for m in (mesh, moved))
    assert np.abs(a.vertices - mesh.vertices).max() > 0.02
    assert np.abs((b.vertices - a.vertices) / small - a.basis[channel]).max() < 0.01 * np.abs(a.basis[channel]).max()
    still = mh.warped(mesh, np.random.default_rng(5), 0.0)
    assert np.allclose(still.vertices, mesh.vertices) and np.allclose(still.basis, mesh.basis)


def test_thinning_keeps_the_slit_of_the_mouth(mesh: mh.Shaped) -> None:
    thin = mh.thinned(mesh, 0.12)
    assert len(thin.vertices) < 0.8 * len(mesh.vertices) and thin.faces.shape[1] == 3
    corners = thin.place[thin.faces]
    across = (corners[:, :, 1] > -0.331).any(1) & (corners[:, :, 1] < -0.337).any(1)
    assert (np.abs(corners[across, :, 0]).max(1) > 0.2).all(), "lips are joined at their corners only"
    assert np.allclose(chin(thin), chin(mesh), atol=0.06)


def test_order_and_sides_do_not_change_what_a_shape_does(mesh: mh.Shaped) -> None:
    mixed = mh.shuffled(mesh, np.random.default_rng(1))
    assert not np.allclose(mixed.vertices, mesh.vertices) and np.allclose(chin(mixed), chin(mesh))
    for seed in range(4):  # mirrored or not
        placed = mh.framed(mesh, np.random.default_rng(seed))
        where = placed.vertices[np.linalg.norm(placed.basis[INDEX["mouthSmileLeft"]], axis=-1).argmax()]
        assert where[0] > 0.1
    padded = np.array([[0, 1, 2, -1], [0, 1, 2, 3]])
    assert mh.turned(padded).tolist() == [[2, 1, 0, -1], [3, 2, 1, 0]]


def test_a_tracker_is_noisy_but_small(file: Path) -> None:
    torch.manual_seed(0)
    head = mh.motion_heads(file, 1, seed=3)[0]
    seen = mh.tracked(head.seen(torch.zeros(64, 20, 52)))
    known = seen.known > 0.5
    assert 10 < int(known.sum()) < 54, "of some clips rest is known"
    assert 0.2 * mh.JITTER < float(seen.nodes.std()) < 2 * mh.JITTER
    assert float(seen.nodes[known].mean(1).std()) > 0.3 * mh.OFFSET, "the rest pose is off by the same in all frames"
    assert seen.aligned is not None and 0.2 * mh.LOOSE < float(seen.aligned[known].std()) < 3 * mh.BIASED


def test_motion_is_read_by_the_shapes_of_the_head(file: Path) -> None:
    """Whatever the head looks like, a channel reads as that channel."""
    for head in mh.motion_heads(file, 6, seed=3):
        z = torch.zeros(1, 3, 52)
        z[0, 1, INDEX["jawOpen"]] = z[0, 2, INDEX["mouthSmileLeft"]] = 0.5
        aligned = head.seen(z).aligned
        assert aligned is not None and float(aligned[0, 0].abs().max()) == 0
        for frame, name in ((1, "jawOpen"), (2, "mouthSmileLeft")):
            assert int(aligned[0, frame].argmax()) == LOWER_FACE.index(INDEX[name])
            assert 0.1 < float(aligned[0, frame].max()) < 0.6
