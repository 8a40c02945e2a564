"""English and Italian speech with phone times by festival (X11-like licence; Debian's packages ``festival``,
``festvox-us-slt-hts``, ``festvox-kdlpc16k``, ``festvox-kallpc16k``, ``festvox-italp16k``, ``festvox-itapc16k``).

    python -m ptalker_blender.core.data.festival --text SENTENCES.txt --out FOLDER --minutes 60 --voices ked_diphone

``utt.save.segs`` writes every phone with its end time; these are the times it synthesises with.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from .arpabet import IPA, spans
from .spoken_corpus import Line, Phones, Take, Voice, main, program, take_of

VOICES = (
    Voice("cmu_us_slt_arctic_hts", "f"), Voice("ked_diphone", "m"), Voice("kal_diphone", "m"),
    Voice("lp_diphone", "f", "it"), Voice("pc_diphone", "m", "it"),
)  # fmt: skip

# Festival's Italian phone set; 1 marks stress. Other signs are the same in IPA.
ITALIAN: dict[str, tuple[str, ...]] = {
    **{letter + stress: (letter,) for letter in "ieaou" for stress in ("", "1")},
    **{letter + stress: (ipa,) for letter, ipa in (("E", "ɛ"), ("O", "ɔ")) for stress in ("", "1")},
    **{letter: (letter,) for letter in ("j", "w", "p", "t", "k", "b", "d", "f", "s", "v", "z", "ts", "dz", "m", "n", "l", "r")},
    "g": ("ɡ",), "S": ("ʃ",), "Z": ("ʒ",), "tS": ("tʃ",), "dZ": ("dʒ",), "J": ("ɲ",), "ng": ("ŋ",), "nf": ("n",),
    "L": ("ʎ",), "#": ("sil",),
}  # fmt: skip

# Diphone voices take their rate from festival's duration model, the HTS voice from hts_engine.
SAY = """
(Parameter.set 'Duration_Stretch {stretch:.3f})
(set! hts_engine_params (append hts_base (list '("-r" {rate:.3f}))))
(set! utt (SynthText "{text}"))
(utt.save.wave utt "{path}.wav" 'riff)
(utt.save.segs utt "{path}.seg")
"""


def parse(written: str, table: dict[str, tuple[str, ...]]) -> Phones:
    """What utt.save.segs writes ("end 100 phone" a line, after "#") -> phones. Raises KeyError for an unknown phone."""
    phones, at = [], 0.0
    for line in written.splitlines():
        fields = line.split()
        if len(fields) == 3:
            phones += spans(fields[2], at, float(fields[0]), table)
            at = float(fields[0])
    return phones


class Festival:
    """``festival -b``, called once for a batch of sentences."""

    name = "festival"
    voices: ClassVar = {voice.name: voice for voice in VOICES}

    def speak(self, voice: Voice, lines: Sequence[Line]) -> list[Take | None]:
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder) / str(i) for i in range(len(lines))]
            script = Path(folder) / "say.scm"
            coding = "latin-1" if voice.language == "it" else "utf-8"
            said = [
                SAY.format(stretch=1 / line.rate, rate=line.rate, text=line.text.replace('"', ""), path=path)
                for line, path in zip(lines, paths, strict=True)
            ]
            start = f"(require 'hts)\n(voice_{voice.name})\n(set! hts_base hts_engine_params)\n"
            script.write_text(start + "".join(said), encoding=coding, errors="ignore")
            # A sentence it cannot say ends the batch; what was said before is kept.
            subprocess.run([program("festival", "festival"), "-b", str(script)], capture_output=True, check=False)
            table = ITALIAN if voice.language == "it" else IPA
            return [self._take(path, table) for path in paths]

    def _take(self, path: Path, table: dict[str, tuple[str, ...]]) -> Take | None:
        if not path.with_suffix(".seg").exists():
            return None
        return take_of(path.with_suffix(".wav"), parse(path.with_suffix(".seg").read_text("latin-1"), table))


if __name__ == "__main__":
    main(Festival(), "English and Italian speech with phone times by festival.")
