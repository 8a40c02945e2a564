"""Speed and memory of the whole runtime with the model loaded: speech in, weights out.

    python -m benchmarks.speed [SPEECH.wav ...] [--seconds 60 600] [--fps 30] [--threads 2]
Speech is repeated until it is long enough. Peak memory is the whole process (ru_maxrss), Python and torch included.
"""

from __future__ import annotations

import argparse
import platform
import resource
import time
from pathlib import Path

import numpy as np
import torch

from ptalker_blender.core import SAMPLE_RATE
from ptalker_blender.core.audio import load_audio
from ptalker_blender.core.runtime import PTalker

DEMO = Path(__file__).resolve().parents[1] / "demo" / "speech" / "demo.ogg"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("speech", nargs="*", type=Path, default=[DEMO])
    parser.add_argument("--seconds", nargs="+", type=float, default=[10, 60, 600])
    parser.add_argument("--fps", type=float, default=30.0)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    began = time.perf_counter()
    model = PTalker.load(device="cpu")
    print(f"{platform.processor() or platform.machine()}, {args.threads} threads, torch {torch.__version__}")
    print(f"loaded in {time.perf_counter() - began:.1f} s")
    speech = np.concatenate([load_audio(p) for p in args.speech])
    model.generate(speech[: 4 * SAMPLE_RATE], args.fps)  # the first run of a process is slower
    for seconds in args.seconds:
        audio = np.resize(speech, int(seconds * SAMPLE_RATE))
        began = time.perf_counter()
        weights = model.generate(audio, args.fps)
        spent = time.perf_counter() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        ratio = f"{spent / seconds:.3f} x real time"
        print(f"{seconds:6.0f} s  {len(weights):6d} frames  {spent:7.2f} s  {ratio}  peak {peak:.0f} MB")


if __name__ == "__main__":
    main()
