from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy import signal

from ptalker_blender.core import SAMPLE_RATE, audio
from ptalker_blender.core.audio import check_audio, from_samples, is_silent, load_audio
from ptalker_blender.core.errors import Cancelled, PTalkerError


def tone(rate: int, seconds: float, channels: int = 1) -> np.ndarray:
    """440 Hz, [n] or [n, channels]."""
    samples = 0.5 * np.sin(2 * np.pi * 440 * np.arange(round(rate * seconds)) / rate)
    return samples if channels == 1 else np.stack([samples] * channels, axis=1)


def failure(path: Path) -> PTalkerError:
    with pytest.raises(PTalkerError) as caught:
        load_audio(path)
    assert "\n" not in caught.value.sentence
    with pytest.raises(PTalkerError, match=re.escape(caught.value.sentence)):
        check_audio(path)
    return caught.value


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize(("rate", "channels"), [(44100, 2), (16000, 1), (48000, 1)])
def test_formats_rates_and_channels(tmp_path: Path, suffix: str, rate: int, channels: int) -> None:
    path = tmp_path / f"ton ü.{suffix}"
    soundfile.write(path, tone(rate, 2.0, channels), rate)
    samples = load_audio(path)
    assert samples.dtype == np.float32 and samples.shape == (2 * SAMPLE_RATE,)
    spectrum = np.abs(np.fft.rfft(samples[SAMPLE_RATE // 2 : -SAMPLE_RATE // 2]))
    assert spectrum.argmax() == 440  # one-second window: bins of 1 Hz
    assert np.abs(samples).max() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("rate", [8000, 11025, 44100, 48000, 96000])
def test_blocks_join_without_a_seam(tmp_path: Path, rate: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio, "_BLOCK", 5003)
    noise = np.random.default_rng(1).standard_normal(rate * 3 + 17).astype(np.float32) * 0.1
    path = tmp_path / "noise.wav"
    soundfile.write(path, noise, rate, subtype="FLOAT")
    common = math.gcd(rate, SAMPLE_RATE)
    whole = signal.resample_poly(noise, SAMPLE_RATE // common, rate // common)
    samples = load_audio(path)
    assert len(samples) == round(len(noise) / rate * SAMPLE_RATE)
    np.testing.assert_allclose(samples, whole[: len(samples)], atol=1e-6)
    sound = check_audio(path)
    blocks = list(sound.blocks())
    assert sound.samples == len(samples) and len(blocks) > 3
    np.testing.assert_array_equal(np.concatenate(blocks), samples)


def test_a_click_stays_where_it_is(tmp_path: Path) -> None:
    samples = np.zeros(44100 * 3)
    samples[44100 * 2] = 0.9
    soundfile.write(tmp_path / "click.wav", samples, 44100)
    assert np.abs(load_audio(tmp_path / "click.wav")).argmax() == 2 * SAMPLE_RATE


def test_variable_rate_mp3_without_a_stated_length_is_read_to_its_end(tmp_path: Path) -> None:
    rate = 44100
    loud_then_quiet = np.concatenate([np.random.default_rng(0).standard_normal(rate * 5) * 0.3, np.zeros(rate * 5)])
    soundfile.write(tmp_path / "a.mp3", loud_then_quiet, rate, bitrate_mode="VARIABLE", compression_level=0.3)
    data = (tmp_path / "a.mp3").read_bytes()
    assert b"Xing" in data[:100]  # the first frame states the length; without it, libsndfile guesses
    sync = data[:2]
    (tmp_path / "b.mp3").write_bytes(data[data.index(sync, 4) :])
    assert len(load_audio(tmp_path / "b.mp3")) == pytest.approx(10 * SAMPLE_RATE, abs=0.1 * SAMPLE_RATE)


def test_silence_is_sound(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silent.wav", np.zeros(8000), 8000)
    samples = load_audio(tmp_path / "silent.wav")
    assert samples.shape == (SAMPLE_RATE,) and is_silent(samples)
    assert not is_silent(np.full(10, -0.1, np.float32))


def test_cancel(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(16000, 1), 16000)
    with pytest.raises(Cancelled):
        load_audio(tmp_path / "a.wav", cancelled=lambda: True)


def test_missing_folder_and_empty(tmp_path: Path) -> None:
    assert failure(tmp_path / "none.wav").code == "audio_missing"
    assert failure(tmp_path).code == "audio_unreadable"
    (tmp_path / "empty.wav").touch()
    assert failure(tmp_path / "empty.wav").code == "audio_empty"
    soundfile.write(tmp_path / "nothing.wav", np.zeros(0), 16000)
    assert failure(tmp_path / "nothing.wav").code == "audio_empty"
    assert failure(Path("a\0b.wav")).code == "audio_missing"
    assert failure(tmp_path / ("x" * 5000)).code == "audio_unreadable"


@pytest.mark.parametrize("name", ["noise.wav", "noise.mp3", "noise.ogg", "noise.raw", "noise"])
def test_what_is_no_sound(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(np.random.default_rng(0).bytes(100_000))
    error = failure(path)
    assert error.code == "audio_unreadable" and "wav, flac, ogg or mp3" in error.fix


def test_aac_says_who_can_decode_it(tmp_path: Path) -> None:
    (tmp_path / "a.m4a").write_bytes(b"\0\0\0\x1cftypM4A " + bytes(1000))
    assert "Blender" in failure(tmp_path / "a.m4a").sentence


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e20])
def test_samples_that_are_no_sound(tmp_path: Path, bad: float) -> None:
    samples = tone(16000, 1)
    samples[5000] = bad
    soundfile.write(tmp_path / "bad.wav", samples, 16000, subtype="FLOAT")
    assert failure(tmp_path / "bad.wav").code == "audio_invalid"


def test_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    soundfile.write(path, np.random.default_rng(0).standard_normal(44100 * 3) * 0.1, 44100)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert "damaged" in failure(path).sentence


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "MS_ADPCM"])
def test_a_wav_that_was_cut_off(tmp_path: Path, subtype: str) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(44100, 4.0, 2), 44100, subtype=subtype)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 4])
    assert re.search(r"damaged: (0\.9|1\.0) of its (3\.9|4\.0) s", failure(path).sentence)
    path.write_bytes(data + b"more that is no chunk")
    assert len(load_audio(path)) == pytest.approx(4 * SAMPLE_RATE, rel=0.01)
    path.write_bytes(data[:-1000])
    assert len(load_audio(path)) == pytest.approx(4 * SAMPLE_RATE, rel=0.05)


@pytest.mark.parametrize("stated", [0, 0x7FFFF000, 0x7FFFF024, 0x80000000, 0xFFFFFFFF])
def test_a_streamed_wav_does_not_know_its_length(tmp_path: Path, stated: int) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(16000, 2.0), 16000, subtype="PCM_16")
    data = bytearray(path.read_bytes())
    for at, length in ((4, stated or 8), (data.index(b"data") + 4, stated)):
        data[at : at + 4] = length.to_bytes(4, "little")
    path.write_bytes(data)
    assert len(load_audio(path)) == 2 * SAMPLE_RATE


def test_an_ogg_that_may_have_been_cut_off(tmp_path: Path) -> None:
    """It is heard as far as it goes: streams need not mark their end."""
    path = tmp_path / "a.ogg"
    soundfile.write(path, np.random.default_rng(0).standard_normal(44100 * 3) * 0.1, 44100)
    data = path.read_bytes()
    assert not check_audio(path).cut_off
    pages = [at.start() for at in re.finditer(b"OggS", data)]
    for end in (pages[-1], len(data) - 50, len(data) // 2, pages[-1] + 10):
        path.write_bytes(data[:end])
        assert check_audio(path).cut_off, end
    soundfile.write(tmp_path / "a.wav", tone(16000, 1), 16000)
    assert not check_audio(tmp_path / "a.wav").cut_off


def test_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio, "MAX_SECONDS", 1)
    soundfile.write(tmp_path / "long.flac", tone(16000, 2), 16000)
    assert failure(tmp_path / "long.flac").code == "audio_too_long"


def test_impossible_rate(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "slow.wav", np.zeros(100), 50)
    assert failure(tmp_path / "slow.wav").code == "audio_invalid"


def test_arrays_that_are_no_sound() -> None:
    """Channels before samples, as torchaudio has them, were so many channels of two samples."""
    stereo = tone(16000, 1.0, 2)
    assert len(from_samples(stereo, 16000, "c")) == SAMPLE_RATE
    for samples, says in ((stereo.T, "must be"), (stereo[:10], "shorter than 0.1 s"), (stereo[:0, 0], "is empty")):
        with pytest.raises(PTalkerError, match=says):
            from_samples(samples, 16000, "c")
