"""Train PoseNet, which finds the face on a mesh in any pose.

``python -m ptalker_blender.core.train.rig_pose --data DIR --heads DIR --out FILE [--minutes M]``: see ``train.rig``.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from scipy.spatial.transform import Rotation
from torch import Tensor

from ptalker_blender.core.mesh.graph import build_graph
from ptalker_blender.core.mesh.pose import FAR, face_weight, patches, unit
from ptalker_blender.core.model.mesh_encoder import PoseNet, RigConfig
from ptalker_blender.core.train.rig_pool import Heads
from ptalker_blender.core.train.rig_topology import head, warp


@dataclass(frozen=True)
class PoseTrainConfig:
    seed: int = 0
    heads_seed: int = 0  # of the topologies, which are made once and kept
    small_topologies: int = 8
    minutes: float = 15.0
    lr: float = 2e-3
    clip: float = 1.0
    pool: int = 600
    renew: float = 0.3
    near: float = 48.0  # degrees: poses within this of upright are to be recognised
    wrong: float = 75.0  # degrees: poses beyond this are to be refused
    threads: int = 1


@dataclass
class PoseSample:
    pos: Tensor  # [n, 3] upright, unit RMS radius
    normal: Tensor
    edges: Tensor
    place: Tensor  # [n, 3] canonical positions, drawn in beyond FAR


def sample(heads: Heads, rng: np.random.Generator) -> PoseSample:
    """A random head or body, perhaps cropped, as patches with their canonical positions."""
    u = rng.uniform()
    kind = heads.small if u < 0.55 else heads.other if u < 0.8 else heads.bodies
    h = head(kind[int(rng.integers(len(kind)))], rng)
    strength = float(rng.choice([0.0, 0.5, 1.0, 1.3], p=[0.2, 0.3, 0.3, 0.2]))
    h = warp(h, rng, strength, shapes=False)
    graph = build_graph(h.vertices, h.faces)
    keep = graph.area > 0
    if rng.uniform() < 0.6:
        middle = rng.normal(size=3) * 0.25
        keep &= np.linalg.norm(h.place - middle, axis=1) < rng.uniform(1.4, 3.0)
    graph = unit(graph.cropped(keep))[0]
    q = Rotation.random(rng=rng).as_matrix()  # patches must not know what is upright
    level = patches(graph.moved(q, 1.0, np.zeros(3)), int(rng.uniform(180, 380)))
    size = np.bincount(level.own, graph.area, len(level.pos)) + 1e-12
    place = np.stack([np.bincount(level.own, graph.area * h.place[keep][:, i], len(size)) for i in range(3)], 1)
    place /= size[:, None]
    place *= np.minimum(1, FAR / np.linalg.norm(place, axis=1).clip(1e-6))[:, None]
    t = torch.from_numpy
    return PoseSample(
        t((level.pos @ q).astype(np.float32)), t((level.normal @ q).astype(np.float32)), t(level.edges),
        t(place.astype(np.float32)),
    )  # fmt: skip


def poses(tc: PoseTrainConfig, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Four rotations [4, 3, 3] and whether each [4] is near upright."""
    spin = rng.normal(size=(3, 3))
    spin *= (np.deg2rad(tc.near) * np.array([0.25, 0.7, 1.0]) * rng.uniform(size=3) / np.linalg.norm(spin, axis=1))[:, None]
    wrong = Rotation.random(rng=rng)
    while np.rad2deg(wrong.magnitude()) < tc.wrong:
        wrong = Rotation.random(rng=rng)
    matrices = np.concatenate([Rotation.from_rotvec(spin).as_matrix(), wrong.as_matrix()[None]])
    return matrices.astype(np.float32), np.array([1, 1, 1, 0], np.float32)


def train(data: Path, extra: Path, out: Path, cfg: RigConfig, tc: PoseTrainConfig) -> None:
    torch.set_num_threads(tc.threads)
    torch.manual_seed(tc.seed)
    rng = np.random.default_rng(tc.seed)
    heads = Heads.cached(data, extra, cfg, tc.heads_seed, tc.small_topologies)
    net = PoseNet(cfg)
    if out.exists():
        net.load_state_dict(load_file(out))
    optim = torch.optim.AdamW(net.parameters(), lr=tc.lr, weight_decay=0.01, betas=(0.9, 0.99))
    pool = [sample(heads, rng) for _ in range(40)]
    start, shown, step, seen = time.time(), time.time(), 0, []
    while (spent := (time.time() - start) / 60 / tc.minutes) < 1:
        for group in optim.param_groups:
            group["lr"] = tc.lr * min(1, (step + 1) / 200) * (0.5 * (1 + np.cos(np.pi * spent)) * 0.98 + 0.02)
        if len(pool) < tc.pool and rng.uniform() < 0.6:
            pool.append(sample(heads, rng))
        elif rng.uniform() < tc.renew:
            pool[int(rng.integers(len(pool)))] = sample(heads, rng)
        s = pool[int(rng.integers(len(pool)))]
        matrices, upright = (torch.from_numpy(m) for m in poses(tc, rng))
        side = torch.tensor([1.0 if rng.uniform() < 0.5 else -1.0, 1.0, 1.0])
        size = float(np.exp(rng.normal() * 0.1))
        place, score = net(s.pos * side * size @ matrices.transpose(1, 2), s.normal * side @ matrices.transpose(1, 2), s.edges)
        weight = torch.from_numpy(face_weight(s.place.numpy()).astype(np.float32)) + 0.05
        off = torch.sqrt(((place[upright > 0] - s.place * side) ** 2).sum(-1) + 1e-3)
        where = (off * weight).sum(1).mean() / weight.sum()
        loss = where + 0.1 * F.binary_cross_entropy_with_logits(score, upright)
        optim.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), tc.clip)
        optim.step()
        step += 1
        seen.append((where.item(), (loss - where).item() * 10))
        if time.time() - shown > 20 or (time.time() - start) / 60 > tc.minutes:
            off_by, refused = np.mean(seen, 0)
            print(f"step {step} ({spent:.0%}) off {off_by:.4f} score {refused:.3f}", flush=True)
            save_file(net.state_dict(), out)
            shown, seen = time.time(), []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--heads", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=PoseTrainConfig.minutes)
    parser.add_argument("--lr", type=float, default=PoseTrainConfig.lr)
    parser.add_argument("--seed", type=int, default=0)
    a = parser.parse_args()
    train(a.data, a.heads, a.out, RigConfig(), PoseTrainConfig(minutes=a.minutes, lr=a.lr, seed=a.seed))


if __name__ == "__main__":
    main()
