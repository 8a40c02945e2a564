"""Train the mesh encoder and the rig head.

``python -m ptalker_blender.core.train.rig --data DIR --heads DIR --out DIR [--init FILE] [--set NAME=VALUE]``
--data: the corpus folder (heads/ict_facekit.npz in it); --heads: the folder that ``rig_anny`` wrote; --out: as of
``train`` (docs/training.md), rig.safetensors in it, and a run that was interrupted goes on; --init: rig.safetensors of another
run, or the one that ships; --set: fields of RigTraining and LoopSettings. Pose is trained by ``train.rig_pose``;
``train.rig_pack`` joins both into the shipped checkpoint.
"""

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ptalker_blender.core.errors import PTalkerError
from ptalker_blender.core.model.mesh_encoder import GraphBatch, MeshEncoder, RigConfig, RigHead, joined
from ptalker_blender.core.train.loop import LoopSettings, fit
from ptalker_blender.core.train.rig_pool import Heads, Sample
from ptalker_blender.core.train.settings import like, value_of

FILE = "rig.safetensors"
WEIGHTS = {
    "point": 1.0,
    "edge": 0.5,  # differences along edges
    "way": 0.3,  # directions, which small displacements have as well
    "label": 0.15,  # which of the template's points a vertex is
    "spot": 1.0,  # where on the template it lies
}
LOOP = LoopSettings(minutes=60.0, rate=1.5e-3, decay=0.01, warmup=80, ema=0.998, every=500, amp="off", steps=1_000_000)
VALIDATED = 32  # heads that a validation looks at
FAR_OFF = 5.0  # nats: beyond this a vertex's label counts less and less
OTHER = 0.5  # how much the shapes of other makers count beside ICT-FaceKit's


@dataclass(frozen=True)
class RigTraining:
    """What a batch is made of."""

    batch: int = 2  # heads; a GPU does 16 in the time that it takes for 2
    edges: int = 350  # of each head, random ones on which the losses are measured
    large: float = 0.04  # share of the heads that are not decimated
    topologies: int = 8  # of each part of a head, made once and kept
    fresh: float = 0.15  # share of the heads on a topology that is made anew
    sparse: float = 0.15  # share of the heads of as few vertices as a tracker's landmarks
    wrong: float = 0.1  # share of the heads in a pose in which there is no face


class RigTask:
    """See train/loop.py's Task."""

    def __init__(self, data: Path, extra: Path, cfg: RigConfig, training: RigTraining, seed: int, init: Path | None) -> None:
        """Raises PTalkerError (data_missing, run_differs)."""
        for path in (data / "heads" / "ict_facekit.npz", extra / "anny_head.npz", *([init] if init else [])):
            if not path.is_file():
                raise PTalkerError("data_missing", f"There is no '{path}'.", "See docs/rig.md, Training again.")
        self.cfg, self.training, self.weights = cfg, training, dict(WEIGHTS)
        self.heads = Heads(data, extra, cfg, seed, training.topologies)
        torch.manual_seed(seed)
        encoder, head = MeshEncoder(cfg), RigHead(cfg)
        head.template.copy_(torch.from_numpy(self.heads.template[0]))
        head.place.copy_(torch.from_numpy(self.heads.template[1]))
        if init is not None:
            begin_with(encoder, head, init)
        self.modules: dict[str, nn.Module] = {"encoder": encoder, "head": head}
        moved = np.linalg.norm(self.heads.ict.basis[0], axis=-1)
        size = [m[m > 0.1 * m.max()].mean() if m.max() > 0 else 0.1 for m in moved]
        self.size = torch.tensor(size, dtype=torch.float32).clamp(min=0.01)  # [K] a typical displacement of each channel
        rng = np.random.default_rng(2**40)  # no step's (train/loop.py)
        drawn = [self.heads.sample(rng, fresh=1.0) for _ in range(VALIDATED)]
        self.validated = [collated(drawn[i : i + 4], 500, rng) for i in range(0, VALIDATED, 4)]

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        t = self.training
        drawn = [
            self.heads.sample(rng, rng.random() < t.large, t.fresh, rng.random() < t.sparse, rng.random() < t.wrong)
            for _ in range(t.batch)
        ]
        return collated(drawn, t.edges, rng)

    def losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        encoder, head = self.modules["encoder"], self.modules["head"]
        assert isinstance(encoder, MeshEncoder) and isinstance(head, RigHead)
        return losses(batch, encoder, head, self.size.to(batch["basis"].device))

    def validate(self, modules: dict[str, nn.Module]) -> dict[str, float]:
        """Of heads that are always the same, made as those of the training are but never part of it."""
        encoder, head = modules["encoder"], modules["head"]
        assert isinstance(encoder, MeshEncoder) and isinstance(head, RigHead)
        device = head.place.device
        sums: dict[str, float] = {}
        for batch in self.validated:
            b = {k: v.to(device) for k, v in batch.items()}
            for k, v in losses(b, encoder, head, self.size.to(device)).items():
                sums[k] = sums.get(k, 0.0) + float(v) / len(self.validated)
        return {"score": -sum(self.weights[k] * v for k, v in sums.items())} | sums

    def save(self, modules: dict[str, nn.Module], path: Path, figures: dict[str, float]) -> None:
        state = {f"{name}.{k}": v.contiguous() for name, m in modules.items() for k, v in m.state_dict().items()}
        meta = {"config": self.cfg.to_dict(), "train": asdict(self.training) | figures}
        save_file(state, path, {k: json.dumps(v) for k, v in meta.items()} | {"steps": str(int(figures["step"]))})


def begin_with(encoder: MeshEncoder, head: RigHead, path: Path) -> None:
    """The weights of a rig head that was trained before. Raises PTalkerError run_differs."""
    state = load_file(path)
    try:
        for name, module in (("encoder.", encoder), ("head.", head)):
            module.load_state_dict({k.removeprefix(name): v.float() for k, v in state.items() if k.startswith(name)})
    except RuntimeError as error:
        raise PTalkerError("run_differs", f"'{path}' is of another size.", "Begin with another one, or from nothing.") from error


def collated(samples: list[Sample], edges: int, rng: np.random.Generator) -> dict[str, Tensor]:
    """Heads as one batch: graphs side by side (``graph``, ``level0`` ...: see GraphBatch; ``sizes``), ``edges`` random edges
    of each, [2 * n] vertices ``at`` their ends (all first ends, then all second ones), and the truth there: ``basis``
    [2n, K, 3], ``near`` and ``weight`` [2n, 4], ``source`` [2n]."""
    graph = joined([s.graph for s in samples])
    ends, begin = [], 0
    own: dict[str, list[Tensor]] = {k: [] for k in ("basis", "near", "weight", "source")}
    for s in samples:
        care = s.care[s.graph.edges].mean(0).numpy().astype(np.float64)
        some = s.graph.edges[:, torch.from_numpy(rng.choice(len(care), edges, p=care / care.sum()))]  # [2, edges]
        ends.append(some + begin)
        for k in ("basis", "near", "weight"):
            own[k].append(getattr(s, k)[some])
        own["source"].append(torch.full(some.shape, s.source))
        begin += len(s.graph.pos)
    out = {k: torch.cat(v, 1).flatten(0, 1) for k, v in own.items()} | {"at": torch.cat(ends, 1).flatten()}
    out |= {f"graph.{k}": getattr(graph, k) for k in ("pos", "normal", "edges", "boundary")}
    out |= {f"level{i}.{k}": v for i, lv in enumerate(graph.levels) for k, v in lv.items()}
    return out | {"sizes": torch.tensor(graph.sizes)}


def graph_of(batch: dict[str, Tensor]) -> GraphBatch:
    """The graphs of a batch (``collated``)."""

    def named(prefix: str) -> dict[str, Tensor]:
        return {k.removeprefix(prefix): v for k, v in batch.items() if k.startswith(prefix)}

    levels = [named(f"level{i}.") for i in range(sum(k.endswith(".own") for k in batch))]
    fine = named("graph.")
    return GraphBatch(fine["pos"], fine["normal"], fine["edges"], fine["boundary"], levels, batch["sizes"].tolist())


def losses(batch: dict[str, Tensor], encoder: MeshEncoder, head: RigHead, size: Tensor) -> dict[str, Tensor]:
    """Terms of the loss on the edges of a batch; size [K] is a typical displacement of each channel."""
    graph, v, true, source = graph_of(batch), batch["at"], batch["basis"], batch["source"]
    g = encoder(graph)[v]
    pos = graph.pos[v]
    basis, logits = head(g, pos, graph.normal[v], source)
    off = (basis - true) / size[:, None]
    trust = torch.where(source == 0, 1.0, OTHER)[:, None]
    point = (trust * torch.sqrt((off**2).sum(-1) + 1e-4)).mean()
    a, b = off.chunk(2)
    pair = (trust[: len(a)] * torch.sqrt(((a - b) ** 2).sum(-1) + 1e-4)).mean()
    length = true.norm(dim=-1)
    seen = trust * (length / (0.1 * size)).clamp(max=1) * (length > 0.03 * size)
    cosine = (basis * true).sum(-1) / (basis.norm(dim=-1).clamp(min=1e-5) * length.clamp(min=1e-5))
    way = (seen * (1 - cosine)).sum() / seen.sum().clamp(min=1)
    near, weight = batch["near"], batch["weight"]
    labelled = (near[:, 0] >= 0).float()
    logp = logits.log_softmax(1).gather(1, near.clamp(min=0))
    unlikely = FAR_OFF * torch.log1p(-(logp * weight).sum(1) / FAR_OFF)  # a face that lies elsewhere must not be all that counts
    label = (unlikely * labelled).sum() / labelled.sum().clamp(min=1)
    placed = labelled * (near[:, 0] < len(head.place))
    place = (head.place[near.clamp(0, len(head.place) - 1), :3] * weight[..., None]).sum(1)
    apart = torch.sqrt(((head.spot(g, pos) - place) ** 2).sum(1) + 1e-5)
    spot = (apart * placed).sum() / placed.sum().clamp(min=1)
    return {"point": point, "edge": pair, "way": way, "label": label, "spot": spot}


def settings(choices: list[str]) -> tuple[RigTraining, LoopSettings]:
    """From NAME=VALUE. Raises PTalkerError bad_setting."""
    training, loop = asdict(RigTraining()), asdict(LOOP)
    for choice in choices:
        name, _, value = choice.partition("=")
        owner = training if name in training else loop
        if name not in owner:
            raise PTalkerError("bad_setting", f"There is no setting {name}.", f"Known: {', '.join([*training, *loop])}.")
        owner[name] = like(name, value_of(value), owner[name])
    return RigTraining(**training), LoopSettings(**loop)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("data", "heads", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--init", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    a = parser.parse_args()
    try:
        training, loop = settings(a.set)
        best = fit(RigTask(a.data, a.heads, RigConfig(), training, loop.seed, a.init), loop, a.out, file=FILE)
    except PTalkerError as error:
        raise SystemExit(f"{error.sentence} {error.fix}".strip()) from error
    print(json.dumps(best))


if __name__ == "__main__":
    main()
