"""English speech with phone times by flite (CMU, BSD-like licence; Debian's package ``flite``).

    python -m ptalker_blender.core.data.flite --text SENTENCES.txt --out FOLDER --minutes 60

``flite -psdur`` prints every phone with its end time; these are the times it synthesises with.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from .arpabet import spans
from .spoken_corpus import Line, Phones, Take, Voice, main, program, take_of

# The pitch is each voice's own mean, as measured in its speech.
VOICES = (
    Voice("slt", "f", pitch=170),
    Voice("rms", "m", pitch=100),
    Voice("awb", "m", pitch=125),
    Voice("kal16", "m", pitch=105),
)


def parse(printed: str) -> Phones:
    """What -psdur prints ("pau:0.184 dh:0.251 ...", end times) -> phones. Raises KeyError for an unknown phone."""
    phones, at = [], 0.0
    for item in printed.split():
        label, end = item.rsplit(":", 1)
        phones += spans(label, at, float(end))
        at = float(end)
    return phones


class Flite:
    """``flite``, called once a sentence."""

    name = "flite"
    voices: ClassVar = {voice.name: voice for voice in VOICES}

    def speak(self, voice: Voice, lines: Sequence[Line]) -> list[Take | None]:
        with tempfile.TemporaryDirectory() as folder:
            return [self._say(voice, line, Path(folder) / "a.wav") for line in lines]

    def _say(self, voice: Voice, line: Line, path: Path) -> Take | None:
        command = [program("flite", "flite"), "-voice", voice.name, "-psdur"]
        command += ["--setf", f"duration_stretch={1 / line.rate:.3f}"]
        command += ["--setf", f"int_f0_target_mean={voice.pitch * line.pitch:.1f}"]
        done = subprocess.run([*command, "-t", line.text, "-o", str(path)], capture_output=True, text=True, check=True)
        return take_of(path, parse(done.stdout))


if __name__ == "__main__":
    main(Flite(), "English speech with phone times by flite.")
