"""Real sound, real heads, the real engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "demo" / "speech" / "demo.ogg"


@pytest.fixture(scope="session")
def speech() -> Path:
    """Some seconds of speech."""
    return DEMO


@pytest.fixture(scope="session")
def long_speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten minutes of speech: long enough to be cancelled or killed in the middle."""
    samples, rate = soundfile.read(DEMO, dtype="float32")
    path = tmp_path_factory.mktemp("speech") / "long.wav"
    soundfile.write(path, np.tile(samples, int(600 * rate / len(samples))), rate)
    return path


@pytest.fixture(scope="session")
def head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """HEAD.npz with the head of the demo."""
    with np.load(ROOT / "demo" / "head.npz") as demo:
        vertices, faces = demo["vertices"], demo["faces"]
    path = tmp_path_factory.mktemp("head") / "head.npz"
    np.savez(path, vertices=vertices, faces=faces)
    return path
