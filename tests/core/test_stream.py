"""Streamed and whole-clip output are the same; the whole clip here is the network's own pass over all features at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ptalker_blender.core import SAMPLE_RATE
from ptalker_blender.core.audio import load_audio
from ptalker_blender.core.channels import CHANNELS, INDEX, LOWER_FACE
from ptalker_blender.core.errors import PTalkerError
from ptalker_blender.core.runtime import PTalker, regroup
from ptalker_blender.core.speech import RATE
from ptalker_blender.core.stream import Stream, loudness
from ptalker_blender.core.styles import Style, resolve
from ptalker_blender.core.upper_face import Habits, UpperFace, upper_face

DEMO = Path(__file__).resolve().parents[2] / "demo" / "speech" / "demo.ogg"


@pytest.fixture(scope="module")
def model() -> PTalker:
    return PTalker.load(device="cpu")


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    """26 s: more than four windows."""
    return np.tile(load_audio(DEMO), 3)


@torch.inference_mode()
def whole_clip(model: PTalker, audio: np.ndarray, fps: float, seed: int = 0) -> np.ndarray:
    """All features, then all frames in one pass of the network."""
    times = np.arange(round(len(audio) / SAMPLE_RATE * fps)) / fps
    if not len(times):
        return np.zeros((0, len(CHANNELS)), np.float32)
    features = model.speech.encode(audio).astype(np.float32)
    features = np.concatenate([features, features[-1:]]) if len(features) % 2 else features
    at = torch.arange(len(features)) / RATE
    style = resolve(None, 1.0, model.network.styles)[None]
    z = model.network(torch.from_numpy(features)[None], at, style, torch.from_numpy(times).float())
    face = upper_face(times, loudness(audio, 0, len(audio), times), seed, Habits())
    return np.clip(model.network.finish(z[0]).numpy() + face, 0, 1)


def streamed(model: PTalker, audio: np.ndarray, fps: float, sizes: np.random.Generator, most: float) -> np.ndarray:
    """Pushes of random sizes, from 1 sample to ``most`` seconds."""
    stream, at, out = Stream(model, fps), 0, []
    while at < len(audio):
        size = int(np.exp(sizes.uniform(0, np.log(most * SAMPLE_RATE))))
        out.append(stream.push(audio[at : at + size]))
        at += size
        assert stream.done == sum(map(len, out))
    out.append(stream.finish())
    return np.concatenate(out)


@pytest.mark.parametrize("fps", [23.976, 25.0, 30.0, 60.0])
def test_a_stream_is_the_whole_clip(model: PTalker, speech: np.ndarray, fps: float) -> None:
    whole = whole_clip(model, speech, fps)
    got = streamed(model, speech, fps, np.random.default_rng(int(fps)), 9.0)
    assert got.shape == whole.shape and got.dtype == np.float32
    assert np.abs(got - whole).max() < 1e-3
    assert np.abs(model.generate(speech, fps) - whole).max() < 1e-3


@pytest.mark.parametrize(
    "samples",
    [0, 1, 200, 321, 4801, 95_999, 96_000, 111_999, 112_000, 112_001, 192_000, 208_003],
)
def test_ends_at_awkward_places(model: PTalker, speech: np.ndarray, samples: int) -> None:
    """Round one feature, the core, the margin and the whole of a window."""
    audio = speech[5000 : 5000 + samples]
    whole = whole_clip(model, audio, 29.97)
    got = streamed(model, audio, 29.97, np.random.default_rng(samples), 3.0)
    assert got.shape == whole.shape == (round(samples / SAMPLE_RATE * 29.97), len(CHANNELS))
    assert np.abs(got - whole).max(initial=0.0) < 1e-3


def test_sample_by_sample(model: PTalker, speech: np.ndarray) -> None:
    """The pushes that complete a window are single samples."""
    stream, at = Stream(model, 25.0), 7 * SAMPLE_RATE - 50
    parts = [stream.push(speech[:at])]
    for k in range(100):
        parts.append(stream.push(speech[at + k : at + k + 1]))
    parts += [stream.push(speech[at + 100 :]), stream.finish()]
    assert np.abs(np.concatenate(parts) - model.generate(speech, 25.0)).max() < 1e-3


def test_latency_is_what_is_promised(model: PTalker, speech: np.ndarray) -> None:
    stream, step = Stream(model, 30.0), SAMPLE_RATE // 10
    assert stream.latency < 13
    behind = []
    for at in range(0, len(speech), step):
        stream.push(speech[at : at + step])
        behind.append(stream.received / SAMPLE_RATE - stream.done / 30.0)
    assert 0.9 * stream.latency < max(behind) < stream.latency + 0.1
    assert len(stream.finish()) <= stream.latency * 30


def test_nothing_piles_up(model: PTalker, speech: np.ndarray) -> None:
    """What a stream holds after two minutes is no more than what it held after half a minute."""
    stream, held = Stream(model, 30.0), []
    for _ in range(5):
        stream.push(speech)
        size = sum(x.nbytes for x in stream._samples) + stream._features.nbytes + stream._levels.nbytes
        held.append(size + stream.face.outer.knots.nbytes + 8 * len(stream.face.gaze.moments + stream.face.blinks.running))
    assert max(held) < 3 << 20 and max(held[1:]) < 1.5 * held[0]


def test_blocks_are_the_array(model: PTalker, speech: np.ndarray) -> None:
    blocks = (speech[a : a + 7001] for a in range(0, len(speech), 7001))
    got = model.generate(blocks, 25.0, samples=len(speech), seed=3)
    assert np.array_equal(got, model.generate(speech, 25.0, seed=3))
    with pytest.raises(ValueError, match="number of samples"):
        model.generate(iter([speech]), 25.0)


def test_progress_is_monotone_and_names_its_stages(model: PTalker, speech: np.ndarray) -> None:
    said: list[tuple[str, float]] = []
    model.generate(speech, 25.0, progress=lambda stage, fraction: said.append((stage, fraction)))
    listening = [f for s, f in said if s == "listening"]
    assert [s for s, _ in said] == ["listening"] * len(listening) + ["animating"] * 2
    assert len(listening) >= 4 and listening == sorted(listening) and listening[-1] == 1.0
    assert said[-1] == ("animating", 1.0)


def test_bad_pushes(model: PTalker) -> None:
    with pytest.raises(PTalkerError) as rate:
        Stream(model, 0.0)
    assert rate.value.code == "bad_value"
    stream = Stream(model, 25.0)
    with pytest.raises(PTalkerError) as broken:
        stream.push(np.array([0.0, np.nan], np.float32))
    assert broken.value.code == "audio_invalid"
    assert len(stream.finish()) == 0
    with pytest.raises(ValueError, match="ended"):
        stream.push(np.zeros(1, np.float32))
    with pytest.raises(ValueError, match="ended"):
        stream.finish()


def test_regroup() -> None:
    x = np.arange(1000, dtype=np.float32)
    blocks = [x[:1], x[1:1], x[1:500], x[500:507], x[507:]]
    pieces = list(regroup(blocks, 100))
    assert [len(p) for p in pieces] == [100] * 10 and np.array_equal(np.concatenate(pieces), x)
    assert [len(p) for p in regroup([x], 300)] == [300, 300, 300, 100]
    assert list(regroup([], 5)) == []


def test_upper_face_in_pieces() -> None:
    times = np.arange(3000) / 30
    level = np.abs(np.sin(9 * times)) * (times % 3 < 2)
    whole = upper_face(times, level, 5)
    rng, face, at, parts = np.random.default_rng(0), UpperFace(5), 0, []
    while at < len(times):
        end = at + int(rng.choice([0, 1, 3, 50, 400]))
        parts.append(face.next(times[at:end], level[at:end]))
        at = end
    assert np.array_equal(np.concatenate(parts), whole)


def test_the_upper_face_has_the_styles_habits(model: PTalker, speech: np.ndarray) -> None:
    staring = Habits(blink_rate=0.0, gaze=0.0)
    neutral = resolve(None, 1.0, model.network.styles)
    blink, usual = INDEX["eyeBlinkLeft"], model.generate(speech, 25.0, seed=1)
    carried = model.generate(speech, 25.0, seed=1, style=Style(neutral, "staring", habits=staring))
    assert usual[:, blink].max() > 0.5 and carried[:, blink].max() < 0.05
    assert np.array_equal(carried[:, LOWER_FACE], usual[:, LOWER_FACE])
    asked = model.generate(speech, 25.0, seed=1, habits=staring)
    assert np.array_equal(asked, carried)


def test_brows_do_not_depend_on_how_loud_the_recording_is(speech: np.ndarray) -> None:
    times = np.arange(500) / 25
    loud, quiet = (upper_face(times, loudness(speech * g, 0, len(speech), times), 1) for g in (1.0, 0.1))
    assert np.abs(loud - quiet).max() < 0.02
