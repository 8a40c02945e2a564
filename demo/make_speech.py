"""Join four sentences of the synthetic corpus into `demo/speech/demo.ogg` and write when each phone is spoken.

    python demo/make_speech.py CORPUS/speech

Needs numpy and soundfile (the engine's environment has both). The four sentences are of the corpus' `dev` split: no
model that ships here was trained on them.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import soundfile

HERE = Path(__file__).resolve().parent
VOICE = "af_heart"
SENTENCES = ("en_common_079", "en_common_050", "en_common_065", "en_common_148")
RATE = 16000
LEAD = 0.25  # seconds of rest before the first sound and after the last one: the face is seen closed
PAUSE = 0.30  # between sentences


def speech_span(phones: list[list]) -> tuple[float, float]:
    """First and last second at which something is spoken."""
    spoken = [(start, end) for name, start, end in phones if name != "sil"]
    return spoken[0][0], spoken[-1][1]


def fade(audio: np.ndarray, seconds: float = 0.02) -> np.ndarray:
    """Short ramps at both ends, so that joints do not click."""
    n = int(seconds * RATE)
    ramp = np.linspace(0.0, 1.0, n, dtype=audio.dtype)
    out = audio.copy()
    out[:n] *= ramp
    out[-n:] *= ramp[::-1]
    return out


def word_spans(row: dict) -> list[list]:
    """[word, first phone, last phone] of a clip: the tokens are one sign a phone, with stress marks and blanks."""
    words = re.findall(r"[\w']+", row["text"])
    counts = [sum(ch.isalpha() and ch not in "ˈˌː" for ch in part) for part in row["tokens"].split(" ")]
    counts = [count for count in counts if count]
    spoken = sum(name != "sil" for name, _, _ in row["phones"])
    assert len(words) == len(counts) and sum(counts) == spoken, (words, counts, spoken)
    ends = np.cumsum(counts)
    return [[word, int(end - count), int(end - 1)] for word, count, end in zip(words, counts, ends, strict=True)]


def main(corpus: Path) -> None:
    rows = [json.loads(line) for line in (corpus / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
    clips = {row["sentence"]: row for row in rows if row["voice"] == VOICE}
    pieces: list[np.ndarray] = []
    phones: list[list] = []
    words: list[list] = []
    samples = 0
    for index, key in enumerate(SENTENCES):
        row = clips[key]
        if row["split"] != "dev":
            raise SystemExit(f"{key} is in the training split.")
        audio, rate = soundfile.read(corpus / row["file"], dtype="float32")
        assert rate == RATE and audio.ndim == 1
        first, last = speech_span(row["phones"])
        # Keep a little of the clip's own room on both sides: the closure of a first "p" makes no sound.
        start, end = max(0.0, first - 0.05), min(len(audio) / RATE, last + 0.08)
        gap = np.zeros(int((LEAD if index == 0 else PAUSE) * RATE), np.float32)
        piece = fade(audio[int(start * RATE) : int(end * RATE)])
        begin = (samples + len(gap)) / RATE
        before = len(phones)
        for name, a, b in row["phones"]:
            if name != "sil":
                phones.append([name, round(begin + a - start, 4), round(begin + b - start, 4), index])
        words += [[w, phones[before + i][1], phones[before + j][2], index] for w, i, j in word_spans(row)]
        pieces += [gap, piece]
        samples += len(gap) + len(piece)
    pieces.append(np.zeros(int(LEAD * RATE), np.float32))
    audio = np.concatenate(pieces)
    audio *= 0.8 / np.abs(audio).max()
    folder = HERE / "speech"
    folder.mkdir(exist_ok=True)
    soundfile.write(folder / "demo.ogg", audio, RATE, format="OGG", subtype="VORBIS", compression_level=0.3)
    lines = ",\n    ".join(json.dumps(phone, ensure_ascii=False) for phone in phones)
    word_lines = ",\n    ".join(json.dumps(word) for word in words)
    texts = json.dumps([clips[key]["text"] for key in SENTENCES], ensure_ascii=False)
    (folder / "phones.json").write_text(
        f'{{\n  "seconds": {len(audio) / RATE:.4f},\n  "sentences": {texts},\n'
        f'  "columns": ["ipa", "start_s", "end_s", "sentence"],\n  "phones": [\n    {lines}\n  ],\n'
        f'  "words": [\n    {word_lines}\n  ]\n}}\n',
        encoding="utf-8",
    )
    print(f"{len(audio) / RATE:.2f} s, {len(phones)} phones, voice {VOICE}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
