"""The processes that train together: those that torchrun started, or this one alone; and how they are told to stop."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import TracebackType
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous

from ..device import pick_device

PATIENCE = timedelta(hours=2)  # others wait that long for the first process, which validates


class Processes:
    """``rank`` of ``world`` processes; each has its own ``device``. Used with ``with``."""

    def __init__(self, device: str = "auto") -> None:
        self.rank, self.world = (int(os.environ.get(k, v)) for k, v in (("RANK", "0"), ("WORLD_SIZE", "1")))
        local = int(os.environ.get("LOCAL_RANK", "0"))
        self.device = pick_device(device, local)
        if self.world > 1 and self.device.type == "mps":
            self.device = pick_device("cpu")  # there is one, and gloo cannot send what is on it
        self.started = False
        if self.world > 1 and not dist.is_initialized():
            own = self.device.type == "cuda" and torch.cuda.device_count() >= int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
            if self.device.type == "cuda":
                torch.cuda.set_device(self.device)
            self.store, rank, world = next(rendezvous("env://", timeout=PATIENCE))
            backend = "nccl" if own else "gloo"  # NCCL wants a device for each process
            dist.init_process_group(backend, store=self.store, rank=rank, world_size=world, timeout=PATIENCE)
            self.started = True

    @property
    def first(self) -> bool:
        """Whether this is the one that validates and writes."""
        return self.rank == 0

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.started:
            if kind is None:
                self.leave()
            dist.destroy_process_group()

    def leave(self) -> None:
        """Wait until every process is through: one that closes its sockets early can reset what another still reads."""
        self.store.set(f"left/{self.rank}", "1")
        self.store.wait([f"left/{rank}" for rank in range(self.world)], PATIENCE)

    def alike(self, modules: Iterable[nn.Module]) -> None:
        """Give all processes the first one's parameters and buffers."""
        if self.world > 1:
            for module in modules:
                for tensor in module.state_dict().values():
                    dist.broadcast(tensor, 0)

    def average(self, parameters: list[nn.Parameter]) -> None:
        """Average the gradients over the processes, in one message. One that no process has stays None."""
        if self.world == 1:
            return
        has = torch.tensor([float(p.grad is not None) for p in parameters], device=self.device)
        flat = [p.grad.flatten().float() if p.grad is not None else p.new_zeros(p.numel()) for p in parameters]
        message = torch.cat([has, *flat])
        dist.all_reduce(message)
        anyone, at = message[: len(parameters)].tolist(), len(parameters)
        for parameter, some in zip(parameters, anyone, strict=True):
            piece = message[at : at + parameter.numel()]
            at += parameter.numel()
            parameter.grad = (piece / self.world).view_as(parameter).to(parameter.dtype) if some else None

    def largest(self, *values: float) -> list[float]:
        """The largest of each value over all processes, so that all decide alike."""
        if self.world == 1:
            return list(values)
        shared: Tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(shared, dist.ReduceOp.MAX)
        return shared.tolist()


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """Set after SIGINT or SIGTERM; the second one acts as it always does. Outside the main thread nothing is caught."""
    stopped = threading.Event()
    kept: dict[int, Any] = {}

    def stop(number: int, frame: object) -> None:
        stopped.set()
        signal.signal(number, kept[number])

    if threading.current_thread() is threading.main_thread():
        kept = {n: signal.signal(n, stop) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def ignore_signals(worker: int) -> None:
    """A worker ends when the loop says so, not when the terminal does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
