"""Curves of a training run: a line of log.jsonl a validation, and TensorBoard's event files."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path


class Log:
    """Appends to OUT/log.jsonl and OUT/tensorboard; without tensorboard installed, to the former only."""

    def __init__(self, out: Path, fresh: bool, step: int) -> None:
        """``fresh``: forget what an earlier run has written. ``step``: the run goes on after this step."""
        self.path, events = out / "log.jsonl", out / "tensorboard"
        if fresh:
            self.path.unlink(missing_ok=True)
            shutil.rmtree(events, ignore_errors=True)
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            self.writer = None
            print("Without tensorboard the curves are in log.jsonl only (requirements/train.txt has it).", file=sys.stderr)
        else:
            self.writer = SummaryWriter(str(events), purge_step=step + 1)

    def write(self, step: int, groups: dict[str, dict[str, float]]) -> None:
        """groups {"run" | "figures" | "losses": {name: value}}; in log.jsonl the names stand side by side."""
        line = {"step": step} | {k: round(v, 6) for values in groups.values() for k, v in values.items()}
        print(json.dumps(line), flush=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if self.writer is not None:
            for group, values in groups.items():
                for name, value in values.items():
                    self.writer.add_scalar(f"{group}/{name}", value, step)
            self.writer.flush()

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
