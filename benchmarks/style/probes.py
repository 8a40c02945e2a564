"""Linear probes: what a style vector knows of the words, what content knows of the style. Tested on other sentences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from ptalker_blender.core.data.phonemes import normalise

from .bench import REFERENCE, Bench

RATE = 8.0  # at which motion is read
WINDOW = 8  # frames
FOLDS = 4
HOLD = 1.0  # ridge


def probes(bench: Bench) -> dict[str, float]:
    """The phoneme in the middle of 1 s from the style that is read from it, and of every frame of 5 s from their style; the
    style from the motion encoder's content of a frame and from its mean over 1 s; the phoneme from the content of a frame, which
    is what content is for. Chance is the commonest label."""
    head, net = bench.heads[0], bench.model.network
    rows: dict[str, list] = {k: [] for k in ("short", "short_phone", "short_text", "long", "long_phone", "long_text")}
    frames, means, of_frame, of_mean, frame_text, mean_text, frame_phone = [], [], [], [], [], [], []
    for t, phones in enumerate(bench.texts()):
        at = np.arange(0, REFERENCE, 1 / RATE)
        said = [phone_at(phones, time) for time in at]
        for i, style in enumerate(bench.styles):
            clip = head.clip(bench.take(phones, REFERENCE, style))
            seen = head.shown.reader.read(clip.at(at), head.vertices)
            with torch.inference_mode():
                content, whole = net.motion(seen, RATE)
            rows["long"] += [whole[0].numpy()] * len(at)
            rows["long_phone"] += said
            rows["long_text"] += [t] * len(at)
            frames += list(content[0].numpy()[::4])
            of_frame += [i] * len(at[::4])
            frame_text += [t] * len(at[::4])
            frame_phone += said[::4]
            for start in range(0, len(at) - WINDOW + 1, WINDOW):
                assert seen.aligned is not None
                cut = slice(start, start + WINDOW)
                with torch.inference_mode():
                    c, s = net.motion(replace(seen, nodes=seen.nodes[:, cut], aligned=seen.aligned[:, cut]), RATE)
                rows["short"].append(s[0].numpy())
                rows["short_phone"].append(said[start + WINDOW // 2])
                rows["short_text"].append(t)
                means.append(c[0].mean(0).numpy())
                of_mean.append(i)
                mean_text.append(t)
    out: dict[str, float] = {}
    for name, length in (("long", "5_s"), ("short", "1_s")):
        keep = np.array([p is not None for p in rows[f"{name}_phone"]])
        x, label = np.array(rows[name])[keep], np.array([p for p in rows[f"{name}_phone"] if p is not None])
        found, chance = probe(x, label, np.array(rows[f"{name}_text"])[keep])
        out |= {f"phoneme_from_style_of_{length}": found, f"above_chance_{length} (<= 0.05)": found - chance}
    for name, x, label, text in (("frame", frames, of_frame, frame_text), ("mean_of_1_s", means, of_mean, mean_text)):
        found, chance = probe(np.array(x), np.array(label), np.array(text))
        out |= {f"style_from_content_{name}": found, f"content_{name}_above_chance (<= 0.10)": found - chance}
    keep = np.array([p is not None for p in frame_phone])
    label = np.array([p for p in frame_phone if p is not None])
    found, chance = probe(np.array(frames)[keep], label, np.array(frame_text)[keep])
    return out | {"phoneme_from_content_frame": found, "phoneme_from_content_above_chance": found - chance}


def phone_at(phones: list, time: float) -> str | None:
    """None in silence."""
    return next((normalise(p) for p, a, b in phones if a <= time < b and p != "sil"), None)


def probe(x: np.ndarray, label: np.ndarray, text: np.ndarray) -> tuple[float, float]:
    """x [n, d], label [n], text [n] number of the text -> accuracy of a ridge classifier on texts that it was not fitted to
    (FOLDS-fold), and that of the label that is commonest in the texts it was fitted to."""
    names, codes = np.unique(label, return_inverse=True)
    one, hits, chance = np.eye(len(names)), 0, 0
    for fold in range(FOLDS):
        test = text % FOLDS == fold
        train = ~test
        scaled = np.c_[(x - x[train].mean(0)) / (x[train].std(0) + 1e-6), np.ones(len(x))]
        gram = scaled[train].T @ scaled[train] + HOLD * np.eye(scaled.shape[1])
        w = np.linalg.solve(gram, scaled[train].T @ one[codes[train]])
        hits += int(((scaled[test] @ w).argmax(1) == codes[test]).sum())
        chance += int((codes[test] == np.bincount(codes[train]).argmax()).sum())
    return hits / len(x), chance / len(x)
