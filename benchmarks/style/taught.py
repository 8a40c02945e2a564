"""Unseen styles of the teacher: carried over to other words, told apart, read on another head; speakers by their voice."""

from __future__ import annotations

import numpy as np

from ptalker_blender.core.evaluate.metrics import cosine, retrieval, triples
from ptalker_blender.core.reference import style_of_voice

from .bench import REFERENCE, Bench, joined

ROUNDS = 10


def transfer(bench: Bench, takes: int = 2) -> dict[str, float]:
    """Reference on sentence A, output for B against B in that style; with B's own reference, in the neutral style. The
    reference with its sound and its face at rest, with motion only, and with sound but without the face at rest."""
    rng, head = np.random.default_rng([bench.seed, 6]), bench.heads[0]
    kinds = {"": (True, True), "_silent": (False, True), "_no_rest": (True, False)}
    errors: dict[str, list[float]] = {}

    def add(kind: str, made: np.ndarray, truth: np.ndarray) -> None:
        errors.setdefault(kind, []).append(head.error(made, truth))
        errors.setdefault(f"{kind}_on_mesh", []).append(head.error_on_mesh(made, truth))

    for style in bench.styles:
        for take in range(takes):
            a, b = (int(w) for w in rng.permutation(len(bench.sayings))[:2])
            audio, phones = bench.sayings[b]
            truth = bench.take(phones, len(audio) / 16000, style)
            for name, (sound, rest) in kinds.items():
                if not rest and take:
                    continue  # each is another mesh for the rig head, which takes long
                for kind, which in (("cross", a), ("own", b)):
                    if rest or kind == "cross":
                        add(kind + name, bench.made(audio, bench.shown(which, style, head, sound=sound, rest=rest).style), truth)
            add("neutral", bench.made(audio, None), truth)
    mean = {k: float(np.mean(v)) for k, v in errors.items()}
    firsts = {where: float(np.mean(errors[f"neutral{where}"][::takes])) for where in ("", "_on_mesh")}
    out = {f"{k}_mm": v for k, v in mean.items() if "no_rest" not in k}
    for name in ("", "_silent"):
        for where in ("", "_on_mesh"):
            out[f"cross_to_own{name}{where} (<= 1.25)"] = mean[f"cross{name}{where}"] / mean[f"own{name}{where}"]
            out[f"cross_to_neutral{name}{where} (<= 0.6)"] = mean[f"cross{name}{where}"] / mean[f"neutral{where}"]
    return out | {f"cross_to_neutral_no_rest{w} (<= 0.6)": mean[f"cross_no_rest{w}"] / firsts[w] for w in firsts}


def told_apart(bench: Bench) -> dict[str, float]:
    """The same style, other words is nearer than another style, the same words."""
    return {"triples (>= 0.95)": triples(bench.vectors(0))}


def across(bench: Bench) -> dict[str, float]:
    """Retrieval of the style with the gallery on one head: queries on the same one, and on another."""
    one, other = bench.vectors(0), bench.vectors(1)
    same = retrieved(one, one)
    return {"retrieval (>= 0.95)": same, "retrieval_other_head": (found := retrieved(one, other)), "drop (<= 0.05)": same - found}


def voice(bench: Bench) -> dict[str, float]:
    """Retrieval of the speaker from the voice alone, among up to 20 voices (known to the model; the words are not)."""
    names = sorted(v for v in bench.voices if len(bench.voices[v]) >= 4)[:20]
    rows = []
    for name in names:
        parts = np.array_split(np.arange(len(bench.voices[name])), 3)
        heard = [joined(bench.data, [bench.voices[name][i] for i in part], REFERENCE)[0] for part in parts]
        rows.append([style_of_voice(bench.model, a).vector.numpy() for a in heard])
    return {"voices": len(names), "retrieval_voice (>= 0.60)": retrieved(np.array(rows), np.array(rows))}


def retrieved(gallery: np.ndarray, queries: np.ndarray) -> float:
    """[S, W, s] each: share of the styles that are found again in other words, mean of ROUNDS draws of the words."""
    rng, hits, rows = np.random.default_rng(0), [], np.arange(len(gallery))
    for _ in range(ROUNDS):
        picks = np.stack([rng.permutation(gallery.shape[1])[:2] for _ in rows])
        hits.append(retrieval(cosine(queries[rows, picks[:, 1]], gallery[rows, picks[:, 0]])))
    return float(np.mean(hits))
