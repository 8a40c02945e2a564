"""assets/other_speech.ogg: pieces of 4 s of many synthetic voices, in which fine-tuning must not make anything worse.

    python -m ptalker_blender.core.train.other_speech --data DATA
DATA/speech is Kokoro-82M's (Apache-2.0) with texts of our own; only its train split is used. No recording of a person.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import soundfile

from .. import SAMPLE_RATE
from ..data.windows import Clip, read_clips
from ..lessons import OTHER

PIECE = 4 * SAMPLE_RATE
ENGLISH, FOREIGN = 12, 4  # voices
WEAK = ("af_nicole", "am_santa", "em_santa")  # whispers, characters


def chosen(clips: list[Clip], data: Path) -> list[Path]:
    """A clip of about a piece's length from each of some voices, each time another sentence."""
    voices: dict[str, list[Clip]] = {}
    for clip in clips:
        if clip.kind == "speech" and clip.split == "train" and clip.path.startswith("speech/") and clip.voice not in WEAK:
            voices.setdefault(clip.voice, []).append(clip)
    english = sorted(v for v in voices if voices[v][0].language == "en")
    foreign = sorted(v for v in voices if voices[v][0].language != "en")
    picked, said = [], set()
    for names, count in ((english, ENGLISH), (foreign, FOREIGN)):
        for name in names[:: max(1, len(names) // count)][:count]:
            for clip in voices[name]:
                seconds = soundfile.info(data / clip.path).duration
                if clip.sentence not in said and 3.4 < seconds < 4.0:
                    said.add(clip.sentence)
                    picked.append(data / clip.path)
                    break
    return picked


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=OTHER)
    args = parser.parse_args()
    pieces = []
    for path in chosen(read_clips(args.data), args.data):
        sound, _ = soundfile.read(path, dtype="float32")
        pieces.append(np.pad(sound, (0, PIECE))[:PIECE])
    soundfile.write(args.out, np.concatenate(pieces), SAMPLE_RATE, format="OGG", subtype="OPUS", compression_level=0.9)
    print(f"{len(pieces)} voices, {args.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
