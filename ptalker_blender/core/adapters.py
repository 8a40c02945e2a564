"""Low-rank adapters of the motion decoder (LoRA, Hu et al. 2021): what fine-tuning learns beside the style vector.

Every linear layer's weight W [out, in] becomes W + b a with a [r, in], b [out, r], and where there is a c [out], its bias
grows by that. Named "LAYER.a", "LAYER.b", "LAYER.c" in a style; in a blend "I:LAYER.a", where I numbers the styles: their
changes of a layer add up.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from .errors import PTalkerError
from .model.decoder import Decoder


class LowRank(nn.Module):
    """W -> W + b a. Starts as W itself: b is 0."""

    def __init__(self, layer: nn.Linear, rank: int) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.randn(rank, layer.in_features) / layer.in_features**0.5)
        self.b = nn.Parameter(torch.zeros(layer.out_features, rank))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.b @ self.a


def linear_layers(decoder: Decoder) -> dict[str, nn.Linear]:
    """The layers that an adapter changes, by name."""
    return {name: layer for name, layer in decoder.named_modules() if isinstance(layer, nn.Linear)}


def adapted(decoder: Decoder, rank: int) -> Decoder:
    """A copy with an adapter of which nothing is learned yet; only the adapter can be trained. Draws from torch's seed."""
    copy = deepcopy(decoder).requires_grad_(False)
    for layer in list(linear_layers(copy).values()):
        parametrize.register_parametrization(layer, "weight", LowRank(layer, rank))
    return copy


def adapter_of(decoder: Decoder) -> dict[str, Tensor]:
    """What an ``adapted`` decoder has learned, copied."""
    found = {}
    for name, module in decoder.named_modules():
        if isinstance(module, LowRank):
            layer = name.removesuffix(".parametrizations.weight.0")
            found |= {f"{layer}.a": module.a.detach().clone(), f"{layer}.b": module.b.detach().clone()}
    return found


def merged(decoder: Decoder, adapter: Mapping[str, Tensor], name: str = "") -> Decoder:
    """The decoder with a style's adapter in its weights: a copy, or itself where the style has none.

    Raises PTalkerError("style_mismatch") where the adapter is another model's.
    """
    if not adapter:
        return decoder
    copy = deepcopy(decoder)
    layers = linear_layers(copy)
    wrong = PTalkerError(
        "style_mismatch", f"The style '{name}' was made by another version of the model.", "Make it again from its reference."
    )
    for key, a in adapter.items():
        if not key.endswith(".a"):
            continue
        b, layer = adapter.get(key[:-2] + ".b"), layers.get(key.rpartition(":")[2][:-2])
        if b is None or layer is None or a.ndim != 2 or b.ndim != 2 or len(a) != b.shape[1]:
            raise wrong
        if (len(b), a.shape[1]) != tuple(layer.weight.shape):
            raise wrong
        more = adapter.get(key[:-2] + ".c")
        if more is not None and more.shape != (len(b),):
            raise wrong
        with torch.no_grad():
            layer.weight += (b @ a).to(layer.weight)
            if more is not None:
                layer.bias.add_(more.to(layer.bias))
    return copy


def together(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Two adapters as one: their changes of a layer add up."""
    out = dict(first)
    for key, value in second.items():
        if key not in out:
            out[key] = value
        elif key.endswith(".c"):
            out[key] = out[key] + value
        else:
            out[key] = torch.cat([out[key], value], 1 if key.endswith(".b") else 0)
    return out


def scaled(adapter: Mapping[str, Tensor], amount: float) -> dict[str, Tensor]:
    """An adapter that changes ``amount`` times as much."""
    return {k: v if k.endswith(".a") else v * amount for k, v in adapter.items()}
