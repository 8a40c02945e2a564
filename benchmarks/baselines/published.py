"""PTalker as its published code has it (wangryhen/PTalker), in our own words.

- The mesh: one linear map of the vertices, no graph. (As in ``faceformer``: a linear map of the channels, whose basis
  spans all faces of the corpus, is a linear map of the vertices.)
- The decoder: FaceFormer's with six layers; cross-attention under a strictly diagonal mask.
- Style: a speaker's number, plus the audio's style, plus the mean of what the style encoder sees in the motion. In
  training that motion is the truth, always (teacher forcing never ends there); at run time it is the output so far, so
  the mean runs along with it, and every frame runs the encoder again over all frames before.
- The motion's content is encoded, enters the losses, and reaches the output nowhere.
- Losses: vertices, 1.2 x "mouth" (coordinates picked by vertex numbers, ``coordinate_factor``), 10 x velocity, and
  1e-5 x each of: orthogonality, a contrastive loss whose positives are the largest similarities, one-way KL, and a
  gradient-reversed speaker classifier on the audio alone. Their InfoNCE is 0 at their batch of one and is left out.
Kinder than the original: dropout and instance norms where they are, but encoders of three convolutions instead of
convolutions and six transformer layers; run-time style looks at the same embedding as in training.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ptalker_blender.core.losses import factor, reverse_gradient
from ptalker_blender.core.model.time_attention import resample

from .causal import CausalStack, SpeechInput, periodic_positions

TOP = 0.15  # share of the frames that the contrastive loss looks at
CONSTRAINT = 1e-5  # 0.01 x 0.001


@dataclass
class Published:
    """z [B, T, K]; contents [B, T, d] of audio and motion, their styles [B, T, d] before the mean; speaker logits."""

    z: Tensor
    audio: Tensor
    audio_style: Tensor
    motion: Tensor
    motion_style: Tensor
    speaker: Tensor


class ConvEncoder(nn.Module):
    """Three convolutions of three frames, each normalised over time (content) or over channels (style)."""

    def __init__(self, width: int, over_time: bool) -> None:
        super().__init__()
        self.over_time = over_time
        self.convolutions = nn.ModuleList(nn.Conv1d(width, width, 3, padding=1, bias=False) for _ in range(3))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(0 if over_time else 3))
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        for i, convolution in enumerate(self.convolutions):
            x = convolution(x.transpose(1, 2))
            x = F.instance_norm(x).transpose(1, 2) if self.over_time else self.norms[i](x.transpose(1, 2))
            x = F.relu(x)
        return self.out(x)


class PublishedPTalker(nn.Module):
    """Speech and a speaker's number -> weights; with the truth given: as in training."""

    def __init__(
        self, features: int, speakers: int, width: int = 128, heads: int = 4, layers: int = 6, period: int = 25,
        channels: int = 52, dropout: float = 0.1,
    ) -> None:  # fmt: skip
        super().__init__()
        self.width, self.period, self.channels = width, period, channels
        self.audio = SpeechInput(features, width)
        self.audio_style = nn.Linear(features, width)
        self.audio_style_out = nn.Sequential(
            nn.Linear(features, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, width), nn.Tanh()
        )
        self.speaker = nn.Embedding(speakers, width)
        self.start = nn.Parameter(torch.zeros(width))
        self.motion_in = nn.Linear(channels, width)
        self.content, self.style = ConvEncoder(width, True), ConvEncoder(width, False)
        self.layers = CausalStack(layers, width, heads, period, dropout)
        self.drop = nn.Dropout(dropout)
        self.motion_out = nn.Linear(width, channels)
        nn.init.zeros_(self.motion_out.weight)
        nn.init.zeros_(self.motion_out.bias)
        self.adversary = nn.Linear(width, speakers)

    def heard(self, features: Tensor, feature_times: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
        """Audio content at the frames [B, T, d] and the audio's style [B, 1, d]."""
        x = self.audio.normalise(features)
        return resample(self.audio.map(x), feature_times, times), self.audio_style_out(x.amax(1))[:, None]

    def learn(self, features: Tensor, feature_times: Tensor, speaker: Tensor, times: Tensor, truth: Tensor) -> Published:
        """As in training: each frame is given the true frame before it. truth [B, T, K]."""
        audio, audio_style = self.heard(features, feature_times, times)
        before = self.motion_in(F.pad(truth[:, :-1], (0, 0, 1, 0)))
        motion_style = self.style(before)
        x = before + self.speaker(speaker)[:, None] + audio_style + motion_style.mean(1, keepdim=True) + self.start
        x = self.drop(x + periodic_positions(len(times), self.width, self.period).to(x))
        y, _ = self.layers(x, audio, [])
        guess = self.adversary(reverse_gradient(audio.mean(1)))
        spread = resample(self.audio_style(self.audio.normalise(features)), feature_times, times)
        return Published(self.motion_out(y), audio, spread, self.content(before), motion_style, guess)

    def forward(self, features: Tensor, feature_times: Tensor, speaker: Tensor, times: Tensor) -> Tensor:
        """features [B, N, C] at feature_times [N], speaker [B] numbers, times [T] at the trained rate -> [B, T, K]."""
        audio, audio_style = self.heard(features, feature_times, times)
        where = periodic_positions(len(times), self.width, self.period).to(audio)
        style = self.speaker(speaker)[:, None] + audio_style
        x, past, out, seen = style, [], [], []
        for t in range(len(times)):
            y, past = self.layers(self.drop(x + where[t]), audio[:, t : t + 1], past)
            out.append(self.motion_out(y))
            seen.append(self.motion_in(out[-1]))
            x = seen[-1] + style + self.style(torch.cat(seen, 1)).mean(1, keepdim=True)
        return torch.cat(out, 1)


def degenerate_contrastive(a: Tensor, m: Tensor, temperature: float = 0.07) -> Tensor:
    """The published contrastive loss: a, m [B, T, d]. The positive of a frame is its *largest* similarity among its top
    15 %, at whatever instant that is, so a shuffled clip scores exactly as an aligned one. (The published indexing looks
    at the first 15 % of the frames only and takes the i-th largest for the i-th; the mean over all is kept here.)"""
    s = F.normalize(a, dim=-1) @ F.normalize(m, dim=-1).transpose(1, 2) / temperature
    count = max(1, round(TOP * s.shape[1]))

    def one_way(x: Tensor) -> Tensor:
        top = x.topk(count, dim=-1).values
        return (top.logsumexp(-1) - top[..., 0]).mean()

    return 0.5 * (one_way(s) + one_way(s.transpose(1, 2)))


def one_way_kl(a: Tensor, m: Tensor) -> Tensor:
    """KL(a || m) of the clips' diagonal Gaussians: a, m [B, T, d]; summed over d, as published."""
    va, vm = a.var(1) + 1e-6, m.var(1) + 1e-6
    return 0.5 * ((vm / va).log() + (va + (a.mean(1) - m.mean(1)).square()) / vm - 1).sum(1).mean()


def frame_orthogonality(content: Tensor, style: Tensor) -> Tensor:
    """Frobenius norm of content^T style per clip, both [B, T, d], over the batch size."""
    return torch.linalg.matrix_norm(content.transpose(1, 2) @ style).mean() / len(content)


def coordinate_factor(basis: Tensor, lips: Tensor) -> Tensor:
    """The published mouth loss as a quadratic form: basis [K, V, 3], lips [n] *vertex* numbers, which index the 3 V
    coordinates, i.e. some coordinates of vertices elsewhere -> [K, K] as ``losses.factor``."""
    return factor(basis.flatten(1)[:, lips][..., None], torch.ones(len(lips)))
