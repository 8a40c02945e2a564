"""Data sets of raw moving vertices in the published layout (FaceFormer, CodeTalker): VOCASET, BIWI and others like them.

    FOLDER/vertices_npy/SUBJECT_SENTENCE.npy   [T, V * 3] or [T, V, 3], one file a sentence
    FOLDER/wav/SUBJECT_SENTENCE.wav            any sample rate; frame i of the vertices is at i / fps seconds of it
    FOLDER/templates.pkl                       {subject: [V, 3]}, read without running anything (safe_pickle.py)
    FOLDER/*.ply                               the topology, for the graph of the motion encoder
    FOLDER/regions/lve.txt, fdd.txt            vertex numbers of the lips and of the upper face, with commas
The last two digits of a name are the sentence; subjects and sentences decide the split.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..audio import load_audio
from ..errors import PTalkerError
from .mesh_files import read_mesh
from .safe_pickle import read_npy, read_pickle

GAPS = 0.05  # share of the sentences that may lack their sound: the published data have a few such gaps


@dataclass(frozen=True)
class Split:
    """Who is in it, and which sentences."""

    subjects: tuple[str, ...]
    sentences: range


@dataclass(frozen=True)
class Layout:
    """What is particular to one data set. ``stride``: of the stored frames every how many-th is kept, giving ``fps``."""

    name: str
    fps: float
    stride: int
    mm: float  # millimetres that the unit of its vertices is long
    printed: tuple[float, float]  # what papers print LVE and signed FDD in, of that unit squared
    splits: dict[str, Split]
    tests: tuple[str, ...]  # the splits that are tested on
    meshes: tuple[str, ...]  # where the topology may be, the first that exists counts
    regions: Callable[[Path], tuple[np.ndarray, np.ndarray]]  # folder -> vertex numbers of lips, of the upper face

    @property
    def speakers(self) -> tuple[str, ...]:
        """The subjects that are trained on."""
        return self.splits["train"].subjects


@dataclass(frozen=True)
class VertexClip:
    """One sentence of one subject. ``stride``: frames of the file that are one frame here."""

    id: str
    subject: str
    sentence: int
    path: Path
    sound: Path
    stride: int
    vertices_count: int

    @property
    def length(self) -> int:
        """T"""
        return -(-read_npy(self.path).shape[0] // self.stride)

    def frames(self, which: np.ndarray | slice) -> np.ndarray:
        """[n, V, 3] float32 of the frames asked for; only those are read."""
        frames = np.asarray(read_npy(self.path)[:: self.stride][which], np.float32)
        return frames.reshape(len(frames), self.vertices_count, 3)

    def vertices(self) -> np.ndarray:
        """[T, V, 3] float32."""
        return self.frames(slice(None))

    def audio(self) -> np.ndarray:
        """[n] float32, 16 kHz mono."""
        return load_audio(self.sound)


@dataclass(frozen=True)
class VertexSet:
    """A data set of one topology. Vertices are in the data's own unit and frame."""

    layout: Layout
    folder: Path
    templates: dict[str, np.ndarray]  # subject -> [V, 3] float64
    clips: dict[str, list[VertexClip]]  # by split; a clip may be in several
    everything: list[VertexClip]  # also what is in no split: other sentences of test subjects
    lips: np.ndarray  # [n] vertex numbers
    upper: np.ndarray  # [m]
    silent: list[str] = field(default_factory=list)  # sentences left out because they have no sound

    @property
    def count(self) -> int:
        """V"""
        return len(next(iter(self.templates.values())))

    def faces(self) -> np.ndarray:
        """[F, 4] int64, -1 pads triangles. Raises PTalkerError where the topology is not there or is another."""
        faces = self.faces_or_none()
        if faces is None:
            places = " or ".join(self.layout.meshes[:2])
            sentence = f"There is no mesh of the topology in '{self.folder}'."
            raise PTalkerError("data_missing", sentence, f"Put {places} there: the motion encoder works on its edges.")
        return faces

    def faces_or_none(self) -> np.ndarray | None:
        for name in self.layout.meshes:
            if (self.folder / name).is_file():
                vertices, faces = read_mesh(self.folder / name)
                if len(vertices) != self.count:
                    sentence = f"'{name}' has {len(vertices)} vertices, but the templates have {self.count}."
                    raise PTalkerError("data_mismatch", sentence)
                return faces
        return None


def looks_like(folder: Path, layout: Layout) -> bool:
    """Whether a folder has the files of this data set, by the names of its subjects."""
    if not (folder / "templates.pkl").is_file() or not (folder / "vertices_npy").is_dir():
        return False
    everyone = {s for split in layout.splits.values() for s in split.subjects}
    return any(_parts(p)[0] in everyone for p in (folder / "vertices_npy").glob("*.npy"))


def read_set(folder: Path, layout: Layout) -> VertexSet:
    """Everything but the frames and the sounds, which clips read when they are asked for.

    Raises PTalkerError("data_missing" | "data_mismatch" | "data_unsafe" | "data_damaged").
    """
    for name, what in (("vertices_npy", "vertices of each sentence"), ("wav", "sound of each sentence")):
        if not (folder / name).is_dir():
            sentence = f"'{folder}' is not {layout.name} as it is published: there is no folder '{name}' with the {what}."
            raise PTalkerError("data_missing", sentence, "docs/vocaset.md says which files go where.")
    templates = read_templates(folder / "templates.pkl")
    everyone = {s for split in layout.splits.values() for s in split.subjects}
    clips: list[VertexClip] = []
    silent: list[str] = []
    for path in sorted((folder / "vertices_npy").glob("*.npy")):
        subject, sentence = _parts(path)
        if subject not in everyone or sentence is None:
            continue
        if subject not in templates:
            raise PTalkerError("data_missing", f"templates.pkl has no template of '{subject}'.")
        count = len(templates[subject])
        check_frames(path, count)
        sound = folder / "wav" / f"{path.stem}.wav"
        if sound.is_file():
            clips.append(VertexClip(path.stem, subject, sentence, path, sound, layout.stride, count))
        else:
            silent.append(path.stem)
    if not clips or len(silent) > GAPS * (len(clips) + len(silent)):
        missing = f"the sound wav/{silent[0]}.wav" if silent else f"any sentence of {layout.name}"
        raise PTalkerError("data_missing", f"'{folder}' lacks {missing}.", "docs/vocaset.md says which files go where.")
    by_split = {
        name: [c for c in clips if c.subject in split.subjects and c.sentence in split.sentences]
        for name, split in layout.splits.items()
    }
    lips, upper = layout.regions(folder)
    count = len(next(iter(templates.values())))
    for region in (lips, upper):
        if not len(region) or region.min() < 0 or region.max() >= count:
            sentence = f"The regions of '{folder.name}' name vertices that its templates of {count} vertices do not have."
            raise PTalkerError("data_mismatch", sentence)
    return VertexSet(layout, folder, templates, by_split, clips, lips, upper, silent)


def find_set(folder: Path, layouts: Sequence[Layout]) -> VertexSet:
    """The data set in a folder. Raises PTalkerError("data_missing" ...) where it is none of ``layouts``."""
    for layout in layouts:
        if looks_like(folder, layout):
            return read_set(folder, layout)
    names = " or ".join(layout.name for layout in layouts)
    sentence = f"'{folder}' is not {names} as published: it needs templates.pkl, vertices_npy and wav."
    raise PTalkerError("data_missing", sentence, "docs/vocaset.md says which files go where.")


def read_templates(path: Path) -> dict[str, np.ndarray]:
    """templates.pkl -> {subject: [V, 3] float64}, all of one size."""
    value = read_pickle(path)
    if not isinstance(value, dict) or not value:
        raise PTalkerError("data_damaged", f"'{path.name}' holds no templates by subject.")
    out: dict[str, np.ndarray] = {}
    for subject, template in value.items():
        if not isinstance(template, np.ndarray) or template.dtype.kind not in "fiu" or template.size % 3:
            raise PTalkerError("data_damaged", f"The template of '{subject}' in '{path.name}' is no array of vertices.")
        out[str(subject)] = template.astype(np.float64).reshape(-1, 3)
    if len({len(t) for t in out.values()}) > 1:
        raise PTalkerError("data_mismatch", f"The templates in '{path.name}' differ in their number of vertices.")
    return out


def check_frames(path: Path, count: int) -> None:
    """Raises PTalkerError("data_mismatch") unless the file holds frames of ``count`` vertices."""
    shape = read_npy(path).shape
    width = int(np.prod(shape[1:])) if len(shape) in (2, 3) else 0
    if width != count * 3 or shape[0] == 0:
        has = f"frames of {width / 3:g} vertices" if width and shape[0] else f"an array of shape {list(shape)}"
        raise PTalkerError("data_mismatch", f"'{path.name}' holds {has}, but its subject's template has {count} vertices.")


def read_region(path: Path) -> np.ndarray:
    """Whole numbers with commas (or one a line) -> [n] int64, sorted, each once."""
    try:
        numbers = [int(word) for word in path.read_text("utf-8").replace(",", " ").split()]
    except (ValueError, UnicodeDecodeError) as error:
        raise PTalkerError("data_damaged", f"'{path.name}' is not a list of vertex numbers: {error}.") from error
    return np.unique(np.array(numbers, np.int64))


def region_files(folder: Path, names: Sequence[str] = ("lve.txt", "fdd.txt")) -> tuple[np.ndarray, np.ndarray] | None:
    """Lips and upper face from ``regions/``, or None where they are not there."""
    paths = [folder / "regions" / name for name in names]
    if not all(p.is_file() for p in paths):
        return None
    return read_region(paths[0]), read_region(paths[1])


def _parts(path: Path) -> tuple[str, int | None]:
    """SUBJECT_SENTENCE.npy -> subject, number of the sentence (its last two digits)."""
    subject, _, sentence = path.stem.rpartition("_")
    digits = sentence[-2:]
    return subject, int(digits) if digits.isdigit() else None
