"""Speech encoder: 16 kHz audio -> features at 50 Hz, with a pretrained transformers encoder.

The shipped one is a Whisper encoder folder; any Whisper, wav2vec2, HuBERT or WavLM folder can replace it for training.
Audio of any length is heard through windows on a fixed grid (``WINDOW`` long, ``MARGIN`` of context on both sides), so
cost is linear, memory is flat, and a stream hears exactly what a whole clip hears.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import SAMPLE_RATE
from .errors import Cancelled, PTalkerError

HOP = 320  # samples a feature: 50 Hz
RATE = SAMPLE_RATE // HOP  # features a second
WINDOW = 8 * RATE  # features that the encoder hears at once
MARGIN = 1 * RATE  # of which these, at both ends, are context only
CORE = WINDOW - 2 * MARGIN
BATCH = 4  # windows at once: bounds memory


class SpeechEncoder(nn.Module):
    """Middle and last hidden layer of a pretrained encoder, concatenated: audio [B, n] -> [B, n // 320, 2 * hidden]."""

    def __init__(self, backbone: nn.Module, extractor, kind: str) -> None:
        super().__init__()
        self.backbone, self.extractor, self.kind = backbone, extractor, kind
        self.channels = 2 * int(backbone.config.hidden_size)  # type: ignore[union-attr,arg-type]

    @classmethod
    def from_folder(cls, folder: str | Path) -> SpeechEncoder:
        """A transformers folder or hub name. Raises PTalkerError("encoder_missing") where it can't be read."""
        from transformers import AutoConfig, AutoFeatureExtractor, AutoModel
        from transformers.models.whisper.modeling_whisper import WhisperEncoder
        from transformers.utils import logging

        logging.set_verbosity_error()
        logging.disable_progress_bar()
        try:
            kind = AutoConfig.from_pretrained(folder).model_type
            loader = WhisperEncoder if kind == "whisper" else AutoModel
            backbone = loader.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa")
            extractor = AutoFeatureExtractor.from_pretrained(folder)
        except (OSError, ValueError, KeyError) as error:
            raise PTalkerError(
                "encoder_missing",
                f"The speech encoder in '{folder}' could not be read: {str(error).splitlines()[0]}",
                "Install the extension again, or name a folder that transformers can load.",
            ) from error
        return cls(backbone.eval(), extractor, kind)

    def forward(self, audio: Tensor) -> Tensor:
        n = audio.shape[1] // HOP
        with torch.autocast("cpu", enabled=False):  # the extractor knows single precision only
            inputs = self.extractor(
                list(audio.cpu().numpy()), sampling_rate=SAMPLE_RATE, return_tensors="pt", padding="longest", truncation=False
            )
        device = next(self.parameters()).device
        if self.kind == "whisper":
            middle, last = self.whisper_layers(inputs.input_features.to(device), n)
        else:
            states = self.backbone(inputs.input_values.to(device), output_hidden_states=True).hidden_states
            middle, last = (_fit(states[i], n) for i in (len(states) // 2, -1))
        return torch.cat([middle, last], -1)

    def whisper_layers(self, mel: Tensor, n: int) -> tuple[Tensor, Tensor]:
        """Whisper's own forward pass without its padding to 30 s: mel [B, 80, 2n] -> two layers [B, n, hidden]."""
        net = self.backbone
        if mel.shape[-1] % 2:
            mel = F.pad(mel, (0, 1), mode="replicate")
        x = F.gelu(net.conv2(F.gelu(net.conv1(mel)))).transpose(1, 2)  # type: ignore[operator]
        x = x + net.embed_positions.weight[: x.shape[1]]  # type: ignore[union-attr,index]
        middle = x
        for i, layer in enumerate(net.layers):  # type: ignore[arg-type]
            out = layer(x, None)
            x = out[0] if isinstance(out, tuple) else out
            if i == len(net.layers) // 2 - 1:  # type: ignore[arg-type]
                middle = F.layer_norm(x, x.shape[-1:])
        return _fit(middle, n), _fit(net.layer_norm(x), n)  # type: ignore[operator]

    @torch.inference_mode()
    def encode(
        self,
        audio: np.ndarray,
        progress: Callable[[float], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> np.ndarray:
        """audio [n] float32 16 kHz, any length -> float16 [ceil(n / 320), channels]; feature k is centred on k / 50 s.

        Raises Cancelled between batches once ``cancelled()`` is true.
        """
        total = max(1, -(-len(audio) // HOP))
        out = np.empty((total, self.channels), np.float16)
        starts = list(range(0, total, CORE))
        for b in range(0, len(starts), BATCH):
            if cancelled and cancelled():
                raise Cancelled
            group = starts[b : b + BATCH]
            heard = self.hear(np.stack([_slice(audio, (s - MARGIN) * HOP, WINDOW * HOP) for s in group]))
            for s, f in zip(group, heard, strict=True):
                out[s : s + CORE] = f[: total - s]
            if progress:
                progress(min(1.0, (group[-1] + CORE) / total))
        return out

    def hear(self, windows: np.ndarray) -> np.ndarray:
        """Windows of samples [B, WINDOW * 320] float32 -> the features of their cores [B, CORE, channels] float16."""
        return self(torch.from_numpy(windows)).to(torch.float16).cpu().numpy()[:, MARGIN : MARGIN + CORE]


def _slice(audio: np.ndarray, start: int, length: int) -> np.ndarray:
    """audio[start : start + length] with silence outside the clip."""
    out = np.zeros(length, np.float32)
    a, b = max(start, 0), min(start + length, len(audio))
    if b > a:
        out[a - start : b - start] = audio[a:b]
    return out


def _fit(x: Tensor, n: int) -> Tensor:
    """[B, m, C] -> [B, n, C]: cut, or the last feature repeated (encoders lose a frame or two at the end)."""
    if x.shape[1] < n:
        x = torch.cat([x, x[:, -1:].expand(-1, n - x.shape[1], -1)], 1)
    return x[:, :n]
