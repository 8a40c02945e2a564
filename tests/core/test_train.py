"""From a data folder to a checkpoint: the corpus and train commands on a corpus of some seconds."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_corpus import write_corpus, write_encoder

from ptalker_blender.core import cli
from ptalker_blender.core.channels import INDEX
from ptalker_blender.core.data.corpus import REAL_TIMES
from ptalker_blender.core.data.motion_set import MotionSet, find_shards
from ptalker_blender.core.data.teacher import TeacherStyle
from ptalker_blender.core.data.windows import read_clips, said
from ptalker_blender.core.errors import PTalkerError
from ptalker_blender.core.model.ptalker import PTalker
from ptalker_blender.core.train.loop import fit, step_rng
from ptalker_blender.core.train.motion import MotionTask
from ptalker_blender.core.train.motion_batch import NO_SPEAKER
from ptalker_blender.core.train.settings import WEIGHTS, RunSettings, from_tables, read_settings
from ptalker_blender.core.train.supposed import shared, write

ROOT = Path(__file__).resolve().parents[2]
SMALL = {
    "loop": {"steps": 4, "every": 2, "threads": 1, "device": "cpu", "warmup": 1},
    "data": {"real": 2, "synthetic": 3, "seconds": 3, "identities": 1, "motion_heads": 4, "style_pairs": 2, "taught": 0},
    "model": {"width": 32, "blocks": 1, "style": 8, "node_width": 8, "frame_width": 16},
}


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def shards(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("corpus") / "shards"
    assert cli.main(corpus_command(data, out)) == 0
    return out


def corpus_command(data: Path, out: Path) -> list[str]:
    encoder = data / "encoders" / "whisper-tiny.en-encoder"
    amount = ["--passes", "1", "--quiet", "8", "--threads", "1"]
    return ["corpus", "--data", str(data), "--out", str(out), "--speech-encoder", str(encoder), *amount]


def task(folder: Path, corpus: Path, init: Path | None = None, **tables) -> MotionTask:
    merged = {k: SMALL.get(k, {}) | tables.get(k, {}) for k in {**SMALL, **tables}}
    return MotionTask(from_tables(merged), folder, corpus, corpus / "fits", init)


def config(folder: Path) -> Path:
    lines = []
    for table, values in SMALL.items():
        lines += [f"[{table}]", *(f"{k} = {json.dumps(v)}" for k, v in values.items())]
    (folder / "small.toml").write_text("\n".join(lines))
    return folder / "small.toml"


def train_command(folder: Path, data: Path, shards: Path, *more: str) -> list[str]:
    folder.mkdir(exist_ok=True)
    out = folder / "run"
    return ["train", str(config(folder)), "--data", str(data), "--corpus", str(shards), "--out", str(out), *more]


def test_corpus_says_what_is_in_it(shards: Path) -> None:
    card = json.loads((shards / "corpus.json").read_text())
    assert card["encoder"] == "whisper-tiny.en-encoder" and card["features"] == 32
    real = {f"real_{i}" for i in range(REAL_TIMES)}
    assert set(card["shards"]) == {"dev_real", "dev_speech", "quiet", "speech_0"} | real
    for name, shard in card["shards"].items():
        features = np.load(shards / f"{name}.npy", mmap_mode="r")
        assert features.shape == (shard["windows"], 400, 32) and features.dtype == np.float16
    assert card["hours"] > 0 and (shards / "fits" / "grid_s1.npz").is_file()


def test_corpus_goes_on_where_it_was_stopped(data: Path, shards: Path, tmp_path: Path) -> None:
    out = shutil.copytree(shards, tmp_path / "part")
    expected = (out / "speech_0.npy").read_bytes()
    (out / "speech_0.jsonl").unlink()  # stopped before the end of this one
    kept = (out / "real_0.npy").stat().st_mtime_ns
    assert cli.main(corpus_command(data, out)) == 0
    assert (out / "speech_0.npy").read_bytes() == expected and (out / "real_0.npy").stat().st_mtime_ns == kept


def test_corpus_keeps_to_one_encoder(data: Path, shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_encoder(tmp_path / "other", hidden=8)
    assert cli.main([*corpus_command(data, shards), "--speech-encoder", str(tmp_path / "other")]) == 2
    assert "whisper-tiny.en-encoder" in capsys.readouterr().err
    assert cli.main(corpus_command(tmp_path, tmp_path / "x")) == 2
    assert "grid_s1/clips.jsonl" in capsys.readouterr().err


def test_corpus_notices_other_clips(data: Path, shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = shutil.copytree(data, tmp_path / "more")
    shutil.copytree(more / "speech", more / "synthetic_more")
    assert cli.main(corpus_command(more, shards)) == 2
    assert "other clips" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that even root cannot read from its beginning")
def test_a_settings_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "c.toml").symlink_to("/proc/self/mem")
    with pytest.raises(PTalkerError, match="cannot be read"):
        read_settings(tmp_path / "c.toml")


@pytest.mark.parametrize("line", ["{", '{"voice": "a"}', "3"])
def test_a_manifest_that_is_damaged_is_named(data: Path, tmp_path: Path, line: str) -> None:
    broken = shutil.copytree(data, tmp_path / "data") / "speech" / "manifest.jsonl"
    first = broken.read_text("utf-8").splitlines()[0]
    broken.write_text(f"{first}\n{line}\n", "utf-8")
    with pytest.raises(PTalkerError, match=r"Line 2 of '.*manifest\.jsonl'") as error:
        read_clips(tmp_path / "data")
    assert error.value.code == "data_broken"


@pytest.mark.parametrize(
    "arguments",
    [
        ["corpus", "--data", "d", "--out", "o", "--quiet", "-5"], ["corpus", "--data", "d", "--out", "o", "--passes", "-1"],
        ["corpus", "--data", "d", "--out", "o", "--threads", "-1"], ["evaluate", "d", "--report", "o", "--seed", "-1"],
    ],
)  # fmt: skip
def test_numbers_below_what_can_be(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert end.value.code == 2 and f"{arguments[-1]} is below" in capsys.readouterr().err


def test_train_writes_a_model_that_loads(data: Path, shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(train_command(tmp_path, data, shards)) == 0
    assert "Best at step" in capsys.readouterr().out
    net, card = PTalker.load(tmp_path / "run" / "ptalker.safetensors")
    assert set(net.styles) == {"natural", "teacher", "neutral"} and torch.equal(net.styles["natural"], net.styles["neutral"])
    assert not torch.allclose(net.styles["natural"], net.styles["teacher"])
    assert card["recipe"]["loop"]["steps"] == 4 and card["figures"]["step"] in (2, 4)
    assert net.config.features == 32 and net.config.width == 32
    line = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[-1])
    assert {"r_s1", "r_unseen", "r_teacher", "lve_s1", "lve_unseen", "closed", "score", *WEIGHTS} <= set(line)
    assert line["lve_s1"] > 0 and line["step"] == 4
    assert cli.main(train_command(tmp_path, data, shards, "--set", "loop.steps=6")) == 0
    assert torch.load(tmp_path / "run" / "last.pt", weights_only=True)["done"] == 6


def test_a_new_run_begins_with_a_model(data: Path, shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--init: the weights of a model, another schedule, also where the run's voices are others."""
    first = task(data, shards)
    torch.manual_seed(5)
    net = first.modules["net"]
    assert isinstance(net, PTalker)
    torch.nn.init.normal_(net.decoder.head.weight)
    net.save(tmp_path / "model.safetensors", {})
    second = task(data, shards, init=tmp_path / "model.safetensors", data={"synthetic": 0, "shards": ["real_*"]})
    assert len(second.set.voices) < len(first.set.voices) and torch.equal(weights(first), weights(second))
    assert torch.equal(net.audio.mean, second.modules["net"].audio.mean)  # type: ignore[union-attr]
    init = ["--init", str(tmp_path / "model.safetensors")]
    still = ["--set", "loop.rate=1e-9", "--set", "loop.steps=1", "--set", "loop.decay=0.0"]
    assert cli.main(train_command(tmp_path, data, shards, *init, *still)) == 0
    trained, _ = PTalker.load(tmp_path / "run" / "ptalker.safetensors")
    assert torch.allclose(trained.decoder.head.weight, net.decoder.head.weight, atol=1e-6)
    capsys.readouterr()
    assert cli.main(train_command(tmp_path / "x", data, shards, *init, "--set", "model.width=16")) == 2
    assert "other sizes" in capsys.readouterr().err


def test_references_are_told_apart_on_two_heads(data: Path, shards: Path) -> None:
    t = task(data, shards, data={"style_pairs": 5})
    batch = t.batch(step_rng(1, 0, 0, 0))
    assert len(batch["ref_a"]) == len(batch["ref_b"]) == 10 and batch["distinct"].tolist()[-5:] == [5, 6, 7, 8, 9]
    assert batch["habits"].isnan().all(1).tolist() == [True] * 2 + [False] * 7 + [True]  # two real windows, one restyled pair
    assert len({int(batch[f"head_{k}"]) for k in ("a0", "a1", "b0", "b1")}) == 4
    net = t.modules["net"].eval()
    found = t.styles(net, batch, "b")  # type: ignore[arg-type]
    other = {**batch, "ref_b": batch["ref_b"].clone()}
    other["ref_b"][3] = 0.5
    changed = (t.styles(net, other, "b") - found).abs().amax(1)  # type: ignore[arg-type]
    assert changed.argmax() == 3, "rows come back in their order"
    few = task(data, shards, weights={"style_nce": 0, "style_habits": 0})
    assert len(few.batch(step_rng(1, 0, 0, 0))["ref_a"]) == 5


def test_references_of_any_length_and_rate(data: Path, shards: Path) -> None:
    t, rng = task(data, shards), np.random.default_rng(0)
    for style in (None, TeacherStyle.neutral()):
        for seconds, fps in ((2.0, 6.0), (9.0, 12.0)):  # the clips have 3 s
            z = t.set.reference(rng, style, seconds, fps)
            assert z.shape == (round(seconds * fps), 52) and z[:, INDEX["jawOpen"]].max() > 0.05
            late = z[round(4 * fps) :]
            assert not len(late) or np.ptp(late[:, INDEX["jawOpen"]]) > 0.03, "it goes on in other sentences"


def weights(t: MotionTask) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in t.modules["net"].parameters()])


def test_same_seed_same_weights_also_in_two_parts(data: Path, shards: Path, tmp_path: Path) -> None:
    whole, parts = task(data, shards), task(data, shards)
    fit(whole, whole.settings.loop, tmp_path / "whole")
    stop_after(parts, 3)
    with pytest.raises(KeyboardInterrupt):
        fit(parts, parts.settings.loop, tmp_path / "parts")
    rest = task(data, shards)
    fit(rest, rest.settings.loop, tmp_path / "parts")
    assert torch.equal(weights(whole), weights(rest))


def stop_after(t: MotionTask, steps: int) -> None:
    """Ask for the end in the last of so many steps, as Ctrl-C does."""
    import signal

    count, losses = [0], t.losses

    def counted(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        count[0] += 1
        if count[0] == steps:
            os.kill(os.getpid(), signal.SIGINT)
        return losses(batch)

    t.losses = counted  # type: ignore[method-assign]


def test_two_processes(data: Path, shards: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "ptalker_blender.core",
    ]
    done = subprocess.run(
        [*command, *train_command(tmp_path, data, shards, "--set", "loop.steps=2")], cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}, timeout=180,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Best at step") == 1 and (tmp_path / "run" / "ptalker.safetensors").is_file()


@pytest.mark.parametrize("missing", ["real", "synthetic"])
def test_one_kind_of_data_is_enough(data: Path, shards: Path, tmp_path: Path, missing: str) -> None:
    t = task(data, shards, data={missing: 0}, loop={"steps": 1})
    fit(t, t.settings.loop, tmp_path)
    styles = PTalker.load(tmp_path / "ptalker.safetensors")[0].styles
    assert torch.equal(styles["neutral"], styles["natural" if missing == "synthetic" else "teacher"])


def test_a_term_of_weight_0_is_not_computed(data: Path, shards: Path) -> None:
    every = task(data, shards)
    batch = every.batch(step_rng(1, 0, 0, 0))
    assert set(every.losses(batch)) == set(WEIGHTS)
    off = ("contrastive", "kl", "content_decode", "independence", "adversary", "style_nce", "style_agree")
    few = task(data, shards, weights=dict.fromkeys(off, 0))
    assert not set(off) & set(few.losses(batch))


def test_voiceless_windows_take_no_part_in_style_and_speaker(data: Path, shards: Path) -> None:
    t = task(data, shards, data={"quiet": 1.0, "restyled": 0.0})
    batch = t.batch(step_rng(1, 0, 0, 0))
    assert batch["speaker"].tolist()[2] == NO_SPEAKER and batch["agree"].tolist()[2] == 0
    assert (batch["speaker"][[0, 1, 3, 4]] != NO_SPEAKER).all() and batch["agree"].tolist()[:2] == [1, 1]
    style, contents = torch.randn(5, 8), [torch.randn(5, 32)]
    other = contents[0].clone()
    other[2] += 1.0
    a, b = (t.separation(style, c, batch["speaker"])["adversary"] for c in (contents, [other]))
    assert torch.equal(a, b)


def test_real_windows_are_shown_with_other_habits(data: Path, shards: Path) -> None:
    """Of two batches that draw the same windows, one has real rows as tracked, one restyled: sounds agree, faces differ."""
    plain, other = (task(data, shards, data={"restyled": share}).batch(step_rng(1, 0, 0, 0)) for share in (0.0, 1.0))
    assert torch.equal(plain["features"][0], other["features"][0])
    assert not torch.allclose(plain["z"][0], other["z"][0]) and plain["z"].shape == other["z"].shape
    assert plain["agree"][0] == 1 and other["agree"][0] == 0
    assert plain["habits"][0].isnan().all() and other["habits"][0].isnan().all()
    assert [[n for n in b["distinct"].tolist() if n < 2] for b in (plain, other)] == [[0], [0, 1]], "of the two real rows"
    assert torch.equal(plain["other"][0], plain["z"][0]) and not torch.allclose(other["other"][0], other["z"][0])


def test_real_windows_are_shown_as_the_teacher_does(data: Path, shards: Path) -> None:
    """How a recording sounds does not tell whether the track or the teacher is shown with it."""
    plain, other = (task(data, shards, data={"restyled": 0.0, "taught": share}).batch(step_rng(1, 0, 0, 0)) for share in (0, 1))
    assert torch.equal(plain["features"][0], other["features"][0]) and not torch.allclose(plain["z"][0], other["z"][0])
    assert plain["habits"][0].isnan().all() and other["habits"][0].isfinite().all(), "the teacher's numbers are known"
    alone = task(data, shards, data={"restyled": 0.0, "taught": 1.0, "synthetic": 0}).batch(step_rng(1, 0, 0, 0))
    assert alone["habits"][:2].isnan().all(), "without the teacher there is none"


def test_other_voices_are_supposed_to_be_the_real_speaker(data: Path, shards: Path, tmp_path: Path) -> None:
    """train/supposed.py: English windows of other voices, and tracks, get what networks make of them in the neutral style."""
    folder = shutil.copytree(shards, tmp_path / "shards")
    small = task(data, folder, data={"synthetic": 0}, loop={"steps": 1})
    fit(small, small.settings.loop, tmp_path / "run")
    models = [(PTalker.load(tmp_path / "run" / "ptalker.safetensors")[0].eval(), share) for share in (0.25, 0.75)]
    for net, _ in models:
        torch.nn.init.normal_(net.decoder.head.weight, std=0.3)
    names = find_shards(folder, ["real_0", "speech_0"])
    assert write(data, folder, names, models) > 0
    windows = MotionSet(data, folder, folder / "fits", names)
    english = next(i for i in windows.synthetic if windows.language(i) == "en")
    spanish = next(i for i in windows.synthetic if windows.language(i) == "es")
    heard, times = torch.from_numpy(windows.hear(english))[None], torch.arange(200) / 25
    each = [net(heard, torch.arange(400) / 50, net.styles["neutral"][None], times) for net, _ in models]
    found = models[0][0].finish(0.25 * each[0] + 0.75 * each[1])[0].detach().numpy()
    supposed = windows.supposed(english)
    assert supposed is not None and np.abs(supposed - found).max() < 1e-3 and windows.supposed(spanish) is None

    jaw, at = INDEX["jawOpen"], np.arange(200) / 25
    shown = windows.target(english, at, None, True)[0]
    assert np.abs(shown - windows.target(english, at, None)[0]).max() > 0.05, "without being asked for, the teacher shows"
    phones = said(windows.windows[english].segments, windows.clips)
    inside = np.all([(at < a - 0.3) | (at > b + 0.3) for p, a, b in phones if p in "bpm"], axis=0)
    assert np.allclose(shown[inside, jaw], supposed[inside, jaw], atol=2e-3), "away from closures as supposed"
    before = MotionSet(data, shards, shards / "fits", ["real_0"])
    track, mixed = (w.target(w.real[0], at, None)[0] for w in (before, windows))
    assert 0 < np.abs(track - mixed).max(), "a track is half of what is supposed"
    real = windows.real[0]
    guess, known = windows.supposed(real), windows.target(real, at, None)[1] > 0
    apart = [(at < a - 0.3) | (at > b + 0.3) for p, a, b in said(windows.windows[real].segments, windows.clips) if p in "bpm"]
    known &= np.all(apart, axis=0)
    assert guess is not None and known.any()
    assert np.allclose(mixed[known, jaw], (0.5 * track + 0.5 * guess)[known, jaw], atol=2e-3)
    np.save(folder / "real_0.supposed.npy", np.zeros((1, 200, 52), np.float16))
    with pytest.raises(PTalkerError, match="belongs to other windows"):
        MotionSet(data, folder, folder / "fits", ["real_0"])
    (folder / "real_0.supposed.npy").unlink()

    batches = [task(data, folder, data={"supposed": s, "quiet": 0.0}).batch(step_rng(1, 0, 0, 0)) for s in (0.0, 1.0)]
    assert batches[0]["habits"][2:5].isfinite().all()
    assert batches[1]["habits"][2:5].isnan().any(), "of a real speaker the numbers are not known"


def test_models_are_named_with_their_shares() -> None:
    assert shared("a/b.safetensors:0.25") == (Path("a/b.safetensors"), 0.25)
    assert shared("C:/b.safetensors") == (Path("C:/b.safetensors"), 1.0)


def test_rows_of_one_style_are_no_negatives(data: Path, shards: Path) -> None:
    t = task(data, shards, data={"restyled": 0.0})
    for step in range(8):
        batch = t.batch(step_rng(1, 0, step, 0))
        distinct = batch["distinct"].tolist()
        assert distinct[0] == 0 and 1 not in distinct and batch["other_row"].tolist() == [1, 0, 3, 4, 2]


def test_converted_voices_say_nothing_of_style(data: Path, shards: Path, tmp_path: Path) -> None:
    """A conv_ shard: real faces heard in another voice."""
    both = shutil.copytree(shards, tmp_path / "both")
    shutil.copy(both / "real_0.npy", both / "conv_0.npy")
    lines = [json.loads(line) | {"voice": "s1 as af_one"} for line in (both / "real_0.jsonl").read_text().splitlines()]
    (both / "conv_0.jsonl").write_text("\n".join(map(json.dumps, lines)))
    names = find_shards(both, RunSettings().data.shards)
    assert names == [*(f"real_{i}" for i in range(REAL_TIMES)), "conv_0", "speech_0", "quiet"]
    assert find_shards(both, ["*_0"], 1) == ["conv_0", "real_0", "speech_0"]
    windows = MotionSet(data, both, both / "fits", ["real_0", "conv_0"])
    converted = [i for i in windows.real if not windows.own_voice(i)]
    assert len(converted) == len(lines) and len(windows.real) == 2 * len(lines)


def test_other_languages_are_drawn_oftener(data: Path, shards: Path) -> None:
    t = task(data, shards, data={"other_languages": 1000.0, "quiet": 0.0})
    picks = t.batches.picks(np.random.default_rng(0))[2:]
    assert {t.set.language(i) for i in picks} == {"es"}


def test_settings_that_are_wrong_are_told(data: Path, shards: Path, tmp_path: Path) -> None:
    for change, words in (
        ("loop.step=5", "no setting loop.step"), ("train.steps=5", r"no table \[train\]"), ("loop.steps=many", "whole number"),
        ("loop.steps", "not a setting"), ("weights.kl=true", "a number"), ("data.shards=[1]", "a list of texts"),
        ("data.seconds=2.0", "from 2.2 to 8"), ("data.seconds=0", "from 2.2 to 8"), ("loop.steps=-3", "from 1 to"),
        ("loop.rate=nan", "from 0 to"), ("loop.workers=-1", "from 0 to"), ("model.width=0", "from 1 to"),
        ("model.width=33", "a multiple of"), ("data.motion_heads=0", "from 1 to"), ("weights.kl=inf", "from 0 to"),
        (f"loop.rate=1{400 * '0'}", "a number"), (f"loop.steps=1{5000 * '0'}", "a whole number"),
    ):  # fmt: skip
        with pytest.raises(PTalkerError, match=words):
            read_settings("default", [change])
    with pytest.raises(PTalkerError, match="default, quick"):
        read_settings("fast")
    with pytest.raises(PTalkerError, match="no settings file"):
        read_settings("a" * 5000)
    with pytest.raises(PTalkerError, match="both 0"):
        read_settings("default", ["data.real=0", "data.synthetic=0"])
    with pytest.raises(PTalkerError, match=r"no table \[loop\]"):
        (tmp_path / "flat.toml").write_text("loop = 3")
        read_settings(tmp_path / "flat.toml", ["loop.steps=3"])
    assert read_settings("quick", ["weights.kl=0", "data.shards=['real_*']"]).data.shards == ("real_*",)
    with pytest.raises(PTalkerError, match="core corpus"):
        MotionTask(from_tables({}), data, tmp_path, shards / "fits")
    with pytest.raises(PTalkerError, match="real windows"):
        task(data, shards, data={"shards": ["speech_*"]})
    wide = shutil.copytree(shards, tmp_path / "wide")
    np.save(wide / "quiet.npy", np.zeros((8, 400, 64), np.float16))
    with pytest.raises(PTalkerError, match="different speech encoders"):
        task(data, wide)


def test_the_default_file_says_what_the_code_says() -> None:
    default, code = read_settings("default"), RunSettings()
    assert default.weights == code.weights and default.data == code.data
    assert {**vars(default.loop), "steps": 0, "every": 0} == {**vars(code.loop), "steps": 0, "every": 0}
