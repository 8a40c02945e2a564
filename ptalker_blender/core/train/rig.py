"""Train the mesh encoder and the rig head.

``python -m ptalker_blender.core.train.rig --data DIR --heads DIR --out FILE [--minutes M]``
--data: the corpus folder (heads/ict_facekit.npz in it); --heads: the folder that ``rig_anny`` wrote. An existing FILE
is continued. Pose is trained by ``train.rig_pose``; ``train.rig_pack`` joins both into the shipped checkpoint.
"""

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ptalker_blender.core.model.mesh_encoder import MeshEncoder, RigConfig, RigHead
from ptalker_blender.core.train.rig_pool import Heads, Sample


@dataclass(frozen=True)
class TrainConfig:
    seed: int = 0
    heads_seed: int = 0  # of the topologies, which are made once and kept
    minutes: float = 35.0
    lr: float = 1.5e-3
    warmup: int = 80
    clip: float = 1.0
    accumulate: int = 2
    pool: int = 300
    renew: float = 0.4  # share of the steps that replace a head of the pool
    large: float = 0.02  # share of the steps on meshes that are not decimated
    small_topologies: int = 8
    label: float = 0.15  # weight of the correspondence loss
    spot: float = 1.0  # weight of the loss on the place on the template
    edges: int = 350  # edges a step that the loss looks at
    edge: float = 0.5  # weight of the loss on differences along edges
    way: float = 0.3  # weight of the loss on directions, which small displacements have as well
    sharpen: float = 0.0  # start with this trust in the place on the template (0: as it is)
    threads: int = 1


def losses(tc: TrainConfig, s: Sample, encoder: MeshEncoder, head: RigHead, size: Tensor) -> dict[str, Tensor]:
    """Terms of the loss on ``tc.edges`` random edges of a head; size [K] is a typical displacement of each channel."""
    g = encoder(s.graph)
    edges = s.graph.edges
    care = s.care[edges].mean(0)
    some = torch.multinomial(care, tc.edges, replacement=True)
    v = edges[:, some].flatten()
    basis, logits = head(g[v], s.graph.pos[v], s.graph.normal[v], s.source)
    off = (basis - s.basis[v]) / size[:, None]
    trust = 1.0 if s.source == 0 else 0.5
    point = torch.sqrt((off**2).sum(-1) + 1e-4).mean()
    a, b = off.chunk(2)
    pair = torch.sqrt(((a - b) ** 2).sum(-1) + 1e-4).mean()
    true = s.basis[v]
    length = true.norm(dim=-1)
    seen = (length / (0.1 * size)).clamp(max=1) * (length > 0.03 * size)
    cosine = (basis * true).sum(-1) / (basis.norm(dim=-1).clamp(min=1e-5) * length.clamp(min=1e-5))
    way = (seen * (1 - cosine)).sum() / seen.sum().clamp(min=1)
    total = {"point": trust * point, "edge": tc.edge * trust * pair, "way": tc.way * trust * way}
    known = s.near[v, 0] >= 0
    if known.any():
        logp = logits[known].log_softmax(1).gather(1, s.near[v][known])
        total["label"] = -tc.label * (logp * s.weight[v][known]).sum(1).mean()
        known = known & (s.near[v, 0] < len(head.place))
        place = (head.place[s.near[v][known], :3] * s.weight[v][known][..., None]).sum(1)
        spot = head.spot(g[v][known], s.graph.pos[v][known])
        total["spot"] = tc.spot * torch.sqrt(((spot - place) ** 2).sum(1) + 1e-5).mean()
    return total


def save(file: Path, encoder: MeshEncoder, head: RigHead, cfg: RigConfig, train: TrainConfig, step: int) -> None:
    state = {f"encoder.{k}": v for k, v in encoder.state_dict().items()}
    state |= {f"head.{k}": v for k, v in head.state_dict().items()}
    meta = {"config": json.dumps(cfg.to_dict()), "train": json.dumps(asdict(train)), "steps": str(step)}
    save_file({k: v.contiguous() for k, v in state.items()}, file.with_suffix(".part"), meta)
    file.with_suffix(".part").replace(file)


def train(data: Path, extra: Path, out: Path, cfg: RigConfig, tc: TrainConfig) -> None:
    torch.set_num_threads(tc.threads)
    torch.manual_seed(tc.seed)
    rng = np.random.default_rng(tc.seed)
    heads = Heads.cached(data, extra, cfg, tc.heads_seed, tc.small_topologies)
    encoder, head = MeshEncoder(cfg), RigHead(cfg)
    head.template.copy_(torch.from_numpy(heads.template[0]))
    head.place.copy_(torch.from_numpy(heads.template[1]))
    if out.exists():
        state = load_file(out)
        encoder.load_state_dict({k[8:]: v for k, v in state.items() if k.startswith("encoder.")})
        head.load_state_dict({k[5:]: v for k, v in state.items() if k.startswith("head.")})
    if tc.sharpen:
        head.near.data = torch.tensor([tc.sharpen, 3.0]).log()
    moved = np.linalg.norm(heads.ict.basis[0], axis=-1)
    size = torch.tensor([m[m > 0.1 * m.max()].mean() if m.max() > 0 else 0.1 for m in moved], dtype=torch.float32)
    size = size.clamp(min=0.01)
    weights = [*encoder.parameters(), *head.parameters()]
    print(f"{sum(p.numel() for p in weights) / 1e6:.2f} M parameters", flush=True)
    optim = torch.optim.AdamW(weights, lr=tc.lr, weight_decay=0.01, betas=(0.9, 0.99))
    pool = [heads.sample(rng) for _ in range(24)]
    large = [heads.sample(rng, large=True) for _ in range(4)]
    start, step, shown, seen = time.time(), 0, time.time(), {}
    while (spent := (time.time() - start) / 60 / tc.minutes) < 1:
        rate = tc.lr * min(1, (step + 1) / tc.warmup) * (0.5 * (1 + np.cos(np.pi * spent)) * 0.98 + 0.02)
        for group in optim.param_groups:
            group["lr"] = rate
        optim.zero_grad()
        for _ in range(tc.accumulate):
            if rng.uniform() < tc.large:
                i = int(rng.integers(len(large)))
                s = large[i]
                if rng.uniform() < tc.renew:
                    large[i] = heads.sample(rng, large=True)
            else:
                if len(pool) < tc.pool and rng.uniform() < 0.4:
                    pool.append(heads.sample(rng))
                elif rng.uniform() < tc.renew:
                    pool[int(rng.integers(len(pool)))] = heads.sample(rng)
                s = pool[int(rng.integers(len(pool)))]
            terms = losses(tc, s, encoder, head, size)
            loss = torch.stack(list(terms.values())).sum() / tc.accumulate
            loss.backward()
            for k, v in terms.items():
                n, mean = seen.get(k, (0, 0.0))
                seen[k] = (n + 1, mean + (v.item() - mean) / (n + 1))
        torch.nn.utils.clip_grad_norm_(weights, tc.clip)
        optim.step()
        step += 1
        if time.time() - shown > 30:
            line = " ".join(f"{k} {mean:.4f}" for k, (_, mean) in seen.items())
            print(f"step {step} ({spent:.0%}) lr {rate:.1e} {line}", flush=True)
            save(out, encoder, head, cfg, tc, step)
            shown, seen = time.time(), {}
    save(out, encoder, head, cfg, tc, step)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--heads", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=TrainConfig.minutes)
    parser.add_argument("--lr", type=float, default=TrainConfig.lr)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sharpen", type=float, default=0.0)
    a = parser.parse_args()
    tc = TrainConfig(minutes=a.minutes, lr=a.lr, seed=a.seed, sharpen=a.sharpen)
    train(a.data, a.heads, a.out, RigConfig(), tc)


if __name__ == "__main__":
    main()
