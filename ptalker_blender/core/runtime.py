"""What the command line and the engine call: audio in, channel weights out; a mesh in, its shapes out."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from . import SAMPLE_RATE, __version__
from .channels import CHANNELS
from .errors import Cancelled, PTalkerError
from .mesh.rig import Rigger
from .model.decoder import clamp_weights
from .model.ptalker import PTalker as Network
from .speech import RATE, SpeechEncoder
from .styles import resolve
from .upper_face import upper_face

ASSETS = Path(__file__).resolve().parent.parent / "assets"
CHUNK = 8.0  # seconds decoded at once; each with the decoder's halo on both sides, so the seams are exact

Progress = Callable[[str, float], None]
Cancel = Callable[[], bool]


def pick_device(name: str) -> torch.device:
    """ "auto" prefers CUDA, then Apple's MPS, then the CPU. Raises PTalkerError("device_missing" | "bad_value")."""
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device("cuda" if available["cuda"] else "mps" if available["mps"] else "cpu")
    if name not in available:
        raise PTalkerError("bad_value", f"There is no device '{name}'.", "Use auto, cpu, cuda or mps.")
    if not available[name]:
        raise PTalkerError("device_missing", f"This computer has no usable '{name}' device.", "Use auto or cpu.")
    return torch.device(name)


def check_sums(folder: Path) -> None:
    """Compare the weights with SHA256SUMS, where the folder has one.

    Raises PTalkerError("checkpoint_missing" | "checkpoint_broken").
    """
    sums = folder / "SHA256SUMS"
    for line in sums.read_text("utf-8").splitlines() if sums.is_file() else []:
        wanted, name = line.split(maxsplit=1)
        if not (folder / name).is_file():
            raise PTalkerError("checkpoint_missing", f"The model file '{name}' is not there.", "Install the extension again.")
        with (folder / name).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != wanted:
                raise PTalkerError("checkpoint_broken", f"The model file '{name}' is damaged.", "Install the extension again.")


class PTalker:
    """The loaded model. Not safe for two threads at once; one job at a time."""

    def __init__(
        self, network: Network, speech: SpeechEncoder, rigger: Rigger, card: dict, device: torch.device
    ) -> None:
        self.network, self.speech, self.rigger, self.card, self.device = network, speech, rigger, card, device

    @classmethod
    def load(cls, folder: Path | None = None, device: str = "auto") -> PTalker:
        """``folder`` holds ptalker.safetensors, rig.safetensors and speech_encoder/ (default: the shipped ones).

        Raises PTalkerError for a missing or damaged file or device.
        """
        folder = folder or ASSETS
        where = pick_device(device)
        check_sums(folder)
        network, card = Network.load(folder / "ptalker.safetensors")
        speech = SpeechEncoder.from_folder(folder / "speech_encoder")
        rigger = Rigger.load(folder / "rig.safetensors")  # once per mesh: the CPU will do
        return cls(network.to(where), speech.to(where), rigger, card, where)

    @torch.inference_mode()
    def generate(
        self,
        audio: np.ndarray,
        fps: float,
        *,
        style: str | Path | None = None,
        strength: float = 1.0,
        seed: int = 0,
        progress: Progress | None = None,
        cancelled: Cancel | None = None,
    ) -> np.ndarray:
        """audio [n] float32 16 kHz mono -> weights [T, K] float32, 0..1; T = round(n / 16000 * fps), frame i at i / fps.

        Raises Cancelled soon after ``cancelled()`` turns true; PTalkerError for an unknown style or a bad frame rate.
        """
        if not (0 < fps <= 1000):
            raise PTalkerError(
                "bad_value", f"{fps} frames a second is not possible.", "Use a frame rate from 1 to 240."
            )
        report = progress or (lambda stage, fraction: None)
        vector = resolve(style, strength, self.network.styles).to(self.device)
        features = self.speech.encode(audio, lambda f: report("listening", f), cancelled)
        frames = round(len(audio) / SAMPLE_RATE * fps)
        weights = np.empty((frames, len(CHANNELS)), np.float32)
        step = max(1, int(CHUNK * fps))
        for a in range(0, frames, step):
            if cancelled and cancelled():
                raise Cancelled
            b = min(a + step, frames)
            weights[a:b] = self._decode(features, vector, a, b, fps)
            report("animating", b / frames)
        times = np.arange(frames) / fps
        weights += upper_face(times, envelope(audio, times), seed)
        return np.clip(weights, 0.0, 1.0)

    def _decode(self, features: np.ndarray, style: torch.Tensor, a: int, b: int, fps: float) -> np.ndarray:
        """Frames a..b-1 -> [b - a, K]: decoded with as much context as can reach them, so chunks join exactly."""
        halo = self.network.decoder.halo
        pad = int(np.ceil(halo * fps))
        halo += self.network.audio.REACH / RATE
        q0, q1 = max(0, a - pad), b + pad
        n0 = max(0, int((q0 / fps - halo) * RATE)) // 2 * 2  # pairs of features stay the same pairs
        n1 = min(len(features), int(np.ceil((q1 / fps + halo) * RATE)) + 1)
        q1 = min(q1, max(b, int(n1 / RATE * fps)))
        heard = features[n0:n1].astype(np.float32)
        if len(heard) % 2:
            heard, n1 = np.concatenate([heard, heard[-1:]]), n1 + 1
        x = torch.from_numpy(heard).to(self.device)[None]
        audio_times = torch.arange(n0, n1, device=self.device, dtype=torch.float64) / RATE - n0 / RATE
        times = torch.arange(q0, q1, device=self.device, dtype=torch.float64) / fps - n0 / RATE
        z = self.network(x, audio_times.float(), style[None], times.float())
        return clamp_weights(z[0, a - q0 : b - q0]).float().cpu().numpy()

    def rig(
        self,
        vertices: np.ndarray,
        faces: np.ndarray,
        *,
        progress: Progress | None = None,
        cancelled: Cancel | None = None,
    ) -> np.ndarray:
        """vertices [V, 3], faces [F, 3 or 4] (-1 pads) -> basis [K, V, 3] float32, the mesh's own units and frame."""
        return self.rigger.rig(vertices, faces, progress=progress, cancelled=cancelled)

    def info(self) -> dict:
        """Versions, device, checkpoint and its figures; plain JSON types."""
        return {
            "ptalker": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "device": str(self.device),
            "threads": torch.get_num_threads(),
            "parameters": sum(p.numel() for p in self.network.parameters()),
            "styles": sorted(self.network.styles),
            "card": self.card,
            "rig": self.rigger.info(),
        }


def envelope(audio: np.ndarray, times: np.ndarray, width: float = 0.1) -> np.ndarray:
    """Loudness of audio [n] round each time [T], 0..1 (RMS over ``width`` seconds against the clip's loud parts)."""
    if not len(times):
        return np.zeros(0, np.float32)
    power = np.concatenate([[0.0], np.cumsum(audio.astype(np.float64) ** 2)])
    a = np.clip(((times - width / 2) * SAMPLE_RATE).astype(int), 0, len(audio))
    b = np.clip(((times + width / 2) * SAMPLE_RATE).astype(int), 0, len(audio))
    rms = np.sqrt(np.maximum(power[b] - power[a], 0) / np.maximum(b - a, 1))
    return (rms / max(float(np.quantile(rms, 0.95)), 1e-4)).clip(0, 1).astype(np.float32)
