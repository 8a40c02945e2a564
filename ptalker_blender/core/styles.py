"""Style vectors: the built-in ones by name, saved ones as safetensors files with JSON metadata."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .errors import PTalkerError

NEUTRAL = "neutral"


def save_style(path: Path, vector: Tensor, name: str) -> None:
    """vector [s] float32."""
    save_file({"style": vector.detach().float().cpu().contiguous()}, path, {"ptalker_style": "1", "name": name})


def load_style(path: Path) -> Tensor:
    """-> [s] float32. Raises PTalkerError("style_unreadable")."""
    try:
        with safe_open(path, framework="pt") as f:
            if (f.metadata() or {}).get("ptalker_style") != "1":
                raise KeyError("ptalker_style")
            return f.get_tensor("style").float()
    except (OSError, KeyError, SafetensorError) as error:
        raise PTalkerError(
            "style_unreadable",
            f"'{path}' is not a PTalker style file.",
            "Choose a .safetensors file that PTalker saved.",
        ) from error


def resolve(style: str | Path | None, strength: float, built_in: dict[str, Tensor]) -> Tensor:
    """A built-in name or a file, and how much of it -> [s]. 0 is neutral, 1 the style, above 1 exaggerates it.

    Raises PTalkerError("style_unknown" | "style_unreadable" | "style_mismatch" | "bad_value").
    """
    if not -1.0 <= strength <= 3.0:
        raise PTalkerError("bad_value", f"Style strength {strength} is out of range.", "Use 0 (neutral) to 3.")
    neutral = built_in[NEUTRAL]
    if style is None or str(style) == "":
        return neutral
    vector = built_in.get(str(style))
    if vector is None:
        path = Path(style)
        if not path.is_file():
            names = ", ".join(sorted(built_in))
            raise PTalkerError(
                "style_unknown", f"There is no style or style file '{style}'.", f"Built-in styles: {names}."
            )
        vector = load_style(path)
        if vector.shape != neutral.shape:
            raise PTalkerError(
                "style_mismatch", f"'{path.name}' was made by another version of the model.", "Make it again."
            )
    return torch.lerp(neutral, vector, float(strength))
