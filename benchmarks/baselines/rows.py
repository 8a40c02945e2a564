"""The rows of the table, and one run of one of them."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

from ptalker_blender.core.data.motion_set import MotionSet, find_shards
from ptalker_blender.core.model.ptalker import PTalker
from ptalker_blender.core.train.loop import fit
from ptalker_blender.core.train.settings import RunSettings

from .bench import Bench
from .figures import measure
from .floor import fit_ridge, measure_ridge
from .task import BaselineTask, OurTask

FULL = "full"


@dataclass(frozen=True)
class Row:
    """``own``: the figures on which the part that is missing should show, said before anything was measured."""

    title: str
    own: tuple[str, ...] = ()
    kind: str = "ours"  # | "ridge" | "faceformer" | "published"
    weights: tuple[str, ...] = ()  # terms of the loss that are switched off
    graph: bool = True
    window: bool = True
    cross: bool = True
    synthetic: bool = True
    real: bool = True
    beside: bool = True  # convolutions of content and attention among frames, which look beside the instant as well


ROWS: dict[str, Row] = {
    FULL: Row("ours, all of it"),
    "faceformer": Row("FaceFormer-style", kind="faceformer"),
    "published": Row("PTalker as published", kind="published"),
    "no_graph": Row("no graph attention: one linear map", ("style_foreign", "cross_foreign"), graph=False),
    "diagonal": Row("no cross-attention: diagonal", ("r_s1", "r_unseen", "lag", "lve_s1"), window=False),
    "cross_alone": Row("no convolutions, no attention among frames", ("r_s1", "r_unseen", "lag", "lve_s1"), beside=False),
    "instant": Row("nor cross-attention", ("r_s1", "r_unseen", "lag", "lve_s1"), beside=False, window=False),
    "no_contrastive": Row("no contrastive loss", ("sync", "r_unseen", "cross_motion"), weights=("contrastive",)),
    "no_kl": Row("no KL", ("modality", "cross_motion"), weights=("kl",)),
    "no_disentanglement": Row(
        "no disentanglement", ("style", "voice_style", "leak_style", "leak_voice"),
        weights=("style_nce", "style_habits", "style_agree", "content_same", "independence", "adversary"),
    ),
    "no_cross": Row("no cross-reconstruction", ("cross_motion", "leak_style"), cross=False),
    "no_teacher": Row("no teacher data", ("r_taught", "lve_taught", "closed", "cross_audio"), synthetic=False),
    "no_real": Row("no real data", ("r_s1", "r_unseen", "lve_s1"), real=False),
    "ridge": Row("ridge probe", kind="ridge"),
}  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Where everything is."""

    data: Path
    corpus: Path
    fits: Path


def settings_of(row: Row, base: RunSettings, seed: int) -> RunSettings:
    """As many windows in each batch and as many steps for all rows."""
    windows = base.data.real + base.data.synthetic
    data = base.data
    if not row.synthetic:
        data = replace(data, real=windows, synthetic=0)
    if not row.real:
        data = replace(data, real=0, synthetic=windows)
    model = base.model | ({} if row.graph else {"graph": False, "aligned": 0}) | ({} if row.window else {"cross": "diagonal"})
    model |= {} if row.beside else {"kernel": 1, "reach_self": 0.0}
    weights = base.weights | dict.fromkeys(row.weights, 0.0)
    return RunSettings(replace(base.loop, seed=seed), data, weights, model)


def run(row: Row, base: RunSettings, seed: int, place: Place, bench: Bench, out: Path) -> dict:
    """Train (or go on training) in ``out`` and measure -> {"figures", "train_s", "measure_s", "parameters"}."""
    settings, began = settings_of(row, base, seed), time.monotonic()
    if row.kind == "ridge":
        windows = MotionSet(place.data, place.corpus, place.fits, find_shards(place.corpus, base.data.shards, base.data.passes))
        figures, size = measure_ridge(bench, fit_ridge(windows, seed)), 0
        trained = time.monotonic()
    elif row.kind == "ours":
        task = OurTask(settings, place.data, place.corpus, place.fits, row.cross)
        fit(task, settings.loop, out)
        trained = time.monotonic()
        net, _ = PTalker.load(out / "ptalker.safetensors")
        figures, size = measure(bench, task.animate(net), net), sum(p.numel() for p in net.parameters())
    else:
        task = BaselineTask(row.kind, settings, place.data, place.corpus, place.fits)
        fit(task, settings.loop, out)
        trained = time.monotonic()
        net = task.load(out / "ptalker.safetensors")
        figures, size = measure(bench, task.animate(net), None), sum(p.numel() for p in net.parameters())
    spent = {"train_s": round(trained - began, 1), "measure_s": round(time.monotonic() - trained, 1)}
    return {"figures": {k: round(v, 5) for k, v in figures.items()}, "parameters": size} | spent
