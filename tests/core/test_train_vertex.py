"""PTalker on raw vertices: free channels, training on miniatures of the data sets, and what a trained run can do."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model
from vertex_sets import V, brows, dome, lips, make_biwi, make_vocaset

from ptalker_blender.core import cli, vertex_runtime
from ptalker_blender.core.data import biwi, vocaset
from ptalker_blender.core.data.vertex_windows import VertexWindows
from ptalker_blender.core.errors import PTalkerError
from ptalker_blender.core.evaluate import sets, vertices
from ptalker_blender.core.model.free_basis import FreeBasis, principal
from ptalker_blender.core.train import vertex
from ptalker_blender.core.train.loop import LoopSettings
from ptalker_blender.core.vertex_runtime import VertexTalker, reference_frames

RECIPE = vertex.Recipe(batch=4, seconds=2.0, channels=8)
SETTINGS = LoopSettings(steps=3, every=3, device="cpu", threads=1, warmup=1)


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small wav2vec2 of random weights."""
    folder = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    config = Wav2Vec2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, conv_dim=(8,) * 7,
        num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    Wav2Vec2Model(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, speech: Path, encoder: Path) -> tuple[Path, Path]:
    """A miniature VOCASET and a run of three steps on it."""
    folder = tmp_path_factory.mktemp("vertex")
    data = make_vocaset(folder / "vocaset", speech)
    vertex.train(data, folder / "run", str(encoder), RECIPE, SETTINGS, folder / "features")
    return data, folder / "run"


def test_principal_directions_span_the_movement() -> None:
    rng = np.random.default_rng(0)
    flat = (rng.normal(size=(40, 3)) @ rng.normal(size=(3, 30))).astype(np.float32)
    basis = principal(flat, 8)
    assert basis.shape == (3, 30)  # what does not move needs no channel
    z = flat @ np.linalg.pinv(basis)
    np.testing.assert_allclose(z @ basis, flat, atol=1e-4)
    np.testing.assert_allclose(np.square(z).mean(0), 1.0, atol=1e-3)  # weights of size one


@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_the_coarse_graph_covers_what_moves_in_any_unit(scale: float) -> None:
    template, faces = dome()
    rng = np.random.default_rng(0)
    moves = np.zeros((20, V, 3))
    moves[:, V // 2 :, 1] = rng.normal(size=(20, 1)) * 0.005
    moves[:, lips(), 1] *= 2
    basis = FreeBasis.learn(moves * scale, template * scale, faces, 4, lips(), brows())
    nodes = basis.pooling()(moves.astype(np.float32) * scale)
    assert nodes.shape[1] == len(basis.graph()["pos"]) > 8
    assert 0.01 < np.abs(nodes).max() < 0.5  # as large as on the heads that the motion encoder knows
    assert float(basis.unit) == pytest.approx(np.sqrt(np.square(moves[:, lips(), 1]).mean()) * scale, rel=1e-4)
    shape = basis(torch.ones(1, basis.channels))[0] * basis.unit
    assert shape.shape == (V, 3) and shape[lips()].norm() > 100 * shape[brows()].norm()
    torch.testing.assert_close(basis(torch.ones(1, basis.channels), torch.tensor([3, 44]))[0], shape[[3, 44]] / basis.unit)


def test_reference_clips_go_to_and_fro() -> None:
    assert reference_frames(1000, 24.0, 10).tolist() == [10 + 3 * i for i in range(24)]
    short = reference_frames(5, 24.0, 0)
    assert short.min() >= 0 and short.max() <= 4 and len(set(short.tolist())) > 2


@pytest.mark.parametrize("layout", [vocaset, biwi])
def test_windows_keep_sound_and_motion_together(tmp_path: Path, speech: Path, layout) -> None:
    data = layout.load((make_vocaset if layout is vocaset else make_biwi)(tmp_path / "data", speech))
    clips = data.clips["train"]
    clock = {c.id: np.arange(1000, dtype=np.float32)[:, None] / 50 for c in clips}  # the "features" are their own times
    windows = VertexWindows(data, clips, clock, 1.0)
    truth = windows.displacements(clips[0], slice(None))
    starts = set()
    for i in range(20):
        w = windows.window(clips[0], np.random.default_rng(i))
        first = round(float(w.features[0, 0]) * data.layout.fps)
        starts.add(first)
        assert w.features[0, 0] == pytest.approx(first / data.layout.fps) and round(float(w.features[0, 0]) * 50) % 2 == 0
        np.testing.assert_array_equal(w.displacements, truth[first : first + windows.frames])
        assert w.known == windows.frames and len(w.features) == 50
    assert len(starts) > 3
    chosen = windows.choose(np.random.default_rng(0), 5)
    assert len({c.subject for c in chosen[:3]}) == 3


def test_a_run_reads_back_and_speaks(run: tuple[Path, Path], tmp_path: Path, speech: Path, monkeypatch) -> None:
    data = vocaset.load(run[0])
    talker = VertexTalker.load(run[1])
    assert set(talker.network.styles) == {*vocaset.TRAIN[:3], "neutral"} and talker.card["data"] == "VOCASET"
    assert talker.card["figures"]["lve"] > 0
    np.testing.assert_array_equal(talker.basis.faces.numpy(), data.faces())
    out = tmp_path / "x.npz"
    arguments = ["x", str(speech), "--run", str(run[1]), "--out", str(out), "--subject", vocaset.TEST[0]]
    monkeypatch.setattr(sys, "argv", [*arguments, "--style", vocaset.TRAIN[1]])
    assert vertex_runtime.main() == 0
    with np.load(out) as z:
        vertices, fps = z["vertices"], float(z["fps"])
    assert fps == 30.0 and vertices.shape[1:] == (V, 3) and np.isfinite(vertices).all()
    template = data.templates[vocaset.TEST[0]]
    assert 0 < np.abs(vertices - template).max() < 0.2
    monkeypatch.setattr(sys, "argv", [*arguments, "--style", "nobody"])
    assert vertex_runtime.main() == 2
    with pytest.raises(PTalkerError, match="trained on"):
        talker.generate(np.zeros(16000, np.float32), 30.0, template[:-1])


def test_chunks_join_exactly(run: tuple[Path, Path], monkeypatch) -> None:
    talker = VertexTalker.load(run[1])
    torch.nn.init.normal_(talker.network.decoder.head.weight)
    features = np.random.default_rng(0).normal(size=(900, talker.network.config.features)).astype(np.float16)
    template, style = np.zeros((V, 3), np.float32), talker.network.styles["neutral"]
    pieces = talker.animate(features, 30.0, template, style)
    monkeypatch.setattr(vertex_runtime, "CHUNK", 100.0)
    np.testing.assert_allclose(pieces, talker.animate(features, 30.0, template, style), atol=2e-4 * np.abs(pieces).max())


def test_every_term_trains_and_overfits_a_little(tmp_path: Path, speech: Path, encoder: Path) -> None:
    data = make_biwi(tmp_path / "biwi", speech)
    settings = LoopSettings(steps=10, every=10, device="cpu", threads=1, warmup=2, rate=4e-3, ema=0.3)
    recipe = replace(RECIPE, batch=3, seconds=1.3)
    task = vertex.VertexTask(biwi.load(data), recipe, vertex.SpeechEncoder.from_folder(encoder), tmp_path / "f", "x")
    terms = task.losses(task.batch(np.random.default_rng(0)))
    assert set(terms) == set(task.weights) and all(bool(torch.isfinite(v)) and v.ndim == 0 for v in terms.values())
    total = torch.stack(list(terms.values())).sum()
    total.backward()
    for name in ("net", "basis", "adversary"):
        unused = [n for n, p in task.modules[name].named_parameters() if p.grad is None]
        assert unused == [], name
        task.modules[name].zero_grad()
    before = task.validate(task.modules)
    figures = vertex.fit(task, settings, tmp_path / "run")
    assert figures["lve"] < 0.8 * before["lve"]
    assert (tmp_path / "run" / "ptalker.safetensors").is_file()


def test_one_command_gives_the_papers_table(run: tuple[Path, Path], tmp_path: Path, capsys) -> None:
    out = tmp_path / "report"
    assert cli.main(["evaluate", str(run[0]), "--assets", str(run[1]), "--report", str(out)]) == 0
    shown = capsys.readouterr().out
    groups = json.loads((out / "report.json").read_text("utf-8"))["groups"]
    rows = {"training styles": 6, "reference": 2, "voice": 2, "still": 2}  # 2 clips in 3 styles, then once each
    assert {k: v["clips"] for k, v in groups.items()} == {f"VOCASET-Test, {k}": n for k, n in rows.items()}
    assert all(name in shown for name in groups) and "LVE e-5" in shown
    data = vocaset.load(run[0])
    lve, fdd = [], []
    for clip in data.clips["test"]:  # the published formulae, on a face that does not move
        moves = clip.vertices() - data.templates[clip.subject]
        lve += np.square(moves[:, lips()]).sum(-1).max(1).tolist()
        fdd.append(np.square(moves[:, brows()]).sum(-1).std(0).mean())
    assert groups["VOCASET-Test, still"]["lve_native"] == pytest.approx(np.mean(lve), rel=1e-3)
    assert groups["VOCASET-Test, still"]["fdd_signed_native"] == pytest.approx(np.mean(fdd), rel=1e-3)
    assert groups["VOCASET-Test, still"]["lve_mm2"] == pytest.approx(np.mean(lve) * 1e6, rel=1e-3)
    assert "VOCASET-Test, voice" in (out / "report.html").read_text("utf-8")


def test_biwi_is_tested_on_seen_and_unseen_subjects(run: tuple[Path, Path], tmp_path: Path, speech: Path) -> None:
    talker = VertexTalker.load(run[1])
    talker.network.styles |= {s: talker.network.styles["neutral"] for s in biwi.SEEN[:3]}  # as if trained on BIWI
    talker.save(run[1].parent / "biwi_run.safetensors")
    folder = tmp_path / "run"
    folder.mkdir()
    (run[1].parent / "biwi_run.safetensors").rename(folder / "ptalker.safetensors")
    shutil.copytree(run[1] / "speech_encoder", folder / "speech_encoder")
    data = make_biwi(tmp_path / "biwi", speech)
    result, pictures = vertices.evaluate_run(folder, data, sets.Options(most=2), None, lambda *_: None)
    counts = {k: v["clips"] for k, v in result["groups"].items()}
    assert counts == {
        "BIWI-Test-A": 2, "BIWI-Test-A, reference": 2, "BIWI-Test-A, voice": 2, "BIWI-Test-A, still": 2,
        "BIWI-Test-B, training styles": 3, "BIWI-Test-B, reference": 1, "BIWI-Test-B, voice": 1, "BIWI-Test-B, still": 1,
    }  # fmt: skip
    assert all(p.startswith(b"\x89PNG") for p in pictures.values())
    with pytest.raises(PTalkerError, match="not trained on the subjects of BIWI"):
        vertices.evaluate_run(run[1], data, sets.Options(), None, lambda *_: None)


def test_models_with_named_channels_are_given_a_mesh(run: tuple[Path, Path]) -> None:
    reader = sets.find_reader(run[0])
    items = list(reader(run[0], sets.Options(most=1)))
    assert reader.name == "VOCASET" and [i.group for i in items] == ["VOCASET-Test"]
    item = items[0]
    assert item.face.mesh is not None and item.face.mesh[1].shape[1] == 4 and item.face.native
    assert abs(len(item.truth()) / item.fps - len(item.audio) / 16000) < 0.05 and item.subject == vocaset.TEST[0]


def test_mistakes_are_told(tmp_path: Path, speech: Path, encoder: Path) -> None:
    with pytest.raises(PTalkerError, match="is not VOCASET or BIWI"):
        vertex.train(tmp_path, tmp_path / "run", None, RECIPE, SETTINGS, tmp_path)
    data = make_vocaset(tmp_path / "vocaset", speech)
    (data / "FLAME_sample.ply").unlink()
    with pytest.raises(PTalkerError, match=r"FLAME_sample\.ply"):
        vertex.train(data, tmp_path / "run", str(encoder), RECIPE, SETTINGS, tmp_path)
    with pytest.raises(PTalkerError):
        VertexTalker.load(tmp_path)
