"""The runtime with the shipped weights: what speech does to the face, and that chunks, rates and styles hold."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from ptalker_blender.core import SAMPLE_RATE, runtime
from ptalker_blender.core.audio import load_audio
from ptalker_blender.core.channels import CHANNELS, INDEX, LOWER_FACE
from ptalker_blender.core.errors import Cancelled, PTalkerError
from ptalker_blender.core.model.config import Config
from ptalker_blender.core.model.ptalker import PTalker as Network
from ptalker_blender.core.styles import save_style

DEMO = Path(__file__).resolve().parents[2] / "demo" / "speech" / "demo.ogg"


@pytest.fixture(scope="module")
def model() -> runtime.PTalker:
    return runtime.PTalker.load(device="cpu")


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return load_audio(DEMO)


def test_weights_are_the_contract(model: runtime.PTalker, speech: np.ndarray) -> None:
    for fps in (23.976, 25.0, 60.0):
        w = model.generate(speech, fps)
        assert w.shape == (round(len(speech) / SAMPLE_RATE * fps), len(CHANNELS)) and w.dtype == np.float32
        assert np.isfinite(w).all() and w.min() >= 0 and w.max() <= 1


def test_the_jaw_opens_in_speech_and_rests_in_silence(model: runtime.PTalker, speech: np.ndarray) -> None:
    still = np.zeros(3 * SAMPLE_RATE, np.float32)
    w = model.generate(np.concatenate([still, speech, still]), 25.0)
    assert w[85:-85, INDEX["jawOpen"]].max() > 0.2
    assert w[10:60][:, list(LOWER_FACE)].max() < 0.1
    assert w[-60:][:, list(LOWER_FACE)].max() < 0.1


def test_noise_is_no_speech(model: runtime.PTalker) -> None:
    hiss = np.random.default_rng(0).standard_normal(4 * SAMPLE_RATE).astype(np.float32)
    for level in (0.002, 0.02, 0.2):
        assert model.generate(hiss * level, 25.0)[:, INDEX["jawOpen"]].max() < 0.15


def test_what_is_heard_first_does_not_depend_on_what_follows(model: runtime.PTalker, speech: np.ndarray) -> None:
    """A stream gives what the whole clip gives: 5 s before the end, nothing beyond the end can be heard."""
    whole = model.generate(np.concatenate([speech, speech, speech]), 25.0)
    part = model.generate(np.concatenate([speech, speech]), 25.0)
    sure = len(part) - 25 * 14  # one window of the encoder and the decoder's reach
    assert np.abs(whole[:sure] - part[:sure]).max() < 1e-3


def test_frame_rates_agree(model: runtime.PTalker, speech: np.ndarray) -> None:
    slow, fast = model.generate(speech, 30.0), model.generate(speech, 60.0)
    jaw = INDEX["jawOpen"]
    n = min(len(slow), len(fast[::2]))
    assert np.corrcoef(slow[:n, jaw], fast[::2][:n, jaw])[0, 1] > 0.98


def test_seed_is_a_take(model: runtime.PTalker, speech: np.ndarray) -> None:
    one, again, other = (model.generate(speech, 25.0, seed=s) for s in (1, 1, 2))
    assert np.array_equal(one, again)
    assert np.abs(one - other).max() > 0.1
    assert np.array_equal(one[:, list(LOWER_FACE)], other[:, list(LOWER_FACE)])


def test_styles_act_and_zero_strength_is_neutral(model: runtime.PTalker, speech: np.ndarray, tmp_path: Path) -> None:
    neutral = model.generate(speech, 25.0)
    path = tmp_path / "far.safetensors"
    save_style(path, model.network.styles["neutral"] + 1.5, "far")
    styled = model.generate(speech, 25.0, style=path)
    assert np.abs(styled - neutral).mean() > 0.002
    assert np.allclose(model.generate(speech, 25.0, style=path, strength=0.0), neutral, atol=1e-5)
    with pytest.raises(PTalkerError) as unknown:
        model.generate(speech, 25.0, style="no such style")
    assert unknown.value.code == "style_unknown"
    path.write_bytes(b"nothing")
    with pytest.raises(PTalkerError) as damaged:
        model.generate(speech, 25.0, style=path)
    assert damaged.value.code == "style_unreadable"


def test_cancel(model: runtime.PTalker, speech: np.ndarray) -> None:
    with pytest.raises(Cancelled):
        model.generate(np.tile(speech, 10), 25.0, cancelled=lambda: True)


def test_empty_and_tiny_audio(model: runtime.PTalker) -> None:
    for n in (0, 1, 400, 5000):
        assert model.generate(np.zeros(n, np.float32), 24.0).shape == (round(n / SAMPLE_RATE * 24), len(CHANNELS))


def test_damage_is_seen(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"x")
    (tmp_path / "SHA256SUMS").write_text("0" * 64 + "  a.safetensors\n")
    with pytest.raises(PTalkerError) as damaged:
        runtime.check_sums(tmp_path)
    assert damaged.value.code == "checkpoint_broken"
    runtime.check_sums(runtime.ASSETS)
    (tmp_path / "a.safetensors").unlink()
    with pytest.raises(PTalkerError) as missing:
        runtime.check_sums(tmp_path)
    assert missing.value.code == "checkpoint_missing"


def test_what_training_left_is_used_where_it_lies(tmp_path: Path, model: runtime.PTalker) -> None:
    """A folder with the network alone takes the shipped speech encoder and rig head; another encoder's network is refused."""
    shutil.copy(runtime.ASSETS / "ptalker.safetensors", tmp_path)
    assert runtime.PTalker.load(tmp_path, "cpu").fingerprint == model.fingerprint
    other = Network(Config(features=64, width=32, blocks=1))
    other.save(tmp_path / "ptalker.safetensors", {})
    with pytest.raises(PTalkerError, match="hears 64 features") as error:
        runtime.PTalker.load(tmp_path, "cpu")
    assert error.value.code == "checkpoint_broken"
