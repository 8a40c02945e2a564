"""Make the branch that hears a style in a voice alone; nothing else of the model changes.

    python -m ptalker_blender.core.train.voice --data DATA --model MODEL.safetensors --out OUT.safetensors --cache FOLDER
What a voice says of how a face moves, nobody has measured; but two recordings of one speaker are to give one style, and two
speakers two. So the branch gives the directions in which the mean features of speakers differ most against how much those of
one speaker do (linear discriminant analysis, Fisher 1936, Rao 1948), laid along the directions in which styles read from
motion differ, about the neutral style: what the decoder knows. Pauses count little. It is solved, not trained by steps, which
found fewer of the voices that it had not seen. FOLDER keeps what the speech encoder hears (data/voices.py) for the next
model. OUT may be MODEL.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor, nn

from ..data.teacher import TeacherStyle
from ..data.voices import TEST, TEST_SECONDS, TRAIN, Take, cache, read_voices
from ..errors import PTalkerError
from ..evaluate.metrics import retrieval
from ..evaluate.style import drawn_pairs
from ..mesh.rig import ASSET as RIG
from ..mesh.rig import Rigger
from ..model.ptalker import PTalker
from ..runtime import ASSETS
from ..speech import RATE, SpeechEncoder
from ..styles import NEUTRAL
from .heads import ict_heads
from .pack import write_sums
from .shown import sentences_of, shown

BRANCH = ("style_in", "pool", "style_out")  # of AudioEncoder
TRACKED = "grid_s1/"  # the real speaker's clips, whose face the neutral style is of
STYLES, SENTENCES, HEADS = 200, 12, 2  # that the spread of motion's styles is measured on
LEAST = 0.1  # of motion's largest spread: an axis along which motion varies less may vary so much
FIRST, MOST = 0.3, 0.7  # spread of voices along the first axis, and along any, against motion's
SHARP = 2.0  # half the logarithm of how much more speech counts than silence
LOOKS = 20  # frames of a take that speech is learned to be told from
PIECES, PIECE = 2, 1.5  # of a take, at random places, and how long one is, s: a short one differs with what is said
RIDGE = 0.2  # added to the variance of each feature within a speaker: not all of it was seen


@dataclass(frozen=True)
class Attention:
    """Frames that are speech count exp(2 * SHARP) times as much as others."""

    direction: Tensor  # [C]
    offset: Tensor  # []

    def mean(self, x: Tensor) -> Tensor:
        """x [n, T, C], normalised -> [n, C]"""
        weight = (SHARP * torch.tanh(x @ self.direction + self.offset)).softmax(1)
        return (weight[..., None] * x).sum(1)


@dataclass(frozen=True)
class Reading:
    """style = centre + axes @ (directions @ (mean feature - middle)), the mean over what ``attention`` calls speech. Features
    as AudioEncoder.normalise leaves them."""

    middle: Tensor  # [C]
    directions: Tensor  # [r, C]
    axes: Tensor  # [s, r]
    centre: Tensor  # [s]
    attention: Attention

    @torch.no_grad()
    def put_into(self, net: PTalker) -> None:
        """The branch becomes this. silu(x) - silu(-x) = x, so pairs of units of opposite signs are linear together."""
        audio, r = net.audio, len(self.directions)
        for name in BRANCH:
            for p in audio.get_submodule(name).parameters():
                p.zero_()
        layers = (audio.style_in[0], audio.pool.score[0], audio.pool.score[2], audio.style_out[0], audio.style_out[2])
        first, score, sharp, pooled, last = (m for m in layers if isinstance(m, nn.Linear))
        seen = torch.cat([self.directions, self.attention.direction[None]])
        offset = torch.cat([-(self.directions @ self.middle), self.attention.offset[None]])
        for k, sign in enumerate((1.0, -1.0)):
            units = slice(k * (r + 1), (k + 1) * (r + 1))
            first.weight[units], first.bias[units] = sign * seen, sign * offset
            score.weight[0, units.stop - 1] = sign
            for j, side in enumerate((1.0, -1.0)):
                pooled.weight[k * r : (k + 1) * r, j * (r + 1) : j * (r + 1) + r] = sign * side * torch.eye(r)
            last.weight[:, k * r : (k + 1) * r] = sign * self.axes
        sharp.weight[0, 0] = SHARP
        last.bias.copy_(self.centre)


@torch.no_grad()
def motion_styles(net: PTalker, data: Path, seed: int, count: int = STYLES) -> Tensor:
    """[count, s]: random teacher styles as ``net`` reads them from motion."""
    rigger = Rigger.load(RIG) if RIG.is_file() else None
    heads, _ = ict_heads(data / "heads" / "ict_facekit.npz", HEADS - 1, seed, rigger)
    sentences, rng = sentences_of(data, SENTENCES), np.random.default_rng(seed)
    read = [shown(net, heads, sentences, TeacherStyle.sample(rng)) for _ in range(count)]
    return torch.stack(read).float()[:, : net.config.style]  # of likeness, a voice says nothing


def spread(styles: Tensor) -> tuple[Tensor, Tensor]:
    """styles [n, s] -> their axes [s, s], the widest first, and how far they spread along each [s]."""
    x = (styles - styles.mean(0)).double()
    values, axes = torch.linalg.eigh(x.T @ x / len(x))
    return axes.flip(1).float(), values.flip(0).clamp(min=0).sqrt().float()


def discriminants(x: Tensor, speakers: Sequence[object], most: int, home: object = None) -> tuple[Tensor, Tensor, Tensor]:
    """x [n, C], a row of which is of speakers[n] -> middle [C], directions [r, C] with r <= most, spread along each [r].

    ``home``: one of the speakers, who is to lie in the middle: how that one differs from the mean is left out."""
    x = x.double()
    names = {s: i for i, s in enumerate(dict.fromkeys(speakers))}
    label = torch.tensor([names[s] for s in speakers])
    scale = 1 / (x.std(0) + 1e-4)
    mean = torch.stack([(x * scale)[label == i].mean(0) for i in range(len(names))])
    within = x * scale - mean[label]
    values, vectors = torch.linalg.eigh(within.T @ within / len(x) + RIDGE * torch.eye(x.shape[1], dtype=x.dtype))
    whiten = vectors / values.sqrt()
    between = mean @ whiten
    between = between - between.mean(0)
    count = min(most, len(names) - 1)
    if home in names:
        away = nn.functional.normalize(between[names[home]], dim=0)
        between = between - torch.outer(between @ away, away)
        count = min(count, len(names) - 2)
    axes = torch.linalg.svd(between, full_matrices=False).Vh[:count]
    directions = axes @ whiten.T * scale
    return (mean.mean(0) / scale).float(), directions.float(), (x @ directions.T).std(0).float()


def solve(
    net: PTalker, attention: Attention, x: Tensor, speakers: Sequence[object], styles: Tensor, home: object = None
) -> Reading:
    """x [n, C]: mean features under attention, normalised; styles [m, s] read from motion; ``home``: the speaker
    whose style is neutral."""
    axes, wide = spread(styles)
    middle, directions, found = discriminants(x, speakers, min(net.config.style, net.config.frame_width // 2 - 1), home)
    r = len(directions)
    wide = wide.clamp(min=LEAST * float(wide.max()))[:r]
    scale = torch.minimum(FIRST * wide[0] / found[0], MOST * wide / found)
    return Reading(middle, directions, axes[:, :r] * scale, net.styles[NEUTRAL].float()[: net.config.style], attention)


def listen(x: Tensor, speech: Tensor) -> Attention:
    """x [n, C], frames, normalised; speech [n] bool -> the ridge regression that tells speech, about +-1.5 for either."""
    x, label = x.double(), torch.where(speech, 1.5, -1.5).double()
    weight = torch.where(speech, 0.5 / speech.double().mean().clamp(min=1e-3), 0.5 / (~speech).double().mean().clamp(min=1e-3))
    middle, level = (weight[:, None] * x).mean(0), (weight * label).mean()
    centred = (x - middle) * weight[:, None]
    square = centred.T @ (x - middle) / len(x)
    direction = torch.linalg.solve(square + 0.1 * torch.eye(x.shape[1], dtype=x.dtype), centred.T @ (label - level) / len(x))
    return Attention(direction.float(), (level - middle @ direction).float())


@torch.no_grad()
def attention_of(net: PTalker, features: np.ndarray, spoken: np.ndarray, rows: Sequence[int], seed: int) -> Attention:
    """From some frames of the takes ``rows``, silence after them included."""
    rng, x, label = np.random.default_rng(seed), [], []
    for i in rows:
        at = rng.choice(features.shape[1], LOOKS, replace=False)
        x.append(np.asarray(features[i][at], np.float32))
        label.append(spoken[i][at])
    return listen(net.audio.normalise(torch.from_numpy(np.concatenate(x))), torch.from_numpy(np.concatenate(label)))


@torch.no_grad()
def pieces(
    net: PTalker, attention: Attention, features: np.ndarray, takes: Sequence[Take], rows: Sequence[int], seed: int
) -> tuple[Tensor, list[tuple[str, float]]]:
    """The mean features, normalised, of PIECES of each of the takes ``rows`` [n, C], and whose they are."""
    rng, length, speakers, cut = np.random.default_rng(seed), round(PIECE * RATE), [], []
    for i in rows:
        for _ in range(PIECES):
            start = int(rng.integers(0, takes[i].count - length + 1))
            cut.append(np.asarray(features[i][start : start + length], np.float32))
            speakers.append(takes[i].speaker)
    parts = [attention.mean(net.audio.normalise(torch.from_numpy(c)[None])) for c in cut]
    return torch.cat(parts), speakers


@torch.no_grad()
def found(net: PTalker, features: np.ndarray, takes: Sequence[Take], voices: Sequence[str] = ()) -> dict[str, float]:
    """Share of voices that are found by their style in another sentence, among ``voices`` (none given: all); how far apart
    their styles are (standard deviation over all axes)."""
    figures, rng = {}, np.random.default_rng(0)
    for seconds in TEST_SECONDS:
        rows: dict[str, list[np.ndarray]] = {}
        for f, t in zip(features, takes, strict=True):
            if t.use == TEST and t.seconds == seconds and (not voices or t.voice in voices):
                heard = torch.from_numpy(np.asarray(f[: t.count], np.float32))
                rows.setdefault(t.voice, []).append(net.audio.style(heard[None])[0].numpy())
        if len(rows) < 2:
            raise PTalkerError("data_missing", "There are too few voices to test on.", "Make more speech: see docs/training.md.")
        styles = np.array(list(rows.values()))
        figures[f"voices_{seconds:g}s"] = float(len(rows))
        figures[f"found_{seconds:g}s"] = float(np.mean([retrieval(s) for s in drawn_pairs(styles, rng)]))
        figures[f"spread_{seconds:g}s"] = float(np.sqrt(styles.mean(1).var(0).sum()))
    return figures


def teach(net: PTalker, data: Path, folder: Path, held_out: Sequence[str] = (), seed: int = 1) -> dict[str, float]:
    """Make the branch of ``net`` from the voices cached in ``folder`` but those held out -> figures, ``found`` among these.

    Raises PTalkerError (run_differs, data_missing)."""
    features, spoken, takes = read_voices(folder)
    if features.shape[-1] != net.config.features:
        fix = "Make the cache anew with the model's own speech encoder."
        raise PTalkerError("run_differs", "The voices were heard with another speech encoder than the model's.", fix)
    rows = [i for i, t in enumerate(takes) if t.use == TRAIN and t.voice not in held_out]
    count = len({takes[i].speaker for i in rows})
    if count < 3:
        raise PTalkerError("data_missing", "There are too few voices.", "Make more speech: see docs/training.md.")
    home = next((takes[i].speaker for i in rows if takes[i].size == 1.0 and takes[i].paths[0].startswith(TRACKED)), None)
    styles = motion_styles(net, data, seed)
    attention = attention_of(net, features, spoken, rows, seed)
    x, speakers = pieces(net, attention, features, takes, rows, seed)
    before = found(net, features, takes, held_out)
    solve(net, attention, x, speakers, styles, home).put_into(net)
    after = found(net, features, takes, held_out)
    motion = float(spread(styles)[1].square().sum().sqrt())
    told = {"speakers": float(count), "motion_spread": motion}
    return told | after | {f"before_{k}": v for k, v in before.items() if k.startswith("found")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("data", "model", "out", "cache"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--speech-encoder", type=Path, default=ASSETS / "speech_encoder")
    parser.add_argument("--hold-out", default="", help="voices to test on instead of learning from, with commas between them")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    name = hashlib.sha256((args.speech_encoder / "model.safetensors").read_bytes()).hexdigest()[:16]
    cache(args.data, args.cache, SpeechEncoder.from_folder(args.speech_encoder), args.seed, name)
    net, card = PTalker.load(args.model)
    with safe_open(args.model, framework="pt") as file:
        kind = file.get_tensor("model.audio.style_in.0.weight").dtype
    figures = teach(net, args.data, args.cache, [v for v in args.hold_out.split(",") if v], args.seed)
    net.to(kind).save(args.out, card | {"voice": figures})
    if (args.out.parent / "SHA256SUMS").is_file():
        write_sums(args.out.parent)
    print({k: round(v, 4) for k, v in figures.items()})


if __name__ == "__main__":
    main()
