"""``evaluate`` on a data folder of a few clips, with the shipped model; and its parts on truths that are known."""

from __future__ import annotations

import base64
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_cli import refused
from tiny_corpus import phones, write_corpus

from ptalker_blender.core import cli
from ptalker_blender.core.errors import PTalkerError
from ptalker_blender.core.evaluate import card, corpus, measure, metrics, report, sets
from ptalker_blender.core.evaluate.ours import Ours
from ptalker_blender.core.evaluate.run import Wanted, compare
from ptalker_blender.core.evaluate.sets import Face, Item, Options
from ptalker_blender.core.model.ptalker import PTalker as Network
from ptalker_blender.core.runtime import ASSETS, PTalker
from ptalker_blender.core.train import pack

GROUPS = ["GRID s1 dev", "GRID unseen speakers", "synthetic en", "synthetic es", "studio prompts en"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny corpus with a second English dev sentence (styles need two) and one studio prompt."""
    folder = write_corpus(tmp_path_factory.mktemp("corpus"))
    manifest = folder / "speech" / "manifest.jsonl"
    lines = [json.loads(line) for line in manifest.read_text("utf-8").splitlines()]
    for line in lines:
        if line["sentence"] == "en_common_001":
            line["split"] = "dev"
    manifest.write_text("\n".join(json.dumps(line) for line in lines), "utf-8")
    (folder / "speech_real").mkdir()
    sound = f"../speech/{lines[0]['file']}"
    prompt = {"file": sound, "language": "en", "seconds": 3.0, "phones": phones(7), "aligner": "hama+pocketsphinx"}
    (folder / "speech_real" / "manifest.jsonl").write_text(json.dumps(prompt), "utf-8")
    return folder


@pytest.fixture(scope="module")
def made(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a report as the command line writes it; also FIGURES.json beside it."""
    out = tmp_path_factory.mktemp("report") / "out"
    assert cli.main(["evaluate", str(data), "--report", str(out), "--card", str(out.parent / "card.json"), "--most", "4"]) == 0
    return out


@pytest.fixture(scope="module")
def result(made: Path) -> dict[str, Any]:
    return json.loads((made / "report.json").read_text("utf-8"))


def items(data: Path, made: Path) -> list[Item]:
    return list(sets.find_reader(data)(data, Options(fits=made / "fits")))


def test_json_has_every_figure(result: dict[str, Any]) -> None:
    assert list(result["groups"]) == GROUPS
    assert [row["clips"] for row in result["groups"].values()] == [1, 2, 4, 1, 1]
    for name, row in result["groups"].items():
        assert -1 <= row["r"] <= 1 and -1 <= row["r_floor"] <= 1 and row["lag_ms"] in metrics.LAGS
        assert row["r_best_lag"] >= -1 and 0 <= row["closed"] <= 1 and 0 <= row["closed_height"] <= 1 and row["closures"] > 0
        assert 0 < row["lip_max_mm"] < 40 and row["lip_max_mm"] ** 2 <= row["lve_mm2"] * 1.001
        assert 0 < row["mve_mm"] < row["lip_max_mm"]
        assert row["jitter_ratio"] == pytest.approx(row["jitter_m_s3"] / row["jitter_truth_m_s3"], rel=1e-3)
        assert ("fdd_mm" in row) == ("fdd_signed_mm2" in row) == name.startswith("GRID")
        assert 0 <= row["rounding_auc"] <= 1 and row["rounding_auc_truth"] > 0.5
    assert result["groups"]["synthetic en"]["closed_truth"] == 1.0
    for language, row in result["languages"].items():
        group = result["groups"][f"synthetic {language}"]
        assert row["r"] == group["r"]
        assert row["to_english"] == pytest.approx(row["r"] / result["languages"]["en"]["r"], rel=1e-3)
    assert {"silence", "white noise -20 dB", "hum 50 Hz"} <= set(result["still"])
    assert all(0 <= row["jaw_open"] <= 1 and row["gap_mm"] >= 0 for row in result["still"].values())
    assert result["speed"]["seconds"] == 60 and result["speed"]["x_real_time"] > 0


def test_style_figures(result: dict[str, Any]) -> None:
    style = result["style"]
    assert style["styles"] == 4 and style["sentences"] == 2 and style["voices"] == 2
    for name in ("retrieval", "retrieval_other_mesh", "triples", "retrieval_voice"):
        assert 0 <= style[name] <= 1
    assert style["cross_to_own"] == pytest.approx(style["cross_error_mm"] / style["own_error_mm"], rel=1e-3)
    assert style["cross_to_neutral"] == pytest.approx(style["cross_error_mm"] / style["neutral_error_mm"], rel=1e-3)


def test_the_page_stands_alone_and_says_what_the_json_says(made: Path, result: dict[str, Any]) -> None:
    page = (made / "report.html").read_text("utf-8")
    assert not re.search(r"(src|href)=\"(?!data:)", page) and "<script" not in page
    pictures = re.findall(r"data:image/png;base64,([^\"]+)\"", page)
    assert len(pictures) == 9
    assert all(base64.b64decode(p).startswith(b"\x89PNG") for p in pictures)
    for group in GROUPS:
        assert f"<td>{group}</td>" in page
    for row in result["groups"].values():
        for key in ("r", "lve_mm2", "closed", "jitter_ratio"):
            assert f"<td>{report.show(row[key])}</td>" in page
    for key in {k for row in result["groups"].values() for k in row}:
        assert report.LEGEND[key][1].split("'")[0] in page.replace("&#x27;", "'")


def test_the_same_command_gives_the_same_figures(data: Path, made: Path, result: dict[str, Any]) -> None:
    """... and fits that were made before are read again."""
    before = (made / "fits" / "grid_s1.npz").stat().st_mtime_ns
    ours = Ours(PTalker.load(None, "cpu"))
    again = compare(ours, Wanted(data, floor=False, most=4), made / "fits", lambda stage, fraction: None)
    assert (made / "fits" / "grid_s1.npz").stat().st_mtime_ns == before
    for group, row in again.summaries.items():
        for key, value in row.items():
            assert value == pytest.approx(result["groups"][group][key], rel=1e-3, abs=1e-4), (group, key)


def test_the_card_takes_its_figures_from_the_report(made: Path, result: dict[str, Any]) -> None:
    figures = json.loads((made.parent / "card.json").read_text("utf-8"))
    assert figures["groups"]["GRID s1 dev"]["r"] == result["groups"]["GRID s1 dev"]["r"]
    text = card.fill(f"# Card\n{card.BEGIN}\nold\n{card.END}\nrest\n", figures)
    assert text.startswith("# Card\n") and text.endswith("\nrest\n") and "old" not in text
    assert f"| GRID s1 dev | 1 | {result['groups']['GRID s1 dev']['r']:.3f}".rstrip("0") in text
    assert card.fill(text, figures) == text
    compared = card.compare(figures, result)
    assert len(compared) > 40 and all(a == b for a, b in compared.values())
    figures["groups"]["GRID s1 dev"]["r"] = 0.5
    changed = {k: v for k, v in card.compare(figures, result).items() if v[0] != v[1]}
    assert changed == {"groups / GRID s1 dev / r": (0.5, result["groups"]["GRID s1 dev"]["r"])}
    with pytest.raises(PTalkerError, match="no place"):
        card.fill("# Card", figures)


def test_packing_writes_them_into_both_cards(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = made.parent / "card.json"
    shutil.copy(ASSETS / "MODEL_CARD.md", tmp_path)
    call = ["pack", "--run", str(ASSETS), "--assets", str(tmp_path), "--figures", str(figures)]
    monkeypatch.setattr(sys, "argv", call)
    pack.main()
    network, stored = Network.load(tmp_path / "ptalker.safetensors")
    assert stored["figures"] == json.loads(figures.read_text("utf-8"))
    assert card.markdown(stored["figures"]) in (tmp_path / "MODEL_CARD.md").read_text("utf-8")
    shipped, _ = Network.load(ASSETS / "ptalker.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), shipped.parameters(), strict=True))


def test_the_truth_itself_is_perfect(data: Path, made: Path) -> None:
    groups = measure.evaluate_items(items(data, made), lambda item: item.truth())
    for name, clips in groups.items():
        row = measure.summary(clips)
        assert row["lve_mm2"] == row["mve_mm"] == 0 and row["jitter_ratio"] == 1
        assert row["lag_ms"] == 0 and row["closed"] >= 0.8
        assert row["r"] == pytest.approx(1.0) if name not in GROUPS[:2] else row["r"] > 0.98  # fitted, against tracked
        assert row.get("fdd_mm", 0.0) == row.get("fdd_signed_mm2", 0.0) == 0


def test_a_late_and_a_still_face_are_found_out(data: Path, made: Path) -> None:
    spoken = [i for i in items(data, made) if i.group == "synthetic en"]
    late = measure.summary(measure.evaluate_items(spoken, lambda i: np.roll(i.truth(), 1, axis=0))["synthetic en"])
    assert late["lag_ms"] == 40 and late["r"] < 0.98 and late["r_best_lag"] > 0.99
    real = [i for i in items(data, made) if i.group == "GRID unseen speakers"]
    still = measure.summary(measure.evaluate_items(real, lambda i: np.tile(i.face.neutral, (75, 1, 1)))[real[0].group])
    assert still["fdd_mm"] > 0 and still["fdd_signed_mm2"] > 0 and still["r"] == 0 and still["jitter_ratio"] == 0


def test_a_set_of_vertices_only() -> None:
    """As VOCASET's: metres, no channels, no mouth to measure. Half a second more of ours is not compared."""
    rng = np.random.default_rng(0)
    face = Face("f", np.zeros((6, 3)), np.array([0, 1]), np.array([4, 5]), mm=1000.0, native=True)
    truth = rng.normal(size=(20, 6, 3)) * 0.01
    item = Item("vocaset test", "a_01", "a", np.zeros(16000, np.float32), 30.0, face, vertices=truth)
    pred = np.concatenate([truth + np.array([0, 0.003, 0.004]), np.ones((15, 6, 3))])
    row = measure.summary([measure.measure(item, pred)])
    assert row["lve_mm2"] == pytest.approx(25.0) and row["lve_native"] == pytest.approx(25e-6)
    assert row["mve_mm"] == pytest.approx(5.0) and row["fdd_mm"] == pytest.approx(0.0, abs=1e-9)
    assert row["fdd_signed_native"] == pytest.approx(metrics.signed_fdd(pred[:20], truth, face.neutral, face.upper))
    assert "r" not in row and "closed" not in row
    with pytest.raises(ValueError, match="vertices"):
        measure.measure(item, pred[:, :5])


def test_the_rig_head_moves_a_face_that_has_no_basis(data: Path) -> None:
    face = corpus.ict_face(corpus.read_ict(data))
    with np.load(Path(__file__).resolve().parents[2] / "demo" / "head.npz") as z:  # the made-up face is none that is recognised
        head = z["vertices"].astype(np.float64), z["faces"].astype(np.int64)
    kept = np.arange(0, len(head[0]), 2)
    bare = Face("bare", head[0][kept], kept[:9], kept[9:18], mesh=head, kept=kept)
    ours = Ours(PTalker.load(None, "cpu"))
    assert ours.basis(face) is face.basis
    basis = ours.basis(bare)
    assert basis.shape == (52, len(bare.neutral), 3) and np.abs(basis).max() > 0 and ours.basis(bare) is basis


def test_most_is_a_choice_that_stays(data: Path, made: Path) -> None:
    few = [list(sets.find_reader(data)(data, Options(fits=made / "fits", most=1, seed=s))) for s in (0, 0, 5)]
    assert [len(f) for f in few] == [5, 5, 5]
    assert [i.name for i in few[0]] == [i.name for i in few[1]]


def test_what_cannot_be_evaluated(capfd: pytest.CaptureFixture[str], data: Path, made: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for folder in (tmp_path / "none", tmp_path, data / "speech"):
        assert "folder" in refused(capfd, "evaluate", folder, "--report", out)
    assert not out.exists()
    assert "grid_s1.npz" in refused(capfd, "evaluate", data, "--report", out, "--fits", tmp_path)
    for bad in (("--most", "0"), ("--most", "x"), ("--assets", tmp_path), ("--style", "nobody's"), ("--no-such",)):
        refused(capfd, "evaluate", data, "--report", out, "--fits", made / "fits", "--no-floor", *bad)


def test_a_report_that_cannot_be_written(capfd: pytest.CaptureFixture[str], data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file" / "out", tmp_path / ("x" * 5000)):
        assert "cannot be written" in refused(capfd, "evaluate", data, "--report", out)
    no_card = refused(capfd, "evaluate", data, "--report", tmp_path / "out", "--card", tmp_path / "no" / "card.json")
    assert "cannot be written" in no_card and not list((tmp_path / "out").iterdir())
    assert report.paths(Path("a/b.html")) == (Path("a/b.json"), Path("a/b.html"))


def test_a_broken_corpus(capfd: pytest.CaptureFixture[str], data: Path, tmp_path: Path) -> None:
    for name in ("heads", "speech"):
        (tmp_path / name).mkdir()
    (tmp_path / "heads" / "ict_facekit.npz").write_bytes(b"PK\x03\x04 not a zip")
    assert "cannot be read" in refused(capfd, "evaluate", tmp_path, "--report", tmp_path / "out")


def test_without_matplotlib(
    capfd: pytest.CaptureFixture[str], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "requirements/train.txt" in refused(capfd, "evaluate", data, "--report", tmp_path / "out")
