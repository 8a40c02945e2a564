"""VOCASET and BIWI: their published test splits as items, and the paper's table for a run that was trained on them.

Rows of a run, by where the style comes from:
- BIWI-Test-A: the subject's own learned style (published protocol: subjects seen in training, figures of the papers).
- VOCASET-Test, BIWI-Test-B "training styles": subjects never seen; each clip in the style of every training subject, all
  results together (published protocol).
- "reference": the motion of one other sentence of the same subject. "voice": what the sound itself suggests.
- "still": the template, not moving: what every figure is without any model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import Tensor

from .. import __version__
from ..data import biwi, vocaset
from ..data.vertex_clips import VertexClip, VertexSet, find_set
from ..errors import PTalkerError
from ..styles import resolve
from ..vertex_runtime import VertexTalker
from . import measure, plots, report
from .sets import Face, Item, Options

LAYOUTS = (vocaset.LAYOUT, biwi.LAYOUT)
TITLES = {("VOCASET", "test"): "VOCASET-Test", ("BIWI", "test_a"): "BIWI-Test-A", ("BIWI", "test_b"): "BIWI-Test-B"}
Progress = Callable[[str, float], None]


def read(data: Path, options: Options) -> Iterator[Item]:
    """A Reader (see sets.py): for models with named channels, whose rig head moves the mesh of each subject."""
    found = find_set(data, LAYOUTS)
    yield from (item for item, _ in items(found, options, found.faces()))


def items(data: VertexSet, options: Options, faces: np.ndarray | None) -> Iterator[tuple[Item, VertexClip]]:
    """Every clip of the test splits, read when its turn comes."""
    made: dict[str, Face] = {}
    for split in data.layout.tests:
        clips = data.clips[split]
        if options.most is not None and len(clips) > options.most:
            chosen = np.random.default_rng(options.seed).choice(len(clips), options.most, replace=False)
            clips = [clips[i] for i in sorted(chosen)]
        for clip in clips:
            if clip.subject not in made:
                template = data.templates[clip.subject].astype(np.float32)
                mesh = None if faces is None else (template, faces)
                name = f"{data.layout.name} {clip.subject}"
                made[clip.subject] = Face(name, template, data.lips, data.upper, data.layout.mm, mesh=mesh, native=True)
            title = TITLES[data.layout.name, split]
            yield (
                Item(title, clip.id, clip.subject, clip.audio(), data.layout.fps, made[clip.subject], vertices=clip.vertices()),
                clip,
            )


class Styles:
    """The styles in which one clip is made: row of the table -> style vectors."""

    def __init__(self, talker: VertexTalker, data: VertexSet, style: str | None) -> None:
        self.talker, self.data, self.style = talker, data, style
        trained = [s for s in data.layout.speakers if s in talker.network.styles]
        if not trained:
            sentence = f"The run was not trained on the subjects of {data.layout.name}."
            raise PTalkerError("data_mismatch", sentence, "Train one: python -m ptalker_blender.core.train.vertex.")
        self.trained = trained

    def of(self, clip: VertexClip, features: np.ndarray) -> dict[str, list[Tensor]]:
        styles = self.talker.network.styles
        if self.style is not None:
            return {f", style {Path(self.style).stem}": [resolve(self.style, 1.0, styles)]}
        own = clip.subject in self.trained
        rows = {"": [styles[clip.subject]]} if own else {", training styles": [styles[s] for s in self.trained]}
        if (other := self.reference(clip)) is not None:
            moves = other.vertices() - self.data.templates[other.subject].astype(np.float32)
            rows[", reference"] = [self.talker.style_of_motion(moves, self.data.layout.fps)]
        return rows | {", voice": [self.talker.style_of_voice(features)]}

    def reference(self, clip: VertexClip) -> VertexClip | None:
        """Another sentence of the same subject, one that is not tested if there is any."""
        tested = {c.id for split in self.data.layout.tests for c in self.data.clips[split]}
        others = [c for c in self.data.everything if c.subject == clip.subject and c.id != clip.id]
        return next((c for c in others if c.id not in tested), others[0] if others else None)


def evaluate_run(run: Path, data: Path, options: Options, style: str | None, progress: Progress) -> tuple[dict, dict[str, bytes]]:
    """-> (JSON tree of figures, pictures by heading), as ``run.evaluate``. Raises PTalkerError."""
    found, talker = find_set(data, LAYOUTS), VertexTalker.load(run)
    if found.count != talker.basis.vertices:
        sentence = f"The run moves {talker.basis.vertices} vertices, but {found.layout.name} here has {found.count}."
        raise PTalkerError("data_mismatch", sentence, "Evaluate it on the data it was trained on.")
    styles = Styles(talker, found, style)
    groups: dict[str, list[measure.Clip]] = {}

    def note(item: Item, row: str, pred: np.ndarray) -> None:
        made = measure.measure(replace(item, group=item.group + row), pred)
        made.maps.clear()  # hundreds of clips of dense meshes: only figures are kept
        groups.setdefault(made.group, []).append(made)

    total = sum(len(found.clips[s]) for s in found.layout.tests)
    for done, (item, clip) in enumerate(items(found, options, None)):
        progress(item.group, done / total)
        features, frames = talker.encode(item.audio), len(item.truth())
        for row, vectors in styles.of(clip, features).items():
            for vector in vectors:
                pred = talker.animate(features, item.fps, item.face.neutral, vector, frames)
                note(item, row, pred)
        note(item, ", still", np.broadcast_to(item.face.neutral, item.truth().shape))
    if not groups:
        raise PTalkerError("data_missing", f"'{data}' has no sentence of the published test splits.")
    groups = dict(sorted(groups.items()))
    settings = {"data": found.layout.name, "run": run.resolve().name, "seed": options.seed, "most": options.most, "rig": False}
    result = {
        "ptalker": __version__,
        "settings": settings | {"style": style or "as the rows say", "left out for want of sound": len(found.silent)},
        "groups": {k: measure.summary(v) for k, v in groups.items()},
        "languages": {},
    }
    progress("plots", 1.0)
    return report.rounded(result), {"Vertices: errors": plots.errors(groups)}


def table(result: dict) -> str:
    """The paper's table: LVE and signed FDD in the data's own unit as papers print them, and what is comparable, in mm."""
    layout = next(x for x in LAYOUTS if x.name == result["settings"]["data"])
    heads = [f"{name} {unit:.0e}".replace("1e-0", "e-") for name, unit in zip(("LVE", "FDD"), layout.printed, strict=True)]
    lines = ["".join([f"{'':34s}", *(f"{h:>10s}" for h in ("clips", *heads, "FDD mm", "MVE mm"))])]
    for name, row in result["groups"].items():
        figures = [
            row["lve_native"] / layout.printed[0],
            row["fdd_signed_native"] / layout.printed[1],
            row["fdd_mm"],
            row["mve_mm"],
        ]
        lines.append(f"{name:34s}{row['clips']:10d}" + "".join(f"{x:10.4f}" for x in figures))
    return "\n".join(lines)
