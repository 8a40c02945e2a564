"""A FaceFormer-style decoder (Fan et al., CVPR 2022), in our own words.

As published: one causal transformer layer with periodic positions and a periodic bias, cross-attention to the audio of
the same frame, one-hot speakers added to the input, trained on its *own* output (no teacher forcing) with the mean
squared vertex error alone. It runs at the one frame rate that it was trained at.
Ours: its vertices are what the 52 channels span. The published head is one linear map to 3 V numbers and its input one
linear map from them; all faces of the corpus lie in that span, so a linear map to the channels followed by the head's
basis can make the same faces, with less to learn, and its vertex error is exact (``losses.vertex_loss``).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ptalker_blender.core.model.time_attention import resample

from .causal import CausalStack, SpeechInput, periodic_positions


class FaceFormer(nn.Module):
    """Speech and a speaker's number -> weights, frame after frame."""

    def __init__(
        self, features: int, speakers: int, width: int = 128, heads: int = 4, layers: int = 1, period: int = 25,
        channels: int = 52, dropout: float = 0.1,
    ) -> None:  # fmt: skip
        super().__init__()
        self.width, self.period = width, period
        self.audio = SpeechInput(features, width)
        self.speaker = nn.Embedding(speakers, width)  # a linear map of a one-hot vector
        self.layers = CausalStack(layers, width, heads, period, dropout)
        self.drop = nn.Dropout(dropout)
        self.motion_in = nn.Linear(channels, width)
        self.motion_out = nn.Linear(width, channels)
        nn.init.zeros_(self.motion_out.weight)
        nn.init.zeros_(self.motion_out.bias)

    def forward(self, features: Tensor, feature_times: Tensor, speaker: Tensor, times: Tensor) -> Tensor:
        """features [B, N, C] at feature_times [N], speaker [B] numbers, times [T] at the trained rate -> [B, T, K]."""
        heard = resample(self.audio.map(self.audio.normalise(features)), feature_times, times)
        where = periodic_positions(len(times), self.width, self.period).to(heard)
        style = self.speaker(speaker)[:, None]
        x, past, out = style, [], []
        for t in range(len(times)):
            y, past = self.layers(self.drop(x + where[t]), heard[:, t : t + 1], past)
            out.append(self.motion_out(y))
            x = self.motion_in(out[-1]) + style
        return torch.cat(out, 1)
