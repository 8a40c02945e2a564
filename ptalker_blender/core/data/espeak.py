"""Speech with phone times in English, Spanish, French, Italian and Portuguese by espeak-ng (GPL-3; Debian's package
``espeak-ng``), used as a program would use it: its library is loaded where it is installed, nothing of it ships here.

    python -m ptalker_blender.core.data.espeak --text SENTENCES.txt --out FOLDER --minutes 60 --voices en-us+f1,en-us+m3

A voice is a language and a variant: rules speak, formants or a Klatt synthesiser sound. Phone times are espeak-ng's
phoneme events, which give the sample at which each phone begins. The pause that is a stop's closure is made before its
event (``prepause`` in espeak-ng's synthesize.c), so the quiet before an event is given to the phone that begins there.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Sequence
from functools import cache
from typing import ClassVar

import numpy as np

from .. import SAMPLE_RATE
from ..errors import PTalkerError
from .phonemes import KNOWN, SILENCE, normalise
from .spoken_corpus import Line, Phones, Take, Voice, gapless, main, resample

# Variants without an echo: an echo fills the closures (f2 to f5, m2 and Marco have one).
_WOMEN = ("f1", "Annie", "linda", "steph", "Andrea", "aunty", "anika")
_MEN = ("m1", "m3", "m4", "m7", "klatt", "klatt2", "klatt4", "Denis", "Alex")
_LANGUAGES = {"en-us": "en", "en-gb-x-rp": "en", "es": "es", "es-419": "es", "fr": "fr", "it": "it", "pt": "pt", "pt-br": "pt"}
VOICES = tuple(
    Voice(f"{language}+{variant}", sex, code)
    for language, code in _LANGUAGES.items()
    for sex, variants in (("f", _WOMEN), ("m", _MEN))
    for variant in variants
)

# Signs of espeak-ng that are not in the inventory; Portuguese y and æ are its own names for unstressed e and a.
SPELLINGS = {"ɨ": "ɪ", "ʉ": "u", "ʍ": "w", "ũ": "u", "õ": "o"}
PORTUGUESE = {"y": "ɪ", "æ": "ɐ"}
# Seconds of quiet before the event of a phone that belong to it: stops close, fricatives only have a short prepause.
_BEFORE = {
    **dict.fromkeys(("p", "b", "t", "d", "k", "ɡ", "tʃ", "dʒ", "ts", "dz"), 0.08),
    **dict.fromkeys(("f", "v", "θ", "s", "z", "ʃ", "ʒ", "h"), 0.02),
}
_LEAD = 0.15  # seconds of silence put before the sound, which begins at once
_BUFFER = 20000  # ms, so that a sentence comes in one piece
_RETRIEVE, _EVENTS, _IPA, _UTF8 = 2, 1, 2, 1  # AUDIO_OUTPUT_SYNCHRONOUS; PHONEME_EVENTS, PHONEME_IPA; espeakCHARS_UTF8
_END, _PHONEME = 0, 7  # event types
_RATE, _PITCH = 1, 3  # parameters: words a minute, 0-100
_WORDS, _MIDDLE = 170, 50


class _Id(ctypes.Union):
    _fields_: ClassVar = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    """espeak_EVENT of speak_lib.h."""

    _fields_: ClassVar = [
        ("type", ctypes.c_int), ("unique_identifier", ctypes.c_uint), ("text_position", ctypes.c_int),
        ("length", ctypes.c_int), ("audio_position", ctypes.c_int), ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p), ("id", _Id),
    ]  # fmt: skip


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Event))


@cache
def ipa_of(sign: str, language: str) -> tuple[str, ...] | None:
    """A phoneme event's name -> the inventory's phones in it, () for a pause, None for what is no phone of ours.

    "oːɹ" is two phones, "(en)" switches the language in the middle of a sentence."""
    sign = sign.strip("-_:ʲ'").replace(":", "")
    if language == "pt":
        sign = PORTUGUESE.get(sign, sign)
    if not sign:
        return ()
    for length in range(len(sign), 0, -1):
        head = SPELLINGS.get(sign[:length], sign[:length])
        try:
            label = normalise(head)
        except KeyError:
            continue
        rest = ipa_of(sign[length:].lstrip("ːˑ\u0303\u0329\u032f\u032a"), language)
        return None if rest is None else (label, *rest)
    return None


def timed(events: Sequence[tuple[int, str]], audio: np.ndarray, rate: int, language: str) -> Phones | None:
    """Phoneme events (first sample, name) and audio [n] at ``rate`` Hz -> phones, None where one is not known."""
    quiet = 3e-3 * float(np.abs(audio).max())
    begins, names = [], []
    for sample, sign in events:
        phones = ipa_of(sign, language)
        if phones is None:
            return None
        longest = round(_BEFORE.get(phones[0], 0.0) * rate) if phones else 0
        begins.append(_closure(audio, sample, max(begins[-1] if begins else 0, sample - longest), quiet))
        names.append(phones)
    out: Phones = []
    for start, end, phones in zip(begins, [*begins[1:], len(audio)], names, strict=True):
        start, end = start / rate, end / rate
        if phones:
            step = (end - start) / len(phones)
            out += [(p, start + i * step, start + (i + 1) * step) for i, p in enumerate(phones)]
        elif end - start < 0.06 and out:  # a length mark or the hold of a double consonant
            out[-1] = (out[-1][0], out[-1][1], end)
        else:
            out.append((SILENCE, start, end))
    return out


def _closure(audio: np.ndarray, sample: int, earliest: int, quiet: float) -> int:
    """First sample, from ``earliest`` on, of the quiet that ends at ``sample``."""
    loud = np.flatnonzero(np.abs(audio[earliest:sample]) > quiet)
    return earliest + int(loud[-1]) + 1 if len(loud) else earliest


class Espeak:
    """libespeak-ng in this process. It keeps one voice at a time, so one object a process."""

    name = "espeak"
    voices: ClassVar = {voice.name: voice for voice in VOICES}

    def __init__(self) -> None:
        self._library: ctypes.CDLL | None = None
        self._rate = 0
        self._audio: list[bytes] = []
        self._events: list[tuple[int, str]] = []
        self._callback = _Callback(self._receive)

    def speak(self, voice: Voice, lines: Sequence[Line]) -> list[Take | None]:
        library = self._start()
        if library.espeak_SetVoiceByName(voice.name.encode()) != 0:
            raise PTalkerError("voice_missing", f"espeak-ng has no voice {voice.name}.", "See `espeak-ng --voices`.")
        return [self._say(library, voice, line) for line in lines]

    def _start(self) -> ctypes.CDLL:
        if self._library is None:
            name = ctypes.util.find_library("espeak-ng")
            if name is None:
                raise PTalkerError("program_missing", "espeak-ng is not installed.", "On Debian: apt-get install espeak-ng")
            library = ctypes.CDLL(name)
            self._rate = library.espeak_Initialize(_RETRIEVE, _BUFFER, None, _EVENTS | _IPA)
            library.espeak_SetSynthCallback(self._callback)
            self._library = library
        return self._library

    def _say(self, library: ctypes.CDLL, voice: Voice, line: Line) -> Take | None:
        self._audio, self._events = [], []
        library.espeak_SetParameter(_RATE, round(_WORDS * line.rate), 0)
        library.espeak_SetParameter(_PITCH, round(_MIDDLE + 150 * (line.pitch - 1)), 0)
        text = line.text.encode()
        library.espeak_Synth(text, ctypes.c_size_t(len(text) + 1), 0, 1, 0, _UTF8, None, None)
        audio = np.frombuffer(b"".join(self._audio), np.int16).astype(np.float32) / 32768
        if not len(audio) or not audio.any():
            return None
        lead = round(_LEAD * self._rate)
        audio = np.pad(audio, (lead, 0))
        phones = timed([(sample + lead, sign) for sample, sign in self._events], audio, self._rate, voice.language)
        if phones is None or not any(label in KNOWN and label != SILENCE for label, _, _ in phones):
            return None
        audio = resample(audio, self._rate)
        return Take(audio, gapless(phones, len(audio) / SAMPLE_RATE))

    def _receive(self, samples: int | None, count: int, events: ctypes.Array[_Event]) -> int:
        if samples and count:
            self._audio.append(ctypes.string_at(samples, 2 * count))
        i = 0
        while events[i].type != _END:
            if events[i].type == _PHONEME:
                sign = bytes(events[i].id.string).decode("utf-8", "replace")
                self._events.append((events[i].sample, sign))
            i += 1
        return 0


if __name__ == "__main__":
    main(Espeak(), "Speech with phone times in five languages by espeak-ng.")
