"""The loaded model as an Animator: audio of an item -> moving vertices of its face."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np

from ..channels import UPPER_FACE
from ..runtime import PTalker
from .sets import Face, Item


class Ours:
    """``rig``: move even faces that have a basis of their own by the rig head's basis of their mesh."""

    def __init__(self, model: PTalker, style: str | Path | None = None, seed: int = 0, rig: bool = False) -> None:
        self.model, self.style, self.seed, self.rig = model, style, seed, rig
        self._bases: dict[str, np.ndarray] = {}

    def basis(self, face: Face) -> np.ndarray:
        """[K, V, 3] in the face's unit; made once per face."""
        if face.basis is not None and not self.rig:
            return face.basis
        if face.name not in self._bases:
            if face.mesh is None:
                raise ValueError(f"face {face.name} has neither a basis nor a mesh to rig")
            made = self.model.rig(*face.mesh)
            self._bases[face.name] = np.ascontiguousarray(made if face.kept is None else made[:, face.kept])
        return self._bases[face.name]

    def weights(self, item: Item) -> np.ndarray:
        """[T, K]. Each clip has an upper face of its own: one seed for all would make them blink in step."""
        seed = (self.seed + zlib.crc32(item.name.encode())) & 0x7FFFFFFF
        style = item.style if item.style is not None else self.style
        z = self.model.generate(item.audio, item.fps, style=style, seed=seed)
        if item.lower_only:
            z[:, UPPER_FACE] = 0.0
        return z

    def __call__(self, item: Item) -> np.ndarray:
        return item.face.moved(self.weights(item), self.basis(item.face))
