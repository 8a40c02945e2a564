"""PTalker without Blender. Importing this package imports neither bpy nor torch."""

from __future__ import annotations

__version__ = "0.11.0"
PROTOCOL_VERSION = 2
SAMPLE_RATE = 16000  # Hz, what the speech encoder hears
