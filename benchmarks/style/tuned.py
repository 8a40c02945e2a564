"""Fine-tuning: 30 s of an unseen style, other sentences, other people."""

from __future__ import annotations

import time

import numpy as np

from ptalker_blender.core.evaluate.metrics import pooled_r
from ptalker_blender.core.finetune import fine_tune
from ptalker_blender.core.reference import read_style
from ptalker_blender.core.styles import Style

from .bench import Bench, joined
from .people import Take, tracked

LEARNED, TESTED = 30.0, 15.0  # s


def tuned(bench: Bench, count: int = 3) -> dict[str, float]:
    """Error on other sentences against the style that is read from the same clip; r of the lip gap of unseen GRID speakers."""
    out: dict[str, list[float]] = {}
    head, real, names = bench.heads[0], [t for t in tracked(bench) if t.unseen], sorted(bench.voices)
    for i, style in enumerate(bench.styles[:count]):
        name = names[(5 * i + 3) % len(names)]
        said = bench.voices[name]
        test = said[:6]
        words = {c.sentence for c in test}
        others = [c for n in names if n != name for c in bench.voices[n]]
        once = {c.sentence: c for c in [*others, *said[6:]] if c.sentence not in words}  # nobody says a thing twice
        audio, phones = joined(bench.data, list(once.values())[::-1], LEARNED)
        clip = head.clip(bench.take(phones, len(audio) / 16000, style), audio)
        only = read_style(bench.model, clip, use="motion", shown=head.shown).style
        wall, busy = time.monotonic(), time.process_time()
        learned = fine_tune(bench.model, [clip], "tuned").style
        out.setdefault("wall_s", []).append(time.monotonic() - wall)
        out.setdefault("processor_s", []).append(time.process_time() - busy)
        audio, phones = joined(bench.data, test, TESTED)
        truth = bench.take(phones, len(audio) / 16000, style)
        for kind, each in (("reference", only), ("tuned", learned)):
            made = bench.made(audio, each)
            out.setdefault(f"{kind}_mm", []).append(head.error(made, truth))
            out.setdefault(f"{kind}_on_mesh_mm", []).append(head.error_on_mesh(made, truth))
            if real:
                out.setdefault(f"r_{kind}", []).append(aperture(bench, real, each))
    found = {k: float(np.mean(v)) for k, v in out.items()}
    for where in ("", "_on_mesh"):
        found[f"gain{where} (>= 0.20)"] = 1 - found[f"tuned{where}_mm"] / found[f"reference{where}_mm"]
    if real:
        found["r_others_change (>= -0.01)"] = found["r_tuned"] - found["r_reference"]
    return found


def aperture(bench: Bench, takes: list[Take], style: Style) -> float:
    """r of the lip gap with the tracked one in a style."""
    contact = bench.model.network.contact
    assert contact is not None
    gap, pairs = contact.gap[:, 0].numpy(), []
    for take in takes:
        made = bench.made(take.audio, style) @ gap
        n = min(len(made), len(take.gap))
        good = np.isfinite(take.gap[:n])
        pairs.append((made[:n][good], take.gap[:n][good]))
    return pooled_r(pairs)
