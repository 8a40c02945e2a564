"""Style from a voice: which takes of which speakers are heard, and that training changes this branch only."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from tiny_corpus import DEMO, write_corpus, write_encoder

from ptalker_blender.core.data import voices
from ptalker_blender.core.data.augment import other_voice
from ptalker_blender.core.errors import PTalkerError
from ptalker_blender.core.model.config import Config
from ptalker_blender.core.model.ptalker import PTalker
from ptalker_blender.core.speech import CORE, HOP, MARGIN, SpeechEncoder
from ptalker_blender.core.train import voice

SMALL = Config(features=32, width=16, blocks=1, style=8, node_width=8, frame_width=16)
SIZES = {"af_a": 0.72, "af_b": 0.85, "am_c": 1.0, "am_d": 1.18, "am_e": 1.4}  # voices: the demo's, made larger and smaller


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of five voices in 16 clips of 4 s, the last two of them dev."""
    folder = write_corpus(tmp_path_factory.mktemp("data"))
    demo, rate = soundfile.read(DEMO, dtype="float32")
    rng, lines = np.random.default_rng(0), []
    phones = json.loads((folder / "speech" / "manifest.jsonl").read_text("utf-8").splitlines()[0])["phones"]
    for name, size in SIZES.items():
        for i in range(16):
            start = int(rng.integers(0, len(demo) - 4 * rate))
            file = f"en/{name}/{i:02d}.ogg"
            (folder / "speech" / file).parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(folder / "speech" / file, other_voice(demo[start : start + 4 * rate], size), rate)
            lines.append({
                "file": file, "voice": name, "language": "en", "sentence": f"{name} {i}", "split": "dev" if i > 13 else "train",
                "phones": phones,
            })  # fmt: skip
    text = "\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
    (folder / "speech" / "manifest.jsonl").write_text(text, "utf-8")
    return folder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoder")
    write_encoder(folder)
    return folder


@pytest.fixture(scope="module")
def cached(data: Path, encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seed 1, as the command makes it."""
    folder = tmp_path_factory.mktemp("cache")
    name = hashlib.sha256((encoder / "model.safetensors").read_bytes()).hexdigest()[:16]
    voices.cache(data, folder, SpeechEncoder.from_folder(encoder), 1, name)
    return folder


def test_no_sentence_is_trained_on_and_tested_with(data: Path) -> None:
    takes = voices.plan(data, 3)
    assert takes == voices.plan(data, 3)
    trained, tested = ([t for t in takes if t.use == use] for use in (voices.TRAIN, voices.TEST))
    assert {t.voice for t in tested} == SIZES.keys() <= {t.voice for t in trained}
    heard = {p for t in trained for p in t.paths}
    assert not heard & {p for t in tested for p in t.paths}
    assert not any(p.endswith(("14.ogg", "15.ogg")) for p in heard)  # the dev ones
    assert all(t.size == 1.0 for t in tested)
    assert len({t.size for t in trained if t.voice == "af_a"}) == 1 + 2 * voices.SIZES
    for seconds in voices.TEST_SECONDS:
        said = [t.paths for t in tested if t.seconds == seconds and t.voice == "af_a"]
        assert len(said) == voices.TESTS and len({p for s in said for p in s}) == sum(map(len, said))


def test_a_take_lies_where_a_file_is_heard(data: Path) -> None:
    take = next(t for t in voices.plan(data, 3) if t.use == voices.TEST and t.seconds == 3.0)
    window = voices.sound(take, data)
    begin, end = MARGIN * HOP, MARGIN * HOP + 3 * 16000
    assert np.abs(window[begin:end]).max() > 0.01 and not window[:begin].any() and not window[end:].any()
    assert take.count == 150 <= CORE


def test_a_cache_is_kept_and_of_one_encoder(data: Path, encoder: Path, cached: Path) -> None:
    speech = SpeechEncoder.from_folder(encoder)
    features, spoken, takes = voices.read_voices(cached)
    assert takes == voices.plan(data, 1) and features.shape == (len(takes), CORE, 32)
    assert spoken.shape == features.shape[:2] and spoken[:, :130].mean() > 0.7
    assert not any(row[t.count + 5 :].any() for row, t in zip(spoken, takes, strict=True))
    i = next(i for i, t in enumerate(takes) if t.use == voices.TEST)
    start = MARGIN * HOP
    audio = voices.sound(takes[i], data)[start : start + takes[i].count * HOP]
    np.testing.assert_allclose(features[i][: takes[i].count], speech.encode(audio), atol=0.15)
    written = (cached / "voices.npy").stat().st_mtime_ns
    name = json.loads((cached / "voices.jsonl").read_text("utf-8").splitlines()[0])["encoder"]
    voices.cache(data, cached, speech, 1, name)
    assert (cached / "voices.npy").stat().st_mtime_ns == written
    for seed, other in ((4, name), (1, "other")):
        with pytest.raises(PTalkerError) as error:
            voices.cache(data, cached, speech, seed, other)
        assert error.value.code == "voices_differ"


def audible(cached: Path, folder: Path) -> Path:
    """A cache as of an encoder that hears voices, which an untrained one does not: half of the features tell the speaker,
    the other half differ as much from take to take."""
    shutil.copytree(cached, folder)
    features, _, takes = voices.read_voices(cached)
    rng, own = np.random.default_rng(2), {}
    speaker = np.stack([own.setdefault(t.speaker, rng.normal(size=16)) for t in takes])
    constant = np.concatenate([speaker, rng.normal(size=speaker.shape)], 1)[:, None]
    np.save(folder / "voices.npy", (constant + rng.normal(size=features.shape)).astype(np.float16))
    return folder


def test_only_the_branch_changes_and_it_tells_voices_apart(
    data: Path, encoder: Path, cached: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    net, path, out = PTalker(SMALL), tmp_path / "model.safetensors", tmp_path / "out.safetensors"
    net.styles = {"neutral": torch.zeros(SMALL.style), "mine": torch.randn(SMALL.style)}
    net.half().save(path, {"figures": {"r": 0.5}})
    call = ["voice", "--data", str(data), "--model", str(path), "--cache", str(audible(cached, tmp_path / "cache"))]
    monkeypatch.setattr(sys, "argv", [*call, "--out", str(out), "--speech-encoder", str(encoder)])
    voice.main()
    (before, _), (after, card) = PTalker.load(path), PTalker.load(out)
    assert card["figures"] == {"r": 0.5} and card["voice"]["voices_3s"] == len(SIZES)
    assert card["voice"]["found_3s"] > max(0.9, card["voice"]["before_found_3s"])
    assert torch.equal(after.styles["mine"], before.styles["mine"])
    old, new = before.state_dict(), after.state_dict()
    changed = {k for k in old if not torch.equal(old[k], new[k])}
    assert changed and all(k.startswith(tuple(f"audio.{part}." for part in voice.BRANCH)) for k in changed)
    assert abs(path.stat().st_size - out.stat().st_size) < 2000  # in half precision, as it was


def test_the_branch_says_what_was_solved() -> None:
    torch.manual_seed(0)
    net, directions, axes = PTalker(SMALL).eval(), torch.randn(5, 32), torch.randn(SMALL.style, 5)
    net.audio.mean.normal_()
    net.audio.scale.uniform_(0.5, 2)
    middle, centre, features = torch.randn(32), torch.randn(SMALL.style), torch.randn(3, 70, 32) * 4
    attention = voice.Attention(torch.randn(32) / 5, torch.tensor(0.3))
    voice.Reading(middle, directions, axes, centre, attention).put_into(net)
    mean = attention.mean(net.audio.normalise(features))
    torch.testing.assert_close(net.audio.style(features), centre + (mean - middle) @ directions.T @ axes.T, rtol=1e-4, atol=1e-3)


def test_pauses_count_little() -> None:
    torch.manual_seed(0)
    speech = torch.rand(4000) < 0.7
    frames = torch.randn(4000, 32) + torch.where(speech[:, None], 1.0, -1.0) * torch.linspace(0, 1.5, 32)
    attention = voice.listen(frames, speech)
    alone = frames[speech].mean(0)
    plain, heard = (float((x - alone).norm()) for x in (frames.mean(0), attention.mean(frames[None])[0]))
    assert heard < 0.1 * plain


def test_speakers_lie_along_motion_and_at_home_is_neutral() -> None:
    torch.manual_seed(0)
    net = PTalker(SMALL)
    net.styles["neutral"] = torch.full((SMALL.style,), 2.0)
    own, speakers = torch.randn(12, 32), [i for i in range(12) for _ in range(6)]
    noise = torch.randn(72, 32) * torch.where(torch.arange(32) < 16, 3.0, 0.2)  # half of it tells nothing
    x = own[torch.tensor(speakers)] + noise
    styles = torch.randn(500, SMALL.style) * torch.tensor([2.0, 1, 1, 0.5, 0.5, 0.1, 0.01, 0.001])
    attention = voice.Attention(torch.zeros(32), torch.zeros(()))
    for home in (None, 3):
        solved = voice.solve(net, attention, x, speakers, styles, home)
        found = solved.centre + (x - solved.middle) @ solved.directions.T @ solved.axes.T
        mean = torch.stack([found[i * 6 : i * 6 + 6].mean(0) for i in range(12)])
        within = (found - mean[torch.tensor(speakers)]).square().sum(1).mean().sqrt()
        assert within < 0.5 * (mean - mean.mean(0)).square().sum(1).mean().sqrt()
        torch.testing.assert_close(mean.mean(0), net.styles["neutral"], atol=0.02, rtol=0)
        spread = found.std(0)
        assert (spread < torch.tensor([2.0, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.25])).all() and spread[0] > 0.3
        away = (mean - net.styles["neutral"]).norm(dim=1)
        assert (away[3] < 0.1 * away.median()) == (home == 3)


def test_voices_held_out_are_tested_on_only(data: Path, cached: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    held, folder = ["af_a", "am_e"], audible(cached, tmp_path / "cache")
    everything, without = (voice.teach(PTalker(SMALL).eval(), data, folder, v) for v in ([], held))
    assert (everything["voices_3s"], without["voices_3s"]) == (len(SIZES), 2)
    assert everything["speakers"] - without["speakers"] == 2 * (1 + 2 * voices.SIZES)
    with pytest.raises(PTalkerError) as error:
        voice.teach(PTalker(Config(features=8)).eval(), data, folder)
    assert error.value.code == "run_differs"
    with pytest.raises(PTalkerError) as error:
        voice.teach(PTalker(SMALL).eval(), data, folder, ["af_a"])
    assert error.value.code == "data_missing"
