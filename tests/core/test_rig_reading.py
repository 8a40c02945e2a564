"""What the rig head misreads alike on all meshes is made up for; what nobody showed stays as it was found."""

from __future__ import annotations

import numpy as np
import pytest

from ptalker_blender.core.channels import CHANNELS, INDEX, LOWER_FACE, MIRROR
from ptalker_blender.core.mesh.bounded import meant
from ptalker_blender.core.mesh.rig import Rigger
from ptalker_blender.core.train.rig_reading import reading_of

JAW, PUCKER, FUNNEL, BLINK = (INDEX[n] for n in ("jawOpen", "mouthPucker", "mouthFunnel", "eyeBlinkLeft"))


class Misreading:
    """A head on which jaws are found to open less than they do, and a third of a pucker is taken for a funnel."""

    def __init__(self, jaw: float) -> None:
        self.jaw = jaw

    def solved(self, z: np.ndarray, rest_known: bool = True) -> np.ndarray:
        found = z.copy()
        found[..., JAW] *= self.jaw
        found[..., FUNNEL] += z[..., PUCKER] / 3
        found[..., PUCKER] *= 2 / 3
        return found


@pytest.fixture
def faces() -> np.ndarray:
    rng, z = np.random.default_rng(1), np.zeros((600, len(CHANNELS)), np.float32)
    z[:, [JAW, PUCKER, FUNNEL]] = rng.uniform(0, 0.6, (600, 3))
    return z


def test_what_all_heads_misread_is_made_up_for(faces: np.ndarray) -> None:
    heads = [Misreading(0.7), Misreading(0.8)]
    reading = reading_of(heads, faces)  # type: ignore[arg-type]
    found = Misreading(0.75).solved(faces)
    assert np.abs(found - faces).max() > 0.15
    assert np.abs(meant(found, reading) - faces).max() < 0.05


def test_what_no_face_showed_stays(faces: np.ndarray) -> None:
    reading = reading_of([Misreading(0.7)], faces)  # type: ignore[list-item,arg-type]
    z = np.zeros((1, len(CHANNELS)), np.float32)
    z[0, [INDEX["cheekPuff"], INDEX["jawLeft"], BLINK]] = 0.4
    assert np.allclose(meant(z, reading), z, atol=1e-4)


def test_weights_stay_weights(faces: np.ndarray) -> None:
    reading = 3 * np.eye(len(LOWER_FACE), dtype=np.float32)
    out = meant(faces, reading)
    assert out.max() <= 1 and out.min() >= 0


def test_the_shipped_rig_head_knows_how_it_errs() -> None:
    reading = Rigger.load().reading
    assert reading is not None and reading.shape == (len(LOWER_FACE), len(LOWER_FACE))
    other = [LOWER_FACE.index(MIRROR[i]) for i in LOWER_FACE]
    assert np.allclose(reading, reading[np.ix_(other, other)], atol=1e-3)  # left as right
    assert 0.05 < np.abs(np.diag(reading) - 1).mean() < 0.5
