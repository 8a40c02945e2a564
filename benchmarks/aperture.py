"""Lip aperture of generated speech against real faces and against the teacher, beside the ridge floor.

    python -m benchmarks.aperture --data DATA --fits FITS [--assets FOLDER] [--rig] [--out FIGURES.json]
Aperture = distance of the middle inner-lip vertices of the ICT neutral head, from the whole runtime (audio in,
weights out). Real: GRID dev tracks. Teacher: synthetic dev sentences and real studio prompts (``speech_real``, real
voices, open vocabulary; their phones are recognised, so a perfect model stays below 1). r is pooled after each clip's
mean is removed; lag is the shift of ours with the best r. Closures are counted by distance, and by height alone (tracks
know little of depth).
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import soundfile as sf
import torch

from ptalker_blender.core.data.motion_set import Fits
from ptalker_blender.core.data.teacher import TeacherStyle, curves
from ptalker_blender.core.data.windows import read_clips
from ptalker_blender.core.runtime import PTalker
from ptalker_blender.core.train.heads import LipGap, lip_gap
from ptalker_blender.core.train.validate import lips_meet, pooled_r

from .ridge import Ridge

FPS = 25.0


def clips_of(data: Path, fits: Fits, gap: LipGap, most: int):
    """Yield (group, audio, true gap [T], phones): every dev clip with its truth."""
    rng = np.random.default_rng(0)
    clips = read_clips(data)
    for c in clips:
        name = Path(c.path).stem
        if c.kind == "grid" and c.split != "train" and np.isfinite(fits.gap[name]).all():
            group = "GRID s1 dev" if c.split == "dev" else "GRID unseen speakers"
            yield group, sf.read(data / c.path, dtype="float32")[0], fits.gap[name], c.phones
    spoken = [("synthetic dev", c.path, c.phones) for c in clips if c.kind == "speech" and c.split == "dev"]
    spoken = [spoken[i] for i in rng.permutation(len(spoken))[:most]]
    prompts = []
    for line in (data / "speech_real" / "manifest.jsonl").read_text("utf-8").splitlines():
        c = json.loads(line)
        if c["aligner"] != "hama" and c["seconds"] > 2.0 and len(c["phones"]) > 8:
            prompts.append(("studio prompts (en)", f"speech_real/{c['file']}", c["phones"]))
    spoken += [prompts[i] for i in rng.permutation(len(prompts))[:most]]
    for group, path, phones in spoken:
        audio = sf.read(data / path, dtype="float32")[0]
        times = np.arange(round(len(audio) / 16000 * FPS)) / FPS
        try:
            z = curves(phones, times, TeacherStyle.neutral())
        except KeyError:  # a recogniser's symbol that the teacher does not know: not a clip to measure on
            continue
        yield group, audio, gap.distance(torch.from_numpy(z)).numpy(), phones


def best_lag(pairs: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """Milliseconds by which ours is late where r is best, in steps of 10 ms."""

    def r(ms: float) -> float:
        moved = []
        for a, b in pairs:
            t = np.arange(len(a)) / FPS
            moved.append((np.interp(t + ms / 1000, t, a)[3:-3], b[3:-3]))
        return pooled_r(moved)

    lags = np.arange(-80, 81, 10)
    return float(lags[int(np.argmax([r(ms) for ms in lags]))])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--fits", type=Path, required=True)
    parser.add_argument("--assets", type=Path, default=None)
    parser.add_argument("--style", default=None)
    parser.add_argument(
        "--rig", action="store_true", help="lips of the ICT head by the rig head, not by ICT's own shapes"
    )
    parser.add_argument("--most", type=int, default=80)
    parser.add_argument("--out", type=Path, default=None)
    args = parser.parse_args()
    model = PTalker.load(args.assets, "cpu")
    ict = dict(np.load(args.data / "heads" / "ict_facekit.npz"))
    truth_gap = lip_gap(ict)
    if args.rig:
        ict["arkit"] = model.rig(ict["neutral"], ict["quads"])
    gap = lip_gap(ict)
    fits = Fits(args.fits)
    train = [c for c in read_clips(args.data) if c.split == "train" and c.kind == "grid"]
    train = [c for c in train if np.isfinite(fits.gap[Path(c.path).stem]).all()][::3]
    heard = [model.speech.encode(sf.read(args.data / c.path, dtype="float32")[0]) for c in train]
    ridge = Ridge(heard, [fits.gap[Path(c.path).stem] for c in train], FPS)
    ours, floor, meet, spent, seconds = defaultdict(list), defaultdict(list), defaultdict(lambda: [0, 0, 0]), 0.0, 0.0
    for group, audio, y, phones in clips_of(args.data, fits, truth_gap, args.most):
        began = time.perf_counter()
        z = model.generate(audio, FPS, style=args.style)
        spent, seconds = spent + time.perf_counter() - began, seconds + len(audio) / 16000
        d = gap.distance(torch.from_numpy(z)).numpy()
        n = min(len(d), len(y))
        ours[group].append((d[:n], y[:n]))
        floor[group].append((ridge.predict(model.speech.encode(audio), n, FPS), y[:n]))
        height = gap(torch.from_numpy(z)).clamp(min=0).numpy()
        at = np.arange(len(d)) / FPS
        for k, v in enumerate((*lips_meet(d, at, phones), lips_meet(height, at, phones)[0])):
            meet[group][k] += v
    table = {
        g: {
            "clips": len(p), "r": round(pooled_r(p), 3), "ridge": round(pooled_r(floor[g]), 3),
            "lag_ms": best_lag(p), "closed": round(meet[g][0] / max(1, meet[g][1]), 3),
            "closed_height": round(meet[g][2] / max(1, meet[g][1]), 3),
        }
        for g, p in ours.items()
    }  # fmt: skip
    for g, row in table.items():
        print(f"{g:24s}" + "  ".join(f"{k} {v}" for k, v in row.items()))
    threads = torch.get_num_threads()
    print(f"{seconds:.0f} s of speech in {spent:.1f} s: {spent / seconds:.3f} x real time, {threads} threads")
    if args.out:
        args.out.write_text(json.dumps(table, indent=1), "utf-8")


if __name__ == "__main__":
    main()
