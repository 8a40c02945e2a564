"""Speech as it comes -> channel weights as soon as they are final. A whole clip is the same stream, pushed to its end.

The speech encoder hears windows on a fixed grid (speech.py), whatever the sizes of the pushes; a frame is decoded once
everything that can reach it has been heard; the upper face is drawn frame after frame. So how the samples are cut up
changes nothing, and the memory needed does not grow with the length.

A frame at t seconds is given out once samples up to the end of the window that holds t + 5.4 s have come (the decoder's
reach and the 3 s that content takes its mean over): 6.5 to 12.5 s later with the shipped model (``Stream.latency``).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from . import SAMPLE_RATE
from .adapters import merged
from .channels import CHANNELS
from .errors import PTalkerError
from .gains import EVEN, Gains
from .speech import BATCH, CORE, HOP, MARGIN, RATE, WINDOW
from .styles import StyleLike, choose
from .upper_face import Habits, UpperFace

if TYPE_CHECKING:
    from .runtime import PTalker

PIECE = 8.0  # seconds decoded at once; each with all that can reach it on both sides, so the seams are exact
LOUDNESS = 0.1  # seconds that a frame's loudness is taken over
LOUD = 0.1  # RMS of the loud parts of ordinary speech; the upper face hears loudness against it


class Stream:
    """One clip of speech on its way through a loaded model, which must not do anything else meanwhile.

    Raises PTalkerError for an unknown style, a bad frame rate or a bad gain.
    """

    def __init__(
        self, model: PTalker, fps: float, *, style: StyleLike = None, strength: float = 1.0, seed: int = 0,
        gains: Gains = EVEN, habits: Habits | None = None,
    ) -> None:  # fmt: skip
        """``habits`` of the upper face: else those that the style carries, else the tracked speaker's."""
        if not (0 < fps <= 1000):
            fix = "Use a frame rate from 1 to 240."
            raise PTalkerError("bad_value", f"{fps} frames a second is not possible.", fix)
        self.model, self.fps = model, fps
        network = model.network
        chosen = choose(style, strength, network.styles, model.fingerprint, network.personal)
        self.style = chosen.vector.to(model.device)[None]
        self.decoder = merged(network.decoder, chosen.adapter, chosen.name)
        self.personal = chosen.personal.to(model.device) if chosen.personal else None
        self.gains = gains.checked()
        self.halo = float(model.network.decoder.halo)  # s each way that a frame is influenced from
        self.mean = model.network.audio.REACH  # features each way that content takes its mean over
        self.face = UpperFace(seed, (habits or chosen.habits or Habits()).gained(gains.upper_face, gains.blink))
        self.received = 0  # samples
        self.frames: int | None = None  # of the whole clip, known at its end
        self.done = 0  # frames given out
        self._windows = 0  # heard
        # Samples from (windows * CORE - MARGIN) * HOP on; before the clip there is silence.
        self._samples, self._held = [np.zeros(MARGIN * HOP, np.float32)], MARGIN * HOP
        self._features = np.zeros((0, model.speech.channels), np.float16)  # from _first on: what is still needed
        self._first = 0
        self._levels = np.zeros(0, np.float32)  # loudness of the frames from `done` on

    @property
    def latency(self) -> float:
        """Seconds of audio after a frame's own time that have come at the latest when it is given out."""
        return (CORE + MARGIN + self.mean + 4) / RATE + self.halo + 1 / self.fps

    @torch.inference_mode()
    def push(self, samples: np.ndarray) -> np.ndarray:
        """The next samples [n] float32 16 kHz mono, any n -> the frames that are final now [t, K] float32, t >= 0.

        Raises PTalkerError(audio_invalid) for samples that are not finite.
        """
        if self.frames is not None:
            raise ValueError("the stream has ended")
        if not np.isfinite(samples).all():
            raise PTalkerError("audio_invalid", "The sound holds samples that are not finite numbers.")
        self._samples.append(np.array(samples, np.float32))
        self._held += len(samples)
        self.received += len(samples)
        out = [np.zeros((0, len(CHANNELS)), np.float32)]
        while (ready := (self._held - WINDOW * HOP) // (CORE * HOP) + 1) > 0:
            self._hear(min(ready, BATCH))
            out += self._animate()
        return np.concatenate(out)

    @torch.inference_mode()
    def finish(self) -> np.ndarray:
        """The clip is over -> all remaining frames [t, K]; in total round(received / 16000 * fps)."""
        if self.frames is not None:
            raise ValueError("the stream has ended")
        self.frames = round(self.received / SAMPLE_RATE * self.fps)
        out = [np.zeros((0, len(CHANNELS)), np.float32)]
        if self.frames > self.done:
            left = math.ceil(self._total() / CORE) - self._windows
            missing = ((left - 1) * CORE + WINDOW) * HOP - self._held
            self._samples.append(np.zeros(missing, np.float32))
            self._held += missing
            self._hear(left)
            out += self._animate()
        return np.concatenate(out)

    def _total(self) -> int:
        """Features of what has been received, were it the whole clip."""
        return max(1, math.ceil(self.received / HOP))

    def _hear(self, count: int) -> None:
        """Turn the next ``count`` windows of samples into features and loudness."""
        held = np.concatenate(self._samples)
        step = CORE * HOP
        windows = np.stack([held[i * step : i * step + WINDOW * HOP] for i in range(count)])
        self._samples, self._held = [held[count * step :].copy()], self._held - count * step
        self._features = np.concatenate([self._features, *self.model.speech.hear(windows)])
        for window in windows:
            start = (self._windows * CORE - MARGIN) * HOP
            self._windows += 1
            first = self.done + len(self._levels)
            end = math.ceil(self._windows * CORE / RATE * self.fps)
            end = end if self.frames is None else min(end, self.frames)
            times = np.arange(first, end) / self.fps
            self._levels = np.concatenate([self._levels, loudness(window, start, self.received, times)])
        if self.frames is not None:  # behind the end of the clip there are no features
            self._features = self._features[: self._total() - self._first]

    def _animate(self) -> list[np.ndarray]:
        """All frames that are final by now, in pieces."""
        known = self._first + len(self._features)
        final = self.frames
        if final is None:
            final = math.floor(((known - self.mean - 3) / RATE - self.halo) * self.fps)
        out: list[np.ndarray] = []
        step = max(1, int(PIECE * self.fps))
        while self.done < final:
            a, b = self.done, min(self.done + step, final)
            weights = self._decode(a, b)
            weights += self.face.next(np.arange(a, b) / self.fps, self._levels[: b - a])
            out.append(np.clip(weights, 0.0, 1.0))
            self.done, self._levels = b, self._levels[b - a :]
            drop = max(0, self._needed_from(b) - self._first)
            self._first, self._features = self._first + drop, self._features[drop:]
        self._features = self._features.copy()
        return out

    def _needed_from(self, frame: int) -> int:
        """The first feature that can reach a frame; even, because content comes from pairs of features."""
        return max(0, math.floor((frame / self.fps - self.halo) * RATE) - self.mean - 1) // 2 * 2

    def _decode(self, a: int, b: int) -> np.ndarray:
        """Frames a..b-1 -> [b - a, K], decoded with as much context as can reach them, so that pieces join exactly."""
        fps, device, network = self.fps, self.model.device, self.model.network
        pad = math.ceil(self.halo * fps)
        q0, q1 = max(0, a - pad), b + pad if self.frames is None else min(b + pad, self.frames)
        n0 = self._needed_from(a)
        n1 = math.ceil(((b - 1) / fps + self.halo) * RATE) + self.mean + 1
        n1 = min(n1 + n1 % 2, self._first + len(self._features))
        heard = self._features[n0 - self._first : n1 - self._first].astype(np.float32)
        if len(heard) % 2:
            heard, n1 = np.concatenate([heard, heard[-1:]]), n1 + 1
        audio_times = torch.arange(n1 - n0, device=device, dtype=torch.float32) / RATE
        times = torch.from_numpy((np.arange(q0, q1) / fps - n0 / RATE).astype(np.float32)).to(device)
        content = network.audio(torch.from_numpy(heard).to(device)[None])
        z = self.decoder(content, network.audio.times(audio_times), self.style, times)
        z = network.finish(z[0, a - q0 : b - q0].float())
        z = z if self.personal is None else self.personal(z, network.contact)
        return self.gains(z, network.contact).cpu().numpy()


def loudness(samples: np.ndarray, start: int, end: int, times: np.ndarray) -> np.ndarray:
    """RMS / LOUD round each time [T] s; samples[0] is sample ``start`` of a clip of ``end`` samples.

    Against a fixed level, not the clip's own: what comes later must not change what has been given out.
    """
    power = np.concatenate([[0.0], np.cumsum(samples.astype(np.float64) ** 2)])
    a = np.clip(((times - LOUDNESS / 2) * SAMPLE_RATE).astype(int), 0, end)
    b = np.clip(((times + LOUDNESS / 2) * SAMPLE_RATE).astype(int), 0, end)
    total = np.maximum(power[b - start] - power[a - start], 0)
    return (np.sqrt(total / np.maximum(b - a, 1)) / LOUD).astype(np.float32)
