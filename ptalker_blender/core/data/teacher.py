"""The coarticulation teacher: timed phones -> curves of the 52 channels, at any times, in any style.

Parameters are estimated from tracked speech (estimate_teacher.py, teacher.json); the mixture is in dominance.py, the
phones in phonemes.py. After mixing and styling, closures are enforced: at p, b, m the lips meet, at f, v the lower lip
meets the upper teeth, whatever the style.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from ..channels import CHANNELS, INDEX
from ..upper_face import upper_face
from .dominance import ARTICULATOR, GROUPS, Parameters, mixture, spread
from .idiolect import ESTIMATE
from .phonemes import BILABIAL, BILABIAL_STOPS, LABIODENTAL, NEIGHBOURS, SILENCE, segments
from .teacher_style import TeacherStyle

CHUNK = 128  # frames mixed at once, so that memory does not grow with the clip
REACH = 4.0  # s, segments farther away have no influence
SLOWEST = 0.35  # s, longest time constant of any style
BURST = 0.022  # s before the end of p, b: the lips part ("speech": 10-30 ms; GRID medians agree)
ONSET = 0.008  # s after a bilabial's start: the lips have met
RAMP, TEETH_RAMP = 0.045, 0.06  # s from open to closed
GUMS = 0.5  # weight of mouthUpperUp
CROSSING = 0.04  # cm, by which soft lips may press into each other
SHORTEST = 0.045  # s, a closure is at least this long, or no frame at 24 fps would show it
TEETH_GAP = 0.15  # cm, height between the inner lips when the lower lip touches the teeth (distance in GRID: 0.3)
OPENERS = [INDEX[n] for n in CHANNELS if n.startswith(("mouthLowerDown", "mouthUpperUp", "mouthFunnel", "noseSneer"))
           or n == "mouthShrugUpper"]  # fmt: skip
_SPREAD = spread()


@cache
def default_parameters() -> tuple[Parameters, dict[str, int]]:
    """The committed estimate with the neighbour phones added, and the row of each label."""
    parameters = Parameters.load(ESTIMATE).extended(NEIGHBOURS)
    return parameters, {label: i for i, label in enumerate(parameters.labels)}


def styled_targets(target: np.ndarray, style: TeacherStyle) -> np.ndarray:
    """[S, M] targets with the style's gains."""
    out = target * style.strength
    a = ARTICULATOR
    gain = {
        "jawOpen": style.jaw, "mouthLowerDown": style.lips * (1 - style.upper_share),
        "mouthUpperUp": style.lips * (1 + style.upper_share), "noseSneer": style.sneer,
        "mouthFunnel": style.rounding, "mouthPucker": style.rounding,
    }  # fmt: skip
    for name, value in gain.items():
        out[:, a[name]] *= value
    raised = out[:, a["mouthUpperUp"]]  # above this an upper lip bares the gums
    out[:, a["mouthUpperUp"]] = np.minimum(raised, GUMS) + 0.15 * np.tanh(np.maximum(raised - GUMS, 0) / 0.15)
    # GRID's tracker shows little mouthLowerDown; who speaks with the lower lip adds it to what the jaw does
    out[:, a["mouthLowerDown"]] += 0.35 * max(0.0, style.lips * (1 - style.upper_share) - 1) * out[:, a["jawOpen"]]
    funnel, pucker = out[:, a["mouthFunnel"]].copy(), out[:, a["mouthPucker"]].copy()
    moved = style.funnel * (pucker if style.funnel > 0 else funnel)
    out[:, a["mouthFunnel"]], out[:, a["mouthPucker"]] = funnel + 0.7 * moved, pucker - moved
    total = out[:, a["mouthSmile"]] + out[:, a["mouthStretch"]]
    lean = 2 * style.smile_stretch - 1  # 0 keeps the estimated shares
    smile = out[:, a["mouthSmile"]] + (out[:, a["mouthStretch"]] * lean if lean > 0 else out[:, a["mouthSmile"]] * lean)
    out[:, a["mouthSmile"]], out[:, a["mouthStretch"]] = smile * style.spread, (total - smile) * style.spread
    return out


def _mixed(spans: list[tuple[str, float, float]], times: np.ndarray, style: TeacherStyle) -> np.ndarray:
    """[T, M] articulator curves of the styled dominance model."""
    p, row = default_parameters()
    p = p if style.own is None else style.own.parameters  # the same labels
    rows = np.array([row[s[0]] for s in spans])
    target = styled_targets(p.target, style)[rows]
    alpha = np.exp(p.log_alpha * style.contrast)[rows]
    rise = np.minimum(np.exp(p.log_rise) * style.anticipation, SLOWEST)[rows]
    fall = np.minimum(np.exp(p.log_fall) * style.carry_over, SLOWEST)[rows]
    bounds = np.array([s[1:] for s in spans])
    start, end = bounds[:, 0] + p.edges[rows, 0], bounds[:, 1] + p.edges[rows, 1]
    out = np.empty((len(times), target.shape[1]), np.float32)
    for at in range(0, len(times), CHUNK):
        t = times[at : at + CHUNK]
        near = (end > t.min() - REACH) & (start < t.max() + REACH)
        out[at : at + CHUNK] = mixture(t, start[near], end[near], target[near], alpha[near], rise[near], fall[near], p.power)
    return out


def ramp(times: np.ndarray, cores: list[tuple[float, float]], width: float) -> np.ndarray:
    """[T] 1 inside the cores, smooth to 0 over `width` seconds outside; cores in order of time."""
    if not cores:
        return np.zeros(len(times))
    start, end = np.array(cores).T
    i = np.searchsorted((start + end) / 2, times)
    before, after = np.maximum(i - 1, 0), np.minimum(i, len(start) - 1)
    outside = lambda k: np.maximum(0, np.maximum(start[k] - times, times - end[k]))  # noqa: E731
    near = np.clip(1 - np.minimum(outside(before), outside(after)) / width, 0, 1)
    return near * near * (3 - 2 * near)


def closures(spans: list[tuple[str, float, float]], style: TeacherStyle) -> tuple[list, list]:
    """Time spans in which the lips are shut (p, b, m) and in which the lower lip is at the teeth (f, v)."""
    lips, teeth = [], []
    for label, start, end in spans:
        if label not in BILABIAL and label not in LABIODENTAL:
            continue
        first = start + ONSET - style.closure_length
        last = end - (BURST if label in BILABIAL_STOPS else 0.012) + min(style.closure_length, 0.01)
        if last - first < SHORTEST:
            middle = (start + end) / 2 - (0.005 if label in BILABIAL_STOPS else 0.0)
            first, last = middle - SHORTEST / 2, middle + SHORTEST / 2
        (lips if label in BILABIAL else teeth).append((first, last))
    return lips, teeth


def _close(x: np.ndarray, shut: np.ndarray, gap: np.ndarray, remaining: float) -> None:
    """Bring the height of the inner-lip gap of x [T, 52] to `remaining` cm where shut [T] is 1, in place.

    Lips stop opening, the jaw rises a little, mouthClose does the rest (as in the ARKit convention)."""
    x[:, OPENERS] *= 1 - shut[:, None]
    x[:, INDEX["jawOpen"]] *= 1 - 0.3 * shut
    x[:, INDEX["jawForward"]] *= 1 - shut
    close = INDEX["mouthClose"]
    others = x @ gap - x[:, close] * gap[close]
    needed = np.clip((others - remaining) / -gap[close], 0, 1)
    x[:, close] = np.clip((1 - shut) * x[:, close] + shut * needed, 0, 1)


def _meet_in_depth(x: np.ndarray, shut: np.ndarray, depth: np.ndarray) -> None:
    """Where the lips are shut, roll the upper lip in or the lower lip in until they touch in depth too, in place:
    a lowered jaw and mouthClose leave the lower lip behind the upper one."""
    behind = shut * (x @ depth)
    upper, lower = INDEX["mouthRollUpper"], INDEX["mouthRollLower"]
    x[:, upper] += np.maximum(behind, 0) / -depth[upper]
    x[:, lower] += np.maximum(-behind, 0) / depth[lower]


def uncross(x: np.ndarray, gap: np.ndarray) -> None:
    """Lower-lip raisers never lift the lower lip through the upper one, in place. Rolling lips in is no crossing."""
    raisers = [INDEX[n] for n in ("mouthShrugLower", "mouthPressLeft", "mouthPressRight")]
    close, rolls = INDEX["mouthClose"], [INDEX["mouthRollLower"], INDEX["mouthRollUpper"]]
    lifted = -(x[:, raisers] @ gap[raisers])
    room = x @ gap + lifted - x[:, close] * gap[close] - x[:, rolls] @ gap[rolls] + CROSSING
    x[:, raisers] *= np.clip(room / np.maximum(lifted, 1e-6), 0, 1)[:, None]
    room = room - np.minimum(lifted, np.maximum(room, 0))
    x[:, close] = np.minimum(x[:, close], np.clip(room / -gap[close], 0, 1))


def habitual(x: np.ndarray, style: TeacherStyle, shut: np.ndarray, tucked: np.ndarray) -> None:
    """Add to x [T, 52] what a style has beside its targets: posture, pressed closures, asymmetry; in place."""
    rounded = np.clip(2 * (x[:, INDEX["mouthPucker"]] + x[:, INDEX["mouthFunnel"]]), 0, 1)
    active = np.clip(x[:, INDEX["jawOpen"]] / 0.15, 0, 1)  # 0 at rest, 1 while speaking
    x[:, INDEX["jawForward"]] += style.protrusion * active
    x[:, INDEX["jawOpen"]] += style.rest_open * (1 - active)
    roll = INDEX["mouthRollLower"]
    x[:, roll] = np.maximum(x[:, roll], tucked * style.tuck)
    x[:, roll] += 0.25 * style.closure * shut
    x[:, INDEX["mouthRollUpper"]] += 0.15 * style.closure * shut
    for side, sign in (("Left", 1.0), ("Right", -1.0)):
        x[:, INDEX["mouthSmile" + side]] += style.rest_smile * (1 - 0.7 * rounded)
        x[:, INDEX["mouthFrown" + side]] += style.rest_frown * (1 - 0.7 * rounded)
        x[:, INDEX["mouthDimple" + side]] += style.rest_dimple * (1 - rounded)
        x[:, INDEX["mouthPress" + side]] += style.rest_press * (1 - active) + 0.5 * style.closure * shut
        x[:, INDEX["cheekSquint" + side]] += style.cheeks * x[:, INDEX["mouthSmile" + side]] * 0.6
        sided = [i for i, n in enumerate(CHANNELS) if n.endswith(side) and n.startswith(("mouth", "nose", "cheek"))
                 and n not in ("mouthLeft", "mouthRight")]  # fmt: skip
        x[:, sided] *= 1 + sign * style.asymmetry
    x[:, INDEX["mouthLeft" if style.sideways > 0 else "mouthRight"]] += abs(style.sideways) * active * (1 - shut)


def curves(
    phones: Sequence[Sequence], times: np.ndarray, style: TeacherStyle, *, seed: int | None = None,
    envelope: np.ndarray | None = None,
) -> np.ndarray:  # fmt: skip
    """phones [[ipa | "sil", start_s, end_s]] in order; times [T] s, ascending -> weights [T, 52] float32, 0..1.

    With `seed`, the upper face is added (upper_face.py; `envelope` [T] is the speech level it follows)."""
    times = np.asarray(times, np.float64)
    spans = segments(phones)
    a = _mixed(spans, times, style)
    gap = default_parameters()[0].gap[:, 0]
    x = np.clip(a, 0, 1) @ _SPREAD
    lips, teeth = closures(spans, style)
    shut, tucked = ramp(times, lips, RAMP), ramp(times, teeth, TEETH_RAMP)

    habitual(x, style, shut, tucked)
    if seed is not None:
        x += upper_face(times, envelope, seed, style.habits())
    np.clip(x, 0, 1, out=x)
    uncross(x, gap)
    _close(x, tucked, gap, TEETH_GAP)
    close_lips(x, shut)
    return np.clip(x, 0, 1).astype(np.float32)


def close_lips(x: np.ndarray, shut: np.ndarray) -> None:
    """Make the lips of x [T, 52] meet, in height and in depth, as far as shut [T] 0..1 says, in place."""
    gap, depth = default_parameters()[0].gap.T
    for _ in range(2):  # rolling the lips in changes the height a little
        _close(x, shut, gap, -0.03)
        _meet_in_depth(x, shut, depth)


def is_silent(phones: Sequence[Sequence], times: np.ndarray) -> np.ndarray:
    """[T] bool: no phone sounds at the time."""
    silent = np.ones(len(times), bool)
    for label, start, end in segments(phones):
        if label != SILENCE:
            silent &= ~((times >= start) & (times < end))
    return silent


__all__ = [
    "GROUPS", "TeacherStyle", "close_lips", "closures", "curves", "default_parameters", "habitual", "is_silent", "ramp",
    "styled_targets", "uncross",
]  # fmt: skip
