"""Degraded speech with what is said and what the face does in it, made as it is needed.

For training the speech encoder: here the sound itself is needed, so nothing can be cached.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..channels import CHANNELS, UPPER_FACE
from ..speech import RATE, WINDOW
from .motion_set import Fits
from .phonemes import KNOWN, SILENCE, normalise
from .teacher import TeacherStyle, curves
from .windows import Clip, Segment, knowable, pack, read_clips, said, voiceless

PHONES = (SILENCE, *sorted(KNOWN - {SILENCE}))
PHONE = {p: i for i, p in enumerate(PHONES)}
UNKNOWN = -100  # label of frames that nothing is known of
TIMES = np.arange(WINDOW) / RATE
ENOUGH = 7  # clips that fill a window for sure


def labels(segments: list[Segment], clips: list[Clip]) -> np.ndarray:
    """Phone number of each feature [WINDOW] int64 of a window; silence between clips, UNKNOWN for foreign symbols."""
    out = np.full(WINDOW, PHONE[SILENCE], np.int64)
    for ipa, a, b in said(segments, clips):
        try:
            out[(a <= TIMES) & (b > TIMES)] = PHONE[normalise(ipa)]
        except KeyError:
            out[(a <= TIMES) & (b > TIMES)] = UNKNOWN
    return out


def face(segments: list[Segment], clips: list[Clip], fits: Fits) -> tuple[np.ndarray, np.ndarray]:
    """Channel weights [WINDOW, K] at the times of the features, and mask [WINDOW]: tracked, or the neutral teacher's."""
    z, mask = np.zeros((WINDOW, len(CHANNELS)), np.float32), np.ones(WINDOW, np.float32)
    if segments and clips[segments[0].clip].kind == "grid":
        mask[:] = 0.0
        for s in segments:
            here = s.heard(TIMES)
            z[here], mask[here] = fits.at(Path(clips[s.clip].path).stem, (TIMES[here] - s.start) * s.factor)
    elif segments:
        z, mask = curves(said(segments, clips), TIMES, TeacherStyle.neutral()), knowable(segments, TIMES)
    z[:, UPPER_FACE] = 0.0
    return z, mask


class Sounds:
    """Windows by chance. ``share``: how often each ``group`` of clips, and "quiet" (no voice at all), is drawn."""

    def __init__(self, data: Path, fits: Path, share: dict[str, float]) -> None:
        """Raises PTalkerError fits_missing."""
        self.data, self.fits, self.clips = data, Fits(fits), read_clips(data)
        self.groups: dict[str, list[int]] = {}
        self.voices: dict[str, list[int]] = {}
        for i, c in enumerate(self.clips):
            if c.split == "train":
                self.groups.setdefault(group(c), []).append(i)
                self.voices.setdefault(c.voice, []).append(i)
        self.share = {k: v for k, v in share.items() if v > 0 and (k == "quiet" or k in self.groups)}

    def draw(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """A window: ``heard`` and ``plain`` audio [n] float32, ``phone`` [WINDOW], ``z`` [WINDOW, K], ``mask`` [WINDOW].

        ``plain`` is undegraded and in the speaker's own voice."""
        chances = np.array(list(self.share.values()))
        name = list(self.share)[int(rng.choice(len(chances), p=chances / chances.sum()))]
        if name == "quiet":
            heard, segments = voiceless(int(rng.integers(5)), rng), []
            plain = heard
        else:
            first = int(rng.choice(self.groups[name]))
            others = rng.choice(self.voices[self.clips[first].voice], ENOUGH)
            heard, plain, _, segments = next(pack(self.clips, [first, *map(int, others)], self.data, rng, clean=False))
        z, mask = face(segments, self.clips, self.fits)
        return {"heard": heard, "plain": plain, "phone": labels(segments, self.clips), "z": z, "mask": mask}


def group(c: Clip) -> str:
    """ "grid", "speech" (the corpus' own voices), "synthetic" (further synthesisers), "foreign" (not English)."""
    if c.kind == "grid":
        return "grid"
    if c.language != "en":
        return "foreign"
    return "speech" if c.path.startswith("speech/") else "synthetic"
