"""Batches for motion training: windows of real and synthetic speech at one random frame rate, with styles."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..data.motion_set import MotionSet
from ..data.teacher import TeacherStyle
from ..data.teacher_style import TOLD
from ..speech import RATE, WINDOW
from .settings import DataSettings

CROP = 2.0  # seconds that the motion encoder hears for content
NO_SPEAKER = -100  # cross_entropy's ignore_index
FRAME_RATES = (24.0, 25.0, 25.0, 30.0)
REFERENCE_RATES, REFERENCE_LENGTHS, REFERENCE_FRAMES = (6.0, 12.0), (2.0, 5.0), 28  # frames a second, seconds, at most
NEUTRAL, HOME = 0.12, 0.2  # of the synthetic windows: in the teacher's style at rest, in the one that the voice has
ALIKE = 0.3  # of the styles that are only told apart: so many lie between two others


class MotionBatches:
    """Draws batches from a MotionSet; ``voices`` are the classes of the speaker adversary."""

    def __init__(self, windows: MotionSet, settings: DataSettings) -> None:
        self.set, self.settings = windows, settings
        self.speaker = {v: i for i, v in enumerate(windows.voices)}
        foreign = np.array([windows.language(i) != "en" for i in windows.synthetic], bool)
        odds = np.where(foreign, settings.other_languages, 1.0)
        self.odds = odds / max(odds.sum(), 1e-9)

    def picks(self, rng: np.random.Generator) -> list[int]:
        """Windows of a batch: the real ones, then the synthetic ones, of which the first may have no voice."""
        s, w = self.settings, self.set
        out = [int(i) for i in rng.choice(w.real, s.real)] if s.real else []
        if s.synthetic:
            quiet = [int(rng.choice(w.quiet))] if w.quiet and rng.random() < s.quiet else []
            out += quiet + [int(i) for i in rng.choice(w.synthetic, s.synthetic - len(quiet), p=self.odds)]
        return out

    def draw(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """One batch of B windows at one random frame rate and phase.

        features [B, N, C]; times [T] s from the first feature; z [B, T, K] and mask [B, T] the target; other [B, T, K] the
        same words in the style of row ``other_row`` [B]; agree [B] 1 where the voice belongs to that style; speaker [B],
        NO_SPEAKER without a voice. ref_a [B + P, Ta, K] and ref_b [B + P, Tb, K]: other sentences in its style, and in P
        styles that are only told apart; habits [B + P, TOLD] what these are (TeacherStyle.told), NaN for the real
        speaker's; distinct [n] rows of which no two have the same style. Without dimensions: fps, fps_a and fps_b of the
        references, crop (first frame of it), head (that losses are measured on), and the heads that the references are
        played on: head_a0 and head_a1, the first and the second half of ref_a; head_b0 and head_b1, every other row of ref_b.
        """
        s, w = self.settings, self.set
        fps = float(rng.choice(FRAME_RATES))
        first = int(rng.integers(0, WINDOW - int(s.seconds * RATE) + 1)) // 2 * 2
        heard = slice(first, first + int(s.seconds * RATE) // 2 * 2)
        times = np.arange(int((s.seconds - 0.1) * fps)) / fps + rng.uniform(0, 1 / fps) + first / RATE
        picks = self.picks(rng)
        styles, tracked, names, agree = zip(*(self._style(rng, i, row) for row, i in enumerate(picks)), strict=True)
        # real rows lend each other their styles, the last one the first one's; synthetic rows, too
        real, synthetic = list(range(s.real)), list(range(s.real, len(picks)))
        other_row = [*real[1:], *real[:1], *synthetic[1:], *synthetic[:1]]
        rows: dict[str, list] = {k: [] for k in ("features", "z", "mask", "other")}
        for n, i in enumerate(picks):
            z, mask = w.target(i, times, styles[n], tracked[n])
            rows["features"].append(w.hear(i)[heard])
            rows["z"].append(z)
            rows["mask"].append(mask)
            o = other_row[n]
            rows["other"].append(z if o == n else w.target(i, times, styles[o], tracked[o])[0])
        out = {k: torch.from_numpy(np.stack(v)).float() for k, v in rows.items()}
        out |= self._references(rng, list(styles), list(tracked))
        names = [*names, *(f"pair {i}" for i in range(s.style_pairs))]
        voices = [w.windows[i].voice if w.windows[i].segments else "" for i in picks]
        return out | {
            "times": torch.from_numpy(times - first / RATE).float(),
            "other_row": torch.tensor(other_row),
            "agree": torch.tensor(agree),
            "speaker": torch.tensor([self.speaker.get(v, NO_SPEAKER) for v in voices]),
            "distinct": torch.tensor([n for n, name in enumerate(names) if name not in names[:n]]),
            "fps": torch.tensor(fps),
            "crop": torch.tensor(int(rng.integers(0, len(times) - int(CROP * fps)))),
            "head": torch.tensor(int(rng.integers(s.identities + 1))),
        }

    def _references(
        self, rng: np.random.Generator, styles: list[TeacherStyle | None], tracked: list[bool]
    ) -> dict[str, Tensor]:
        """ref_a, ref_b, habits and what belongs to them: see ``draw``. ``tracked``: which styles are shown on real tracks."""
        s, out = self.settings, {}
        extra = [TeacherStyle.person(rng) for _ in range(s.style_pairs)]
        for i in range(1, len(extra)):
            if rng.random() < ALIKE:
                extra[i] = extra[i - 1].blended(extra[i], float(rng.uniform(0.4, 0.8)))
        # a share of those that are only told apart is put on real tracks, as the same share of the windows is
        share = int(len(extra) * s.restyled * s.real / max(s.real + s.synthetic, 1))
        tracked = tracked + [n >= len(extra) - share for n in range(len(extra))]
        styles = [*styles, *extra]
        for side in "ab":
            fps = float(rng.uniform(*REFERENCE_RATES))
            seconds = min(float(rng.uniform(*REFERENCE_LENGTHS)), REFERENCE_FRAMES / fps)
            pairs = zip(styles, tracked, strict=True)
            shown = np.stack([self.set.reference(rng, style, seconds, fps, on_track) for style, on_track in pairs])
            out |= {f"ref_{side}": torch.from_numpy(shown).float(), f"fps_{side}": torch.tensor(fps)}
        heads = rng.choice(s.motion_heads, 4, replace=s.motion_heads < 4)
        out |= {k: torch.tensor(int(h)) for k, h in zip(("head_a0", "head_a1", "head_b0", "head_b1"), heads, strict=True)}
        unknown = np.full(TOLD, np.nan, np.float32)  # of a real person nobody knows them
        pairs = zip(styles, tracked, strict=True)
        habits = np.stack([style.told() if style and not on_track else unknown for style, on_track in pairs])
        return out | {"habits": torch.from_numpy(habits)}

    def _style(self, rng: np.random.Generator, i: int, row: int) -> tuple[TeacherStyle | None, bool, str, float]:
        """Of window i: its style (None: the real speaker's), whether a real speaker has it, a name that equal styles share,
        whether the voice tells it. How a recording sounds must not tell whether a real speaker is shown or the teacher: each
        is shown with what the other's windows say, too, where it is known."""
        w, s = self.set, self.settings
        if i in w.real_set:
            if s.synthetic and rng.random() < s.taught:
                return TeacherStyle.person(rng), False, str(row), 0.0
            if rng.random() < s.restyled:
                return TeacherStyle.sample(rng), True, str(row), 0.0
            return None, True, "real", float(w.own_voice(i))
        voice, kind = w.windows[i].voice, rng.random()
        if s.real and w.supposed(i) is not None and rng.random() < s.supposed:
            if rng.random() < 0.5 * s.restyled:
                return TeacherStyle.sample(rng), True, str(row), 0.0
            return None, True, "real", 0.0
        if kind < NEUTRAL:
            return TeacherStyle.neutral(), False, "neutral", 0.0
        if kind < NEUTRAL + HOME and w.own_voice(i):
            return w.home[voice], False, voice, 1.0
        return TeacherStyle.person(rng), False, str(row), 0.0
