"""A style at a glance: four mouths that say the same sounds in it, as a small square PNG.

The mouths are the template's skin (mesh/skin.py), drawn vertex by vertex from back to front. Which sounds: in a few seconds of
others' speech, the moments at which the neutral style opens the mouth widest, rounds it most, draws its corners farthest apart,
and closes it. So every style is seen in the same four words.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageDraw
from scipy.spatial import KDTree
from torch import Tensor

from .adapters import merged
from .channels import INDEX
from .lessons import STEP, other_content
from .styles import NEUTRAL, Style

if TYPE_CHECKING:
    from .mesh.skin import Skin
    from .runtime import PTalker

SIZE, FINE = 64, 3  # pixels of a mouth; drawn so many times as large
MIDDLE, HALF = (0.0, -0.45), 0.33  # what is seen of the face: middle and half the width, face frame
LAMP = np.array([-0.35, 0.5, 0.8]) / np.linalg.norm([-0.35, 0.5, 0.8])
SKIN, INSIDE = np.array([228, 194, 174]), (38, 22, 24)
BEHIND = 0.04  # face frame; what lies so far behind other skin when the mouth is shut, is the inside of the mouth
PIECE, PIECES, FPS = 4.0, 5, 25.0  # s of each of so many voices
SHAPES = {
    "open": {"jawOpen": 1.0},
    "round": {"mouthFunnel": 1.0, "mouthPucker": 1.0},
    "wide": {"mouthStretchLeft": 1.0, "mouthStretchRight": 1.0, "mouthSmileLeft": 1.0, "mouthSmileRight": 1.0},
    "shut": {"jawOpen": -1.0, "mouthClose": 1.0, "mouthPressLeft": 1.0, "mouthPressRight": 1.0},
}  # of which there is most in neutral's moments


def preview(model: PTalker, style: Style, cancelled: Callable[[], bool] | None = None) -> bytes:
    """PNG, 2 SIZE pixels wide and high: open, round / wide, shut. Empty where the model has no skin to draw. Raises Cancelled,
    PTalkerError (asset_missing, style_mismatch)."""
    skin = model.rigger.skin
    if skin is None:
        return b""
    heard = other_content(model, round(PIECE / STEP), cancelled)
    heard = heard[:: max(1, len(heard) // PIECES)][:PIECES]
    neutral = Style(model.network.styles[NEUTRAL].float())
    said, page = _said(model, neutral, heard), Image.new("RGB", (2 * SIZE, 2 * SIZE))
    for i, wanted in enumerate(SHAPES.values()):
        amount = np.sum([said[..., INDEX[name]] * much for name, much in wanted.items()], axis=0)
        piece, frame = np.unravel_index(int(np.argmax(amount)), amount.shape)
        weights = _said(model, style, heard[int(piece)][None])[0, frame]
        page.paste(mouth(skin, weights), (SIZE * (i % 2), SIZE * (i // 2)))
    out = io.BytesIO()
    page.save(out, "PNG", optimize=True)
    return out.getvalue()


@torch.no_grad()
def _said(model: PTalker, style: Style, heard: Tensor) -> np.ndarray:
    """content [n, N, d] in a style -> weights [n, T, K], without the first and the last second, which hear too little."""
    net = model.network
    times = torch.arange(round((PIECE - 2.0) * FPS), device=model.device) / FPS + 1.0
    at = (torch.arange(heard.shape[1], device=model.device) + 0.25) * STEP
    decoder = merged(net.decoder, style.adapter, style.name)
    z = net.finish(decoder(heard, at, style.vector.to(heard)[None].expand(len(heard), -1), times).float())
    if style.personal is not None:
        z = style.personal.to(model.device)(z, net.contact)
    return z.cpu().numpy()


def mouth(skin: Skin, weights: np.ndarray) -> Image.Image:
    """weights [K] -> the lower face in them, SIZE pixels wide and high."""
    shown, spacing = _shown(skin)
    place = skin.place[shown]
    pos, normal = place[:, :3] + np.einsum("mkc,k->mc", skin.basis[shown], weights), place[:, 3:]
    scale = SIZE * FINE / (2 * HALF)
    x, y = (pos[:, 0] - MIDDLE[0] + HALF) * scale, (MIDDLE[1] + HALF - pos[:, 1]) * scale
    reach, shade = 1.25 * scale * spacing, (0.2 + 0.8 * np.clip(normal @ LAMP, 0, 1))[:, None] * SKIN
    page = Image.new("RGB", (SIZE * FINE,) * 2, INSIDE)
    draw = ImageDraw.Draw(page)
    boxes = np.stack([x - reach, y - reach, x + reach, y + reach], 1)
    order = np.argsort(pos[:, 2])
    for box, colour in zip(boxes[order].tolist(), shade[order].astype(int).tolist(), strict=True):
        draw.ellipse(box, tuple(colour))
    return page.resize((SIZE, SIZE), Image.Resampling.LANCZOS)


@cache
def _shown(skin: Skin) -> tuple[np.ndarray, np.ndarray]:
    """Vertices [n] that are seen from the front with the mouth shut, and how far each is from its neighbours [n]."""
    place = skin.place
    aside = np.abs(place[:, :2] - MIDDLE).max(1)
    shown = np.flatnonzero((place[:, 5] > -0.1) & (aside < 1.3 * HALF))
    far, _ = KDTree(place[shown, :3]).query(place[shown, :3], k=5)
    spacing = far[:, 1:].mean(1)
    beside = KDTree(place[shown, :2]).query_ball_point(place[shown, :2], 1.5 * spacing)
    front = np.array([place[shown[near], 2].max() for near in beside])
    seen = place[shown, 2] > front - BEHIND - spacing
    return shown[seen], spacing[seen]
