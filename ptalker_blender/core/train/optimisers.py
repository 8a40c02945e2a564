"""What moves the weights: the optimisers of a run, and the number format of its steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from ..errors import PTalkerError

if TYPE_CHECKING:
    from .loop import LoopSettings


def optimisers(parameters: list[nn.Parameter], settings: LoopSettings, device: torch.device) -> dict[str, torch.optim.Optimizer]:
    """By their name in last.pt. Muon (Jordan 2024) takes the matrices, its steps as large as AdamW's (Liu et al. 2025,
    "Muon is scalable for LLM training"), so that one rate serves both. Raises PTalkerError bad_setting."""
    if settings.optimiser not in ("adamw", "muon"):
        raise PTalkerError("bad_setting", f"loop.optimiser is '{settings.optimiser}'.", "Use adamw or muon.")
    matrices = [p for p in parameters if p.ndim == 2 and min(p.shape) > 1] if settings.optimiser == "muon" else []
    taken = {id(p) for p in matrices}
    rest = [p for p in parameters if id(p) not in taken]
    out: dict[str, torch.optim.Optimizer] = {}
    if rest:
        out["optimiser"] = torch.optim.AdamW(
            rest, settings.rate, betas=(0.9, 0.98), weight_decay=settings.decay, fused=device.type != "mps"
        )
    if matrices:
        out["muon"] = torch.optim.Muon(matrices, settings.rate, weight_decay=settings.decay, adjust_lr_fn="match_rms_adamw")
    return out


def half_precision(amp: str, device: torch.device) -> torch.dtype | None:
    """The type that autocast uses, None for single precision. Raises PTalkerError bad_setting."""
    if amp == "auto" and device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if amp == "fp16" and device.type == "cpu":
        raise PTalkerError("bad_setting", "On the CPU half precision is bf16, not fp16.", 'Set loop.amp = "auto".')
    types = {"auto": None, "off": None, "bf16": torch.bfloat16, "fp16": torch.float16}
    if amp not in types:
        raise PTalkerError("bad_setting", f"loop.amp is '{amp}'.", f"Use one of {', '.join(types)}.")
    return types[amp]
