"""Augmentation may change how speech sounds, never when."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ptalker_blender.core import SAMPLE_RATE
from ptalker_blender.core.audio import load_audio
from ptalker_blender.core.data import augment
from ptalker_blender.core.data.windows import voiceless

DEMO = Path(__file__).resolve().parents[2] / "demo" / "speech" / "demo.ogg"


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return load_audio(DEMO)[: 4 * SAMPLE_RATE]


def loudness(audio: np.ndarray) -> np.ndarray:
    """RMS in 30 ms, every 5 ms."""
    return np.sqrt(np.convolve(audio**2, np.ones(480) / 480, "same"))[::80]


def lag(a: np.ndarray, b: np.ndarray) -> float:
    """Seconds by which b is later than a."""
    x, y = loudness(a), loudness(b)
    shifts = range(-12, 13)
    return 0.005 * max(shifts, key=lambda k: np.corrcoef(x[20:-20], np.roll(y, -k)[20:-20])[0, 1])


def brightness(audio: np.ndarray) -> float:
    """Centre of gravity of the spectrum, Hz."""
    power = np.abs(np.fft.rfft(audio)) ** 2
    return float((power * np.fft.rfftfreq(len(audio), 1 / SAMPLE_RATE)).sum() / power.sum())


@pytest.mark.parametrize("factor", [0.85, 1.2, 1.4])
def test_another_voice_says_it_at_the_same_time(speech: np.ndarray, factor: float) -> None:
    other = augment.other_voice(speech, factor)
    assert len(other) == len(speech)
    assert abs(lag(speech, other)) <= 0.01
    assert (brightness(other) > brightness(speech)) == (factor > 1)


def test_speed_returns_what_it_did(speech: np.ndarray) -> None:
    faster, factor = augment.speed(speech, 1.123)
    assert factor == pytest.approx(1.12) and len(faster) == pytest.approx(len(speech) / factor, abs=2)


def test_a_recording_chain_keeps_time(speech: np.ndarray) -> None:
    rng = np.random.default_rng(3)
    for _ in range(12):
        heard = augment.degrade(speech, rng)
        assert heard.dtype == np.float32 and np.isfinite(heard).all() and np.abs(heard).max() <= 1.01
        assert abs(lag(speech, heard)) <= 0.03  # a room smears what it hears


def test_codecs_lose_something_and_keep_time(speech: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    for codec in augment.CODECS:
        monkeypatch.setattr(augment, "CODECS", [codec])
        heard = augment.compressed(speech, np.random.default_rng(1))
        assert len(heard) == len(speech) and abs(lag(speech, heard)) <= 0.002, codec
        assert 0.8 < np.corrcoef(speech, heard)[0, 1] < 0.9999, codec


def test_voiceless_windows_are_sound_without_speech() -> None:
    rng = np.random.default_rng(0)
    for kind in range(5):
        audio = voiceless(kind, rng)
        assert len(audio) == 8 * SAMPLE_RATE and np.isfinite(audio).all()
        assert (np.abs(audio).max() == 0) == (kind == 0)
