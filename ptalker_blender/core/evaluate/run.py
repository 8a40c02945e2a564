"""The evaluation of one checkpoint on one data set: figures and pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import __version__
from ..errors import PTalkerError
from ..runtime import PTalker
from . import card, measure, metrics, plots, report, sets, speed
from .corpus import FPS, ict_face, read_fits, read_ict
from .floor import Ridge, corpus_floor
from .ours import Ours
from .sets import Item, Options
from .still import stillness
from .style import evaluate_style

Progress = Callable[[str, float], None]


@dataclass
class Wanted:
    """What the command line asks for."""

    data: Path
    fits: Path | None = None
    style: str | None = None
    most: int | None = None
    seed: int = 0
    rig: bool = False
    floor: bool = True
    speed: bool = True


class Watcher:
    """Passes items to ours, keeps what the floor says of each, and some speech for the speed test."""

    def __init__(self, ours: Ours, floor: Ridge | None) -> None:
        self.ours, self.floor = ours, floor
        self.floors: dict[tuple[str, str], np.ndarray] = {}
        self.speech: list[np.ndarray] = []

    def __call__(self, item: Item) -> np.ndarray:
        if len(self.speech) < 20:
            self.speech.append(item.audio)
        if self.floor is not None and item.face.mouth:
            heard = self.ours.model.speech.encode(item.audio)
            self.floors[item.group, item.name] = self.floor.predict(heard, len(item.truth()), item.fps)
        return self.ours(item)

    def r(self, clips: list[measure.Clip]) -> float | None:
        """The floor's r on these clips, where it has one."""
        pairs = [
            (self.floors[c.group, c.name][: len(c.true["gap"])], c.true["gap"]) for c in clips if (c.group, c.name) in self.floors
        ]
        return metrics.pooled_r(pairs) if pairs else None


@dataclass
class Compared:
    """All clips measured, by group, and what else the other figures need."""

    groups: dict[str, list[measure.Clip]]
    summaries: dict[str, dict]
    face: sets.Face | None  # of the corpus
    speech: np.ndarray  # some of what was heard


def compare(ours: Ours, wanted: Wanted, cache: Path, progress: Progress) -> Compared:
    """Every item of the data set against its truth. ``cache``: where fits are made when none are given.

    Raises PTalkerError for a folder that cannot be evaluated.
    """
    reader, floor, face = sets.find_reader(wanted.data), None, None
    options = Options(wanted.fits, cache, wanted.most, wanted.seed)
    if reader.name == "corpus":
        ict = read_ict(wanted.data)
        face = ict_face(ict)
        progress("reading the fits", 0.0)
        fits = read_fits(wanted.data, options, ict)
        if wanted.floor:
            progress("fitting the floor", 0.0)
            floor = corpus_floor(wanted.data, fits, ours.model.speech, FPS)
    watcher = Watcher(ours, floor)
    groups = measure.evaluate_items(reader(wanted.data, options), watcher, lambda item: progress(item.group, 0.0))
    if not groups:
        sentence = f"There is nothing in '{wanted.data}' to evaluate on."
        raise PTalkerError("not_a_corpus", sentence, "It needs clips of a dev or test split.")
    summaries = {}
    for name, clips in groups.items():
        summaries[name] = measure.summary(clips)
        if (r := watcher.r(clips)) is not None:
            summaries[name]["r_floor"] = r
    return Compared(groups, summaries, face, np.concatenate(watcher.speech))


def evaluate(model: PTalker, wanted: Wanted, cache: Path, progress: Progress) -> tuple[dict, dict[str, bytes]]:
    """-> (JSON tree of figures, pictures by heading). Arguments and errors as ``compare``."""
    ours = Ours(model, wanted.style, wanted.seed, wanted.rig)
    found = compare(ours, wanted, cache, progress)
    result: dict = {
        "ptalker": __version__,
        "settings": {
            "data": wanted.data.resolve().name, "style": wanted.style or "neutral", "seed": wanted.seed, "most": wanted.most,
            "rig": wanted.rig,
        },
        "groups": found.summaries,
        "languages": languages(found.summaries),
    }  # fmt: skip
    still_curves, style = {}, None
    if found.face is not None:
        progress("sound without a voice", 0.0)
        result["still"], still_curves = stillness(ours, found.face, wanted.seed)
        progress("style", 0.0)
        style = evaluate_style(ours, wanted.data, found.face, wanted.seed, wanted.most)
        if style:
            result["style"] = style.figures
    if wanted.speed:
        progress("speed", 0.0)
        result["speed"] = speed.speed(model, found.speech)
        if (peak := speed.peak_memory()) is not None:
            result["speed"]["peak_mb"] = peak
    result = report.rounded(result)
    if differences := card.compare(model.card.get("figures", {}), result):
        result["card"] = differences
    progress("plots", 1.0)
    return result, _pictures(found.groups, result, still_curves, style.similarity if style else None, found.face)


def languages(summaries: dict[str, dict]) -> dict[str, dict]:
    """The synthetic groups by language, r against the teacher and by English."""
    found = {g.split()[1]: s for g, s in summaries.items() if g.startswith("synthetic ") and "r" in s}
    if "en" not in found or len(found) < 2:
        return {}
    english = max(found["en"]["r"], 1e-9)
    return {k: {"clips": s["clips"], "r": s["r"], "to_english": s["r"] / english} for k, s in found.items()}


def _pictures(
    groups: dict[str, list[measure.Clip]], result: dict, still: dict[str, np.ndarray], similarity: np.ndarray | None,
    face: sets.Face | None,
) -> dict[str, bytes]:  # fmt: skip
    mouths = {g: c for g, c in groups.items() if c[0].ours}
    out: dict[str, bytes] = {}
    if mouths:
        out["Lip aperture: r"] = plots.aperture(result["groups"])
        out["Lip aperture: lag"] = plots.lags(mouths)
        out["Lip aperture: typical clips"] = plots.traces(mouths)
        spoken = {g: c for g, c in mouths.items() if any(x.phones for x in c)}
        if spoken:
            out["Closures and rounding: width"] = plots.rounding(spoken)
    out["Vertices: errors"] = plots.errors(groups)
    alive = [c for clips in groups.values() for c in clips if c.maps]
    if face is not None and alive:
        out["Vertices: faces"] = plots.faces(alive, face)
    if result["languages"]:
        out["Languages"] = plots.languages(result["languages"])
    if still:
        out["Sound without a voice"] = plots.still(still, FPS)
    if similarity is not None:
        out["Style"] = plots.style(similarity)
    return out
