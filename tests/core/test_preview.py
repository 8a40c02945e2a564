"""Pictures of styles: the same sounds in each, so that what differs is the style."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from style_clips import model

from ptalker_blender.core.channels import CHANNELS, INDEX
from ptalker_blender.core.preview import INSIDE, SIZE, mouth, preview
from ptalker_blender.core.runtime import ASSETS
from ptalker_blender.core.styles import find


def drawn(png: bytes) -> np.ndarray:
    """[4, SIZE, SIZE, 3]: open, round, wide, shut."""
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG" and image.size == (2 * SIZE, 2 * SIZE)
        pixels = np.asarray(image.convert("RGB"), float)
    return np.stack([pixels[y : y + SIZE, x : x + SIZE] for y in (0, SIZE) for x in (0, SIZE)])


def dark(pixels: np.ndarray) -> float:
    """How many pixels of the middle show the inside of the mouth."""
    return float((np.abs(pixels[10:54] - INSIDE).max(-1) < 40).sum())


def test_the_mouth_shows_what_the_weights_say() -> None:
    skin = model().rigger.skin
    assert skin is not None
    inside = []
    for jaw in (0.0, 0.2, 0.5):
        weights = np.zeros(len(CHANNELS))
        weights[INDEX["jawOpen"]] = jaw
        inside.append(dark(np.asarray(mouth(skin, weights), float)))
    assert 2 * inside[0] < inside[1] and 2 * inside[1] < inside[2], inside
    left = np.zeros(len(CHANNELS))
    left[INDEX["mouthSmileLeft"]] = 1.0
    change = np.abs(np.asarray(mouth(skin, left), float) - np.asarray(mouth(skin, 0 * left), float)).sum((0, 2))
    assert change[SIZE // 2 :].sum() > 2 * change[: SIZE // 2].sum(), "the character's left is on the right"


def test_a_style_is_seen_in_its_picture() -> None:
    shown = {}
    for name in ("neutral", "big jaw", "mumbled"):
        network = model().network
        shown[name] = drawn(preview(model(), find(name, network.styles, model().fingerprint, network.personal)))
    assert dark(shown["mumbled"][0]) < dark(shown["neutral"][0]) < dark(shown["big jaw"][0])
    assert dark(shown["neutral"][3]) < 0.3 * dark(shown["neutral"][0])


def test_pictures_ship_with_the_built_in_styles() -> None:
    """And are of these weights: a picture drawn now is the one that ships, but for rounding."""
    names = {path.stem for path in (ASSETS / "styles").glob("*.png")}
    assert names == set(model().network.styles) - {"natural", "teacher"}
    network = model().network
    now = drawn(preview(model(), find("clear", network.styles, model().fingerprint, network.personal)))
    assert np.abs(now - drawn((ASSETS / "styles" / "clear.png").read_bytes())).mean() < 2
