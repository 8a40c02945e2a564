"""The landmarks of a face by name. Standard library only: both sides import this."""

from __future__ import annotations

# Name -> where it lies on the template face (face frame: +x the face's left, +y up, +z out of the face, 1.0 is about 10 cm).
PLACES: dict[str, tuple[float, float, float]] = {
    "mouth_left": (0.221, -0.349, 0.513),
    "mouth_right": (-0.221, -0.349, 0.513),
    "lip_upper": (0.0, -0.332, 0.628),
    "lip_lower": (0.0, -0.340, 0.625),
    "chin": (0.0, -0.757, 0.543),
    "nose_tip": (0.0, 0.041, 0.807),
    "eye_left_outer": (0.446, 0.343, 0.360),
    "eye_left_inner": (0.184, 0.325, 0.420),
    "eye_left_upper": (0.333, 0.391, 0.450),
    "eye_left_lower": (0.330, 0.308, 0.434),
    "eye_right_outer": (-0.446, 0.343, 0.360),
    "eye_right_inner": (-0.184, 0.325, 0.420),
    "eye_right_upper": (-0.333, 0.391, 0.450),
    "eye_right_lower": (-0.330, 0.308, 0.434),
}
NAMES = tuple(PLACES)


def other_side(name: str) -> str:
    """mouth_left -> mouth_right and back; a landmark in the middle stays."""
    parts = name.split("_")
    return "_".join({"left": "right", "right": "left"}.get(part, part) for part in parts)
