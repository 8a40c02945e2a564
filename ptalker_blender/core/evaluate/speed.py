"""How fast the whole runtime is with the model loaded: speech in, weights out. benchmarks/speed.py measures lengths."""

from __future__ import annotations

import sys
import time

import numpy as np
import torch

from .. import SAMPLE_RATE
from ..runtime import PTalker


def peak_memory() -> float | None:
    """Most memory that this process held so far, MB; None on systems that do not tell (Windows)."""
    if sys.platform == "win32":
        return None
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def speed(model: PTalker, speech: np.ndarray, seconds: float = 60.0, fps: float = 30.0) -> dict[str, float | int]:
    """speech [n] is repeated to ``seconds``. -> time by the time of the speech (0.05 = twenty times faster than it)."""
    audio = np.resize(speech, int(seconds * SAMPLE_RATE))
    model.generate(audio[: 4 * SAMPLE_RATE], fps)  # the first run of a process is slower
    began = time.perf_counter()
    model.generate(audio, fps)
    spent = time.perf_counter() - began
    return {"x_real_time": spent / seconds, "seconds": seconds, "fps": fps, "threads": torch.get_num_threads()}
