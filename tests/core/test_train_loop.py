"""The training loop: same seed, same weights, also when it was interrupted; several processes; early end."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from toy_task import Toy, settings

from ptalker_blender.core.errors import PTalkerError
from ptalker_blender.core.train.loop import fit

ROOT = Path(__file__).resolve().parents[2]
TOY = Path(__file__).with_name("toy_task.py")


def weights(toy: Toy) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in toy.modules["net"].parameters()])


def state(out: Path) -> dict:
    return torch.load(out / "last.pt", weights_only=True)


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def test_learns_and_repeats(tmp_path: Path) -> None:
    a, b, c = Toy(), Toy(), Toy()
    best = fit(a, settings(steps=200, every=50), tmp_path / "a")
    assert fit(b, settings(steps=200, every=50), tmp_path / "b") == best
    fit(c, settings(steps=200, every=50, seed=2), tmp_path / "c")
    assert torch.equal(weights(a), weights(b)) and not torch.equal(weights(a), weights(c))
    lines = [json.loads(line) for line in (tmp_path / "a" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [50, 100, 150, 200]
    assert lines[-1]["score"] > lines[0]["score"] and lines[-1]["error"] < 0.5 * lines[0]["error"]
    assert best["score"] == pytest.approx(max(line["score"] for line in lines), abs=1e-6)
    assert best["step"] in (50, 100, 150, 200) and (tmp_path / "a" / "ptalker.safetensors").is_file()


def test_curves_for_tensorboard(tmp_path: Path) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    fit(Toy(), settings(), tmp_path)
    curves = events.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [e.step for e in curves.Scalars("losses/error")] == [10, 20, 30, 40]
    assert {"figures/score", "run/rate"} <= set(curves.Tags()["scalars"])


class Interrupted(Toy):
    """Asks for its end (as Ctrl-C does) while it makes the batch of step 25."""

    def losses(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        self.count = getattr(self, "count", 0) + 1
        if self.count == 25:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().losses(batch)


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_an_interrupted_run_ends_like_another(tmp_path: Path, optimiser: str) -> None:
    same = settings(optimiser=optimiser)
    whole, first, second = Toy(), Interrupted(), Toy()
    best = fit(whole, same, tmp_path / "whole")
    kept = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        fit(first, same, tmp_path / "parts")
    assert signal.getsignal(signal.SIGTERM) == kept
    assert state(tmp_path / "parts")["done"] == 25
    assert fit(second, same, tmp_path / "parts") == best
    assert torch.equal(weights(whole), weights(second))
    a, b = (state(tmp_path / n)["average"]["net"] for n in ("whole", "parts"))
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert fit(Toy(), same, tmp_path / "parts") == best  # all steps are done: nothing more happens
    fit(Toy(), settings(steps=10, optimiser=optimiser), tmp_path / "parts", resume=False)
    assert state(tmp_path / "parts")["done"] == 10 and len((tmp_path / "parts" / "log.jsonl").read_text().splitlines()) == 1


def test_workers_change_nothing(tmp_path: Path) -> None:
    alone, helped = Toy(), Toy()
    fit(alone, settings(), tmp_path / "alone")
    fit(helped, settings(workers=2), tmp_path / "helped")
    assert torch.equal(weights(alone), weights(helped))


def test_patience(tmp_path: Path) -> None:
    class Worse(Toy):
        def validate(self, modules: dict[str, torch.nn.Module]) -> dict[str, float]:
            self.score = getattr(self, "score", 1.0) - 0.1
            return {"score": self.score}

    best = fit(Worse(), settings(patience=2), tmp_path)
    assert best["step"] == 10 and state(tmp_path)["done"] == 30


def test_the_gradient_of_two_processes_is_their_mean(tmp_path: Path) -> None:
    """Each has its own batch and chance; only one writes. AdamW's first moment is a tenth of the first gradient."""

    class Both(Toy):
        """Both processes' batches and dropout, one after the other."""

        def losses(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            from ptalker_blender.core.train.loop import step_rng

            total = []
            for rank in (0, 1):
                torch.manual_seed(int(step_rng(1, rank, 0, 1).integers(2**62)))
                total.append(super().losses(self.batch(step_rng(1, rank, 0, 0))))
            return {k: (total[0][k] + total[1][k]) / 2 for k in total[0]}

    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(TOY), str(tmp_path)]
    done = subprocess.run(
        [*command, "steps=1", "clip=0"], cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    fit(Both(), settings(steps=1, clip=0), tmp_path / "one")
    a, b = (state(p)["optimiser"]["state"][0]["exp_avg"] for p in (tmp_path, tmp_path / "one"))
    assert torch.allclose(a, b, atol=1e-6) and a.abs().max() > 0
    assert torch.equal(state(tmp_path)["modules"]["unused"]["weight"], Toy().modules["unused"].state_dict()["weight"])
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 1


def test_half_precision_on_the_cpu_only_when_asked(tmp_path: Path) -> None:
    seen = []

    class Looks(Toy):
        def losses(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            seen.append(self.modules["net"](batch["x"]).dtype)
            return super().losses(batch)

    fit(Looks(), settings(steps=1), tmp_path / "a")
    fit(Looks(), settings(steps=1, amp="bf16"), tmp_path / "b")
    assert seen == [torch.float32, torch.bfloat16]
    for amp in ("fp16", "half"):
        with pytest.raises(PTalkerError, match=r"loop\.amp"):
            fit(Toy(), settings(amp=amp), tmp_path / "c")


def test_other_modules_and_no_numbers_are_told(tmp_path: Path) -> None:
    fit(Toy(), settings(steps=1), tmp_path)
    other = Toy()
    other.modules["net"] = torch.nn.Sequential(torch.nn.Linear(3, 9), torch.nn.Dropout(), torch.nn.Linear(9, 2))
    with pytest.raises(PTalkerError, match=r"last\.pt") as error:
        fit(other, settings(steps=2), tmp_path)
    assert error.value.code == "run_differs"
    (tmp_path / "last.pt").write_bytes(pickle.dumps({"done": Path("x")}, protocol=2))
    with pytest.raises(PTalkerError, match=r"last\.pt") as error:
        fit(Toy(), settings(steps=2), tmp_path)
    assert "load failed" not in str(error.value), "no advice to load what may be any code"
    (tmp_path / "last.pt").unlink()
    broken = Toy()
    broken.weights["error"] = float("inf")
    broken.modules["net"].register_forward_hook(lambda *_: torch.full((8, 2), float("nan"), requires_grad=True))
    with pytest.raises(PTalkerError) as error:
        fit(broken, settings(steps=2, every=1), tmp_path / "nan")
    assert error.value.code == "training_diverged" and not (tmp_path / "nan" / "last.pt").exists()


def test_another_thread_may_train(tmp_path: Path) -> None:
    """Signals are the main thread's: elsewhere training runs without catching them."""
    done = []
    thread = threading.Thread(target=lambda: done.append(fit(Toy(), settings(steps=2), tmp_path)))
    thread.start()
    thread.join()
    assert done


def test_muon_moves_the_matrices(tmp_path: Path) -> None:
    a = Toy()
    fit(a, settings(steps=200, every=50, optimiser="muon"), tmp_path / "a")
    lines = [json.loads(line) for line in (tmp_path / "a" / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["error"] < 0.5 * lines[0]["error"]
    saved = state(tmp_path / "a")
    assert all("momentum_buffer" in s for s in saved["muon"]["state"].values()) and len(saved["muon"]["state"]) == 2
    assert all("exp_avg" in s for s in saved["optimiser"]["state"].values())  # the biases
    with pytest.raises(PTalkerError, match=r"loop\.optimiser"):
        fit(Toy(), settings(optimiser="sgd"), tmp_path / "b")
