"""A run of ``train.vertex``: speech to the moving vertices of the one topology that it was trained on.

    python -m ptalker_blender.core.vertex_runtime AUDIO --run RUN --out OUT.npz [--subject F2] [--style F3] [--fps 25]
OUT.npz: vertices [T, V, 3] in the data's own unit, fps, faces. RUN holds ptalker.safetensors (network, free channels,
templates, the styles of the training subjects) and speech_encoder/.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from . import SAMPLE_RATE
from .audio import load_audio
from .errors import PTalkerError
from .model.free_basis import FreeBasis
from .model.ptalker import PTalker as Network
from .model.seen import Seen
from .npz import check_writable, write_npz
from .speech import RATE, SpeechEncoder
from .styles import resolve

FILE = "ptalker.safetensors"
CHUNK = 8.0  # seconds decoded at once; each with all the context that reaches it, so the seams are exact
REFERENCE_SECONDS, REFERENCE_FPS = 3.0, 8.0  # how the motion encoder sees a reference clip


class VertexTalker:
    """A loaded run. ``templates`` {subject: [V, 3]} float32."""

    def __init__(
        self, network: Network, basis: FreeBasis, templates: dict[str, np.ndarray], card: dict, speech: SpeechEncoder | None
    ) -> None:
        self.network, self.basis, self.templates, self.card, self.speech = network, basis, templates, card, speech
        self.pooling = basis.pooling()
        self.matrix = (basis.matrix() * basis.unit).detach().float().cpu().numpy()  # [K, V * 3], the data's unit

    @classmethod
    def load(cls, run: Path) -> VertexTalker:
        """Raises PTalkerError("checkpoint_missing" | "checkpoint_broken" | "encoder_missing")."""
        network, card = Network.load(run / FILE)
        if not is_run(run):
            sentence = f"'{run}' is not a run that was trained on vertices."
            raise PTalkerError("checkpoint_broken", sentence, "Train one: python -m ptalker_blender.core.train.vertex.")
        with safe_open(run / FILE, framework="pt") as file:
            tensors = {k: file.get_tensor(k) for k in file.keys()}
        basis = FreeBasis.restored({k[5:]: v for k, v in tensors.items() if k.startswith("free.")})
        templates = {k[9:]: v.float().numpy() for k, v in tensors.items() if k.startswith("template.")}
        folder = run / "speech_encoder"
        speech = SpeechEncoder.from_folder(folder if folder.is_dir() else card["speech_encoder"])
        return cls(network, basis.eval(), templates, card, speech)

    def save(self, path: Path) -> None:
        """What ``load`` reads: the network's own file with the free channels and the templates in it."""
        self.network.save(path, self.card)
        with safe_open(path, framework="pt") as file:
            meta, tensors = file.metadata(), {k: file.get_tensor(k) for k in file.keys()}
        tensors |= {f"free.{k}": v.detach().cpu().contiguous().clone() for k, v in self.basis.state_dict().items()}
        tensors |= {f"template.{k}": torch.from_numpy(np.ascontiguousarray(v)).float() for k, v in self.templates.items()}
        save_file(tensors, path, meta)

    def generate(
        self, audio: np.ndarray, fps: float, template: np.ndarray, style: str | Path | None = None, frames: int | None = None
    ) -> np.ndarray:
        """audio [n] float32 16 kHz -> vertices [T, V, 3] float32 in the template's unit; T = round(n / 16000 * fps), or
        ``frames``, frame i at i / fps. ``style``: a training subject's name, a style file, None for their mean."""
        if len(template) != self.basis.vertices:
            sentence = f"The template has {len(template)} vertices, but the model was trained on {self.basis.vertices}."
            raise PTalkerError("data_mismatch", sentence)
        return self.animate(self.encode(audio), fps, template, resolve(style, 1.0, self.network.styles), frames)

    def encode(self, audio: np.ndarray) -> np.ndarray:
        """-> speech features [N, C] float16."""
        if self.speech is None:
            raise PTalkerError("encoder_missing", "The model was loaded without its speech encoder.")
        return self.speech.encode(audio)

    def animate(
        self, features: np.ndarray, fps: float, template: np.ndarray, style: Tensor, frames: int | None = None
    ) -> np.ndarray:
        """As ``generate``, from features [N, C] and a style [s]."""
        count = round(len(features) / RATE * fps) if frames is None else frames
        out = np.empty((count, self.basis.vertices * 3), np.float32)
        step = max(1, int(CHUNK * fps))
        for a in range(0, count, step):
            z = self.weights(features, style, a, min(a + step, count), fps)
            out[a : a + len(z)] = z @ self.matrix + template.reshape(1, -1)
        return out.reshape(count, -1, 3)

    @torch.inference_mode()
    def weights(self, features: np.ndarray, style: Tensor, a: int, b: int, fps: float) -> np.ndarray:
        """Frames a..b-1 -> [b - a, K]."""
        halo = self.network.decoder.halo
        first, last = max(0, a - int(np.ceil(halo * fps))), b + int(np.ceil(halo * fps))
        reach = halo + self.network.audio.REACH / RATE
        n0 = max(0, int((first / fps - reach) * RATE)) // 2 * 2  # pairs of features stay the same pairs
        n1 = min(len(features), int(np.ceil((last / fps + reach) * RATE)) + 1)
        last = min(last, max(b, int(n1 / RATE * fps)))
        heard = features[n0:n1].astype(np.float32)
        if len(heard) % 2:
            heard, n1 = np.concatenate([heard, heard[-1:]]), n1 + 1
        audio_times = torch.arange(n1 - n0) / RATE
        times = torch.from_numpy(np.arange(first, last) / fps - n0 / RATE).float()
        z = self.network(torch.from_numpy(heard)[None], audio_times, style[None], times)
        return z[0, a - first : b - first].float().numpy()

    @torch.inference_mode()
    def style_of_motion(self, displacements: np.ndarray, fps: float) -> Tensor:
        """The style of a reference clip: vertices minus their template [T, V, 3] in the data's unit -> [s]."""
        nodes = self.pooling(displacements[reference_frames(len(displacements), fps, 0)])
        return self.style_of_nodes(nodes)

    @torch.inference_mode()
    def style_of_nodes(self, nodes: np.ndarray) -> Tensor:
        """The same from what ``pooling`` gives at REFERENCE_FPS: [T, n, 3] -> [s]."""
        return self.network.motion(Seen.plain(torch.from_numpy(nodes)[None], self.basis.graph()), REFERENCE_FPS)[1][0]

    @torch.inference_mode()
    def style_of_voice(self, features: np.ndarray) -> Tensor:
        """The style that a voice suggests: features [N, C] -> [s]."""
        return self.network.audio.style(torch.from_numpy(features.astype(np.float32))[None])[0]


def reference_frames(length: int, fps: float, start: int) -> np.ndarray:
    """Which frames of ``length`` are a reference clip that starts at ``start``; short clips go to and fro."""
    at = start + np.round(np.arange(int(REFERENCE_SECONDS * REFERENCE_FPS)) * fps / REFERENCE_FPS).astype(int)
    period = max(2 * (length - 1), 1)
    at = at % period
    return np.where(at < length, at, period - at)


def is_run(run: Path) -> bool:
    """Whether a folder holds a checkpoint with free channels."""
    if not (run / FILE).is_file():
        return False
    try:
        with safe_open(run / FILE, framework="pt") as file:
            return "free.start" in file.keys()
    except Exception:  # damage; whoever loads it says so
        return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("audio", type=Path)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--subject", help="whose template moves; default: the first")
    parser.add_argument("--style", help="a training subject's name or a style file; default: the mean of all")
    parser.add_argument("--fps", type=float, default=0.0, help="default: the data set's own")
    args = parser.parse_args()
    try:
        check_writable(args.out)
        talker = VertexTalker.load(args.run)
        subject = args.subject or next(iter(talker.templates))
        if subject not in talker.templates:
            names = ", ".join(talker.templates)
            raise PTalkerError("bad_value", f"The run has no template of '{subject}'.", f"It has {names}.")
        fps = args.fps or float(talker.card["fps"])
        if not 0 < fps <= 1000:
            raise PTalkerError("bad_value", f"{fps} frames a second is not possible.", "Use a frame rate from 1 to 240.")
        audio = load_audio(args.audio)
        frames = round(len(audio) / SAMPLE_RATE * fps)
        vertices = talker.generate(audio, fps, talker.templates[subject], args.style, frames)
        faces = talker.basis.faces.numpy()
        write_npz(args.out, {"vertices": vertices, "fps": np.float64(fps), "faces": faces})
    except PTalkerError as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
