"""Styles in words."""

from __future__ import annotations

import pytest
import torch

from ptalker_blender.core.data.teacher_style import RANGES, SHOWN
from ptalker_blender.core.runtime import PTalker
from ptalker_blender.core.train.built_in_styles import PRESETS
from ptalker_blender.core.traits import MOST, WORDS, traits


@pytest.fixture(scope="module")
def model() -> PTalker:
    return PTalker.load(device="cpu")


def test_every_habit_of_the_lower_face_has_words() -> None:
    assert tuple(WORDS) == SHOWN and set(SHOWN) < set(RANGES)
    assert all(more and less and more != less for more, less in WORDS.values())


def test_built_in_styles_say_what_their_presets_ask_for(model: PTalker) -> None:
    styles = {name: style.float() for name, style in model.network.styles.items()}
    for name, preset in PRESETS.items():
        said = traits(model, styles["natural"] + styles[name] - styles["neutral"])
        told = {k: (v - RANGES[k][0]) / RANGES[k][3] for k, v in preset.items()}
        wanted = sorted((k for k in told if abs(told[k]) >= 1), key=lambda k: -abs(told[k]))[:MOST]
        assert 1 <= len(said) <= MOST
        assert WORDS[wanted[0]][0 if told[wanted[0]] > 0 else 1] == said[0], name


def test_neutral_says_nothing_nor_do_numbers_without_names(model: PTalker, monkeypatch: pytest.MonkeyPatch) -> None:
    assert traits(model, model.network.styles["natural"].float()) == []
    monkeypatch.setitem(model.card["recipe"], "weights", {"style_habits": 0.0})
    assert traits(model, torch.full((32,), 3.0)) == []
