"""A style from a reference: from motion of any mesh, from a voice, or from both; and how sure it is.

Motion is read in windows like those of training (data/motion_set.py), a voice in windows of the speech encoder's; what is
said of a style is their mean, weighted by how much is spoken in each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from . import SAMPLE_RATE
from .audio import SILENCE
from .channels import LOWER_FACE
from .clips import Clip, read_reference
from .compare import example_of, told_by_sound
from .errors import Cancelled, PTalkerError
from .habits import habits_of_clip
from .lessons import Shown
from .mesh.reader import MeshReader
from .model.seen import Seen
from .personal import APART
from .runtime import PTalker
from .speech import RATE
from .styles import NEUTRAL, Style
from .traits import traits

FPS, FRAMES = 8.0, 28  # of a window of motion, as training shows it
MOST_WINDOWS = 18  # a minute of motion: more says nothing new
LONG = 36  # frames of a window in which likeness is read, about
HEARD = 6.0  # s of a window of voice
STILL = 0.02  # aligned weight; a face that moves less does not speak
SPEAKING = 0.8  # cm/s, how fast lips that speak part and meet; a window of 0.25 s each way counts with it
TELLS = 3.0  # s of speech after which 63 % of what motion can tell of a style has been told
VOICE = 0.6  # how sure a voice alone can be: it tells who speaks, but nobody has measured what it tells of the face
BESIDE = 0.15  # how much a voice counts beside motion
LOOKED_AT, MOST_FRAMES = 60.0, 7200  # s, frames of a clip that are taken apart into weights
LOW, GOOD = 0.4, 0.7  # confidence below which a person is told so; from which nothing is to be wished for

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Part:
    """What one side, motion or voice, says: style vector [s], seconds, share of them that is speech 0..1."""

    vector: Tensor
    seconds: float
    speech: float

    @property
    def told(self) -> float:
        """0..1, how much of what it can tell it has told."""
        return 1.0 - float(np.exp(-self.seconds * self.speech / TELLS))


@dataclass(frozen=True)
class Reading:
    """A style and how sure it is. ``agreement`` -1..1 of motion and voice, None where there is one of them only."""

    style: Style
    motion: Part | None
    voice: Part | None
    agreement: float | None
    apart: bool = False  # sound and motion hardly belong together
    traits: tuple[str, ...] = ()  # what is plainest in it, in words

    @property
    def word(self) -> str:
        sure = self.style.confidence
        return "low" if sure < LOW else "fair" if sure < GOOD else "good"

    @property
    def warnings(self) -> list[str]:
        """Sentences for people."""
        said = [APART] if self.apart else []
        if self.style.confidence < LOW:
            said.append("The reference says little about the style: use a longer one, with more speech in it.")
        return said

    def figures(self) -> dict[str, float | str]:
        """For people and for the protocol: plain JSON types."""
        told = self.motion or self.voice
        assert told is not None
        out: dict[str, float | str] = {
            "confidence": round(self.style.confidence, 3), "confidence_word": self.word, "made_from": self.style.made_from,
            "seconds": round(told.seconds, 2), "speech": round(told.speech, 3),
        }  # fmt: skip
        out |= {"shows": ", ".join(self.traits)} if self.traits else {}
        return out if self.agreement is None else out | {"agreement": round(self.agreement, 3)}


def read_style(
    model: PTalker, reference: str | Path | Clip | np.ndarray, name: str = "", *, use: str = "both",
    shown: Shown | None = None, progress: Progress | None = None, cancelled: Callable[[], bool] | None = None,
) -> Reading:  # fmt: skip
    """``reference``: a file, a Clip or samples [n] at 16 kHz; ``use``: "motion", "voice" or "both", as far as there are;
    ``shown``: the clip's mesh where it was made ready before. A clip's own sound tells what its motion says, also where the
    voice is not used for the style.

    Raises what clips.read_reference raises, PTalkerError (face_not_found, reference_still, reference_silent), Cancelled.
    """
    tell = progress or (lambda stage, fraction: None)
    tell("reading the reference", 0.0)
    named = name or (Path(reference).stem if isinstance(reference, str | Path) else getattr(reference, "name", "voice"))
    given = read_reference(reference, cancelled) if isinstance(reference, str | Path) else reference
    motion = voice = part = weights = None
    if isinstance(given, Clip):
        if use != "voice":
            tell("finding the face", 0.1)
            shown = shown or Shown.of(model, given, cancelled)
            tell("reading the motion", 0.6)
            motion = style_of_motion(model, given, shown.reader, cancelled)
            part = given.part(min(LOOKED_AT, MOST_FRAMES / given.fps))
            weights = shown.solver(part.chunks(cancelled), part.rest)
            motion = replace(motion, vector=likened(model, motion.vector, weights, part.fps, part.rest is not None))
        audio = given.audio
    else:
        audio = given
    if audio is not None and (use != "motion" or motion is None):
        tell("listening", 0.8)
        voice = style_of_voice(model, audio, cancelled)
    if motion is None and voice is None:
        raise PTalkerError("reference_silent", f"'{named}' has no voice to take a style from.", "Use its motion.")
    reading = together(model, named, motion, voice)
    if part is not None and weights is not None and shown is not None:
        tell("comparing", 0.9)
        reading = _compared(model, reading, part, weights, shown, cancelled)
    tell("reading the reference", 1.0)
    return replace(reading, traits=tuple(traits(model, reading.style.vector)))


def _compared(
    model: PTalker, reading: Reading, part: Clip, seen: np.ndarray, shown: Shown, cancelled: Callable[[], bool] | None
) -> Reading:
    """With the habits of the upper face and, where the clip has its sound, the style that comes nearest to it and what the mouth
    shows beyond that. ``seen`` [T, K]: the weights that the part's motion is made of."""
    habits = habits_of_clip(seen, part.fps, part.audio, part.rest is not None)
    reading = replace(reading, style=replace(reading.style, habits=habits))
    if part.audio is None:
        return reading
    example = example_of(model, part, seen, shown.root, cancelled)
    told = told_by_sound(model, [example], reading.style.vector, part.rest is not None, cancelled)
    if told is None:
        return replace(reading, apart=True)
    vector, personal = told[0].cpu(), told[1].to(torch.device("cpu"))
    return replace(reading, style=replace(reading.style, vector=vector, personal=personal))


def together(model: PTalker, name: str, motion: Part | None, voice: Part | None) -> Reading:
    """One style from both sides, each as far as it has told something; motion tells more."""
    sides = [(p, w) for p, w in ((motion, 1.0), (voice, BESIDE if motion else 1.0)) if p is not None]
    weights = np.array([max(p.told, 1e-3) * w for p, w in sides])
    vector = torch.stack([p.vector * float(w) for (p, _), w in zip(sides, weights / weights.sum(), strict=True)]).sum(0)
    vector[model.network.config.style :] = sides[0][0].vector[model.network.config.style :]
    agreement, sure = None, sides[0][0].told * (1.0 if motion else VOICE)
    if motion and voice:
        said = model.network.config.style  # of likeness, a voice says nothing
        agreement = float(torch.cosine_similarity(motion.vector[:said], voice.vector[:said], 0))
        sure *= 0.75 + 0.125 * (1 + agreement)
    made_from = "motion and voice" if motion and voice else "motion" if motion else "voice"
    seconds = sides[0][0].seconds
    return Reading(Style(vector, name, made_from, seconds, sure, model.fingerprint), motion, voice, agreement)


@torch.inference_mode()
def likened(model: PTalker, vector: Tensor, weights: np.ndarray, fps: float, rest_known: bool) -> Tensor:
    """style [s] of a clip, the weights [T, K] that its motion is made of -> style [s + l] with its likeness: of windows, the
    mean."""
    net = model.network
    if net.likeness is None:
        return vector
    frames = weights[np.arange(0, len(weights) - 0.5, fps / FPS).astype(int)][:, list(LOWER_FACE)]
    windows = np.array_split(frames, max(1, round(len(frames) / LONG)))
    known = torch.tensor([float(rest_known)], device=model.device)
    found = [net.likeness(torch.from_numpy(w).float().to(model.device)[None], known, FPS)[0].cpu() * len(w) for w in windows]
    return torch.cat([vector, torch.stack(found).sum(0) / len(frames)])


@torch.inference_mode()
def style_of_motion(model: PTalker, clip: Clip, reader: MeshReader, cancelled: Callable[[], bool] | None = None) -> Part:
    """Raises PTalkerError(reference_still), Cancelled and what Clip.chunks raises."""
    count = max(2, int(clip.seconds * FPS))
    size = min(count, FRAMES)
    windows = min(MOST_WINDOWS, -(-count // size))
    starts = np.round(np.linspace(0, count - size, windows)).astype(int)
    frames = np.unique((starts[:, None] + np.arange(size)).ravel())
    seen = reader.read(clip.at(frames / FPS, cancelled), clip.rest)
    parts = [_cut(seen, np.searchsorted(frames, start), size) for start in starts]
    return style_of_seen(model, parts, clip.seconds, clip.name)


def _cut(seen: Seen, first: int, size: int) -> Seen:
    aligned = None if seen.aligned is None else seen.aligned[:, first : first + size]
    return replace(seen, nodes=seen.nodes[:, first : first + size], aligned=aligned)


def style_of_seen(model: PTalker, windows: list[Seen], seconds: float, name: str = "the clip") -> Part:
    """Windows of one clip at FPS, one clip each -> its style. Raises PTalkerError(reference_still)."""
    found, speech, moved = [], [], 0.0
    for seen in windows:
        assert seen.aligned is not None
        aligned = seen.aligned[0]
        moved = max(moved, float((aligned.amax(0) - aligned.amin(0)).max()))
        speech.append(speaking(model, aligned, FPS))
        found.append(model.network.motion(_to(seen, model.device), FPS)[1][0].float().cpu())
    if moved < STILL:
        # For a file of an export and for an object in Blender, which reaches the engine as NAME.npz.
        fix = "Use frames in which the face speaks, and the mesh as its shape keys, bones and modifiers move it."
        raise PTalkerError("reference_still", f"The face in '{name.removesuffix('.npz')}' does not move.", fix)
    weights = torch.tensor(speech).clamp(min=1e-3)
    vector = (torch.stack(found) * weights[:, None]).sum(0) / weights.sum()
    return Part(vector, seconds, float(np.mean(speech)))


def _to(seen: Seen, device: torch.device) -> Seen:
    aligned = None if seen.aligned is None else seen.aligned.to(device)
    graph = {k: v.to(device) for k, v in seen.graph.items()}
    return replace(seen, nodes=seen.nodes.to(device), aligned=aligned, known=seen.known.to(device), graph=graph)


def speaking(model: PTalker, aligned: Tensor, fps: float) -> float:
    """aligned [T, C] -> share of the time in which the lips speak."""
    contact = model.network.contact
    if contact is None or len(aligned) < 2:
        return 1.0
    gap = aligned.cpu() @ contact.gap[list(LOWER_FACE), 0].cpu()
    fast = ((torch.diff(gap).abs() * fps) > SPEAKING).float()
    reach = round(0.25 * fps)
    return float(torch.nn.functional.max_pool1d(fast[None, None], 2 * reach + 1, 1, reach).mean())


@torch.inference_mode()
def style_of_voice(model: PTalker, audio: np.ndarray, cancelled: Callable[[], bool] | None = None) -> Part:
    """audio [n] at 16 kHz. Raises PTalkerError(reference_silent), Cancelled."""
    loud = voiced(audio)
    if not loud.any():
        raise PTalkerError("reference_silent", "The reference is silent: there is no voice to take a style from.")
    features = torch.from_numpy(model.speech.encode(audio, cancelled=cancelled).astype(np.float32))
    size = min(len(features), round(HEARD * RATE))
    windows = min(MOST_WINDOWS, -(-len(features) // size))
    found, weights = [], []
    for start in np.round(np.linspace(0, len(features) - size, windows)).astype(int):
        if cancelled is not None and cancelled():
            raise Cancelled
        found.append(model.network.audio.style(features[start : start + size][None].to(model.device))[0].float().cpu())
        weights.append(max(float(loud[start : start + size].mean()), 1e-3) if len(loud[start : start + size]) else 1e-3)
    share = torch.tensor(weights)
    vector = (torch.stack(found) * share[:, None]).sum(0) / share.sum()
    nobody = model.network.styles[NEUTRAL].float().cpu()[len(vector) :]  # a voice has no likeness
    return Part(torch.cat([vector, nobody]), len(audio) / SAMPLE_RATE, float(loud.mean()))


def voiced(audio: np.ndarray) -> np.ndarray:
    """audio [n] -> [n / 320] bool: as loud as speech is against the clip's own loud parts."""
    step = SAMPLE_RATE // RATE
    blocks = audio[: len(audio) // step * step].reshape(-1, step).astype(np.float64)
    level = np.sqrt((blocks**2).mean(1))
    level = np.convolve(level, np.ones(9) / 9, "same")  # 0.18 s: gaps within words are speech
    return level > max(SILENCE, 0.1 * float(np.quantile(level, 0.95)))
