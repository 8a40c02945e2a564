"""Estimate the teacher's targets and time constants from the GRID fits (speaker s1, train split only).

Gradient descent (Adam) on the analytic dominance model of dominance.py: the error is that of the articulator curves
(weighted by how far each moves the face) plus that of the lip gap against the tracked gap. Rare segments are pulled
towards the mean of their articulatory class.

usage: python -m ptalker_blender.core.data.estimate_teacher --data CORPUS --fits FOLDER [--out teacher.json]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from .dominance import ARTICULATOR, ARTICULATORS, GROUP_OF, GROUPS, SOFT, Parameters, spread
from .grid import load_grid
from .phonemes import CLASS_OF, CLASSES, ESTIMATED, SILENCE, segments
from .rig_rows import ict_rows

DEFAULT_OUT = Path(__file__).with_name("teacher.json")
SMALLEST_IMPORTANCE = 0.4  # cm


class Teacher(nn.Module):
    """Trainable parameters of S labels; the same formula as dominance.mixture."""

    def __init__(self) -> None:
        super().__init__()
        s, g, m = len(ESTIMATED), len(GROUPS), len(ARTICULATORS)
        self.target = nn.Parameter(torch.full((s, m), 0.05))
        self.log_alpha = nn.Parameter(torch.zeros(s, g))
        self.log_rise = nn.Parameter(torch.full((s, g), float(np.log(0.08))))
        self.log_fall = nn.Parameter(torch.full((s, g), float(np.log(0.08))))
        self.edges = nn.Parameter(torch.zeros(s, 2))
        self.power_logit = nn.Parameter(torch.zeros(g))  # power = 1 + sigmoid
        classes = list(CLASSES)
        member = torch.tensor([classes.index(CLASS_OF[label]) for label in ESTIMATED])
        one_hot = nn.functional.one_hot(member, len(classes)).float()
        self.class_mean = one_hot @ (one_hot.T / one_hot.sum(0)[:, None])  # [S, S]

    def power(self) -> Tensor:
        return 1 + torch.sigmoid(self.power_logit)

    def forward(self, times: Tensor, label: Tensor, start: Tensor, end: Tensor, real: Tensor) -> Tensor:
        """times [T]; label, start, end, real [B, S] (real = 0 for padding) -> articulators [B, T, M]."""
        positive = lambda u: 0.5 * (u + torch.sqrt(u * u + SOFT * SOFT))  # noqa: E731
        edges = self.edges[label]
        before = positive((start + edges[..., 0])[:, None] - times[:, None])[..., None]
        after = positive(times[:, None] - (end + edges[..., 1])[:, None])[..., None]
        power = self.power()
        exponent = (before * torch.exp(-self.log_rise[label])[:, None]) ** power
        exponent = exponent + (after * torch.exp(-self.log_fall[label])[:, None]) ** power
        logit = self.log_alpha[label][:, None] - exponent + torch.where(real > 0, 0.0, -1e4)[:, None, :, None]
        share = torch.softmax(logit, dim=2)  # [B, T, S, G]
        return torch.einsum("btsm,bsm->btm", share[..., torch.as_tensor(GROUP_OF)], self.target[label])

    def penalty(self) -> Tensor:
        """Pull to the class mean and to moderate time constants."""
        pull = lambda p: ((p - self.class_mean @ p) ** 2).mean()  # noqa: E731
        middle = float(np.log(0.08))
        return (
            0.3 * pull(self.target) + 0.01 * (pull(self.log_alpha) + pull(self.log_rise) + pull(self.log_fall))
            + 0.002 * ((self.log_rise - middle) ** 2 + (self.log_fall - middle) ** 2).mean()
            + 0.002 * (self.log_alpha**2).mean() + 3.0 * (self.edges**2).mean()
            + 0.5 * (nn.functional.relu(-self.target) ** 2).mean()
        )  # fmt: skip

    @torch.no_grad()
    def constrain(self) -> None:
        """Anatomical bounds: targets 0..1, time constants 20-300 ms, edges at most 60 ms from the sound."""
        self.target.clamp_(0, 1)
        self.target[ESTIMATED.index(SILENCE)] = 0  # rest is rest: what s1 does in silence is his habit
        for p in (self.log_rise, self.log_fall):
            p.clamp_(float(np.log(0.02)), float(np.log(0.3)))
        self.edges.clamp_(-0.06, 0.06)

    def parameters_numpy(self, gap: np.ndarray) -> Parameters:
        f = lambda p: p.detach().numpy().astype(np.float32)  # noqa: E731
        return Parameters(
            ESTIMATED, f(self.target), f(self.log_alpha), f(self.log_rise), f(self.log_fall), f(self.edges),
            f(self.power()), gap,
        )  # fmt: skip


def padded(all_phones: list, size: int | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Phones of several clips -> label, start, end, real [clips, S]."""
    spans = [segments(p) for p in all_phones]
    size = size or max(map(len, spans))
    label, real = torch.zeros(len(spans), size, dtype=torch.long), torch.zeros(len(spans), size)
    start, end = torch.zeros(len(spans), size), torch.zeros(len(spans), size)
    for i, clip in enumerate(spans):
        n = len(clip)
        label[i, :n] = torch.tensor([ESTIMATED.index(s[0]) for s in clip])
        start[i, :n], end[i, :n] = torch.tensor([s[1] for s in clip]), torch.tensor([s[2] for s in clip])
        real[i, :n] = 1
    return label, start, end, real


def estimate(
    phones: list, times: np.ndarray, curves: np.ndarray, signals: np.ndarray, ok: np.ndarray, effect: np.ndarray,
    depth: np.ndarray, importance: np.ndarray, steps: int = 900, batch: int = 96, seed: int = 0,
) -> Parameters:  # fmt: skip
    """phones of N clips; times [T]; curves [N, T, 52]; signals [N, T, 2] tracked gap and width, cm; ok [N, T];
    effect [52, 2] gap and width per channel, cm; depth [52] gap in depth; importance [52] cm of face motion."""
    torch.manual_seed(seed)
    drive = torch.as_tensor(spread())
    y = torch.as_tensor(curves, dtype=torch.float32) @ (drive / drive.sum(1, keepdim=True)).T  # left-right mean
    linear = drive @ torch.as_tensor(effect, dtype=torch.float32)  # [M, 2]
    # the floor keeps channels that hardly move the lips from serving as free parameters for gap and width
    scale = (drive @ torch.as_tensor(importance, dtype=torch.float32)).clamp(min=SMALLEST_IMPORTANCE)
    mask = torch.as_tensor(ok, dtype=torch.float32)
    true = torch.as_tensor(np.nan_to_num(signals), dtype=torch.float32)
    t = torch.as_tensor(times, dtype=torch.float32)
    spans = padded(phones)
    model = Teacher()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.04, total_steps=steps, pct_start=0.15)
    order = torch.randperm(len(phones))
    for step in range(steps):
        if step * batch % len(phones) + batch > len(phones):
            order = torch.randperm(len(phones))
        pick = order[step * batch % len(phones) :][:batch]
        x = model(t, *(s[pick] for s in spans))
        m = mask[pick]
        error = (((x - y[pick]) * scale) ** 2).sum(-1)
        gap_error, width_error = ((x @ linear - true[pick]) ** 2).unbind(-1)
        # a miss of 1 mm matters more near closure: exp(-gap / 2 mm)
        near = 1 + 2 * torch.exp(-true[pick, :, 0] / 0.2)
        loss = (m * (error + 1.5 * near * gap_error + 1.5 * width_error)).sum() / m.sum() + model.penalty()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        model.constrain()
        if step % 250 == 0 or step == steps - 1:
            rms = (m * gap_error).sum().div(m.sum()).sqrt().item()
            print(f"  step {step}: loss {loss.item():.4f} gap rms {rms:.3f} cm")
    return model.parameters_numpy(np.stack([effect[:, 0], depth], 1).astype(np.float32))


def run(data: Path, fits: Path, out: Path = DEFAULT_OUT, steps: int = 900) -> None:
    """Estimate from the training clips of ``data`` and their ``fits``, and write ``out``."""
    start = time.perf_counter()
    with np.load(data / "heads" / "ict_facekit.npz") as z:
        head = {k: z[k] for k in ("neutral", "arkit", "landmarks68", "mediapipe68")}
    rows = ict_rows(head)
    pair = lambda a, b, axis: (rows.landmark == (a, b)).all(1) & (rows.axis == axis)  # noqa: E731
    effect = np.stack([rows.effect[pair(62, 66, 1)][0], rows.effect[pair(54, 48, 0)][0]], 1)
    mouth = (rows.landmark[:, 1] < 0) & (rows.landmark[:, 0] >= 48)
    importance = np.sqrt((rows.effect[mouth] ** 2).mean(0))
    unit = float(np.linalg.norm(np.diff(head["neutral"][head["landmarks68"][[36, 45]]], axis=0)))
    with np.load(fits / "grid_s1.npz") as z:
        train = np.flatnonzero(z["split"] == "train")
        weights, ok, ids, fps = z["weights"][train], z["ok"][train], z["ids"][train], z["fps"]
        signals = np.stack([z["gap"][train], z["width"][train]], -1) * unit
    phones = {c.id: c.phones for c in load_grid(data / "grid_s1", {"train"}).clips}
    parameters = estimate(
        [phones[i] for i in ids], np.arange(ok.shape[1]) / fps, weights, signals, ok, effect, rows.depth, importance,
        steps,
    )  # fmt: skip
    jaw = parameters.target[:, ARTICULATOR["jawOpen"]]
    print(" ".join(f"{label}:{value:.2f}" for label, value in zip(parameters.labels, jaw, strict=True)))
    parameters.save(out, {"source": "GRID s1, train split", "clips": len(train), "steps": steps})
    print(f"{out} in {time.perf_counter() - start:.0f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description="Estimate the coarticulation teacher from the GRID fits.")
    parser.add_argument("--data", type=Path, required=True, help="corpus folder")
    parser.add_argument("--fits", type=Path, required=True, help="folder written by ptalker_blender.core.data.fit")
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT)
    parser.add_argument("--steps", type=int, default=900)
    args = parser.parse_args()
    run(args.data, args.fits, args.out, args.steps)


if __name__ == "__main__":
    main()
