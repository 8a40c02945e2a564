"""A mouth that is about to speak is open before it does.

How far, and how long before, differs from person to person more than any vowel does: the tracks of the one speaker we train
on begin nearly shut and mostly open in the last 0.2 s, three of four others' are open half a second before their first word.
What is trained on one of them alone keeps a stranger's mouth shut for long. So where training hears a clip in another voice
(data/windows.py), its face begins nearer to the posture in which the first word is begun.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .phonemes import SILENCE

SHARE = 0.7  # of the way from the track to that posture
EARLY = 0.7  # s before the first word it begins, and is there 0.2 s later
LATE, LOOK = 0.06, 0.35  # s before the first word: last moment before it belongs to the word; first one that may be ready


def readied(z: np.ndarray, gap: np.ndarray, fps: float, phones: Sequence[Sequence]) -> np.ndarray:
    """z [T, K] tracked weights and gap [T] between the lips (NaN where unknown), from 0 s on; phones [[ipa, start_s, end_s]] ->
    z with the widest posture just before the first word held back in time, where the lips were narrower."""
    onset = next((start for phone, start, _ in phones if phone != SILENCE), None)
    times = np.arange(len(z)) / fps
    if onset is None:
        return z
    near = np.nonzero((times >= onset - LOOK) & (times <= onset - LATE) & np.isfinite(gap))[0]
    if not len(near):
        return z
    ready = near[int(np.argmax(gap[near]))]
    share = SHARE * np.clip((times - (onset - EARLY)) / 0.2, 0, 1)
    share[(times >= times[ready]) | ~(gap < gap[ready])] = 0.0
    return z + share[:, None].astype(z.dtype) * (z[ready] - z)
