"""Real people: the style of the first half of a clip on its second half, against neutral.

Real motion of four speakers whom the model has not seen, a clip each, is all there is. So the tracked speaker's dev clips are
shown, too, two sentences one after another, as other people might have moved in them: jaw, lips, corners and rounding more or
less, one side more than the other, another mouth at rest. Words, timing and wandering stay real. The four are shown a second
time as nothing but their tracked landmarks, with triangles between them: there nothing was fitted to any head.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ptalker_blender.core.audio import load_audio
from ptalker_blender.core.channels import CHANNELS, INDEX, UPPER_FACE
from ptalker_blender.core.clips import clip_of
from ptalker_blender.core.data.motion_set import Fits
from ptalker_blender.core.data.windows import read_clips
from ptalker_blender.core.reference import read_style
from ptalker_blender.core.runtime import PTalker

from .bench import FPS, LOW, Bench
from .landmarks import tracked_meshes

OTHERS = 24  # restyled people
GAINS = {"jaw": 0.3, "lips": 0.3, "corners": 0.4, "rounding": 0.3, "side": 0.12}  # spread of their logarithms
RESTING = {"mouthSmile": 0.12, "mouthFrown": 0.08, "mouthPress": 0.08, "mouthDimple": 0.06}  # spread of weights


@dataclass(frozen=True)
class Take:
    """audio [n] at 16 kHz, fitted weights [T, K], tracked lip gap [T] (NaN where unknown)."""

    audio: np.ndarray
    weights: np.ndarray
    gap: np.ndarray
    unseen: bool


def tracked(bench: Bench) -> list[Take]:
    """Clips of speakers that were never seen, then the dev clips of the one that was."""
    if bench.fits is None:
        return []
    fits, out = Fits(bench.fits), []
    for c in read_clips(bench.data):
        name = Path(c.path).stem
        if c.kind == "grid" and c.split in ("dev", "dev_unseen_speaker") and name in fits.weights:
            z = fits.weights[name].copy()
            z[:, UPPER_FACE] = 0.0
            out.append(Take(load_audio(bench.data / c.path), z, fits.gap[name], c.split == "dev_unseen_speaker"))
    return sorted(out, key=lambda take: not take.unseen)


def restyled(model: PTalker, z: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """weights [T, K] -> as another person might have moved in the same words; lips that met meet."""
    drawn = {name: float(np.exp(rng.normal(0, spread))) for name, spread in GAINS.items()}
    gain, rest = np.ones(len(CHANNELS)), np.zeros(len(CHANNELS))
    for i, name in enumerate(CHANNELS):
        if name in ("jawOpen", "mouthClose"):
            gain[i] = drawn["jaw"]
        elif name.startswith(("mouthSmile", "mouthStretch", "mouthDimple")):
            gain[i] = drawn["corners"]
        elif name in ("mouthFunnel", "mouthPucker"):
            gain[i] = drawn["rounding"]
        elif name.startswith("mouth"):
            gain[i] = drawn["lips"]
        gain[i] *= drawn["side"] if name.endswith("Left") else 1 / drawn["side"] if name.endswith("Right") else 1.0
    for name, spread in RESTING.items():
        amount = max(0.0, rng.normal(0, spread))
        for side in ("Left", "Right"):
            rest[INDEX[name + side]] = amount * np.exp(rng.normal(0, 0.1))
    new = torch.from_numpy(np.clip(z * gain + rest, 0, 1).astype(np.float32))
    contact = model.network.contact
    return (new if contact is None else contact.kept(new, torch.from_numpy(z))).numpy()


def people(bench: Bench) -> dict[str, float]:
    takes = tracked(bench)
    real, known = [t for t in takes if t.unseen], [t for t in takes if not t.unseen]
    if not real:
        return {}
    out = {f"unseen_{k}": v for k, v in halves(bench, [(t.audio, t.weights) for t in real]).items()}
    out |= {f"landmarks_{k}": v for k, v in landmarks(bench).items()}
    rng, others = np.random.default_rng([bench.seed, 8]), []
    for one, two in zip(known[: 2 * OTHERS : 2], known[1 : 2 * OTHERS : 2], strict=False):
        audio, z = (np.concatenate([getattr(t, name) for t in (one, two)]) for name in ("audio", "weights"))
        others.append((audio, restyled(bench.model, z, rng)))
    return out | {f"restyled_{k}": v for k, v in halves(bench, others).items()}


def landmarks(bench: Bench) -> dict[str, float]:
    """As ``halves``, of clips that are the tracked landmarks [T, V, 3] in motion. The truth is where they were tracked; what is
    generated is played by the rig head's shapes of that mesh from the speaker's mean face at rest."""
    ratio = []
    for mesh in tracked_meshes(bench.data):
        half = len(mesh.frames) // 2
        sound = mesh.audio[: round(half / FPS * 16000)]
        clip = clip_of(mesh.frames[:half], mesh.faces, FPS, rest=mesh.rest, audio=sound)
        style = read_style(bench.model, clip, use="motion").style
        basis = bench.model.rig(mesh.rest, mesh.faces)[LOW]
        errors = []
        for each in (style, None):
            made = bench.made(mesh.audio, each)[half : len(mesh.frames), LOW]
            off = mesh.rest + np.tensordot(made, basis, 1) - mesh.frames[half:]
            errors.append(float(np.linalg.norm(off[:, mesh.lower], axis=-1).mean()))
        ratio.append(errors[0] / errors[1])
    won = float(np.mean(np.array(ratio) < 1))
    return {"clips": len(ratio), "lower_than_neutral (>= 0.80)": won, "error_ratio": float(np.mean(ratio))}


def halves(bench: Bench, clips: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """(audio [n], weights [T, K]) played on a head: the style of the first half on the second half, against neutral; in
    vertices of the head's own shapes and of those that the rig head makes. ``vector``: without what is personal."""
    head, ratio, vector, mesh = bench.heads[0], [], [], []
    for audio, z in clips:
        half = len(z) // 2
        clip = head.clip(z[:half], audio[: round(half / FPS * 16000)])
        style = read_style(bench.model, clip, use="motion", shown=head.shown).style
        plain = read_style(bench.model, head.clip(z[:half]), use="motion", shown=head.shown).style
        made = [bench.made(audio, each)[half:] for each in (style, plain, None)]
        full, only, neutral = (head.error(m, z[half:]) for m in made)
        ratio.append(full / neutral)
        vector.append(only / neutral)
        mesh.append(head.error_on_mesh(made[0], z[half:]) / head.error_on_mesh(made[2], z[half:]))
    won = {"": ratio, "_on_mesh": mesh, "_vector": vector}
    out: dict[str, float] = {"clips": len(clips)}
    for name, each in won.items():
        out[f"lower_than_neutral{name} (>= 0.80)"] = float(np.mean(np.array(each) < 1))
        out[f"error_ratio{name}"] = float(np.mean(each))
    return out
