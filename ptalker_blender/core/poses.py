"""Mouth poses that rigs have keys for (visemes, phonemes), each as a sum of channels. Standard library only.

The sets mean much the same by their sounds (Meta's and Microsoft's viseme references, Rhubarb's mouth shapes, VRM's vowels):
one pose a sound here, and scene/conventions.py says what each set calls it. The numbers describe what artists commonly
model as the full pose; a rig that differs has gains in its list, or is fitted by geometry.
"""

from __future__ import annotations

from .channels import INDEX


def _pose(**parts: float) -> dict[str, float]:
    """Channels by name; a name that only exists with sides stands for both."""
    out: dict[str, float] = {}
    for name, value in parts.items():
        sides = (name,) if name in INDEX else (f"{name}Left", f"{name}Right")
        out |= dict.fromkeys(sides, value)
    assert all(name in INDEX for name in out)
    return out


POSES: dict[str, dict[str, float]] = {
    "aa": _pose(jawOpen=0.7, mouthLowerDown=0.3, mouthUpperUp=0.15),
    "ah": _pose(jawOpen=0.45, mouthLowerDown=0.25, mouthUpperUp=0.1),
    "E": _pose(jawOpen=0.3, mouthStretch=0.35, mouthSmile=0.15, mouthLowerDown=0.25, mouthUpperUp=0.15),
    "I": _pose(jawOpen=0.15, mouthStretch=0.45, mouthSmile=0.3, mouthLowerDown=0.25, mouthUpperUp=0.15),
    "O": _pose(jawOpen=0.45, mouthFunnel=0.6, mouthPucker=0.2),
    "U": _pose(jawOpen=0.1, mouthPucker=0.9, mouthFunnel=0.2),
    "aw": _pose(jawOpen=0.6, mouthFunnel=0.3, mouthLowerDown=0.15),
    "oy": _pose(jawOpen=0.35, mouthFunnel=0.45, mouthPucker=0.2),
    "ay": _pose(jawOpen=0.6, mouthStretch=0.2, mouthLowerDown=0.3, mouthUpperUp=0.15),
    "er": _pose(jawOpen=0.2, mouthPucker=0.4, mouthFunnel=0.2),
    "h": _pose(jawOpen=0.25, mouthLowerDown=0.15),
    "PP": _pose(mouthPress=0.5, mouthRollLower=0.25, mouthRollUpper=0.25, mouthShrugLower=0.1),
    "FF": _pose(mouthRollLower=0.5, mouthUpperUp=0.3, jawOpen=0.03),
    "TH": _pose(jawOpen=0.2, mouthLowerDown=0.2, mouthUpperUp=0.1),
    "DD": _pose(jawOpen=0.15, mouthLowerDown=0.25, mouthUpperUp=0.15),
    "L": _pose(jawOpen=0.22, mouthLowerDown=0.2, mouthUpperUp=0.1),
    "kk": _pose(jawOpen=0.2, mouthLowerDown=0.2, mouthUpperUp=0.2),
    "CH": _pose(jawOpen=0.1, mouthFunnel=0.6, mouthPucker=0.3),
    "SS": _pose(jawOpen=0.03, mouthStretch=0.35, mouthLowerDown=0.3, mouthUpperUp=0.25),
    "nn": _pose(jawOpen=0.12, mouthLowerDown=0.15, mouthUpperUp=0.1),
    "RR": _pose(jawOpen=0.12, mouthPucker=0.5, mouthFunnel=0.3),
    "open": _pose(jawOpen=1.0),
    "lips apart": _pose(mouthLowerDown=0.6, mouthUpperUp=0.4),
    "smile": _pose(mouthSmile=1.0),
    "blink": _pose(eyeBlink=1.0),
    "look up": _pose(eyeLookUp=1.0),
    "look down": _pose(eyeLookDown=1.0),
}


def vector(source: str) -> list[float]:
    """A channel or a pose as weights of all channels [K]. Raises KeyError for neither."""
    out = [0.0] * len(INDEX)
    for name, value in ({source: 1.0} if source in INDEX else POSES[source]).items():
        out[INDEX[name]] = value
    return out
