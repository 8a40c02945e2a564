"""Upper-face habits read from somebody's motion: how often and how long they blink, how far brows and gaze go.

The inverse of upper_face.py, for a reference clip. What a short clip cannot tell stays as it usually is: each habit is the
mean of what was seen and of the usual one, weighted by how much was seen (blinks, or seconds of open eyes) against what the
usual one counts for. For blinks, which are counted, that is the Gamma-Poisson and the Beta-binomial posterior mean.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp, log

import numpy as np

from .channels import INDEX
from .upper_face import GAZE_SIZE, OPENED, POWER, Habits, emphasis, lid_closure, lid_curve

RISE, WITHIN = 0.25, 0.08  # a blink: the lids close by so much of the opening in so many seconds
SOON = 0.8  # s, in which the second blink of a pair begins
AWAKE = 0.15  # of the opening; eyes that are less closed are open
STILL_BROWS = 0.02  # weights; brows that are nowhere else than at rest are not animated
SLOWEST = 15.0  # frames a second; below, blinks fall between frames
USUAL_BLINKS, USUAL_SECONDS = 6.0, 6.0  # what the usual habits count for
DRIFTS = 0.82, 1.05  # standard deviation of upper_face's drift and gaze, in their sizes


@dataclass(frozen=True)
class Blinks:
    """Every blink of some clips."""

    clip: np.ndarray  # [n]
    onset: np.ndarray  # [n] frame
    deepest: np.ndarray  # [n] frame
    depth: np.ndarray  # [n] closure there

    def waits(self, fps: float) -> np.ndarray:
        """Seconds from each onset to the next in the same clip: [m]."""
        return np.diff(self.onset)[np.diff(self.clip) == 0] / fps


def both(weights: np.ndarray, name: str) -> np.ndarray:
    """weights [..., 52] -> [...], mean of the channel's two sides."""
    return (weights[..., INDEX[name + "Left"]] + weights[..., INDEX[name + "Right"]]) / 2


def find_blinks(lid: np.ndarray, fps: float) -> Blinks:
    """Closure [clips, T] -> its blinks."""
    rows: list[tuple[float, ...]] = []
    step, last = max(1, round(WITHIN * fps)), lid.shape[1] - 1
    for i, x in enumerate(lid):
        k = step
        while k < last:
            if x[k] - x[k - step] > RISE:
                deepest = k + int(np.argmax(x[k : k + 2 * step]))
                rows.append((i, k - step, deepest, x[deepest]))
                k = deepest + step
            else:
                k += 1
    found = np.array(rows).reshape(-1, 4)
    clip, onset, deepest = found[:, :3].astype(int).T
    return Blinks(clip, onset, deepest, found[:, 3])


def widths(lid: np.ndarray, blinks: Blinks, fps: float) -> np.ndarray:
    """Seconds for which each blink is more than half as deep as it gets, of those that end before the next begins: [m]."""
    out = []
    for j, (i, top, depth) in enumerate(zip(blinks.clip, blinks.deepest, blinks.depth, strict=True)):
        x, half = lid[i], depth / 2
        next_one = j + 1 < len(blinks.clip) and blinks.clip[j + 1] == i
        end = blinks.onset[j + 1] if next_one else len(x)
        after, before = np.flatnonzero(x[top:end] < half), np.flatnonzero(x[:top] < half)
        if len(after) and len(before):
            b, a = top + after[0], before[-1]
            fall, rise = b - (half - x[b]) / (x[b - 1] - x[b]), a + (half - x[a]) / (x[a + 1] - x[a])
            out.append((fall - rise) / fps)
    return np.array(out)


def usual_width(fps: float, opening: tuple[float, float] = (OPENED, POWER)) -> float:
    """What ``widths`` finds at this frame rate in a blink of upper_face, on average over its place between the frames."""
    begins = (4 + np.arange(0, 1, 0.05)) / fps
    lid = lid_curve(np.arange(round(1.5 * fps) + 8) / fps - begins[:, None], *opening)
    return float(widths(lid, find_blinks(lid, fps), fps).mean())


def habits_of_clip(seen: np.ndarray, fps: float, audio: np.ndarray | None, rest_known: bool) -> Habits | None:
    """seen [T, 52]: weights that a clip's motion is made of (mesh/bounded.py), on skin; audio [n] at 16 kHz -> its habits.

    None where the upper face does not move: lip-sync alone says nothing of the eyes. Where nobody blinks, blinks were not
    animated, and come as usual. Gaze and squint hardly show on skin and stay usual, too; so does the height at which brows
    rest where nobody knows the face at rest."""
    loud = None
    if audio is not None:
        from .stream import loudness

        loud = loudness(audio, 0, len(audio), np.arange(len(seen)) / fps)
    usual, found = Habits(), habits_of(seen, fps, loud)
    lid = lid_closure(seen[None])
    told: tuple[str, ...] = ()
    if fps >= SLOWEST and len(find_blinks(lid, fps).clip):
        told += ("blink_rate", "blink_pairs", "blink_duration")
    open_eyes = seen[lid[0] < AWAKE]
    brows = [i for name, i in INDEX.items() if name.startswith("brow")]
    if len(open_eyes) and float(np.sqrt((open_eyes[:, brows] ** 2).mean(0)).max()) > STILL_BROWS:
        told += ("brow_emphasis", "brow_drift", "asymmetry") + (("brow_rest",) if rest_known else ())
    return replace(usual, **{name: getattr(found, name) for name in told}) if told else None


def habits_of(
    weights: np.ndarray, fps: float, loudness: np.ndarray | None = None, *, usual: Habits | None = None,
    opening: tuple[float, float] = (OPENED, POWER),
) -> Habits:  # fmt: skip
    """weights [T, 52] or, of several clips, [n, T, 52]; loudness alike, without the last axis, as the upper face hears it
    (stream.loudness), or None: then emphasis stays usual -> the habits. ``opening``: of the blink that has duration 1."""
    usual = usual or Habits()
    clips = weights if weights.ndim == 3 else weights[None]
    levels = None if loudness is None else loudness.reshape(clips.shape[:2])
    lid = lid_closure(clips)
    open_eyes = lid < AWAKE
    found = (
        _blinking(lid, fps, opening, usual) | _looks(clips, open_eyes, fps, usual) | _brows(clips, open_eyes, fps, levels, usual)
    )
    return Habits.of(found)


def _blinking(lid: np.ndarray, fps: float, opening: tuple[float, float], usual: Habits) -> dict[str, float]:
    if fps < SLOWEST:
        return {k: getattr(usual, k) for k in ("blink_rate", "blink_pairs", "blink_duration")}
    blinks = find_blinks(lid, fps)
    count, minutes = len(blinks.clip), lid.size / fps / 60
    soon = int((blinks.waits(fps) < SOON).sum())
    width = widths(lid, blinks, fps)
    share = len(width) / (len(width) + USUAL_BLINKS)
    factor = log(float(np.median(width)) / usual_width(fps, opening)) if len(width) else 0.0
    return {
        "blink_rate": (count + USUAL_BLINKS) / (minutes + USUAL_BLINKS / max(usual.blink_rate, 1.0)),
        "blink_pairs": (soon + USUAL_BLINKS * usual.blink_pairs) / (count + USUAL_BLINKS),
        "blink_duration": exp(share * factor + (1 - share) * log(usual.blink_duration)),
    }


def _looks(clips: np.ndarray, open_eyes: np.ndarray, fps: float, usual: Habits) -> dict[str, float]:
    left, right = (clips[..., INDEX["eyeLookOut" + s]] - clips[..., INDEX["eyeLookIn" + s]] for s in ("Left", "Right"))
    across, up = (left - right) / 2, both(clips, "eyeLookUp") - both(clips, "eyeLookDown")
    share = _share(open_eyes, fps)
    size = sum(_spread(x[open_eyes]) / float(s) for x, s in zip((across, up), GAZE_SIZE, strict=True)) / (2 * DRIFTS[1])
    squint = both(clips, "eyeSquint")[open_eyes]
    return {
        "gaze": share * size + (1 - share) * usual.gaze,
        "squint": share * (float(np.median(squint)) if len(squint) else 0.0) + (1 - share) * usual.squint,
    }  # fmt: skip


def _brows(clips: np.ndarray, open_eyes: np.ndarray, fps: float, levels: np.ndarray | None, usual: Habits) -> dict[str, float]:
    """Raised brows are rest + emphasis * what the voice does + drift; either side has 1 +- asymmetry of that."""
    sides = (clips[..., INDEX["browOuterUp" + s]] - clips[..., INDEX["browDown" + s]] for s in ("Left", "Right"))
    left, right = (side[open_eyes] for side in sides)
    raised, share = (left + right) / 2, _share(open_eyes, fps)
    columns = [np.ones(len(raised))]
    if levels is not None:
        times = np.arange(clips.shape[1]) / fps
        columns.append(np.stack([emphasis(times, level) for level in levels])[open_eyes])
    x = np.stack(columns, 1)
    # with emphasis held at 0 by a few seconds' worth, so that a clip without loud syllables says nothing about it
    hold = np.diag([1e-6, USUAL_SECONDS * fps * 0.01][: x.shape[1]])
    rest, *follow = np.linalg.solve(x.T @ x + hold, x.T @ raised + hold @ [0.0, usual.brow_emphasis][: x.shape[1]])
    drift = _spread(raised - x @ [rest, *follow]) / DRIFTS[0]
    uneven = float((left - right) @ raised / (2 * raised @ raised + 1e-3 * USUAL_SECONDS * fps))
    return {
        "brow_rest": share * rest + (1 - share) * usual.brow_rest,
        "brow_drift": share * drift + (1 - share) * usual.brow_drift,
        "brow_emphasis": float(follow[0]) if follow else usual.brow_emphasis,
        "asymmetry": share * uneven + (1 - share) * usual.asymmetry,
    }


def _share(open_eyes: np.ndarray, fps: float) -> float:
    seconds = float(open_eyes.sum()) / fps
    return seconds / (seconds + USUAL_SECONDS)


def _spread(x: np.ndarray) -> float:
    return float(x.std()) if len(x) else 0.0
