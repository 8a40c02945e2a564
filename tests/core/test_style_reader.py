"""The motion encoder is taught to read styles alone, from references of a tiny corpus."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_corpus import write_corpus

from ptalker_blender.core.data.corpus import fit_all
from ptalker_blender.core.data.teacher import TeacherStyle
from ptalker_blender.core.data.teacher_style import TOLD
from ptalker_blender.core.model.config import Config
from ptalker_blender.core.model.ptalker import PTalker
from ptalker_blender.core.train.loop import LoopSettings, fit
from ptalker_blender.core.train.motion import habits_loss, style_of_habits
from ptalker_blender.core.train.style_reader import StyleTask


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> StyleTask:
    data, corpus = write_corpus(tmp_path_factory.mktemp("data")), tmp_path_factory.mktemp("corpus")
    fit_all(data, corpus / "fits")
    torch.manual_seed(0)
    model = corpus / "model.safetensors"
    PTalker(Config(features=8, width=16, blocks=1, node_width=8, frame_width=16)).save(model, {})
    np.save(corpus / "dev_real.npy", np.zeros((0, 400, 8), np.float16))
    (corpus / "dev_real.jsonl").write_text("")
    return StyleTask(model, data, corpus, corpus / "fits")


def test_styles_are_read_better_and_the_rest_of_the_model_stays(task: StyleTask, tmp_path: Path) -> None:
    before = {k: v.clone() for k, v in task.net.state_dict().items()}
    modules = {k: m.eval() for k, m in task.modules.items()}
    with torch.no_grad():
        told = task.validate(modules)["told"]
    settings = LoopSettings(steps=12, every=12, rate=1e-2, warmup=2, threads=1, device="cpu", optimiser="muon", ema=0.9)
    figures = fit(task, settings, tmp_path)
    assert figures["told"] > told + 0.02
    after, _ = PTalker.load(tmp_path / "ptalker.safetensors")
    changed = {k for k, v in after.state_dict().items() if not torch.equal(v, before[k])}
    assert changed and all(k.startswith("motion.") for k in changed)


def test_tracks_say_who_but_not_which_habits(task: StyleTask) -> None:
    batch = task.batch(np.random.default_rng(0))
    unknown = batch["habits"].isnan().all(1)
    assert unknown.sum() == 10 and unknown[:10].all() and batch["habits"][10:].isfinite().all()
    assert len(batch["ref_a"]) == len(batch["ref_b"]) == len(batch["habits"]) == 40
    assert set(task.losses(batch)) == set(task.weights)


def test_a_style_says_the_habits_first() -> None:
    habits = torch.from_numpy(np.stack([TeacherStyle(jaw=1.5).told(), np.full(TOLD, np.nan, np.float32)]))
    style = style_of_habits(habits, TOLD + 8)
    assert style.shape == (2, TOLD + 8) and style[0, 1] == pytest.approx(2.0) and style[0].abs().sum() == pytest.approx(2.0)
    assert style[1, :TOLD].isnan().all()
    assert style_of_habits(habits, 8).shape == (2, 8)
    assert habits_loss(style.nan_to_num(5.0), habits) == 0, "what is unknown does not count"
    assert habits_loss(torch.zeros(2, TOLD + 8), habits) == pytest.approx(4 / TOLD)
