"""Synthetic speech: phone tables, times, files; and the synthesisers themselves where they are installed."""

from __future__ import annotations

import ctypes.util
import itertools
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import soundfile

from ptalker_blender.core import SAMPLE_RATE
from ptalker_blender.core.data import arpabet, espeak, festival, flite
from ptalker_blender.core.data.phonemes import KNOWN, normalise, segments
from ptalker_blender.core.data.spoken_corpus import (
    LEVEL,
    Line,
    Synthesiser,
    Take,
    Voice,
    gapless,
    make,
    plain,
    resample,
    split_of,
    write_manifest,
)
from ptalker_blender.core.errors import PTalkerError

TEXT = "She sees six ships, but Bob saw a big fish in the pool."
TEXTS = [f"{number} people {verb} the boat." for number in ("Six", "Two", "Ten") for verb in ("see", "sell", "push")]

needs_flite = pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not installed")
needs_espeak = pytest.mark.skipif(ctypes.util.find_library("espeak-ng") is None, reason="espeak-ng is not installed")
needs_festival = pytest.mark.skipif(
    not Path("/usr/share/festival/voices/english/ked_diphone").exists(), reason="festvox-kdlpc16k is not installed"
)


class Tone:
    """A synthesiser that hums: a tone with one vowel over the middle half of 2 s; it cannot say "no"."""

    name = "tone"
    voices: ClassVar = {"low": Voice("low", "m")}

    def speak(self, voice: Voice, lines: Sequence[Line]) -> list[Take | None]:
        t = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
        audio = (0.9 * np.sin(700 * t) * ((t > 0.5) & (t < 1.5))).astype(np.float32)
        phones = [("sil", 0.0, 0.5), ("ɑ", 0.5, 1.5), ("sil", 1.5, 2.0)]
        return [None if "no" in line.text else Take(audio, phones) for line in lines]


def test_every_phone_of_the_tables_is_known():
    for table in (arpabet.IPA, festival.ITALIAN):
        for parts in table.values():
            assert [normalise(ipa) for ipa in parts] == list(parts)


@pytest.mark.parametrize(
    ("sign", "language", "expected"),
    [
        ("ɑː", "en", ("ɑ",)), ("oːɹ", "en", ("o", "ɹ")), ("aɪɚ", "en", ("aɪ", "ɜ")), ("əl", "en", ("ə", "l")),
        ("n̩", "en", ("n",)), ("ᵻ", "en", ("ɪ",)), ("eə", "en", ("e", "ə")), ("tʃ", "es", ("tʃ",)),
        ("ɔ̃", "fr", ("ɔ",)), ("ə-", "fr", ("ə",)), ("ss", "it", ("s", "s")), ("d̪", "it", ("d",)),
        ("ɐ̃ʊ̃", "pt", ("ɐ", "ʊ")), ("ɨ", "pt", ("ɪ",)), ("y", "pt", ("ɪ",)), ("y", "fr", ("y",)),
        ("", "en", ()), ("(en)", "fr", None), ("ǃ", "en", None),
    ],
)  # fmt: skip
def test_espeak_signs(sign: str, language: str, expected: tuple[str, ...] | None):
    assert espeak.ipa_of(sign, language) == expected


def test_flite_prints_end_times():
    assert flite.parse("pau:0.25 dh:0.5 el:1.0 \n") == [("sil", 0, 0.25), ("ð", 0.25, 0.5), ("ə", 0.5, 0.75), ("l", 0.75, 1)]
    with pytest.raises(KeyError):
        flite.parse("xx:0.1")


def test_festival_writes_end_times():
    written = "#\n0.2 100 #\n0.3 100 S\n0.5 100 E1\n"
    assert festival.parse(written, festival.ITALIAN) == [("sil", 0, 0.2), ("ʃ", 0.2, 0.3), ("ɛ", 0.3, 0.5)]


def test_gapless_fills_cuts_and_merges():
    phones = [("sil", 0.1, 0.2), ("p", 0.25, 0.3), ("i", 0.29, 0.4), ("sil", 0.4, 0.41), ("sil", 0.41, 0.9)]
    assert gapless(phones, 0.6) == [("sil", 0, 0.25), ("p", 0.25, 0.3), ("i", 0.3, 0.4), ("sil", 0.4, 0.6)]
    assert gapless([("i", 0, 0.5), ("s", 0.5, 0.9)], 0.5) == [("i", 0, 0.5)]


def test_quiet_before_a_stop_is_its_closure():
    rate = 10000
    audio = np.ones(rate, np.float32)
    audio[2500:3000] = 0  # 50 ms before an event at 0.3 s
    events = [(0, "a"), (3000, "p"), (4000, "a"), (5000, "ʊɹ"), (7000, ""), (9000, "a")]
    phones = espeak.timed(events, audio, rate, "en")
    assert phones is not None
    assert [label for label, _, _ in phones] == ["a", "p", "a", "ʊ", "ɹ", "sil", "a"]
    assert [start for _, start, _ in phones] == pytest.approx([0, 0.25, 0.4, 0.5, 0.6, 0.7, 0.9])
    assert espeak.timed([(0, "a"), (3000, "l")], audio, rate, "en") == [("a", 0, 0.3), ("l", 0.3, 1.0)]
    assert espeak.timed([(0, "a"), (3000, "(fr)")], audio, rate, "en") is None


def test_resample_keeps_the_time():
    click = np.zeros(22050, np.float32)
    click[11025] = 1
    out = resample(click, 22050)
    assert len(out) == SAMPLE_RATE and abs(int(out.argmax()) - SAMPLE_RATE // 2) <= 1


def test_plain_sentences_only():
    assert plain(TEXT) and plain("Où est-ce qu'il va, là-bas?")
    assert not any(plain(text) for text in ("Call 911.", "see www.x/y", 'He said "no".', "", "a_b"))


def test_split_goes_by_the_text():
    names = [split_of(f"Sentence {i}.") for i in range(2000)]
    assert 50 < names.count("dev") < 110
    assert split_of(TEXT) == split_of(TEXT)


def test_make_writes_what_the_manifest_says(tmp_path: Path):
    tone: Synthesiser = Tone()
    rows = make(tone, tone.voices["low"], iter(["no", *TEXTS]), tmp_path, 0.1, seed=3)
    write_manifest(tmp_path, rows)
    write_manifest(tmp_path, rows)
    lines = [json.loads(line) for line in (tmp_path / "manifest.jsonl").read_text("utf-8").splitlines()]
    assert lines == rows and [row["text"] for row in rows] == TEXTS[:3]
    assert rows[0]["voice"] == "tone_low" and rows[0]["file"] == "en/tone_low/tone_low_0000.ogg"
    audio, rate = soundfile.read(tmp_path / rows[0]["file"])
    assert rate == SAMPLE_RATE and len(audio) == 2 * rate
    assert np.sqrt(np.mean(audio[9000:23000] ** 2)) == pytest.approx(LEVEL, rel=0.1)


def test_make_says_what_is_wrong(tmp_path: Path):
    tone: Synthesiser = Tone()
    for texts, code in ((TEXTS[:2], "texts_used_up"), (["no", "no no"], "voice_silent")):
        with pytest.raises(PTalkerError) as caught:
            make(tone, tone.voices["low"], iter(texts), tmp_path, 1, seed=3)
        assert caught.value.code == code


def check(take: Take | None) -> None:
    """Phones fill the sound, the teacher takes them, and sibilants hiss where they are said to be."""
    assert take is not None
    phones, seconds = take.phones, len(take.audio) / SAMPLE_RATE
    assert phones[0][1] == 0 and phones[-1][2] == pytest.approx(seconds)
    assert all(a[2] == b[1] for a, b in itertools.pairwise(phones))
    assert {label for label, _, _ in phones} <= KNOWN
    assert len(segments(phones)) > 25

    def hiss(labels: str) -> float:
        spans = [(start, end) for label, start, end in phones if label in labels.split() and end - start > 0.03]
        assert spans
        parts = [take.audio[round(a * SAMPLE_RATE) : round(b * SAMPLE_RATE)] for a, b in spans]
        return float(np.median([np.abs(np.diff(part)).sum() / np.abs(part).sum() for part in parts]))

    assert hiss("s ʃ") > 2 * hiss("i ɪ ɑ ɔ u")


@needs_flite
@pytest.mark.parametrize("voice", ["slt", "kal16"])
def test_flite(voice: str):
    slow, fast = flite.Flite().speak(flite.Flite.voices[voice], [Line(TEXT, 0.9), Line(TEXT, 1.2, 1.1)])
    check(slow)
    check(fast)
    assert slow is not None and fast is not None and len(fast.audio) < 0.85 * len(slow.audio)


@needs_espeak
def test_espeak():
    speaker = espeak.Espeak()
    slow, fast = speaker.speak(speaker.voices["en-us+m3"], [Line(TEXT, 0.9), Line(TEXT, 1.2)])
    check(slow)
    check(fast)
    assert slow is not None and fast is not None and len(fast.audio) < 0.85 * len(slow.audio)
    for voice, text in (("es+f1", "La sopa es sabrosa y los niños se sientan a la mesa."),
                        ("fr+m1", "Si six scies scient six cyprès, celles-ci sont ici."),
                        ("it+m3", "Sessanta sassi sono sulla spiaggia di sabbia."),
                        ("pt-br+f1", "O sapo saiu do saco e se sentou sozinho na sala.")):  # fmt: skip
        check(speaker.speak(speaker.voices[voice], [Line(text)])[0])


@needs_festival
def test_festival():
    check(festival.Festival().speak(festival.Festival.voices["ked_diphone"], [Line(TEXT)])[0])
