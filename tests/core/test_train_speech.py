"""The speech encoder is trained on a tiny corpus and comes out as a folder that everything else loads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_corpus import write_corpus

from ptalker_blender.core.data.corpus import fit_all, original_encoder
from ptalker_blender.core.speech import SpeechEncoder
from ptalker_blender.core.train.loop import LoopSettings, fit
from ptalker_blender.core.train.speech import SpeechTask, mask_bands


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> SpeechTask:
    data, fits = write_corpus(tmp_path_factory.mktemp("data")), tmp_path_factory.mktemp("fits")
    fit_all(data, fits)
    torch.manual_seed(0)
    return SpeechTask(original_encoder(data), original_encoder(data), data, fits, size=2, most=2)


def test_training_hears_phones_better_and_saves_a_folder(task: SpeechTask, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    batch = task.batch(rng)
    before = {k: float(v) for k, v in task.losses(batch).items()}
    settings = LoopSettings(steps=12, every=12, rate=2e-3, warmup=1, threads=1, device="cpu")
    figures = fit(task, settings, tmp_path, file="probe.safetensors")
    after = {k: float(v) for k, v in task.losses(batch).items()}
    assert after["phone"] < before["phone"] and after["face"] < before["face"]
    assert {"dev", "dev_unseen_speaker", "speech", "foreign", "score"} <= figures.keys()
    encoder = SpeechEncoder.from_folder(tmp_path / "speech_encoder")
    assert encoder.encode(np.zeros(16000, np.float32)).shape == (50, task.speech.channels)
    assert (tmp_path / "probe.safetensors").is_file()


def test_the_same_draw_is_the_same_batch(task: SpeechTask) -> None:
    a, b = (task.batch(np.random.default_rng(5)) for _ in range(2))
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_original_is_not_trained(task: SpeechTask) -> None:
    assert not any(p.requires_grad for p in task.original.parameters())


def test_masked_bands_lose_their_pattern() -> None:
    mel = torch.randn(4, 80, 50)
    out = mask_bands(mel, np.random.default_rng(1))
    changed = (out != mel).any(-1)
    assert changed.any() and not changed.all()
    assert out[changed].std(-1).max() < 1e-5
