"""Sizes of the network. A checkpoint carries its own in its metadata."""

from __future__ import annotations

from dataclasses import dataclass

from ..channels import LOWER_FACE


@dataclass(frozen=True)
class Config:
    """Everything that decides a shape."""

    features: int = 768  # C: what the speech encoder gives
    channels: int = 52  # K
    width: int = 192  # d: content and decoder
    heads: int = 4
    blocks: int = 3  # decoder
    style: int = 56  # s: 48 that are told (data/teacher_style.py) and some that training finds
    likeness: int = 0  # l: numbers after these, by which people are told apart (train/likeness.py gives a model its own)
    kernel: int = 7  # content's convolutions, steps of 0.04 s; 1: each step for itself
    reach_self: float = 0.4  # seconds of other frames that a frame looks at, each way, per block; 0: none
    reach_audio: float = 0.3  # seconds of audio that a frame listens to, each way, per block
    aligned: int = len(LOWER_FACE)  # C: motion is read by so many shapes of the mesh; 0: it has none by name
    node_width: int = 32  # motion encoder, per graph node
    node_heads: int = 4
    readings: int = 48  # R: what it reads from all nodes
    frame_width: int = 96  # motion encoder, per frame
    dropout: float = 0.1
    # parts that benchmarks/ablations.py takes out
    graph: bool = True  # False, with ``aligned`` 0: one linear map of the displacements at ``places`` fixed places
    places: int = 64
    cross: str = "window"  # "diagonal": a frame hears the audio of its own instant only
