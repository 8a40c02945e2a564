"""The formulae, each a small pure function of numpy arrays. Vertices are [T, V, 3]; regions are vertex numbers [n]."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ..data.phonemes import BILABIAL, normalise

LIPS_MEET = 0.08  # of the clip's 95th percentile
NEAR = 0.040  # s, each way from the middle of the phone
LAGS = tuple(range(-80, 81, 10))  # ms
# vowels and glides that lips round or do not; neutral ones (schwa, ɐ, ɜ) and ɑʊ, which goes from one to the other, are left out
ROUNDED = frozenset(("u", "ʊ", "oʊ", "əʊ", "o", "ɔ", "ɔɪ", "ɒ", "w", "y", "ø", "œ", "ɥ"))
UNROUNDED = frozenset(("i", "ɪ", "j", "e", "eɪ", "ɛ", "æ", "a", "aɪ", "ɑ", "ʌ"))

Pairs = Sequence[tuple[np.ndarray, np.ndarray]]  # clips of (ours [T], truth [T])


def lip_errors(pred: np.ndarray, true: np.ndarray, lips: np.ndarray) -> np.ndarray:
    """Per frame, the largest squared distance of a lip vertex from its true place: [T], unit squared.

    Its mean over frames is the lip vertex error, LVE = 1/T sum_t max_(v in lips) |x_tv - x^_tv|^2, as in MeshTalk
    (Richard et al. 2021), CodeTalker's cal_metric.py (all frames of all clips together) and torchmetrics'
    ``lip_vertex_error``.
    """
    return np.square(true[:, lips] - pred[:, lips]).sum(-1).max(1)


def vertex_errors(pred: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Per frame, the mean distance of the vertices from their true places: [T]. Its mean is the mean vertex error, MVE."""
    return np.linalg.norm(true - pred, axis=-1).mean(1)


def upper_face_dynamics_deviation(pred: np.ndarray, true: np.ndarray, upper: np.ndarray) -> float:
    """FDD as torchmetrics computes it (``upper_face_dynamics_deviation``): mean over the upper face of
    std_t |x_(t+1) - x_t| - std_t |x^_(t+1) - x^_t|, truth minus ours, of one clip.

    Positive where ours moves less unevenly than the truth, 0 for a face as alive as the truth. (The formula in its
    documentation, a mean squared difference of the steps, is another: ``step_error``.)
    """
    spread = [np.linalg.norm(np.diff(x[:, upper], axis=0), axis=-1).std(0) for x in (true, pred)]
    return float((spread[0] - spread[1]).mean())


def step_error(pred: np.ndarray, true: np.ndarray, upper: np.ndarray) -> float:
    """Mean squared length of the difference of the frame-to-frame steps, upper face: the formula that torchmetrics'
    documentation of FDD prints. Unlike its code it asks for the same blink at the same time."""
    steps = np.diff(true[:, upper], axis=0) - np.diff(pred[:, upper], axis=0)
    return float(np.square(steps).sum(-1).mean())


def signed_fdd(pred: np.ndarray, true: np.ndarray, template: np.ndarray, upper: np.ndarray) -> float:
    """FDD as the field publishes it (CodeTalker, Xing et al. 2023, cal_metric.py): mean over the upper face of
    std_t |x_t - template|^2, truth minus ours, of one clip; papers average it over clips. template [V, 3]. Unit squared."""
    spread = [np.square(x[:, upper] - template[upper]).sum(-1).std(0) for x in (true, pred)]
    return float(spread[0].mean() - spread[1].mean())


def jerk(vertices: np.ndarray, fps: float) -> float:
    """Jitter: mean length of the third difference, unit / s^3 (as in TransPose, Yi et al. 2021). 0 below four frames."""
    if len(vertices) < 4:
        return 0.0
    return float(np.linalg.norm(np.diff(vertices, 3, axis=0), axis=-1).mean() * fps**3)


def pearson(a: np.ndarray, b: np.ndarray) -> float:
    """r of two signals [T]; 0 where one of them does not move."""
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum() / size) if size > 1e-12 else 0.0


def pooled_r(pairs: Pairs) -> float:
    """Pearson r of all clips together after each clip's mean is removed (as in the corpus' ridge probe)."""
    ours, true = (np.concatenate([p[i] - p[i].mean() for p in pairs]) for i in (0, 1))
    return pearson(ours, true)


def mean_r(pairs: Pairs) -> float:
    """Mean of the clips' own r; clips whose truth does not move are left out."""
    moving = [pearson(a, b) for a, b in pairs if b.std() > 1e-9]
    return float(np.mean(moving)) if moving else 0.0


def gain(pairs: Pairs) -> float:
    """How far ours moves for what the truth moves: ratio of the standard deviations, clip means removed."""
    ours, true = (np.concatenate([p[i] - p[i].mean() for p in pairs]).std() for i in (0, 1))
    return float(ours / max(true, 1e-12))


def lag_curve(pairs: Pairs, fps: float, lags: Sequence[int] = LAGS) -> np.ndarray:
    """Pooled r with ours read ``lag`` ms later, for each lag: [len(lags)]. The best lag is how late ours is.

    The ends that some lag would read beyond are left out for all.
    """
    edge = int(np.ceil(max(abs(x) for x in lags) / 1000 * fps))
    out = []
    for lag in lags:
        moved = []
        for a, b in pairs:
            t = np.arange(len(a)) / fps
            moved.append((np.interp(t + lag / 1000, t, a)[edge : len(a) - edge], b[edge : len(b) - edge]))
        out.append(pooled_r([m for m in moved if len(m[0])] or [(np.zeros(1), np.zeros(1))]))
    return np.array(out)


def label(ipa: str) -> str:
    """The phone without length, nasality and the like; "" for one that the teacher's inventory does not know."""
    try:
        return normalise(ipa)
    except KeyError:
        return ""


def closures(gap: np.ndarray, times: np.ndarray, phones: Iterable[Sequence], floor: float = 0.0) -> list[bool]:
    """Whether the lips meet, for each p, b, m: some frame within NEAR of the phone's middle has a gap below LIPS_MEET of
    the clip's 95th percentile, both above ``floor`` (0: lips as they touch at rest).

    gap [T] above rest at times [T] s; phones [[ipa, start_s, end_s]]. Phones with no frame near are not counted.
    """
    limit = floor + LIPS_MEET * max(float(np.quantile(gap, 0.95)) - floor, 0.0)
    hits = []
    for ipa, start, end in phones:
        near = np.abs(times - (start + end) / 2) <= NEAR + 1e-6
        if label(ipa) in BILABIAL and near.any():
            hits.append(bool(gap[near].min() <= limit))
    return hits


def auc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """Chance that a positive scores above a negative, ties count half (Mann-Whitney U / (n m)); 0.5 where one is empty."""
    p, n = np.asarray(positive, float), np.sort(np.asarray(negative, float))
    if not len(p) or not len(n):
        return 0.5
    below, upto = np.searchsorted(n, p, "left"), np.searchsorted(n, p, "right")
    return float((below + upto).mean() / (2 * len(n)))


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a [n, s], b [m, s] -> similarities [n, m]."""
    unit = [x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9) for x in (a, b)]
    return unit[0] @ unit[1].T


def retrieval(similarity: np.ndarray) -> float:
    """similarity [n, n] of query i to gallery j -> share of queries whose own is the most similar."""
    return float((similarity.argmax(1) == np.arange(len(similarity))).mean())


def triples(style: np.ndarray) -> float:
    """style [S, W, s] of S styles, each in the same W >= 2 sentences -> share of triples (a style in two sentences; another
    style in the first of these) where the same style is nearer (cosine) than the same sentence."""
    n_styles, n_words, size = style.shape
    flat = style.reshape(-1, size)
    near = cosine(flat, flat).reshape(n_styles, n_words, n_styles, n_words)
    right = total = 0
    for s in range(n_styles):
        others = np.arange(n_styles) != s
        for a in range(n_words):
            for b in range(n_words):
                if a != b:
                    right += int((near[s, a, s, b] > near[s, a, others, a]).sum())
                    total += n_styles - 1
    return right / max(total, 1)
