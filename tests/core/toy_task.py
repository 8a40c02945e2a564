"""A small task for the training loop: two linear maps learn one. Run as a script it trains, as torchrun wants it.

python tests/core/toy_task.py OUT [setting=value ...]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ptalker_blender.core.train.loop import LoopSettings, fit

TRUTH = torch.tensor([[1.0, -2.0, 0.5], [0.3, 0.0, 2.0]])


class Toy:
    """x [8, 3] -> TRUTH x, with dropout, so that torch's chance matters; "unused" never gets a gradient."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.modules: dict[str, nn.Module] = {
            "net": nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.2), nn.Linear(8, 2)),
            "unused": nn.Linear(2, 2),
        }
        self.weights = {"error": 1.0, "size": 0.0}

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        return {"x": torch.from_numpy(rng.normal(size=(8, 3)).astype(np.float32)), "choice": torch.tensor(2)}

    def losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        y = self.modules["net"](batch["x"])
        return {"error": (y.float() - batch["x"] @ TRUTH.T).square().mean(), "size": y.square().mean()}

    def validate(self, modules: dict[str, nn.Module]) -> dict[str, float]:
        x = torch.eye(3)
        return {"score": -float((modules["net"](x) - x @ TRUTH.T).square().mean())}

    def save(self, modules: dict[str, nn.Module], path: Path, figures: dict[str, float]) -> None:
        save_file(modules["net"].state_dict(), path)


def settings(**changed) -> LoopSettings:
    return LoopSettings(**({"steps": 40, "every": 10, "warmup": 5, "threads": 1, "rate": 0.02, "device": "cpu"} | changed))


if __name__ == "__main__":
    values = {k: float(v) if "." in v else int(v) for k, v in (a.split("=") for a in sys.argv[2:])}
    fit(Toy(), settings(**values), Path(sys.argv[1]))
