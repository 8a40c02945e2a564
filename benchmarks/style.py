"""What issue 5 asks of styles, as far as the corpus allows: one table, one JSON line a figure.

    python -m benchmarks.style --data DATA --fits FITS [--assets FOLDER] [--styles 20] [--only transfer,triples] [--out JSON]
Unseen teacher styles in dev sentences on ICT heads, whose references are read from vertices as an artist's are, with the rig
head's shapes of that mesh (MeshReader). docs/style.md says what the figures are.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ptalker_blender.core.audio import load_audio
from ptalker_blender.core.channels import LOWER_FACE, UPPER_FACE
from ptalker_blender.core.clips import Clip, clip_of
from ptalker_blender.core.data.motion_set import Fits
from ptalker_blender.core.data.phonemes import normalise
from ptalker_blender.core.data.teacher import TeacherStyle, curves
from ptalker_blender.core.data.windows import Clip as Spoken
from ptalker_blender.core.data.windows import read_clips
from ptalker_blender.core.evaluate.metrics import cosine, pooled_r, retrieval, triples
from ptalker_blender.core.finetune import fine_tune
from ptalker_blender.core.mesh.reader import MeshReader
from ptalker_blender.core.reference import style_of_motion, style_of_voice
from ptalker_blender.core.runtime import PTalker
from ptalker_blender.core.styles import Style, StyleLike

FPS = 25.0
REFERENCE = 5.0  # s
SENTENCES = 6
ROUNDS = 10


@dataclass(frozen=True)
class Head:
    """A mesh with its true shapes, cm, and how the model reads it."""

    vertices: np.ndarray  # [V, 3]
    faces: np.ndarray
    basis: np.ndarray  # [K, V, 3]
    reader: MeshReader

    def clip(self, z: np.ndarray, audio: np.ndarray | None = None) -> Clip:
        """weights [T, K] at FPS -> the clip that an artist would show."""
        moving = (self.vertices + np.tensordot(z, self.basis, 1)).astype(np.float32)
        return clip_of(moving, self.faces, FPS, rest=self.vertices, audio=audio)

    def error(self, a: np.ndarray, b: np.ndarray) -> float:
        """Mean distance of the vertices, mm, of two takes; lower face only."""
        n, low = min(len(a), len(b)), list(LOWER_FACE)
        return 10 * float(np.linalg.norm(np.tensordot(a[:n, low] - b[:n, low], self.basis[low], 1), axis=-1).mean())


class Bench:
    def __init__(self, model: PTalker, data: Path, fits: Path | None, styles: int, seed: int) -> None:
        self.model, self.data, self.fits, self.rng = model, data, fits, np.random.default_rng([seed, 5])
        self.heads = ict_people(model, data, 2, seed)
        clips = [c for c in read_clips(data) if c.kind == "speech" and c.path.startswith("speech/")]
        self.dev = [c for c in clips if c.split == "dev" and c.language == "en"]
        self.voices: dict[str, list[Spoken]] = {}
        for c in self.dev:
            self.voices.setdefault(c.voice, []).append(c)
        self.styles = [TeacherStyle.sample(self.rng) for _ in range(styles)]
        self.sayings = self._sayings()
        self.vectors: dict[int, np.ndarray] = {}

    def _sayings(self) -> list[tuple[np.ndarray, list]]:
        """SENTENCES different texts of at least REFERENCE s, in different voices: (audio, phones)."""
        out, names = [], sorted(self.voices)
        for i in range(SENTENCES):
            said = self.voices[names[i % len(names)]]
            out.append(joined(self.data, [said[(2 * i + j) % len(said)] for j in range(len(said))], REFERENCE + 0.2))
        return out

    def take(self, phones: list, seconds: float, style: TeacherStyle) -> np.ndarray:
        z = curves(phones, np.arange(int(seconds * FPS)) / FPS, style)
        z[:, UPPER_FACE] = 0.0
        return z

    def read(self, head: int) -> np.ndarray:
        """Every style in every sentence, REFERENCE s of it on a head -> [S, W, s]."""
        if head not in self.vectors:
            shown = self.heads[head]
            rows = [
                [
                    style_of_motion(self.model, shown.clip(self.take(phones, REFERENCE, style)), shown.reader).vector.numpy()
                    for _, phones in self.sayings
                ]
                for style in self.styles
            ]
            self.vectors[head] = np.array(rows)
        return self.vectors[head]

    def made(self, audio: np.ndarray, style: StyleLike) -> np.ndarray:
        return self.model.generate(audio, FPS, style=style)

    # ------------------------------------------------------------------------------------ what issue 5 asks for
    def transfer(self) -> dict[str, float]:
        """Reference on sentence A, output for B against B in that style; with B's own reference, in the neutral style."""
        vectors, head, errors = self.read(0), self.heads[0], {"cross": [], "own": [], "neutral": []}
        for i, style in enumerate(self.styles):
            a, b = self.rng.permutation(SENTENCES)[:2]
            audio, phones = self.sayings[b]
            truth = self.take(phones, len(audio) / 16000, style)
            for kind, which in (("cross", a), ("own", b)):
                found = Style(torch.from_numpy(vectors[i, which]))
                errors[kind].append(head.error(self.made(audio, found), truth))
            errors["neutral"].append(head.error(self.made(audio, None), truth))
        mean = {k: float(np.mean(v)) for k, v in errors.items()}
        return {f"{k}_mm": v for k, v in mean.items()} | {
            "cross_to_own (<= 1.25)": mean["cross"] / mean["own"], "cross_to_neutral (<= 0.6)": mean["cross"] / mean["neutral"],
        }  # fmt: skip

    def triples(self) -> dict[str, float]:
        return {"triples (>= 0.95)": triples(self.read(0))}

    def across(self) -> dict[str, float]:
        """Retrieval of the style with the gallery on one head: queries on the same one, and on another."""
        one, other = self.read(0), self.read(1)
        same = self._retrieved(one, one)
        return {"retrieval (>= 0.95)": same, "retrieval_other_head (same - 0.05)": self._retrieved(one, other)}

    def _retrieved(self, gallery: np.ndarray, queries: np.ndarray) -> float:
        rng, hits = np.random.default_rng(0), []
        rows = np.arange(len(gallery))
        for _ in range(ROUNDS):
            picks = np.stack([rng.permutation(gallery.shape[1])[:2] for _ in rows])
            hits.append(retrieval(cosine(queries[rows, picks[:, 1]], gallery[rows, picks[:, 0]])))
        return float(np.mean(hits))

    def probes(self) -> dict[str, float]:
        """Linear probes: the phoneme of the middle of a 1 s reference from its style; the style from motion content."""
        shown, x, label, content, which = self.heads[0], [], [], [], []
        for i, style in enumerate(self.styles):
            for _, phones in self.sayings:
                z = self.take(phones, REFERENCE, style)
                seen = shown.reader.read(shown.clip(z).at(np.arange(0, REFERENCE, 0.125)), shown.vertices)
                for start in (0, 8, 16, 24, 32):
                    part = replace(seen, nodes=seen.nodes[:, start : start + 8], aligned=seen.aligned[:, start : start + 8])  # type: ignore[index]
                    with torch.inference_mode():
                        c, s = self.model.network.motion(part, 8.0)
                    said = next((normalise(p) for p, a, b in phones if a <= (start + 4) / 8 < b and p != "sil"), None)
                    if said is not None:
                        x.append(s[0].numpy())
                        label.append(said)
                    content.append(c[0].mean(0).numpy())
                    which.append(i)
        found, chance = probe(np.array(x), np.array(label), 0)
        style, level = probe(np.array(content), np.array(which), 0)
        return {
            "phoneme_from_style": found, "above_chance (<= 0.05)": found - chance,
            "style_from_content": style, "content_above_chance (<= 0.10)": style - level,
        }  # fmt: skip

    def voice(self) -> dict[str, float]:
        """Retrieval of the speaker from the voice alone, among up to 20 voices (known to the model; the words are not)."""
        names = sorted(v for v in self.voices if len(self.voices[v]) >= 4)[:20]
        rows = []
        for name in names:
            parts = np.array_split(np.arange(len(self.voices[name])), 3)
            heard = [joined(self.data, [self.voices[name][i] for i in part], REFERENCE)[0] for part in parts]
            rows.append([style_of_voice(self.model, a).vector.numpy() for a in heard])
        return {"voices": len(names), "retrieval_voice (>= 0.60)": self._retrieved(np.array(rows), np.array(rows))}

    def tuned(self, count: int = 3) -> dict[str, float]:
        """30 s of an unseen style: error on other sentences against reference-only; r of the lip gap on real speakers."""
        out: dict[str, list[float]] = {"reference": [], "tuned": [], "r_reference": [], "r_tuned": []}
        head, real = self.heads[0], self._real()
        for i, style in enumerate(self.styles[:count]):
            name = sorted(self.voices)[(5 * i + 3) % len(self.voices)]
            said = self.voices[name]
            others = [c for n in sorted(self.voices) if n != name for c in self.voices[n]]
            train = [*said, *[c for c in others if c.sentence not in {s.sentence for s in said[:6]}]][6:]
            audio, phones = joined(self.data, train, 30.0)
            clip = head.clip(self.take(phones, len(audio) / 16000, style), audio)
            only = Style(style_of_motion(self.model, clip, head.reader).vector)
            learned = fine_tune(self.model, [clip], "tuned").style
            audio, phones = joined(self.data, said[:6], 15.0)
            truth = self.take(phones, len(audio) / 16000, style)
            for kind, each in (("reference", only), ("tuned", learned)):
                out[kind].append(head.error(self.made(audio, each), truth))
                if real:
                    out[f"r_{kind}"].append(self._aperture(real, each))
        mean = {k: float(np.mean(v)) for k, v in out.items() if v}
        found = {"reference_mm": mean["reference"], "tuned_mm": mean["tuned"]}
        found["gain (>= 0.20)"] = 1 - mean["tuned"] / mean["reference"]
        if real:
            found |= {"r_others": mean["r_reference"], "r_others_change (>= -0.01)": mean["r_tuned"] - mean["r_reference"]}
        return found

    def people(self) -> dict[str, float]:
        """Real clips of unseen speakers: the style of the first half lowers the error on the second half against neutral."""
        real, head, won, ratio = self._real(), self.heads[0], [], []
        for audio, z, _ in real:
            half = len(z) // 2
            if half / FPS < 1.0:
                continue
            style = Style(style_of_motion(self.model, head.clip(z[:half]), head.reader).vector)
            errors = [head.error(self.made(audio, each)[half:], z[half:]) for each in (style, None)]
            won.append(errors[0] < errors[1])
            ratio.append(errors[0] / errors[1])
        if not won:
            return {}
        return {"clips": len(won), "lower_than_neutral (>= 0.80)": float(np.mean(won)), "error_ratio": float(np.mean(ratio))}

    def _real(self) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Unseen speakers of the corpus: audio, fitted weights [T, K], tracked lip gap [T]."""
        if self.fits is None:
            return []
        fits, out = Fits(self.fits), []
        for c in read_clips(self.data):
            name = Path(c.path).stem
            if c.kind == "grid" and c.split == "dev_unseen_speaker" and name in fits.weights:
                z = fits.weights[name].copy()
                z[:, UPPER_FACE] = 0.0
                out.append((load_audio(self.data / c.path), z, fits.gap[name]))
        return out

    def _aperture(self, real: list[tuple[np.ndarray, np.ndarray, np.ndarray]], style: Style) -> float:
        contact = self.model.network.contact
        assert contact is not None
        gap, pairs = contact.gap[:, 0].numpy(), []
        for audio, _, true in real:
            made = self.made(audio, style) @ gap
            n = min(len(made), len(true))
            good = np.isfinite(true[:n])
            pairs.append((made[:n][good], true[:n][good]))
        return pooled_r(pairs)


def joined(data: Path, clips: list[Spoken], seconds: float) -> tuple[np.ndarray, list]:
    """Clips one after another until there are ``seconds`` (or no more): audio [n], phones."""
    audio, phones, end = [], [], 0.0
    for c in clips:
        sound = load_audio(data / c.path)
        phones += [(p, a + end, b + end) for p, a, b in c.phones]
        audio.append(sound)
        end += len(sound) / 16000
        if end >= seconds:
            break
    return np.concatenate(audio), phones


def ict_people(model: PTalker, data: Path, count: int, seed: int) -> list[Head]:
    """People of ICT-FaceKit, skin only; none of them is the neutral head."""
    ict = dict(np.load(data / "heads" / "ict_facekit.npz"))
    skin = ict["narrow_face"].astype(bool)
    number = np.where(skin, np.cumsum(skin) - 1, -1)
    faces = number[ict["quads"]]
    faces = faces[(faces >= 0).all(1)]
    rng, basis, out = np.random.default_rng([seed, 77]), ict["arkit"][:, skin].astype(np.float32), []
    for _ in range(count):
        weight = rng.normal(size=len(ict["identity"])) * 0.7
        vertices = ict["neutral"][skin] + np.tensordot(weight, ict["identity"][:, skin].astype(np.float32), 1)
        vertices = vertices.astype(np.float32)
        out.append(Head(vertices, faces, basis, MeshReader.of(model.rigger, vertices, faces)))
    return out


def probe(x: np.ndarray, label: np.ndarray, seed: int) -> tuple[float, float]:
    """x [n, d] -> accuracy of a ridge classifier on a fifth that it was not fitted to, and that of the commonest label."""
    order = np.random.default_rng(seed).permutation(len(x))
    test, train = order[: len(x) // 5], order[len(x) // 5 :]
    x = np.c_[(x - x[train].mean(0)) / (x[train].std(0) + 1e-6), np.ones(len(x))]
    names, codes = np.unique(label, return_inverse=True)
    one = np.eye(len(names))[codes]
    w = np.linalg.solve(x[train].T @ x[train] + 1.0 * np.eye(x.shape[1]), x[train].T @ one[train])
    commonest = np.bincount(codes[train]).argmax()
    return float(((x[test] @ w).argmax(1) == codes[test]).mean()), float((codes[test] == commonest).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--fits", type=Path, help="fitted tracks (data/fit.py); without: no real people")
    parser.add_argument("--assets", type=Path)
    parser.add_argument("--styles", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="some of transfer,triples,across,probes,voice,tuned,people")
    parser.add_argument("--out", type=Path, help="JSON")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    bench = Bench(PTalker.load(args.assets, "cpu"), args.data, args.fits, args.styles, args.seed)
    parts: dict[str, Callable[[], dict[str, float]]] = {
        name: getattr(bench, name) for name in ("transfer", "triples", "across", "probes", "voice", "people", "tuned")
    }
    found: dict[str, dict[str, float]] = {}
    for name in args.only.split(",") if args.only else parts:
        found[name] = parts[name]()
        print(f"{name:10s}" + "  ".join(f"{k} {v:.3f}" for k, v in found[name].items()), flush=True)
        if args.out:
            args.out.write_text(json.dumps(found, indent=2), "utf-8")


if __name__ == "__main__":
    main()
