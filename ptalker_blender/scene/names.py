# SPDX-License-Identifier: GPL-3.0-or-later
"""Which shape key means which channel, by name. Standard library only.

ARKit's names come in many spellings: ``jawOpen``, ``JawOpen``, ``jaw_open``, ``Face.M_F00_jawOpen``,
``ARKit_mouthSmile_L``, ``mouthSmile.R``, ``L_mouthSmile``, ``mouth_left``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from ..core.channels import CHANNELS

_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
_SIDES = {"l": "left", "r": "right", "lt": "left", "rt": "right", "lft": "left", "rgt": "right"}


@dataclass
class NameMap:
    """``keys[channel]`` is the shape key's name, ``ambiguous[channel]`` the candidates that were not told apart."""

    keys: dict[str, str] = field(default_factory=dict)
    ambiguous: dict[str, list[str]] = field(default_factory=dict)

    @property
    def missing(self) -> list[str]:
        return [c for c in CHANNELS if c not in self.keys]


def words(name: str) -> tuple[str, ...]:
    """ "Face.M_F00_mouthSmile.L" -> ("face", "m", "f", "00", "mouth", "smile", "left")."""
    lower = [str(word).lower() for word in _WORDS.findall(name)]
    return tuple(_SIDES.get(word, word) for word in lower)


_CHANNEL_WORDS: dict[str, tuple[str, ...]] = {c: words(c) for c in CHANNELS}
_JOINED: dict[str, str] = {"".join(w): c for c, w in _CHANNEL_WORDS.items()}
# The names that end in a side also exist with the side in front: L_mouthSmile.
_SIDE_FIRST: dict[str, str] = {
    w[-1] + "".join(w[:-1]): c for c, w in _CHANNEL_WORDS.items() if w[-1] in ("left", "right") and len(w) > 2
}


def match(name: str) -> tuple[str, int] | None:
    """(channel, how far the spelling is from the plain one); None where the name is no channel's.

    Distance 0 is the exact name, 1 another spelling, 2 a prefix in front of it.
    """
    if name in _CHANNEL_WORDS:
        return name, 0
    parts = words(name)
    for skip in range(len(parts)):
        joined = "".join(parts[skip:])
        channel = _JOINED.get(joined) or _SIDE_FIRST.get(joined)
        if channel is not None:
            # A side between the prefix and the name (rig_L_mouthSmile) was taken by _SIDE_FIRST already, because
            # longer tails are tried first. What is left in front is a prefix, unless it says the other side.
            return channel, 1 if skip == 0 else 2
    return None


def map_names(names: Iterable[str]) -> NameMap:
    """Shape key names -> channels. Of several keys for a channel the plainest wins; equals are left out."""
    found: dict[str, list[tuple[int, str]]] = {}
    for name in names:
        hit = match(name)
        if hit is not None:
            found.setdefault(hit[0], []).append((hit[1], name))
    result = NameMap()
    for channel in CHANNELS:
        candidates = sorted(found.get(channel, []))
        if not candidates:
            continue
        best = [name for distance, name in candidates if distance == candidates[0][0]]
        if len(best) == 1:
            result.keys[channel] = best[0]
        else:
            result.ambiguous[channel] = best
    return result
