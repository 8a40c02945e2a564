"""The corpus that training reads, made of a data folder: fitted tracks, cached windows, and corpus.json about both.

OUT/fits/grid_s1.npz, grid_dev.npz     channel weights fitted to the tracks (data/fit.py)
OUT/NAME.npy, NAME.jsonl               shards of 8 s windows as the speech encoder hears them (data/windows.py)
OUT/corpus.json                        which encoder, seeds, how much
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..errors import PTalkerError
from ..speech import SpeechEncoder
from .fit import fit_tracks, save
from .grid import load_grid
from .windows import SECONDS, cache, quiet, read_clips

PARTS = ("grid_dev", "grid_s1")
REAL_SEED, SPEECH_SEED = 100, 200  # of the first pass; the next ones count up
REAL_TIMES = 4  # passes of the tracks for each one of the rest: there is little of them, and each is heard in other voices
NEEDED = ("grid_s1/clips.jsonl", "grid_dev/clips.jsonl", "speech/manifest.jsonl", "heads/ict_facekit.npz")

Say = Callable[[str], None]


def original_encoder(data: Path) -> Path:
    """The data folder's own speech encoder, which the shipped one was trained from (train/speech.py)."""
    return data / "encoders" / "whisper-tiny.en-encoder"


def check_data(data: Path) -> None:
    """Raises PTalkerError data_missing."""
    for name in NEEDED:
        if not (data / name).is_file():
            raise PTalkerError("data_missing", f"There is no '{name}' in '{data}'.", "Name the corpus' data folder.")


def fit_all(data: Path, fits: Path, say: Say = print) -> None:
    """Fit the tracks that are not fitted yet."""
    fits.mkdir(parents=True, exist_ok=True)
    missing = [p for p in PARTS if not (fits / f"{p}.npz").is_file()]
    if not missing:
        return
    with np.load(data / "heads" / "ict_facekit.npz") as z:
        head = {k: z[k] for k in ("neutral", "arkit", "landmarks68", "mediapipe68")}
    for part in missing:
        tracks = load_grid(data / part)
        temporary = fits / f".{part}.npz"
        save(fit_tracks(tracks, head), tracks, temporary)
        os.replace(temporary, fits / f"{part}.npz")
        say(f"{part}: {len(tracks.clips)} clips fitted")


def jobs(data: Path, passes: int) -> list[tuple[str, list[int], int, bool]]:
    """(shard, clips in it, seed, clean) of a corpus of ``passes`` passes (of the tracks REAL_TIMES as many); without what has
    no clips."""
    clips = read_clips(data)

    def some(kind: str, dev: bool) -> list[int]:
        return [i for i, c in enumerate(clips) if c.kind == kind and (c.split != "train") == dev]

    out = [("dev_real", some("grid", True), 0, True), ("dev_speech", some("speech", True), 0, True)]
    for p in range(REAL_TIMES * passes):
        out.append((f"real_{p}", some("grid", False), REAL_SEED + p, False))
    for p in range(passes):
        out.append((f"speech_{p}", some("speech", False), SPEECH_SEED + p, False))
    return [job for job in out if job[1]]


def make_shards(
    data: Path, out: Path, encoder: SpeechEncoder, name: str, passes: int, silent: int, say: Say = print
) -> dict[str, Any]:
    """Cache the windows that are not there yet -> what corpus.json says. ``silent``: windows without a voice.

    Raises PTalkerError corpus_differs where the folder was begun with another encoder.
    """
    known, clips = read_card(out), fingerprint(data)
    if known and known.get("clips", clips) != clips:
        raise PTalkerError(
            "corpus_differs", f"'{data}' has other clips than when '{out}' was begun.", "Name another --out."
        )  # fmt: skip
    if known and (known["encoder"], known["features"]) != (name, encoder.channels):
        raise PTalkerError(
            "corpus_differs", f"'{out}' was begun with the speech encoder '{known['encoder']}'.",
            "Name that one, or another --out.",
        )  # fmt: skip
    card: dict[str, Any] = {
        "version": __version__, "encoder": name, "features": encoder.channels, "passes": passes,
        "clips": clips, "seeds": {"real": REAL_SEED, "speech": SPEECH_SEED},
    }  # fmt: skip
    write_card(out, card | {"shards": known.get("shards", {})})
    if not complete(out, "quiet") and silent:
        quiet(out / "quiet", encoder, silent)
    for shard, clips, seed, clean in jobs(data, passes):
        if not complete(out, shard):
            say(f"{shard}: {len(clips)} clips")
            cache(data, out / shard, encoder, clips, seed, clean)
    shards = {}
    for path in sorted(out.glob("*.jsonl")):
        if complete(out, path.stem):
            windows = len(path.read_text("utf-8").splitlines())
            shards[path.stem] = {"windows": windows, "hours": round(windows * SECONDS / 3600, 3)}
    card |= {"shards": shards, "hours": round(sum(s["hours"] for s in shards.values()), 2)}
    write_card(out, card)
    return card


def fingerprint(data: Path) -> int:
    """Of the clips and their order: shards name clips by number."""
    return zlib.crc32("\n".join(c.path for c in read_clips(data)).encode())


def complete(out: Path, shard: str) -> bool:
    """Whether a shard is there; its .jsonl is written last."""
    return (out / f"{shard}.npy").is_file() and (out / f"{shard}.jsonl").is_file()


def read_card(out: Path) -> dict[str, Any]:
    """corpus.json, {} where there is none. Raises PTalkerError corpus_broken."""
    path = out / "corpus.json"
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise PTalkerError("corpus_broken", f"'{path}' is damaged.", "Make the corpus again in another folder.") from error


def write_card(out: Path, card: dict[str, Any]) -> None:
    part = out / ".corpus.json"
    part.write_text(json.dumps(card, indent=1) + "\n", "utf-8")
    os.replace(part, out / "corpus.json")
