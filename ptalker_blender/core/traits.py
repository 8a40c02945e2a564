"""What a style says, in words: its first numbers are habits that an observer could name (core/data/teacher_style.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from .data.teacher_style import SHOWN

if TYPE_CHECKING:
    from .runtime import PTalker

WORDS: dict[str, tuple[str, str]] = {  # more of it, less of it
    "strength": ("articulates strongly", "articulates little"),
    "jaw": ("opens the jaw far", "keeps the jaw up"),
    "lips": ("moves the lips much", "moves the lips little"),
    "upper_share": ("raises the upper lip", "lowers the lower lip"),
    "rounding": ("rounds the lips", "hardly rounds the lips"),
    "funnel": ("funnels the lips", "puckers the lips"),
    "spread": ("spreads the corners", "keeps the corners still"),
    "smile_stretch": ("spreads by smiling", "spreads by stretching"),
    "anticipation": ("shapes sounds early", "shapes sounds late"),
    "carry_over": ("holds sounds long", "lets go of sounds soon"),
    "contrast": ("sets sounds apart", "blends sounds"),
    "closure": ("presses closed lips", "closes softly"),
    "closure_length": ("stays closed long", "opens soon"),
    "tuck": ("tucks the lip for f and v", "hardly tucks the lip"),
    "asymmetry": ("left side moves more", "right side moves more"),
    "sideways": ("draws to the left", "draws to the right"),
    "protrusion": ("pushes the jaw forward", "keeps the jaw back"),
    "rest_smile": ("rests in a smile", "does not rest in a smile"),
    "rest_frown": ("rests in a frown", "does not rest in a frown"),
    "rest_press": ("rests with pressed lips", "rests with loose lips"),
    "rest_open": ("rests with an open mouth", "rests closed"),
    "rest_dimple": ("dimples", "no dimples"),
    "sneer": ("moves the nose", "keeps the nose still"),
    "cheeks": ("cheeks rise with the smile", "cheeks stay low"),
}
CLEAR = 0.8  # spreads over people from neutral; less is not worth a word
MOST = 4


def traits(model: PTalker, style: Tensor) -> list[str]:
    """style [s] -> what is plainest in it against the neutral face, at most MOST; nothing where styles have no names."""
    if not model.card.get("recipe", {}).get("weights", {}).get("style_habits", 0.0):
        return []
    styles = model.network.styles
    apart = (style.cpu() - styles.get("natural", styles["neutral"]).float().cpu()).tolist()  # as the model reads it
    found = sorted(zip(apart, SHOWN, strict=False), key=lambda pair: -abs(pair[0]))[:MOST]
    return [WORDS[name][0 if by > 0 else 1] for by, name in found if abs(by) >= CLEAR]
