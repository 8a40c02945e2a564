"""Loader for tracked GRID clips (the corpus layout of `grid_s1` and `grid_dev`: clips.jsonl, audio/, tracks_NN.npz).

Landmark frame: right-handed, +x = subject's left, +y up, +z out of the face, head motion removed;
unit = distance between the outer eye corners of the speaker's mean face. Frame k is at k / fps seconds.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..channels import CHANNELS, INDEX

Phones = list[tuple[str, float, float]]


@dataclass(frozen=True)
class Clip:
    """One line of clips.jsonl. `phones` and `words` are (label, start, end) in seconds."""

    id: str
    split: str
    speaker: str
    sex: str
    text: str
    words: Phones
    phones: Phones
    audio: Path
    shard: str  # file in the folder
    row: int  # of its arrays


@dataclass(frozen=True)
class Tracks:
    """Tracked clips. NaN in `landmarks` and `scores` where `ok` is False."""

    clips: list[Clip]
    fps: float
    index: np.ndarray  # [L] MediaPipe numbers of the landmarks
    landmarks: np.ndarray  # [clips, T, L, 3] float16, units
    scores: np.ndarray  # [clips, T, 52] float32, MediaPipe's own scores in the order of CHANNELS (tongueOut = 0)
    ok: np.ndarray  # [clips, T] bool

    @property
    def times(self) -> np.ndarray:
        """[T] seconds."""
        return np.arange(self.ok.shape[1]) / self.fps

    def points(self, mediapipe: np.ndarray | list[int]) -> np.ndarray:
        """[clips, T, n, 3] float32 of the given MediaPipe landmark numbers."""
        place = {int(m): i for i, m in enumerate(self.index)}
        return self.landmarks[:, :, [place[int(m)] for m in mediapipe]].astype(np.float32)


def _to_channels(scores: np.ndarray, names: list[str]) -> np.ndarray:
    """[..., len(names)] in the tracker's order -> [..., 52] in the order of CHANNELS."""
    out = np.zeros((*scores.shape[:-1], len(CHANNELS)), np.float32)
    for i, name in enumerate(names):
        if name in INDEX:
            out[..., INDEX[name]] = scores[..., i]
    return out


def read_grid(folder: Path, splits: Collection[str] | None = None) -> list[Clip]:
    """What clips.jsonl says of the clips whose split is in `splits` (all splits if None), in its order."""
    clips = []
    for line in (folder / "clips.jsonl").read_text(encoding="utf-8").splitlines():
        if not line:
            continue
        c = json.loads(line)
        if splits is None or c["split"] in splits:
            words, phones = ([(str(n), float(a), float(b)) for n, a, b in c[k]] for k in ("words", "phones"))
            who, audio = (c["id"], c["split"], c["speaker"], c["sex"], c["text"]), folder / c["audio"]
            clips.append(Clip(*who, words, phones, audio, c["shard"], int(c["row"])))
    return clips


def load_grid(folder: Path, splits: Collection[str] | None = None) -> Tracks:
    """Read all clips of `folder` whose split is in `splits` (all splits if None), ordered by shard."""
    lines, landmarks, scores, ok, clips = read_grid(folder, splits), [], [], [], []
    index, fps = np.zeros(0, np.int64), 0.0
    for shard in sorted({c.shard for c in lines}):
        mine = [c for c in lines if c.shard == shard]
        rows = [c.row for c in mine]
        with np.load(folder / shard) as z:
            index, fps = z["index"], float(z["fps"])
            landmarks.append(z["landmarks"][rows])
            scores.append(_to_channels(z["blendshapes"][rows].astype(np.float32), z["blendshape_names"].tolist()))
            ok.append(z["ok"][rows])
        clips += mine
    return Tracks(clips, fps, index, np.concatenate(landmarks), np.concatenate(scores), np.concatenate(ok))
