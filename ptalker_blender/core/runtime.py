"""What the command line and the engine call: audio in, channel weights out; a mesh in, its shapes out."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import torch

from . import SAMPLE_RATE, __version__
from .channels import CHANNELS
from .device import pick_device
from .errors import Cancelled, PTalkerError
from .gains import EVEN, Gains
from .landmarks import Guide
from .mesh import guided
from .mesh.graph import Frame
from .mesh.meeting import met
from .mesh.rig import Rigger
from .model.ptalker import PTalker as Network
from .speech import BATCH, CORE, HOP, SpeechEncoder
from .stream import Stream
from .styles import StyleLike, fingerprint
from .upper_face import Habits

ASSETS = Path(__file__).resolve().parent.parent / "assets"

Progress = Callable[[str, float], None]
Cancel = Callable[[], bool]


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


def _own_or_shipped(folder: Path, name: str) -> Path:
    """A folder that training has left has the network only."""
    return folder / name if (folder / name).exists() else ASSETS / name


class PTalker:
    """The loaded model. Not safe for two threads at once; one job at a time."""

    def __init__(self, network: Network, speech: SpeechEncoder, rigger: Rigger, card: dict, device: torch.device) -> None:
        self.network, self.speech, self.rigger, self.card, self.device = network, speech, rigger, card, device
        self.fingerprint = fingerprint(network)  # styles name the model that they were made by

    @classmethod
    def load(cls, folder: Path | None = None, device: str = "auto") -> PTalker:
        """``folder`` holds ptalker.safetensors and, where they are not the shipped ones, rig.safetensors and speech_encoder/
        (default: all are).

        Raises PTalkerError for a missing or damaged file or device.
        """
        folder = folder or ASSETS
        where = pick_device(device)
        check_sums(folder)
        network, card = Network.load(folder / "ptalker.safetensors")
        speech = SpeechEncoder.from_folder(_own_or_shipped(folder, "speech_encoder"))
        if speech.channels != network.config.features:
            raise PTalkerError(
                "checkpoint_broken",
                f"The model in '{folder}' hears {network.config.features} features, the speech encoder gives {speech.channels}.",
                "Put the speech encoder that it was trained with beside it, as speech_encoder.",
            )  # fmt: skip
        rigger = Rigger.load(_own_or_shipped(folder, "rig.safetensors"))  # once per mesh: the CPU will do
        return cls(network.to(where), speech.to(where), rigger, card, where)

    def generate(
        self,
        audio: np.ndarray | Iterable[np.ndarray],
        fps: float,
        *,
        samples: int | None = None,
        style: StyleLike = None,
        strength: float = 1.0,
        seed: int = 0,
        gains: Gains = EVEN,
        habits: Habits | None = None,
        progress: Progress | None = None,
        cancelled: Cancel | None = None,
    ) -> np.ndarray:
        """audio [n] float32 16 kHz mono -> weights [T, K] float32, 0..1; T = round(n / 16000 * fps), frame i at i / fps.

        Sound of any length may come as blocks [m], with ``samples`` = n told beforehand; memory then grows with the
        weights only. ``style``: a name, a file, a Style, or several of them with their shares (core/styles.py).
        ``habits``: of the upper face, else the style's. Raises Cancelled soon after ``cancelled()`` turns true;
        PTalkerError for an unknown style, a bad frame rate or gain, or samples that are not finite.
        """
        blocks, total = ([audio], len(audio)) if isinstance(audio, np.ndarray) else (audio, samples)
        if total is None:
            raise ValueError("blocks of sound need the number of samples")
        stream = Stream(self, fps, style=style, strength=strength, seed=seed, gains=gains, habits=habits)
        report = progress or (lambda stage, fraction: None)
        weights = np.empty((round(total / SAMPLE_RATE * fps), len(CHANNELS)), np.float32)
        size = CORE * HOP * (1 if self.device.type == "cpu" else BATCH)  # a processor gains nothing from batches
        for piece in regroup(blocks, size):
            if cancelled and cancelled():
                raise Cancelled
            ready = stream.push(piece)
            weights[stream.done - len(ready) : stream.done] = ready
            report("listening", min(1.0, stream.received / total))
        if cancelled and cancelled():
            raise Cancelled
        report("animating", 0.0)
        ready = stream.finish()
        weights[stream.done - len(ready) : stream.done] = ready
        report("animating", 1.0)
        return weights[: stream.done]

    def rig(
        self,
        vertices: np.ndarray,
        faces: np.ndarray,
        *,
        guide: Guide | None = None,
        progress: Progress | None = None,
        cancelled: Cancel | None = None,
    ) -> np.ndarray:
        """vertices [V, 3], faces [F, 3 or 4] (-1 pads) -> basis [K, V, 3] float32, the mesh's own units and frame.

        ``guide``: what the artist says of the face (landmarks.py). Raises PTalkerError, Cancelled."""
        if guide:
            return self.rigged(vertices, faces, guide, progress=progress, cancelled=cancelled).basis
        return self.rigger.rig(vertices, faces, progress=progress, cancelled=cancelled)

    def rigged(
        self, vertices: np.ndarray, faces: np.ndarray, guide: Guide | None = None, *,
        progress: Progress | None = None, cancelled: Cancel | None = None,
    ) -> guided.Rigged:  # fmt: skip
        """As ``rig``, with what else there is to say of the face."""
        return guided.rig(self.rigger, vertices, faces, guide or Guide(), progress, cancelled)

    def met(self, rigged: guided.Rigged, vertices: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Weights [T, K] -> weights [T, K] whose lips meet on the mesh vertices [V, 3] that was ``rigged``."""
        done = self.meet(rigged.frame, vertices, rigged.basis, weights)
        return weights if done is None else done

    def meet(
        self, frame: Frame, vertices: np.ndarray, basis: np.ndarray, weights: np.ndarray, most: np.ndarray | None = None
    ) -> np.ndarray | None:
        """As ``met``, with any basis [K, V, 3] and channels that reach only ``most`` [K]; None where no mouth opens."""
        contact = self.network.contact
        return None if contact is None else met(frame, vertices, basis, weights, contact.gap[:, 0].cpu().numpy(), most)

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
            "model": self.fingerprint,
            "card": self.card,
            "rig": self.rigger.info(),
        }


def regroup(blocks: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Blocks of samples [m], any sizes -> the same samples in blocks of ``size``, the last as long as it comes."""
    held, count = [np.zeros(0, np.float32)], 0
    for block in blocks:
        while count + len(block) >= size:
            held.append(block[: size - count])
            yield np.concatenate(held)
            block, held, count = block[size - count :], [np.zeros(0, np.float32)], 0
        held.append(block)
        count += len(block)
    if count:
        yield np.concatenate(held)
