"""Our own corpus as evaluation items: real tracked faces, synthetic sentences and studio prompts against the teacher.

- ``GRID s1 dev`` and ``GRID unseen speakers``: weights fitted to the tracks (data/fit.py) on the ICT neutral head are the
  truth of the vertices; lip signals come from the tracked landmarks themselves. Clips with untracked frames are left out.
- ``synthetic LANGUAGE``: dev sentences; the teacher's neutral style is the truth, so the upper face is not compared.
- ``studio prompts en``: real voices, open vocabulary, recognised phones (with errors: a perfect model stays below 1).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from ..audio import load_audio
from ..data import fit
from ..data.grid import load_grid
from ..data.rig_rows import GAP_PAIRS
from ..data.teacher import TeacherStyle, curves
from ..data.windows import Clip, read_clips
from ..errors import PTalkerError
from .sets import Face, Item, Mouth, Options

FPS = 25.0
EYE_CORNERS = 36, 45  # of the 68 landmarks; their distance is the unit of the tracks
GRIDS = "grid_s1", "grid_dev"
STUDIO = "studio prompts en"
SPOKEN = 150  # clips of a spoken group that are heard when nobody says how many: more change no figure's second digit


def read_ict(data: Path) -> dict[str, np.ndarray]:
    """Arrays of heads/ict_facekit.npz. Raises PTalkerError("not_a_corpus")."""
    try:
        with np.load(data / "heads" / "ict_facekit.npz") as z:
            return {k: z[k] for k in z.files}
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise PTalkerError("not_a_corpus", f"The head 'heads/ict_facekit.npz' in '{data}' cannot be read.") from error


def ict_face(ict: dict[str, np.ndarray]) -> Face:
    """The skin of the ICT neutral face; 1 unit is about 1 cm. Upper face: the skin above the lower eyelids."""
    kept = np.flatnonzero(ict["narrow_face"])
    place = np.full(len(ict["neutral"]), -1)
    place[kept] = np.arange(len(kept))
    mark = lambda i: int(place[ict["landmarks68"][i]])  # noqa: E731
    neutral = ict["neutral"][kept].astype(np.float32)
    eyes = min(float(neutral[mark(i), 1]) for i in range(36, 48))
    return Face(
        name="ICT neutral", neutral=neutral, mm=10.0,
        lips=np.flatnonzero(ict["is_lips"][kept]), upper=np.flatnonzero(neutral[:, 1] > eyes),
        mouth=Mouth(tuple(mark(u) for u, _ in GAP_PAIRS), tuple(mark(w) for _, w in GAP_PAIRS), (mark(48), mark(54)), mark(8)),
        basis=ict["arkit"][:, kept].astype(np.float32), mesh=(ict["neutral"], ict["quads"]), kept=kept,
    )  # fmt: skip


def read_fits(data: Path, options: Options, ict: dict[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """Fitted clips by id: weights [T, K], ok, gap, width, jaw [T]. Where no folder is given they are made, in the cache."""
    found: dict[str, dict[str, np.ndarray]] = {}
    folder = options.fits or options.cache
    if folder is None:
        raise ValueError("neither fits nor a cache for them")
    for part in GRIDS:
        if not (data / part / "clips.jsonl").is_file():
            continue
        path = folder / f"{part}.npz"
        if not path.is_file():
            if options.fits:
                raise PTalkerError(
                    "fits_missing", f"There is no '{part}.npz' in '{options.fits}'.", "Leave --fits out to make them."
                )
            tracks = load_grid(data / part)  # all of it: the speaker's rest is estimated from all clips
            folder.mkdir(parents=True, exist_ok=True)
            fit.save(fit.fit_tracks(tracks, ict), tracks, path)
        with np.load(path) as z:
            arrays = {k: z[k] for k in ("ids", "weights", "ok", "gap", "width", "jaw")}
        for i, clip in enumerate(arrays["ids"]):
            found[str(clip)] = {k: arrays[k][i].astype(np.float32) for k in ("weights", "ok", "gap", "width", "jaw")}
    return found


def chosen(things: list, options: Options, usual: int | None = None) -> list:
    """``options.most`` of them (else ``usual``; None: all), the same ones for the same seed, in their order."""
    most = options.most or usual
    if most is None or len(things) <= most:
        return things
    picks = np.random.default_rng(options.seed).permutation(len(things))[:most]
    return [things[i] for i in sorted(picks)]


def read(data: Path, options: Options) -> Iterator[Item]:
    """All items of the corpus in DATA (see its README)."""
    ict = read_ict(data)
    face = ict_face(ict)
    try:
        clips = read_clips(data)
    except (OSError, ValueError, KeyError) as error:
        raise PTalkerError("not_a_corpus", f"The corpus in '{data}' cannot be read ({error}).") from error
    yield from _real(data, [c for c in clips if c.kind == "grid" and c.split != "train"], face, ict, options)
    spoken = [c for c in clips if c.kind == "speech" and c.split == "dev"]
    for language in sorted({c.language for c in spoken}, key=lambda x: (x != "en", x)):
        group = [(c.path, c.phones) for c in spoken if c.language == language]
        yield from _taught(data, group, f"synthetic {language}", language, face, options)
    yield from _taught(data, _prompts(data), STUDIO, "en", face, options)


def _real(data: Path, clips: list[Clip], face: Face, ict: dict[str, np.ndarray], options: Options) -> Iterator[Item]:
    fits = read_fits(data, options, ict)
    corners = ict["neutral"][ict["landmarks68"][list(EYE_CORNERS)]]
    unit = float(np.linalg.norm(corners[1] - corners[0])) * face.mm
    for group, splits in (("GRID s1 dev", ("dev",)), ("GRID unseen speakers", ("dev_unseen_speaker",))):
        mine = [c for c in clips if c.split in splits and Path(c.path).stem in fits]
        whole = [c for c in mine if fits[Path(c.path).stem]["ok"].all()]
        for c in chosen(whole, options):
            name = Path(c.path).stem
            tracked = {k: fits[name][k] for k in ("gap", "width", "jaw")}
            yield Item(
                group, name, c.voice, load_audio(data / c.path), FPS, face, weights=fits[name]["weights"], phones=c.phones,
                tracked=tracked, tracked_mm=unit,
            )  # fmt: skip


def _prompts(data: Path) -> list[tuple[str, list]]:
    """(path, phones) of the studio prompts whose English phones were force-aligned."""
    manifest, found = data / "speech_real" / "manifest.jsonl", []
    for line in manifest.read_text("utf-8").splitlines() if manifest.is_file() else []:
        c = json.loads(line)
        if c["language"] == "en" and c["aligner"] != "hama" and c["seconds"] > 2.0 and len(c["phones"]) > 8:
            found.append((f"speech_real/{c['file']}", c["phones"]))
    return found


def _taught(data: Path, clips: list[tuple[str, list]], group: str, language: str, face: Face, options: Options) -> Iterator[Item]:
    neutral = TeacherStyle.neutral()
    for path, phones in chosen(clips, options, SPOKEN):
        audio = load_audio(data / path)
        try:
            weights = curves(phones, np.arange(round(len(audio) / 16000 * FPS)) / FPS, neutral)
        except KeyError:  # a recogniser's symbol that the teacher does not know: not a clip to measure on
            continue
        voice = Path(path).parent.name
        yield Item(group, path, voice, audio, FPS, face, weights=weights, phones=phones, lower_only=True, language=language)
