"""What is evaluated: items (one clip with its truth) on faces (a mesh with its regions), and how a data set joins in.

A data set is a reader: a function ``read(data, options) -> Iterator[Item]`` that takes the folder DATA of the command
line and yields items one after another (load audio and truth when the item is asked for, so that memory stays flat).
``READERS`` lists them with the test that tells whether a folder is theirs; the first that says yes reads it. To add a
data set, write such a module and put a line there. Nothing else needs to know it: figures are grouped by ``Item.group``.

What a reader gives:
- audio as the runtime hears it (core/audio.load_audio: float32, mono, 16 kHz), the frame rate of the truth, the subject.
- a ``Face``: the template (rest) in the data set's own unit and frame with +y up, ``mm`` (how long that unit is), the
  vertex numbers of the lips and of the upper face. Share one Face among all items of a subject.
- the truth, either ``vertices`` [T, V, 3] or ``weights`` [T, K] of the channels with ``Face.basis`` [K, V, 3].
- how *our* weights move this mesh: where ``Face.basis`` is None, or rigging is asked for, the rig head makes a basis
  from ``Face.mesh``, the whole mesh of which the V vertices are the rows ``Face.kept``.
A model that gives vertices itself needs no basis: whatever maps an Item to [T, V, 3] is an ``Animator`` (run.py has
ours) and ``measure.evaluate_items(items, animate)`` compares it with the truth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np

from ..data import biwi, vocaset
from ..data.vertex_clips import looks_like
from ..errors import PTalkerError


@dataclass(frozen=True)
class Options:
    """What a reader may need: where fitted weights are (None: make them in ``cache``), and how much is wanted."""

    fits: Path | None = None
    cache: Path | None = None
    most: int | None = None  # clips of a group, a seeded choice; None: all
    seed: int = 0


@dataclass(frozen=True)
class Mouth:
    """Vertex numbers between which lips are measured. The first pair of inner lips is the middle one."""

    upper: tuple[int, ...]
    lower: tuple[int, ...]
    corners: tuple[int, int]
    chin: int


@dataclass(frozen=True)
class Face:
    """A mesh at rest. ``neutral`` [V, 3] in units of ``mm`` millimetres, +y up."""

    name: str
    neutral: np.ndarray
    lips: np.ndarray  # [n] vertex numbers, for LVE
    upper: np.ndarray  # [m] vertex numbers, for FDD
    mm: float = 1.0
    mouth: Mouth | None = None  # None: no lip signals (aperture, closures, rounding) on this mesh
    basis: np.ndarray | None = None  # [K, V, 3] what the channels do
    mesh: tuple[np.ndarray, np.ndarray] | None = None  # (vertices [W, 3], faces [F, 3|4], -1 pads) for the rig head
    kept: np.ndarray | None = None  # [V] rows of ``mesh`` that are these vertices; None: all
    native: bool = False  # also give LVE and FDD in the data set's own unit, as papers on it do

    def moved(self, weights: np.ndarray, basis: np.ndarray) -> np.ndarray:
        """weights [T, K], basis [K, V, 3] -> vertices [T, V, 3] float32."""
        k, v, _ = basis.shape
        return self.neutral + (weights.astype(np.float32) @ basis.reshape(k, v * 3)).reshape(-1, v, 3)


@dataclass
class Item:
    """One clip. Frame i of the truth is at i / ``fps`` seconds of ``audio`` [n] (float32, 16 kHz)."""

    group: str  # the row of the tables
    name: str  # unique within the set: seeds the clip's upper face
    subject: str
    audio: np.ndarray
    fps: float
    face: Face
    weights: np.ndarray | None = None  # [T, K]
    vertices: np.ndarray | None = None  # [T, V, 3]
    phones: list | None = None  # [[ipa, start_s, end_s]]
    # measured lip signals that are truer than those of the fitted mesh: "gap", "width", "jaw" [T], any unit, minus rest
    tracked: dict[str, np.ndarray] | None = None
    tracked_mm: float = 1.0  # mm a unit of ``tracked``
    lower_only: bool = False  # the truth's upper face is not alive: compare the lower face only
    style: str | None = None  # a built-in style or a style file; None: what the command line says
    language: str = "en"

    def truth(self) -> np.ndarray:
        """[T, V, 3] in the face's unit."""
        if self.vertices is not None:
            return self.vertices
        if self.weights is None or self.face.basis is None:
            raise ValueError(f"item {self.name} has neither vertices nor weights with a basis")
        return self.face.moved(self.weights, self.face.basis)


Animator = Callable[[Item], np.ndarray]  # -> [T, V, 3] in the face's unit; T may differ from the truth's by some frames


@dataclass(frozen=True)
class Reader:
    """``module:function`` that reads folders for which ``mine`` is true; imported only when needed."""

    name: str
    mine: Callable[[Path], bool]
    function: str

    def __call__(self, data: Path, options: Options) -> Iterator[Item]:
        module, name = self.function.split(":")
        return getattr(import_module(module, __package__), name)(data, options)


READERS: list[Reader] = [
    Reader("corpus", lambda d: (d / "heads" / "ict_facekit.npz").is_file() and (d / "speech").is_dir(), ".corpus:read"),
    Reader("VOCASET", lambda d: looks_like(d, vocaset.LAYOUT), ".vertices:read"),
    Reader("BIWI", lambda d: looks_like(d, biwi.LAYOUT), ".vertices:read"),
]


def find_reader(data: Path) -> Reader:
    """Raises PTalkerError("not_a_corpus")."""
    for reader in READERS:
        if reader.mine(data):
            return reader
    known = ", ".join(r.name for r in READERS)
    sentence = f"'{data}' is not a folder that can be evaluated." if data.is_dir() else f"There is no folder '{data}'."
    raise PTalkerError("not_a_corpus", sentence, f"Name the folder of a data set ({known}); docs/evaluate.md says how it looks.")
