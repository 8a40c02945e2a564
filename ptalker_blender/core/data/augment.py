"""Audio augmentation, so that an actor's booth, a phone and a noisy room all work. float32 16 kHz mono, numpy."""

from __future__ import annotations

import io

import numpy as np
import soundfile
from scipy.signal import butter, fftconvolve, resample_poly, sosfilt

from .. import SAMPLE_RATE

# how libsndfile calls it, and its compression level, from little to much
CODECS = (("OGG", "OPUS", 0.9, 1.0), ("OGG", "VORBIS", 0.6, 1.0), ("MP3", "MPEG_LAYER_III", 0.6, 0.99))


def speed(audio: np.ndarray, factor: float) -> tuple[np.ndarray, float]:
    """Play faster by ``factor`` (pitch and formants move too: other voices). Returns the audio and the exact factor."""
    up = 100
    down = round(up * factor)
    return resample_poly(audio, up, down).astype(np.float32), down / up


def stretch(audio: np.ndarray, factor: float) -> np.ndarray:
    """Slower by ``factor`` at the same pitch: waveform-similarity overlap-add (Verhelst & Roelands 1993).

    40 ms frames, each taken where it continues the last one best within 6 ms of its place.
    """
    frame, hop, seek = 640, 320, 90
    n = round(len(audio) * factor)
    window = np.hanning(frame + 1)[:-1].astype(np.float32)
    padded = np.concatenate([np.zeros(seek, np.float32), audio, np.zeros(frame + 2 * seek + hop, np.float32)])
    out = np.zeros(n + frame, np.float32)
    natural = padded[seek : seek + frame]
    for at in range(0, n, hop):
        place = (at + hop) / factor - hop  # frames agree at their middles
        centre = seek + int(np.clip(round(place), 0, len(audio)))
        around = padded[centre - seek : centre + seek + frame]
        best = int(np.argmax(np.correlate(around, natural, "valid"))) if at else seek
        start = centre - seek + best
        out[at : at + frame] += padded[start : start + frame] * window
        natural = padded[start + hop : start + hop + frame]
        if len(natural) < frame:
            natural = np.pad(natural, (0, frame - len(natural)))
    return out[:n]


def other_voice(audio: np.ndarray, factor: float) -> np.ndarray:
    """Pitch and formants up by ``factor``, timing kept: a smaller (above 1) or larger speaker."""
    faster, exact = speed(audio, factor)
    out = stretch(faster, exact)
    return np.pad(out, (0, max(0, len(audio) - len(out))))[: len(audio)]


def equalise(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random microphone: low cut, high cut, a broad spectral tilt."""
    if rng.random() < 0.5:
        audio = np.asarray(sosfilt(butter(1, rng.uniform(60, 350), "high", fs=SAMPLE_RATE, output="sos"), audio))
    if rng.random() < 0.4:
        order, cut = int(rng.integers(1, 4)), rng.uniform(3000, 7500)
        audio = np.asarray(sosfilt(butter(order, cut, "low", fs=SAMPLE_RATE, output="sos"), audio))
    tilt = rng.uniform(-0.5, 0.5)
    return (audio + tilt * np.concatenate([[0], audio[:-1]])).astype(np.float32)


def room(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Exponentially decaying noise as a room's answer, RT60 0.1-0.7 s, mixed under the direct sound."""
    rt60 = rng.uniform(0.1, 0.7)
    n = int(rt60 * SAMPLE_RATE)
    tail = rng.standard_normal(n) * 10 ** (-3 * np.arange(n) / n)
    tail[: int(0.002 * SAMPLE_RATE)] = 0
    tail *= rng.uniform(0.1, 0.7) / np.linalg.norm(tail)
    return audio + fftconvolve(audio, tail)[: len(audio)].astype(np.float32)


def noise(audio: np.ndarray, rng: np.random.Generator, snr_db: float) -> np.ndarray:
    """Coloured noise (white to brown) at a signal-to-noise ratio measured on the loud part of the clip."""
    n = len(audio)
    spectrum = np.fft.rfft(rng.standard_normal(n))
    spectrum *= np.maximum(np.arange(len(spectrum)), 20.0) ** -rng.uniform(0, 1.2)
    hiss = np.fft.irfft(spectrum, n)
    level = np.sqrt(np.mean(audio**2)) + 1e-5
    return (audio + hiss * (level / np.sqrt(np.mean(hiss**2)) * 10 ** (-snr_db / 20))).astype(np.float32)


def compressed(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """As a lossy codec leaves it, 7 to 40 kb/s; none of them delays anything."""
    form, kind, least, most = CODECS[rng.integers(len(CODECS))]
    file = io.BytesIO()
    soundfile.write(file, audio, SAMPLE_RATE, format=form, subtype=kind, compression_level=rng.uniform(least, most))
    file.seek(0)
    heard, _ = soundfile.read(file, dtype="float32")
    return np.pad(heard, (0, max(0, len(audio) - len(heard))))[: len(audio)]


def telephone(audio: np.ndarray) -> np.ndarray:
    """Companding to 8 bits, mu-law."""
    y = np.sign(audio) * np.log1p(255 * np.abs(audio)) / np.log(256)
    y = np.round(y * 127) / 127
    return np.sign(y) * (256 ** np.abs(y) - 1) / 255


def degrade(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One random recording chain: microphone, room, noise, level, codec."""
    if rng.random() < 0.7:
        audio = equalise(audio, rng)
    if rng.random() < 0.35:
        audio = room(audio, rng)
    if rng.random() < 0.6:
        audio = noise(audio, rng, rng.uniform(3, 35))
    peak = np.abs(audio).max() + 1e-6
    audio = audio / peak * 10 ** (rng.uniform(-26, -0.5) / 20)
    coded = rng.random()
    if coded < 0.15:
        audio = telephone(audio)
    elif coded < 0.3:
        audio = compressed(audio, rng)
    return audio.clip(-1, 1).astype(np.float32)
