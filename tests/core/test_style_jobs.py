"""Styles as the command line and the engine are asked for them: files in, files out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from style_clips import clip, model, write
from test_cli import refused

from ptalker_blender.core import cli
from ptalker_blender.core.channels import INDEX
from ptalker_blender.core.commands import finetune as finetune_command
from ptalker_blender.core.commands import generate as generate_command
from ptalker_blender.core.commands import style as style_command
from ptalker_blender.core.commands import styles as styles_command
from ptalker_blender.core.errors import PTalkerError
from ptalker_blender.core.explain import plane
from ptalker_blender.core.jobs import Quiet
from ptalker_blender.core.pictures import Panel, curves, points, save
from ptalker_blender.core.protocol import Explain, ReadStyle
from ptalker_blender.core.style_jobs import explain, read
from ptalker_blender.core.styles import load_style


@pytest.fixture
def one_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands share the tests' loaded model."""
    for command in (finetune_command, generate_command, style_command, styles_command):
        monkeypatch.setattr(command, "load_model", lambda device, folder: model())


def test_style_and_generate(speech: Path, tmp_path: Path, one_model: None, capsys: pytest.CaptureFixture[str]) -> None:
    path, style, plot = write(tmp_path / "clip.npz", clip()), tmp_path / "s.safetensors", tmp_path / "s.png"
    assert cli.main(["style", str(path), "--out", str(style), "--name", "Ann", "--plot", str(plot)]) == 0
    said = capsys.readouterr().out
    assert "motion and voice" in said and "confidence" in said
    assert load_style(style).name == "Ann" and load_style(style).preview.startswith(b"\x89PNG")
    with Image.open(plot) as picture:
        assert picture.size[0] > 400 and len(picture.getcolors(1 << 20)) > 50
    takes = {}
    for name, options in {
        "neutral": [], "style": ["--style", str(style)], "reference": ["--reference", str(path)],
        "half": ["--style", f"{style}:0.5", "--style", "neutral:0.5"], "weak": ["--style", str(style), "--strength", "0.5"],
        "jaw": ["--jaw", "0.5", "--blink", "0"],
    }.items():  # fmt: skip
        assert cli.main(["generate", str(speech), "--out", str(tmp_path / name), "--fps", "25", *options]) == 0
        with np.load(tmp_path / name) as arrays:
            takes[name] = arrays["weights"]
    assert np.abs(takes["style"] - takes["neutral"]).mean() > 1e-3
    np.testing.assert_allclose(takes["reference"], takes["style"], atol=1e-5)
    np.testing.assert_allclose(takes["half"], takes["weak"], atol=1e-5)
    jaw = INDEX["jawOpen"]
    assert takes["jaw"][:, jaw].max() < 0.7 * takes["neutral"][:, jaw].max()
    assert cli.main(["styles", str(style), "--json"]) == 0
    assert '"Ann"' in capsys.readouterr().out


def test_calls_that_cannot_be(speech: Path, tmp_path: Path, one_model: None, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "o"
    silent = write(tmp_path / "clip.npz", clip(voice=False))
    for arguments in (
        ["style", tmp_path / "none.npz", "--out", out], ["style", speech], ["style", speech, "--out", tmp_path / "no" / "s"],
        ["style", speech, "--out", out, "--use", "smell"], ["finetune", "--out", out], ["finetune", silent, "--out", out],
        ["finetune", tmp_path / "none.npz", "--out", out], ["finetune", speech, "--out", out],
        ["finetune", silent, "--out", out, "--minutes", "0"], ["generate", speech, "--out", out, "--jaw", "-1"],
        ["generate", speech, "--out", out, "--blink", "nan"], ["generate", speech, "--out", out, "--style", "neutral:9"],
        ["generate", speech, "--out", out, "--style", "neutral", "--reference", speech],
        ["generate", speech, "--out", out, "--style", "neutral:1", "--style", "nobody's"], ["styles", tmp_path / "none"],
    ):  # fmt: skip
        refused(capfd, *arguments)
    assert not out.exists()


def test_jobs_check_what_they_shall_write_first(tmp_path: Path) -> None:
    def never() -> None:
        raise AssertionError("the model was asked for")

    for out, plot in ((tmp_path / "no" / "s", None), (tmp_path / "s", str(tmp_path / "no" / "p.png"))):
        with pytest.raises(PTalkerError) as error:
            read(ReadStyle(1, "/none.npz", str(out), plot=plot), never, Quiet())  # type: ignore[arg-type]
        assert error.value.code == "out_unwritable"


def test_the_map_of_the_styles(tmp_path: Path) -> None:
    result = explain(Explain(1, str(tmp_path / "map.png"), ("neutral",)), model, Quiet())
    with Image.open(result.out) as picture:
        assert picture.format == "PNG" and len(picture.getcolors(1 << 20)) > 20


def test_the_plane_holds_what_differs_most() -> None:
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(20, 2)) * [3, 1] @ np.linalg.qr(rng.normal(size=(8, 8)))[0][:2]
    mean, axes = plane(flat + 5)
    placed = (flat + 5 - mean) @ axes.T
    np.testing.assert_allclose(placed @ axes + mean, flat + 5, atol=1e-9)
    np.testing.assert_allclose(plane(flat[:1])[1].shape, (2, 8))


def test_pictures(tmp_path: Path) -> None:
    t = np.arange(100) / 25
    wave = curves("Lips", {"reference": np.sin(t), "result": np.cos(t), "empty": np.zeros(0)}, 25.0, "mm")
    same = points("Styles", {"built in": {"a": np.zeros(2), "b": np.zeros(2)}, "yours": {"ü": np.zeros(2)}})
    assert isinstance(wave, Panel)
    save(tmp_path / "a.png", [wave, same])
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (wave.width, wave.height + same.height)
        drawn = np.asarray(picture.convert("RGB"), int)
    assert (np.abs(drawn - drawn[0, 0]).sum(-1) > 100).mean() > 0.005
    with pytest.raises(PTalkerError):
        save(tmp_path / "no" / "a.png", [wave])
