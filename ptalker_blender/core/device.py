"""Which device computes."""

from __future__ import annotations

import torch

from .errors import PTalkerError


def pick_device(name: str, index: int | None = None) -> torch.device:
    """ "auto" prefers CUDA, then Apple's MPS, then the CPU; ``index`` picks one of several CUDA devices, and goes round.

    Raises PTalkerError("device_missing" | "bad_value").
    """
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = "cuda" if available["cuda"] else "mps" if available["mps"] else "cpu"
    if name not in available:
        raise PTalkerError("bad_value", f"There is no device '{name}'.", "Use auto, cpu, cuda or mps.")
    if not available[name]:
        raise PTalkerError("device_missing", f"This computer has no usable '{name}' device.", "Use auto or cpu.")
    if name == "cuda" and index is not None:
        return torch.device(name, index % torch.cuda.device_count())
    return torch.device(name)
