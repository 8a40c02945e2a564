"""Style: is it read from a reference, does it ignore the words, does it carry over to other words.

Truth is the teacher: styles that training has not seen, the same sentence in each. References are what training uses
(MotionSet.reference): REFERENCE_SECONDS of lower-face motion at REFERENCE_FPS on a mesh.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ..audio import load_audio
from ..channels import UPPER_FACE
from ..data.motion_set import REFERENCE_FPS, REFERENCE_SECONDS
from ..data.teacher import TeacherStyle, curves
from ..data.windows import Clip, read_clips
from ..train.heads import Head, ict_heads
from . import metrics
from .corpus import FPS
from .ours import Ours
from .sets import Face, Item

STYLES = 20
SENTENCES = 6  # in which every style is read
ROUNDS = 10  # of drawing which sentence is the gallery's and which the query's
NAME = "evaluation"  # under which a vector lends itself to the runtime


@dataclass
class StyleResult:
    figures: dict[str, float | int]
    similarity: np.ndarray  # [S, S] cosine of one round: query i to gallery j


def reference(phones: list, style: TeacherStyle) -> np.ndarray:
    """The first seconds of a sentence in a style -> weights [24, K]."""
    z = curves(phones, np.arange(round(REFERENCE_SECONDS * REFERENCE_FPS)) / REFERENCE_FPS, style)
    z[:, UPPER_FACE] = 0.0
    return z


@torch.inference_mode()
def motion_style(ours: Ours, z: np.ndarray, head: Head) -> np.ndarray:
    """References z [n, T, K] played on a mesh -> style vectors [n, s + l]."""
    return head.style(ours.model.network, z, REFERENCE_FPS).cpu().numpy()


@torch.inference_mode()
def voice_style(ours: Ours, audio: np.ndarray) -> np.ndarray:
    """[s] from the voice alone."""
    features = torch.from_numpy(ours.model.speech.encode(audio).astype(np.float32)).to(ours.model.device)
    return ours.model.network.audio.style(features[None])[0].float().cpu().numpy()


def drawn_pairs(vectors: np.ndarray, rng: np.random.Generator, other: np.ndarray | None = None) -> list[np.ndarray]:
    """vectors [S, W, s] -> similarities [S, S] of ROUNDS draws: each style by two different sentences of its own.
    ``other``: where the queries come from (the same styles and sentences on another mesh)."""
    n, words, _ = vectors.shape
    rounds = []
    for _ in range(ROUNDS):
        picks = np.stack([rng.permutation(words)[:2] for _ in range(n)])
        query = (vectors if other is None else other)[np.arange(n), picks[:, 1]]
        rounds.append(metrics.cosine(query, vectors[np.arange(n), picks[:, 0]]))
    return rounds


def evaluate_style(ours: Ours, data: Path, face: Face, seed: int, most: int | None) -> StyleResult | None:
    """On the English dev sentences of the corpus; None where it has too few. ``most`` bounds clips per voice and styles."""
    spoken = [c for c in read_clips(data) if c.kind == "speech" and c.split == "dev" and c.language == "en"]
    by_sentence: dict[str, list[Clip]] = {}
    for c in spoken:
        by_sentence.setdefault(c.sentence or c.path, []).append(c)
    if len(by_sentence) < 2:
        return None
    rng = np.random.default_rng([seed, 99])
    count = STYLES if most is None else max(2, min(STYLES, most))
    styles = [TeacherStyle.sample(rng) for _ in range(count)]
    names = sorted(by_sentence)
    chosen = [names[i] for i in rng.permutation(len(names))[:SENTENCES]]
    heads, _ = ict_heads(data / "heads" / "ict_facekit.npz", 1, seed, ours.model.rigger)
    read = np.stack([np.stack([reference(by_sentence[n][0].phones, s) for n in chosen]) for s in styles])
    first, second = (motion_style(ours, read.reshape(-1, *read.shape[2:]), h).reshape(count, len(chosen), -1) for h in heads[:2])
    rounds = drawn_pairs(first, rng)
    figures: dict[str, float | int] = {
        "styles": count, "sentences": len(chosen), "reference_seconds": REFERENCE_SECONDS,
        "retrieval": float(np.mean([metrics.retrieval(r) for r in rounds])),
        "retrieval_other_mesh": float(np.mean([metrics.retrieval(r) for r in drawn_pairs(first, rng, second)])),
        "triples": metrics.triples(first),
    }  # fmt: skip
    figures |= voices(ours, data, spoken, rng, most)
    figures |= cross_style(ours, data, face, styles, [by_sentence[n] for n in chosen], first, rng)
    return StyleResult(figures, rounds[0])


def voices(ours: Ours, data: Path, spoken: list[Clip], rng: np.random.Generator, most: int | None) -> dict[str, float | int]:
    """Retrieval of the speaker from the voice alone, among up to STYLES voices, from other sentences than the gallery's.
    The voices of the corpus are known to the model, the sentences are not."""
    by_voice: dict[str, list[Clip]] = {}
    for c in spoken:
        by_voice.setdefault(c.voice, []).append(c)
    names = [v for v in sorted(by_voice) if len(by_voice[v]) >= 2][: STYLES if most is None else max(2, min(STYLES, most))]
    if len(names) < 2:
        return {}
    words = min(4, min(len(by_voice[v]) for v in names))
    vectors = np.stack([np.stack([voice_style(ours, load_audio(data / c.path)) for c in by_voice[v][:words]]) for v in names])
    found = [metrics.retrieval(r) for r in drawn_pairs(vectors, rng)]
    return {"voices": len(names), "retrieval_voice": float(np.mean(found))}


def cross_style(
    ours: Ours, data: Path, face: Face, styles: list[TeacherStyle], sentences: list[list[Clip]], vectors: np.ndarray,
    rng: np.random.Generator,
) -> dict[str, float | int]:  # fmt: skip
    """Reference: a style on sentence A; output for sentence B (any voice) against B in that style.

    vectors [S, W, s] are the references. Mean vertex error, mm, upper face aside: with A's reference, with B's own motion
    as the reference, in the neutral style.
    """
    net, errors = ours.model.network, {"cross": [], "own": [], "neutral": []}
    try:
        for i, style in enumerate(styles):
            a, b = rng.permutation(len(sentences))[:2]
            clip = sentences[b][int(rng.integers(len(sentences[b])))]
            audio = load_audio(data / clip.path)
            truth = curves(clip.phones, np.arange(round(len(audio) / 16000 * FPS)) / FPS, style)
            item = Item("style", f"{i}", clip.voice, audio, FPS, face, weights=truth, phones=clip.phones, lower_only=True)
            true = item.truth()
            for kind, vector in (("cross", vectors[i, a]), ("own", vectors[i, b]), ("neutral", None)):
                if vector is not None:
                    net.styles[NAME] = torch.from_numpy(vector)
                pred = ours(replace(item, style=NAME if vector is not None else "neutral"))
                errors[kind].append(float(metrics.vertex_errors(pred, true).mean()) * face.mm)
    finally:
        net.styles.pop(NAME, None)
    mean = {k: float(np.mean(v)) for k, v in errors.items()}
    return {
        "cross_error_mm": mean["cross"], "own_error_mm": mean["own"], "neutral_error_mm": mean["neutral"],
        "cross_to_own": mean["cross"] / max(mean["own"], 1e-9), "cross_to_neutral": mean["cross"] / max(mean["neutral"], 1e-9),
    }  # fmt: skip
