# SPDX-License-Identifier: GPL-3.0-or-later
"""Which key of a rig is driven by what, told by its names: ARKit's channels first, then what other conventions say.

A row says: this source (a channel, or a pose of core/poses.py) drives this key with this gain. Standard library only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from ..core.channels import CHANNELS, INDEX, LOWER_FACE
from .conventions import CHANNEL_CONVENTIONS, POSE_CONVENTIONS, Convention, spelled
from .names import map_names, words

ENOUGH = 8  # channels of the lower face with a key of their own, from which poses are not needed
BOTH, EACH = "blink", ("eyeBlinkLeft", "eyeBlinkRight")
MOUTH = {CHANNELS[i] for i in LOWER_FACE}
TONGUE = "tongueOut"


@dataclass(frozen=True)
class Row:
    source: str
    key: str
    gain: float = 1.0


@dataclass
class RigMap:
    """``label`` names the conventions that were found, "" for none; ``missing`` are sources without a key."""

    label: str = ""
    rows: list[Row] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    ambiguous: dict[str, list[str]] = field(default_factory=dict)

    @property
    def mouth(self) -> bool:
        """Whether the mouth is moved at all."""
        return any(row.source in MOUTH or is_mouth_pose(row.source) for row in self.rows)


def is_mouth_pose(source: str) -> bool:
    return source not in INDEX and source not in ("blink", "look up", "look down")


def map_rig(names: Iterable[str]) -> RigMap:
    """Key names -> rows. Every channel row of every convention; poses where channels alone do not make a mouth.

    The answer is shared between calls (panels ask at every redraw): not to be changed.
    """
    return _map_rig(tuple(names))


@lru_cache(maxsize=64)
def _map_rig(names: tuple[str, ...]) -> RigMap:
    arkit = map_names(names)
    found = RigMap(ambiguous=arkit.ambiguous)
    found.rows = [Row(channel, key) for channel, key in arkit.keys.items()]
    labels = ["ARKit"] if arkit.keys else []
    free = [name for name in names if name not in set(arkit.keys.values())]
    for convention in CHANNEL_CONVENTIONS:
        taken = {row.source for row in found.rows}
        more = [row for row in matches(convention, free) if row.source not in taken]
        if len(more) >= convention.least:
            found.rows += more
            labels.append(convention.name)
            free = [name for name in free if name not in {row.key for row in more}]
    if len({row.source for row in found.rows} & MOUTH) < ENOUGH:
        best = max(((matches(c, free), c) for c in POSE_CONVENTIONS), key=lambda pair: len({r.source for r in pair[0]}))
        rows, convention = best
        taken = {row.source for row in found.rows}
        rows = [row for row in rows if row.source not in taken]
        if len({row.source for row in rows}) >= convention.least:
            found.rows += rows
            labels.append(convention.name)
            wanted = dict.fromkeys(source for source, _ in convention.keys.values())
            have = {row.source for row in found.rows}
            # One key for both eyes does for those of each, and the other way round.
            if BOTH in have:
                have |= set(EACH)
            elif have.issuperset(EACH):
                have.add(BOTH)
            found.missing = [source for source in wanted if source not in have]
    if not any(is_mouth_pose(row.source) for row in found.rows):
        have = {row.source for row in found.rows}
        found.missing = [channel for channel in CHANNELS if channel not in have]
        if found.missing == [TONGUE]:  # such are the keys that PTalker makes for a head without a tongue: nothing is amiss
            found.missing = []
    found.label = " + ".join(labels)
    return found


def matches(convention: Convention, names: Iterable[str]) -> list[Row]:
    """The keys that a convention knows; a prefix in front of a name of two words or more ("Facial_Blends.") is no matter."""
    rows = []
    for name in names:
        hit = convention.keys.get(spelled(name))
        parts = words(name)
        for skip in range(1, len(parts) - 1):
            hit = hit or convention.keys.get("".join(parts[skip:]))
        if hit is not None:
            rows.append(Row(hit[0], name, hit[1]))
    return rows
