"""Speed and memory of the whole runtime with the model loaded: a sound file in, weights out; streamed against whole.

    python -m benchmarks.speed [SPEECH.wav ...] [--seconds 10 60 600 3600] [--fps 30] [--threads 2]
Speech is repeated until it is long enough and written to an Ogg file, which is then read as `generate` reads it: once
to check it, once more, block by block, on its way through the model; the time is of both. Each length has a process of
its own, whose peak memory is all of it, Python and torch included. The last column is the largest difference between
a stream pushed in random pieces and one pass of the network over all features (up to 60 s: that one needs memory).
"""

from __future__ import annotations

import argparse
import multiprocessing
import platform
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import torch

from ptalker_blender.core import SAMPLE_RATE
from ptalker_blender.core.audio import check_audio, load_audio
from ptalker_blender.core.runtime import PTalker
from ptalker_blender.core.speech import RATE
from ptalker_blender.core.stream import Stream, loudness
from ptalker_blender.core.styles import resolve
from ptalker_blender.core.upper_face import Habits, upper_face

DEMO = Path(__file__).resolve().parents[1] / "demo" / "speech" / "demo.ogg"
COMPARED = 60  # s: the longest clip that is also done in one pass
BLOCK = 60 * SAMPLE_RATE  # samples written at once


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("speech", nargs="*", type=Path, default=[DEMO])
    parser.add_argument("--seconds", nargs="+", type=float, default=[10, 60, 600, 3600])
    parser.add_argument("--fps", type=float, default=30.0)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {args.threads} threads, torch {torch.__version__}", flush=True)
    speech = np.concatenate([load_audio(p) for p in args.speech])
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        for seconds in args.seconds:
            path = Path(folder) / f"{seconds:g}.ogg"
            write_speech(path, speech, round(seconds * SAMPLE_RATE))
            for work in (measure, compare) if seconds <= COMPARED else (measure,):
                process = context.Process(target=work, args=(path, args.fps, args.threads))
                process.start()
                process.join()
                if process.exitcode:
                    raise SystemExit(process.exitcode)


def write_speech(path: Path, speech: np.ndarray, samples: int) -> None:
    """Speech, repeated, in blocks: libsndfile's Vorbis encoder cannot take an hour at once."""
    with soundfile.SoundFile(path, "w", SAMPLE_RATE, 1) as file:
        for start in range(0, samples, BLOCK):
            file.write(speech[np.arange(start, min(start + BLOCK, samples)) % len(speech)])


def measure(path: Path, fps: float, threads: int) -> None:
    """Print time and peak memory for one file."""
    torch.set_num_threads(threads)
    began = time.perf_counter()
    model = PTalker.load(device="cpu")
    loading = time.perf_counter() - began
    model.generate(np.zeros(4 * SAMPLE_RATE, np.float32), fps)  # the first run of a process is slower
    loaded = peak()
    began, used = time.perf_counter(), time.process_time()
    sound = check_audio(path)
    weights = model.generate(sound.blocks(), fps, samples=sound.samples)
    spent, used, seconds = time.perf_counter() - began, time.process_time() - used, sound.samples / SAMPLE_RATE
    memory = f"peak {peak():.0f} MB ({loaded:.0f} MB before, {weights.nbytes / 2**20:.0f} MB of weights)"
    ratio = f"{spent:7.2f} s  {spent / seconds:.4f} x real time  {used:7.2f} s of processor"
    print(f"{seconds:6.0f} s  {len(weights):6d} frames  {ratio}  {memory}  loaded in {loading:.1f} s", flush=True)


def peak() -> float:
    """Peak memory of this process so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def compare(path: Path, fps: float, threads: int) -> None:
    """Print the largest difference between the stream and one pass."""
    torch.set_num_threads(threads)
    model, audio = PTalker.load(device="cpu"), load_audio(path)
    rng, stream, at, parts = np.random.default_rng(0), Stream(model, fps), 0, []
    while at < len(audio):
        size = int(np.exp(rng.uniform(0, np.log(10 * SAMPLE_RATE))))  # 1 sample to 10 s
        parts.append(stream.push(audio[at : at + size]))
        at += size
    streamed = np.concatenate([*parts, stream.finish()])
    print(f"{'':8}streamed - whole: {np.abs(streamed - one_pass(model, audio, fps)).max():.1e}", flush=True)


@torch.inference_mode()
def one_pass(model: PTalker, audio: np.ndarray, fps: float) -> np.ndarray:
    """audio [n] -> weights [T, K] without any pieces: all features first, then all frames at once."""
    features = model.speech.encode(audio).astype(np.float32)
    features = np.concatenate([features, features[-1:]]) if len(features) % 2 else features
    times = np.arange(round(len(audio) / SAMPLE_RATE * fps)) / fps
    heard, style = torch.from_numpy(features)[None], resolve(None, 1.0, model.network.styles)[None]
    z = model.network(heard, torch.arange(len(features)) / RATE, style, torch.from_numpy(times).float())
    face = upper_face(times, loudness(audio, 0, len(audio), times), 0, Habits())
    return np.clip(model.network.finish(z[0]).numpy() + face, 0, 1)


if __name__ == "__main__":
    main()
