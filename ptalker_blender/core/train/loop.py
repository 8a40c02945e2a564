"""The training loop of every part that is trained: what to train is a Task, how is LoopSettings.

AdamW with warm-up and cosine, an average of the weights (EMA), gradients clipped part by part, mixed precision, several
processes under torchrun, early stopping, and OUT/last.pt to go on from. Every step draws from random streams of its
own, made from the seed, the process and the step, so a run that was interrupted ends with the weights of one that was
not (on the same machine; CUDA's sums in a random order may differ in the last bits).
"""

from __future__ import annotations

import copy
import math
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ..errors import PTalkerError
from .log import Log
from .optimisers import half_precision, optimisers
from .processes import Processes, ignore_signals, stop_signals


class Task(Protocol):
    """What is trained. ``modules`` are moved to the device by the loop and changed in place."""

    modules: dict[str, nn.Module]  # all trained parts; the names are keys of last.pt
    weights: dict[str, float]  # factor of each term of the loss; 0 switches a term off

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """CPU tensors. All chance comes from ``rng``; it may run in another process."""
        ...

    def losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Unweighted terms, from self.modules. The batch is on the device, but for tensors without dimensions, which
        stay on the CPU: they are choices for Python code."""
        ...

    def validate(self, modules: dict[str, nn.Module]) -> dict[str, float]:
        """Figures of the averaged modules (in eval mode, no gradients); "score": higher is better."""
        ...

    def save(self, modules: dict[str, nn.Module], path: Path, figures: dict[str, float]) -> None:
        """Write the averaged modules as safetensors."""
        ...


@dataclass(frozen=True)
class LoopSettings:
    """How a task is trained."""

    steps: int = 4000
    minutes: float = 0.0  # above 0: the schedule ends after this much training time, if that comes before ``steps``
    rate: float = 1.5e-3
    decay: float = 0.05
    warmup: int = 60  # steps
    floor: float = 0.02  # the last rate, a fraction of ``rate``
    ema: float = 0.995
    clip: float = 1.0  # largest gradient norm of each module; 0: any
    seed: int = 1
    every: int = 100  # steps between validations
    patience: int = 0  # validations without a better score before it stops; 0: never
    amp: str = "auto"  # "off" | "bf16" | "fp16"; "auto": bf16 on CUDA devices that have it, fp16 on older ones, off on the CPU
    device: str = "auto"
    threads: int = 0  # of the CPU; 0: as torch likes
    workers: int = 0  # processes that make batches ahead; 0: made in the loop
    optimiser: str = "adamw"  # "muon": matrices by Muon, whatever else there is by AdamW


def fit(
    task: Task, settings: LoopSettings, out: Path, resume: bool = True, file: str = "ptalker.safetensors"
) -> dict[str, float]:
    """Train ``task`` -> the best validation's figures, with its "step"; its weights are in ``out``/``file``, those of the
    schedule's end in the file that ``final`` names.

    Goes on from ``out``/last.pt if there is one and ``resume`` is set. SIGINT and SIGTERM: saves last.pt, then raises
    KeyboardInterrupt. Raises PTalkerError (device_missing, bad_setting, run_differs, training_diverged).
    """
    if settings.threads > 0:
        torch.set_num_threads(settings.threads)
    out.mkdir(parents=True, exist_ok=True)
    with Processes(settings.device) as processes:
        loop = Loop(task, settings, processes)
        going_on = resume and (out / "last.pt").is_file()
        if going_on:
            loop.load(out / "last.pt")
        processes.alike(task.modules.values())
        log = Log(out, not going_on, loop.done) if processes.first else None
        try:
            with stop_signals() as stopped:
                loop.run(out, file, log, stopped)
            if processes.first:
                with torch.no_grad():
                    task.save(loop.average, final(out / file), loop.latest)
        finally:
            if log:
                log.close()
        return loop.best


def final(path: Path) -> Path:
    """Where the last weights of a run are whose best ones are in ``path``."""
    return path.with_stem(f"{path.stem}_final")


class Loop:
    """The state of a run: ``task.modules``, their average, the optimiser, and how far it has come."""

    def __init__(self, task: Task, settings: LoopSettings, processes: Processes) -> None:
        self.task, self.settings, self.processes, self.device = task, settings, processes, processes.device
        for module in task.modules.values():
            module.to(self.device).train()
        self.average = {k: copy.deepcopy(m).eval().requires_grad_(False) for k, m in task.modules.items()}
        self.parameters = [p for m in task.modules.values() for p in m.parameters() if p.requires_grad]
        self.optimisers = optimisers(self.parameters, settings, self.device)
        self.half = half_precision(settings.amp, self.device)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.half == torch.float16)
        self.done, self.spent, self.stale = 0, 0.0, 0  # steps, seconds, validations since the best
        self.best: dict[str, float] = {}
        self.latest: dict[str, float] = {}  # figures of the last validation

    def run(self, out: Path, file: str, log: Log | None, stopped: threading.Event) -> None:
        """Train until the schedule or the patience ends; validate, log and save every so many steps."""
        sums: dict[str, Tensor] = {}
        since, before = self.done, self.spent
        batches, over = self.batches(), self.over()
        clock = time.monotonic()
        while not over:
            for name, term in self.step(next(batches)).items():
                sums[name] = sums.get(name, 0.0) + term
            now = time.monotonic()
            self.spent, stop = self.processes.largest(self.spent + now - clock, float(stopped.is_set()))
            clock, over = now, self.over()
            if stop:
                self.save(out / "last.pt")
                raise KeyboardInterrupt
            if self.done % self.settings.every == 0 or over:
                count = self.done - since
                losses = {k: float(v) / count for k, v in sums.items()}
                self.check(out, file, log, losses, (self.spent - before) / count)
                over = over or 0 < self.settings.patience <= self.stale
                sums, since, before, clock = {}, self.done, self.spent, time.monotonic()

    def step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """One update -> the unweighted terms, on the device."""
        rate = self.rate()
        for optimiser in self.optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = rate
        torch.manual_seed(int(step_rng(self.settings.seed, self.processes.rank, self.done, 1).integers(2**62)))
        batch = {k: v if v.ndim == 0 else v.to(self.device, non_blocking=True) for k, v in batch.items()}
        with torch.autocast(self.device.type, self.half, enabled=self.half is not None):
            terms = self.task.losses(batch)
            total = torch.stack([self.task.weights[k] * v.float() for k, v in terms.items()]).sum()
        for optimiser in self.optimisers.values():
            optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(total).backward()
        self.processes.average(self.parameters)
        for optimiser in self.optimisers.values():
            self.scaler.unscale_(optimiser)
        if self.settings.clip > 0:
            for module in self.task.modules.values():
                nn.utils.clip_grad_norm_(module.parameters(), self.settings.clip)
        for optimiser in self.optimisers.values():
            self.scaler.step(optimiser)
        self.scaler.update()
        self.done += 1
        self.follow()
        return {k: v.detach() for k, v in terms.items()}

    @torch.no_grad()
    def follow(self) -> None:
        """Move the average towards the modules; at first faster, so that it does not remember the beginning."""
        keep = min(self.settings.ema, (1 + self.done) / (10 + self.done))
        for name, module in self.task.modules.items():
            slow = self.average[name]
            for old, new in zip(slow.parameters(), module.parameters(), strict=True):
                old.lerp_(new, 1 - keep)
            for old, new in zip(slow.buffers(), module.buffers(), strict=True):
                old.copy_(new)

    def check(self, out: Path, file: str, log: Log | None, losses: dict[str, float], pace: float) -> None:
        """Validate in the first process, note it, save; all processes know the outcome."""
        if not all(map(math.isfinite, losses.values())):
            raise PTalkerError(
                "training_diverged", f"The loss is not a number any more at step {self.done}.",
                'Lower loop.rate or set loop.amp = "off"; last.pt is of an earlier step.',
            )  # fmt: skip
        figures, score = {}, -math.inf
        if log is not None:
            torch.manual_seed(self.settings.seed)
            with torch.no_grad():
                figures = self.task.validate(self.average)
            score = figures["score"]
            run = {"seconds": self.spent, "pace": pace, "rate": self.rate()}
            log.write(self.done, {"run": run, "figures": figures, "losses": losses})
        (score,) = self.processes.largest(score)
        self.latest = {"score": score} | figures | {"step": float(self.done)}
        better = score > self.best.get("score", -math.inf)
        self.stale = 0 if better else self.stale + 1
        if better:
            self.best = self.latest
        if better and log is not None:
            part = (out / file).with_suffix(".part")
            self.task.save(self.average, part, self.best)
            os.replace(part, out / file)
        self.save(out / "last.pt")

    def over(self) -> bool:
        return self.progress() >= 1.0 or 0 < self.settings.patience <= self.stale

    def progress(self) -> float:
        """How far the schedule is, 0..1."""
        s = self.settings
        by_time = self.spent / (60 * s.minutes) if s.minutes > 0 else 0.0
        return min(1.0, max(self.done / s.steps, by_time))

    def rate(self) -> float:
        """Linear warm-up, then half a cosine down to the floor."""
        s = self.settings
        lift = min(1.0, (self.done + 1) / max(s.warmup, 1))
        fall = 0.5 * (1 + math.cos(math.pi * self.progress()))
        return s.rate * lift * (s.floor + (1 - s.floor) * fall)

    def batches(self) -> Iterator[dict[str, Tensor]]:
        """The batches from the present step on."""
        return iter(
            DataLoader(
                Batches(self), sampler=range(self.done, self.settings.steps), batch_size=None,  # type: ignore[arg-type]
                num_workers=self.settings.workers, worker_init_fn=ignore_signals,
                pin_memory=self.device.type == "cuda", multiprocessing_context="fork" if self.settings.workers else None,
            )
        )  # fmt: skip

    def save(self, path: Path) -> None:
        """last.pt, whole or not at all; from the first process."""
        if not self.processes.first:
            return
        parts = self.optimisers | {"scaler": self.scaler}
        state: dict = {k: v.state_dict() for k, v in parts.items()}
        state |= {k: {n: m.state_dict() for n, m in d.items()} for k, d in self.nets().items()}
        state |= {k: getattr(self, k) for k in ("done", "spent", "stale", "best", "latest")}
        part = path.with_suffix(".part")
        torch.save(state, part)
        os.replace(part, path)

    def load(self, path: Path) -> None:
        """Raises PTalkerError run_differs where last.pt is of other modules or cannot be read."""
        try:
            state = torch.load(path, weights_only=True, map_location="cpu")
            for kind, modules in self.nets().items():
                if state[kind].keys() != modules.keys():
                    raise KeyError(kind)
                for name, module in modules.items():
                    module.load_state_dict(state[kind][name])
            for name, optimiser in self.optimisers.items():
                optimiser.load_state_dict(state[name])
            if self.scaler.is_enabled() and state["scaler"]:
                self.scaler.load_state_dict(state["scaler"])
            for name in ("done", "spent", "stale", "best", "latest"):
                setattr(self, name, state[name])
        except Exception as error:  # damage and other sizes show as many kinds of errors, some of which advise to load any code
            raise PTalkerError(
                "run_differs", f"'{path}' is damaged or was trained with other settings.",
                "Train into another folder, or remove this one.",
            ) from error  # fmt: skip

    def nets(self) -> dict[str, dict[str, nn.Module]]:
        return {"modules": self.task.modules, "average": self.average}


class Batches(torch.utils.data.Dataset):
    """The batch of each step, made from the step's own random stream: the order of making does not matter."""

    def __init__(self, loop: Loop) -> None:
        self.task, self.seed, self.rank = loop.task, loop.settings.seed, loop.processes.rank

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        return self.task.batch(step_rng(self.seed, self.rank, step, 0))


def step_rng(seed: int, rank: int, step: int, use: int) -> np.random.Generator:
    """The random stream of a step of a process; ``use`` 0: its batch, 1: torch's seed (dropout, choices of the losses)."""
    return np.random.default_rng([seed, rank, step, use])
