"""What others' models do, what the switches take out, and the command that compares them."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tiny_corpus import write_corpus

from benchmarks import ablations
from benchmarks.baselines import table
from benchmarks.baselines.bench import REAL, TAUGHT, Amount, Bench
from benchmarks.baselines.causal import periodic_bias
from benchmarks.baselines.faceformer import FaceFormer
from benchmarks.baselines.figures import FIGURES, apart, frames_found
from benchmarks.baselines.probes import linear_probe
from benchmarks.baselines.published import PublishedPTalker, coordinate_factor, degenerate_contrastive
from benchmarks.baselines.rows import ROWS, Place, settings_of
from benchmarks.baselines.task import BaselineTask, OurTask
from ptalker_blender.core import cli, losses
from ptalker_blender.core.channels import UPPER_FACE
from ptalker_blender.core.errors import PTalkerError
from ptalker_blender.core.model.config import Config
from ptalker_blender.core.model.decoder import Block
from ptalker_blender.core.model.motion_encoder import MotionEncoder
from ptalker_blender.core.model.ptalker import PTalker
from ptalker_blender.core.model.seen import Seen
from ptalker_blender.core.model.time_attention import DiagonalAttention
from ptalker_blender.core.train.settings import RunSettings, from_tables

SMALL = {
    "loop": {"steps": 2, "every": 2, "threads": 1, "device": "cpu", "warmup": 1},
    "data": {"real": 2, "synthetic": 3, "seconds": 3, "identities": 1, "motion_heads": 2, "style_pairs": 2},
    "model": {"width": 32, "blocks": 1, "style": 8, "node_width": 8, "frame_width": 16},
}
LITTLE = Amount(taught=2, styles=3, crops=2, probed=2, references=2)
FEATURES, FRAMES = 6, 20


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    data, out = write_corpus(tmp_path_factory.mktemp("data")), tmp_path_factory.mktemp("corpus") / "shards"
    command = ["corpus", "--data", str(data), "--out", str(out), "--passes", "1", "--quiet", "8", "--threads", "1"]
    assert cli.main(command) == 0
    return Place(data, out, out / "fits")


@pytest.fixture(scope="module")
def bench(place: Place) -> Bench:
    return Bench(place.data, place.fits, place.corpus, LITTLE)


def settings() -> RunSettings:
    return from_tables({k: dict(v) for k, v in SMALL.items()})


def loud(net: torch.nn.Module) -> None:
    """Random weights everywhere, so that no path is switched off by a zero start; no dropout."""
    torch.manual_seed(0)
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.3)
    net.eval()


def heard(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """features, their times, speaker, times of FRAMES frames: two features a frame."""
    features = torch.randn(2, 2 * FRAMES, FEATURES, generator=torch.Generator().manual_seed(seed))
    return features, torch.arange(2 * FRAMES) / 50, torch.tensor([0, 1]), torch.arange(FRAMES) / 25


def moved(net: torch.nn.Module, frame: int) -> list[bool]:
    """Which output frames change when the audio of one frame does."""
    features, *rest = heard()
    before = net(features, *rest)
    features = features.clone()
    features[:, 2 * frame] += 3.0
    return ((before - net(features, *rest)).abs().amax((0, 2)) > 1e-5).tolist()


def test_faceformer_is_causal_and_hears_the_same_frame_only() -> None:
    net = FaceFormer(FEATURES, 2, width=16, period=5)
    loud(net)
    assert moved(net, 7) == [t >= 7 for t in range(FRAMES)]


def test_faceformer_goes_on_from_its_own_output() -> None:
    net = FaceFormer(FEATURES, 2, width=16, period=5)
    loud(net)
    before = net(*heard())
    torch.nn.init.zeros_(net.motion_in.weight)  # now it does not see what it made
    after = net(*heard())
    assert torch.allclose(before[:, 0], after[:, 0]) and not torch.allclose(before[:, 2:], after[:, 2:], atol=1e-3)
    assert not torch.allclose(net(*heard())[0], net(*heard()[:2], torch.tensor([1, 1]), heard()[3])[0], atol=1e-3)


def test_kept_keys_give_what_running_again_gives() -> None:
    net = FaceFormer(FEATURES, 2, width=16, heads=2, layers=2, period=5)
    loud(net)
    x, audio = torch.randn(1, 9, 16), torch.randn(1, 9, 16)
    whole, _ = net.layers(x, audio, [])
    past, parts = [], []
    for t in range(9):
        y, past = net.layers(x[:, t : t + 1], audio[:, t : t + 1], past)
        parts.append(y)
    assert torch.allclose(whole, torch.cat(parts, 1), atol=1e-5)
    bias = periodic_bias(12, 12, 2, 5)
    assert torch.isinf(bias[0, 3, 4]) and bias[0, 11, 7] == 0 and bias[0, 11, 6] == -(2.0**-4) and bias[1, 11, 1] == -(2.0**-7)


def test_published_attention_to_audio_is_a_lookup() -> None:
    """With the truth given and the style's other roads shut, a frame hears its own instant and the past's echo only."""
    net = PublishedPTalker(FEATURES, 2, width=16, layers=1, period=5)
    loud(net)
    for p in net.audio_style_out.parameters():
        torch.nn.init.zeros_(p)  # the clip's maximum is no look at an instant
    features, at, speaker, times = heard()
    truth = torch.rand(2, FRAMES, 52)
    before = net.learn(features, at, speaker, times, truth).z
    features = features.clone()
    features[:, 14] += 3.0
    after = net.learn(features, at, speaker, times, truth).z
    changed = ((before - after).abs().amax((0, 2)) > 1e-6).tolist()
    assert changed == [t == 7 for t in range(FRAMES)]
    assert moved(net, 7)[:7] == [False] * 7


def test_published_run_feeds_its_output_back() -> None:
    net = PublishedPTalker(FEATURES, 2, width=16, layers=2, period=5)
    loud(net)
    torch.nn.init.zeros_(net.start)  # run time has no start, and at its first frame
    torch.nn.init.zeros_(net.motion_in.bias)  # no motion yet
    alone = net(*heard())
    assert alone.shape == (2, FRAMES, 52)
    # with its own output given as the truth: the style is of the whole clip there, of what there was so far here
    assert not torch.allclose(alone, net.learn(*heard(), alone).z, atol=1e-3)
    for p in net.style.parameters():
        torch.nn.init.zeros_(p)
    alone = net(*heard())
    assert torch.allclose(alone, net.learn(*heard(), alone).z, atol=1e-4)


def test_degenerate_contrastive_cannot_tell_shuffled_from_aligned() -> None:
    torch.manual_seed(0)
    a = torch.randn(2, 30, 8)
    m = a + 0.1 * torch.randn(2, 30, 8)
    shuffled = m[:, torch.randperm(30)]
    assert torch.allclose(degenerate_contrastive(a, m), degenerate_contrastive(a, shuffled), atol=1e-6)
    ours = [losses.contrastive_loss(a.flatten(0, 1), x.flatten(0, 1), 8) for x in (m, shuffled)]
    assert ours[1] > 5 * ours[0]


def test_published_mouth_loss_picks_coordinates_by_vertex_numbers() -> None:
    basis = torch.zeros(2, 4, 3)
    basis[0, 3] = 1.0  # channel 0 moves vertex 3 alone
    basis[1, 0, 2] = 1.0  # channel 1 moves z of vertex 0: coordinate 2
    root = coordinate_factor(basis, torch.tensor([2, 3]))
    assert torch.allclose((root @ torch.tensor([1.0, 0.0])).square().sum(), torch.tensor(0.0), atol=1e-6)
    assert torch.allclose((root @ torch.tensor([0.0, 1.0])).square().sum(), torch.tensor(0.5), atol=1e-6)


def small(**changed) -> Config:
    return Config(features=FEATURES, width=16, blocks=1, style=4, node_width=8, frame_width=8, **changed)


def ring(n: int) -> dict[str, torch.Tensor]:
    at = torch.arange(n)
    angle = at / n * 2 * torch.pi
    pos = torch.stack([angle.cos(), angle.sin(), torch.zeros(n)], 1)
    edges = torch.stack([torch.cat([at, at]), torch.cat([at.roll(1), at.roll(-1)])])
    return {"pos": pos, "normal": pos, "edges": edges, "edge_attr": torch.ones(2 * n, 7)}


def test_diagonal_switch_shuts_other_instants() -> None:
    attention = DiagonalAttention(4)
    memory, there, here = torch.randn(1, 20, 4), torch.arange(20) / 25, torch.arange(10) / 25
    before = attention(torch.randn(1, 10, 4), memory, here, there)
    memory[:, 6] += 1.0
    after = attention(torch.randn(1, 10, 4), memory, here, there)
    assert ((before - after).abs().amax((0, 2)) > 1e-6).tolist() == [t == 6 for t in range(10)]
    assert isinstance(Block(small(cross="diagonal")).cross_attention, DiagonalAttention)
    assert not isinstance(Block(small()).cross_attention, DiagonalAttention)


def test_without_the_graph_edges_do_not_matter_and_nearest_nodes_do() -> None:
    graph, motion = ring(12), torch.randn(1, 5, 12, 3) * 0.1
    for by_graph in (True, False):
        net = MotionEncoder(small(graph=by_graph, places=6, aligned=0))
        loud(net)
        if not by_graph:
            net.linear.set_places(graph["pos"])
        read = partial(read_plain, net)
        other = graph | {"edges": graph["edges"].flip(1).roll(3, 1)[[0, 0]]}
        assert torch.allclose(read(motion, graph)[0], read(motion, other)[0], atol=1e-6) != by_graph
        order = torch.arange(12).flip(0)  # other vertex numbers, the same places
        if not by_graph:
            turned = {"pos": graph["pos"][order]}
            assert torch.allclose(read(motion, graph)[1], read(motion[:, :, order], turned)[1], atol=1e-5)


def read_plain(net: MotionEncoder, motion: torch.Tensor, graph: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    return net(Seen.plain(motion, graph), 25.0)


def test_checkpoints_of_before_the_switches_load(tmp_path: Path) -> None:
    net, path = PTalker(small()), tmp_path / "new.safetensors"
    net.save(path, {})
    with safe_open(path, "pt") as f:
        meta, tensors = f.metadata(), {k: f.get_tensor(k) for k in f.keys()}
    config = {k: v for k, v in json.loads(meta["config"]).items() if k not in ("graph", "places", "cross")}
    save_file(tensors, tmp_path / "old.safetensors", meta | {"config": json.dumps(config)})
    assert asdict(PTalker.load(tmp_path / "old.safetensors")[0].config) == asdict(net.config)


def test_figures_tell_good_from_bad() -> None:
    rng = np.random.default_rng(0)
    a = torch.from_numpy(rng.normal(size=(3, 40, 8)).astype(np.float32))
    assert frames_found(a, a + 0.01) == 1.0 and frames_found(a, a.flip(1)) < 0.3
    assert apart(a, a) == 0.0 and apart(a, a + 2.0) > 1.0
    x, labels = rng.normal(size=(60, 5)), np.arange(60) % 3
    x[np.arange(60), labels] += 6.0
    assert linear_probe(x[:30], labels[:30], x[30:], labels[30:]) == 1.0
    assert linear_probe(x[:30], labels[:30], rng.normal(size=(30, 5)), labels[30:]) < 0.8


def test_rows_change_what_they_say_and_keep_the_amount() -> None:
    base = settings()
    for name, row in ROWS.items():
        s = settings_of(row, base, 7)
        assert s.loop.seed == 7 and s.loop.steps == 2 and s.data.real + s.data.synthetic == 5, name
        assert set(row.own) <= set(FIGURES), name
    assert settings_of(ROWS["no_kl"], base, 1).weights["kl"] == 0.0
    assert settings_of(ROWS["no_graph"], base, 1).model["graph"] is False
    assert settings_of(ROWS["no_teacher"], base, 1).data.synthetic == 0
    assert settings_of(ROWS["full"], base, 1) == base


def test_tasks_draw_what_they_need(place: Place) -> None:
    args = (settings(), place.data, place.corpus, place.fits)
    b = OurTask(*args, cross=False).batch(np.random.default_rng(0))
    assert torch.equal(b["other"], b["z"]) and b["other_row"].tolist() == list(range(5))
    task = BaselineTask("published", *args)
    b = task.batch(np.random.default_rng(0))
    upper = list(UPPER_FACE)
    assert b["known"][:2].all() and not b["known"][2:, :, upper].any()
    assert b["speaker"][:2].tolist() == [task.numbers[REAL]] * 2 and task.numbers[REAL] not in b["speaker"][2:].tolist()
    assert {TAUGHT, *task.set.voices} <= set(task.numbers)
    terms = task.losses(b)
    assert set(terms) <= set(task.weights) and all(torch.isfinite(t) for t in terms.values())


def test_the_command_makes_a_table_and_does_nothing_twice(
    place: Place, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = []
    for name, values in SMALL.items():
        lines += [f"[{name}]", *(f"{k} = {json.dumps(v)}" for k, v in values.items())]
    (tmp_path / "small.toml").write_text("\n".join(lines))
    monkeypatch.setattr(ablations, "Amount", lambda: LITTLE)
    rows = ["full", "faceformer", "published", "no_graph", "no_cross", "ridge"]
    command = ["ablations", "--data", str(place.data), "--corpus", str(place.corpus), "--out", str(tmp_path / "out")]
    command += ["--config", str(tmp_path / "small.toml"), "--rows", *rows, "--seeds", "1", "2"]
    monkeypatch.setattr(sys, "argv", command)
    ablations.main()
    first = capsys.readouterr().out
    done = sorted(p.name for p in (tmp_path / "out").glob("*.json"))
    assert done == sorted([f"{r}-{s}.json" for r in rows for s in (1, 2)] + ["settings.json"])
    full = json.loads((tmp_path / "out" / "full-1.json").read_text())
    assert set(FIGURES) - set(full["figures"]) <= {"leak_voice"} and all(map(np.isfinite, full["figures"].values()))
    assert "FaceFormer-style" in first and "no graph attention" in first and "±" in first
    stamps = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").glob("*-*.json")}
    ablations.main()
    assert {p: p.stat().st_mtime_ns for p in stamps} == stamps
    monkeypatch.setattr(sys, "argv", [*command, "--set", "loop.steps=3"])
    with pytest.raises(SystemExit, match="other settings"):
        ablations.main()
    monkeypatch.setattr(sys, "argv", ["ablations", "--out", str(tmp_path / "out"), "--table"])
    capsys.readouterr()
    ablations.main()
    assert capsys.readouterr().out.strip() == (tmp_path / "out" / "table.md").read_text("utf-8").strip()


def test_table_marks_what_is_worse_by_more_than_the_spread() -> None:
    runs = {
        "full": [{"r_s1": 0.90, "lve_s1": 5.0}, {"r_s1": 0.92, "lve_s1": 5.2}, {"r_s1": 0.91, "lve_s1": 5.1}],
        "no_kl": [{"r_s1": 0.90, "lve_s1": 4.0}, {"r_s1": 0.91, "lve_s1": 4.2}, {"r_s1": 0.89, "lve_s1": 4.1}],
        "diagonal": [{"r_s1": 0.80, "lve_s1": 5.1}, {"r_s1": 0.81, "lve_s1": 5.2}, {"r_s1": 0.82, "lve_s1": 5.0}],
    }
    assert table.mean_sd([1.0, 3.0]) == (2.0, pytest.approx(2**0.5))
    assert table.worse_by(runs, "diagonal", "r_s1") == pytest.approx(10.0)
    assert table.worse_by(runs, "no_kl", "lve_s1") == pytest.approx(-10.0)
    assert table.cell(runs, "diagonal", "r_s1").startswith("**0.810")
    assert not table.cell(runs, "no_kl", "lve_s1").startswith("*")
    text = table.markdown(runs)
    assert "| no cross-attention: diagonal | r_s1 **10.0**" in text and "lve_s1 **10.0** |" in text
    assert np.isnan(table.worse_by({"full": runs["full"][:1], "no_kl": runs["no_kl"]}, "no_kl", "r_s1"))


def test_settings_are_the_folders_own(tmp_path: Path) -> None:
    ablations.claim(tmp_path / "x", settings())
    ablations.claim(tmp_path / "x", settings())
    with pytest.raises(PTalkerError) as error:
        ablations.claim(tmp_path / "x", RunSettings())
    assert error.value.code == "run_differs"
