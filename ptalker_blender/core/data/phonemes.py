"""IPA inventory of the corpus (en, es, fr, it, pt) as articulatory segments of the coarticulation teacher.

Segments that occur in GRID's 51 words carry estimated parameters (ESTIMATED). Every other phone is a documented
mixture of those (NEIGHBOURS): parameters are averaged with the given weights.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

SILENCE = "sil"

# Articulatory classes: rare members are estimated with a pull towards their class mean.
CLASSES: dict[str, tuple[str, ...]] = {
    "silence": (SILENCE,),
    "bilabial": ("p", "b", "m"),
    "labiodental": ("f", "v"),
    "dental": ("θ", "ð"),
    "alveolar": ("t", "d", "n", "l"),
    "sibilant": ("s", "z"),
    "postalveolar": ("tʃ", "dʒ"),
    "velar": ("k", "ɡ"),
    "labial glide": ("w", "ɹ", "u", "oʊ2", "aʊ2"),
    "close vowel": ("i", "ɪ", "j", "eɪ2", "aɪ2"),
    "open vowel": ("ɛ", "æ", "ɑ", "aɪ1", "aʊ1", "eɪ1"),
    "mid vowel": ("ə", "ɔ", "oʊ1"),
}
ESTIMATED: tuple[str, ...] = tuple(s for members in CLASSES.values() for s in members)
CLASS_OF: dict[str, str] = {s: name for name, members in CLASSES.items() for s in members}

BILABIAL = frozenset("pbm")
BILABIAL_STOPS = frozenset("pb")
LABIODENTAL = frozenset("fv")

# Phones GRID does not have: (weights of estimated segments, dominance factor; below 1 lets neighbours through).
NEIGHBOURS: dict[str, tuple[dict[str, float], float]] = {
    # English
    "ʃ": ({"tʃ": 0.6, "dʒ": 0.4}, 1.0),
    "ʒ": ({"dʒ": 0.7, "tʃ": 0.3}, 1.0),
    "ŋ": ({"ɡ": 0.5, "k": 0.3, "n": 0.2}, 0.8),
    "h": ({"ə": 0.5, "ɛ": 0.5}, 0.15),  # no lip target of its own: the mouth already has the next vowel's shape
    "ʔ": ({"ə": 1.0}, 0.15),
    "ʊ": ({"u": 0.5, "ə": 0.5}, 1.0),
    "ʌ": ({"ə": 0.4, "ɑ": 0.3, "ɛ": 0.3}, 1.0),
    "ɐ": ({"ə": 0.5, "ɛ": 0.3, "ɑ": 0.2}, 0.9),
    "ɜ": ({"ə": 0.6, "ɹ": 0.4}, 1.0),
    "ɾ": ({"d": 0.6, "t": 0.2, "l": 0.2}, 0.7),
    "ɒ": ({"ɔ": 0.6, "ɑ": 0.4}, 1.0),
    # cardinal and rounded vowels
    "a": ({"aɪ1": 0.5, "æ": 0.3, "ɑ": 0.2}, 1.0),
    "e": ({"eɪ1": 0.5, "eɪ2": 0.3, "ɪ": 0.2}, 1.0),
    "o": ({"oʊ1": 0.5, "oʊ2": 0.25, "ɔ": 0.25}, 1.0),
    "y": ({"u": 0.75, "i": 0.25}, 1.0),
    "ø": ({"u": 0.4, "oʊ2": 0.3, "eɪ1": 0.3}, 1.0),
    "œ": ({"oʊ1": 0.4, "ɔ": 0.3, "ɛ": 0.3}, 1.0),
    # consonants of es, fr, it, pt
    "β": ({"v": 0.5, "b": 0.3, "w": 0.2}, 0.8),  # bilabial approximant: lips near, not closed
    "ɣ": ({"ɡ": 1.0}, 0.6),
    "x": ({"k": 0.6, "ɡ": 0.4}, 0.6),
    "ʁ": ({"ɡ": 0.6, "ə": 0.4}, 0.5),
    "r": ({"l": 0.5, "d": 0.5}, 0.8),
    "ɲ": ({"n": 0.6, "j": 0.4}, 0.9),
    "ʎ": ({"l": 0.5, "j": 0.5}, 0.9),
    "ʝ": ({"j": 0.7, "dʒ": 0.3}, 0.9),
    "ɥ": ({"w": 0.7, "j": 0.3}, 1.0),
    "ɟ": ({"ɡ": 0.6, "j": 0.4}, 0.8),
    "c": ({"k": 0.6, "j": 0.4}, 0.8),
    "ɫ": ({"l": 1.0}, 1.0),
}

# Phones that move through two targets, and the share of their time in the first.
DIPHTHONGS: dict[str, tuple[str, str, float]] = {
    "aɪ": ("aɪ1", "aɪ2", 0.55), "eɪ": ("eɪ1", "eɪ2", 0.5), "aʊ": ("aʊ1", "aʊ2", 0.55), "oʊ": ("oʊ1", "oʊ2", 0.5),
    "əʊ": ("ə", "oʊ2", 0.5), "ɔɪ": ("ɔ", "aɪ2", 0.55), "ts": ("t", "s", 0.4), "dz": ("d", "z", 0.4),
}  # fmt: skip

KNOWN: frozenset[str] = frozenset(ESTIMATED) | frozenset(NEIGHBOURS) | frozenset(DIPHTHONGS)
# length, stress, syllable; nasal, syllabic, non-syllabic, aspirated, palatal, tie, dental, lowered, advanced
_MARKS = "ːˑˈˌ.\u0303\u0329\u032f\u02b0\u02b2\u0361\u032a\u031e\u031f"
SPELLINGS = {"g": "ɡ", "ʤ": "dʒ", "ʧ": "tʃ", "ɚ": "ɜ", "ɝ": "ɜ", "ᵻ": "ɪ", "r̩": "ɜ", "ɻ": "ɹ", "ʀ": "ʁ", "ɦ": "h"}


def normalise(ipa: str) -> str:
    """Drop marks that do not change the lips; one spelling per phone. Raises KeyError for an unknown phone."""
    bare = "".join(ch for ch in unicodedata.normalize("NFD", ipa) if ch not in _MARKS)
    bare = SPELLINGS.get(bare, bare)
    if bare not in KNOWN:
        raise KeyError(f"phone {ipa!r} is not in the teacher's inventory")
    return bare


def segments(phones: Sequence[Sequence], margin: float = 1e3) -> list[tuple[str, float, float]]:
    """Timed phones (ipa, start, end), in order -> gapless segments from -margin to +margin seconds.

    Diphthongs are split, gaps become silence (gaps below 30 ms go to the phone before), silences are merged."""
    spans: list[tuple[str, float, float]] = [(SILENCE, -margin, -margin)]
    for ipa, start, end in phones:
        label, start, end = normalise(ipa), float(start), float(end)
        last, last_start, last_end = spans[-1]
        if start - last_end >= 0.03 and last != SILENCE:
            spans.append((SILENCE, last_end, start))
        elif start > last_end:
            spans[-1] = (last, last_start, start)
        if label == SILENCE and spans[-1][0] == SILENCE:
            spans[-1] = (SILENCE, spans[-1][1], end)
        else:
            spans.append((label, max(start, spans[-1][2]) if len(spans) > 1 else start, end))
    if spans[-1][0] == SILENCE:
        spans[-1] = (SILENCE, spans[-1][1], margin)
    else:
        spans.append((SILENCE, spans[-1][2], margin))
    out = []
    for label, start, end in spans:
        if label in DIPHTHONGS:
            first, second, share = DIPHTHONGS[label]
            middle = start + share * (end - start)
            out += [(first, start, middle), (second, middle, end)]
        else:
            out.append((label, start, end))
    return out
