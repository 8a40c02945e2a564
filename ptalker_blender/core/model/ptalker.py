"""PTalker: speech and a style -> channel weights. The rig head, which turns them into vertices, is core/mesh/rig.py."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..channels import CHANNELS, LOWER_FACE
from ..errors import PTalkerError
from .audio_encoder import AudioEncoder
from .config import Config
from .contact import Contact
from .decoder import Decoder, clamp_weights
from .likeness import Likeness
from .motion_encoder import MotionEncoder


class PTalker(nn.Module):
    """All trained parts but the speech encoder and the rig head. ``styles``: named style vectors that ship with it;
    ``personal``: of some of them, what the vector does not say (core/personal.py), [2, K]."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.audio = AudioEncoder(config)
        self.motion = MotionEncoder(config)
        self.decoder = Decoder(config)
        self.contact = Contact() if config.channels == len(CHANNELS) else None  # free channels have no lips by name
        self.likeness = Likeness(len(LOWER_FACE), config.likeness) if config.likeness else None
        self.styles: dict[str, Tensor] = {"neutral": torch.zeros(config.style + config.likeness)}
        self.personal: dict[str, Tensor] = {}

    def forward(self, features: Tensor, feature_times: Tensor, style: Tensor, times: Tensor) -> Tensor:
        """features [B, 2 M, C] at feature_times [2 M], style [B, s], times [T] s -> weights [B, T, K], unclamped."""
        return self.decoder(self.audio(features), self.audio.times(feature_times), style, times)

    def finish(self, z: Tensor) -> Tensor:
        """What the decoder gives, z [..., K] -> weights that shape keys take: 0..1, near lips closed."""
        z = clamp_weights(z)
        return z if self.contact is None else self.contact(z)

    def save(self, path: Path, metadata: dict) -> None:
        """safetensors; the config, the metadata and the named styles travel inside. No pickle."""
        tensors = {f"model.{k}": v.detach().contiguous().clone() for k, v in self.state_dict().items()}
        for group, named in (("style", self.styles), ("personal", self.personal)):
            tensors |= {f"{group}.{k}": v.detach().contiguous().clone() for k, v in named.items()}
        save_file(tensors, path, {"config": json.dumps(asdict(self.config)), "card": json.dumps(metadata)})

    @classmethod
    def load(cls, path: Path) -> tuple[PTalker, dict]:
        """Raises PTalkerError("checkpoint_missing" | "checkpoint_broken")."""
        again = "Install the extension again."
        if not path.is_file():
            raise PTalkerError("checkpoint_missing", f"The model file '{path.name}' is not there.", again)
        try:
            with safe_open(path, framework="pt") as f:
                meta = f.metadata() or {}
                tensors = {k: f.get_tensor(k) for k in f.keys()}
            model = cls(Config(**json.loads(meta["config"])))
            weights = {k[6:]: v for k, v in tensors.items() if k.startswith("model.")}
            if model.contact is not None:  # checkpoints of version 0.1 know nothing of contact
                weights.setdefault("contact.gap", model.contact.gap)
            model.load_state_dict(weights)
        except Exception as error:  # any damage shows as one of many errors
            raise PTalkerError("checkpoint_broken", f"The model file '{path.name}' is damaged ({error}).", again) from error
        model.styles = {k[6:]: v.float() for k, v in tensors.items() if k.startswith("style.")}
        model.personal = {k[9:]: v.float() for k, v in tensors.items() if k.startswith("personal.")}
        return model.eval(), json.loads(meta.get("card", "{}"))
