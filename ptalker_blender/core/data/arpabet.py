"""ARPABET as flite and festival write it (CMU's us phone set, lower case) -> IPA of the teacher's inventory."""

from __future__ import annotations

from .phonemes import SILENCE

IPA: dict[str, tuple[str, ...]] = {
    "aa": ("ɑ",), "ae": ("æ",), "ah": ("ʌ",), "ao": ("ɔ",), "aw": ("aʊ",), "ax": ("ə",), "axr": ("ɜ",), "ay": ("aɪ",),
    "b": ("b",), "ch": ("tʃ",), "d": ("d",), "dh": ("ð",), "dx": ("ɾ",), "eh": ("ɛ",), "el": ("ə", "l"),
    "em": ("ə", "m"), "en": ("ə", "n"), "er": ("ɜ",), "ey": ("eɪ",), "f": ("f",), "g": ("ɡ",), "hh": ("h",),
    "hv": ("h",), "ih": ("ɪ",), "iy": ("i",), "jh": ("dʒ",), "k": ("k",), "l": ("l",), "m": ("m",), "n": ("n",),
    "ng": ("ŋ",), "nx": ("n",), "ow": ("oʊ",), "oy": ("ɔɪ",), "p": ("p",), "r": ("ɹ",), "s": ("s",), "sh": ("ʃ",),
    "t": ("t",), "th": ("θ",), "uh": ("ʊ",), "uw": ("u",), "v": ("v",), "w": ("w",), "y": ("j",), "z": ("z",),
    "zh": ("ʒ",), "pau": (SILENCE,), "h#": (SILENCE,), "brth": (SILENCE,), "ssil": (SILENCE,), "#": (SILENCE,),
}  # fmt: skip


def spans(label: str, start: float, end: float, table: dict[str, tuple[str, ...]] = IPA) -> list[tuple[str, float, float]]:
    """A phone from start to end -> IPA phones in equal shares of that time. Raises KeyError for an unknown phone."""
    parts = table[label]
    step = (end - start) / len(parts)
    return [(ipa, start + i * step, start + (i + 1) * step) for i, ipa in enumerate(parts)]
