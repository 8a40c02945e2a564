"""The command line as it is called from outside: exit codes, one sentence on stderr, the arrays of OUT.npz."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from ptalker_blender.core import cli
from ptalker_blender.core.channels import CHANNELS

ROOT = Path(__file__).resolve().parents[2]


def call(*arguments: str | Path, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ptalker_blender.core", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout)


def arrays(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def refused(capfd: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """In this process, for speed: exit code 2 and one line on stderr. -> that line."""
    try:
        code = cli.main([str(a) for a in arguments])
    except SystemExit as error:  # argparse
        code = error.code
    out, err = capfd.readouterr()
    assert code == 2 and out == ""
    lines = err.splitlines()
    assert len(lines) == 1 and lines[0].endswith((".", ").")) and "Traceback" not in err
    return lines[0]


@pytest.fixture
def square(tmp_path: Path) -> dict[str, np.ndarray]:
    """A valid little mesh to spoil."""
    vertices = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    return {"vertices": vertices, "faces": np.array([[0, 1, 2, 3], [0, 1, 4, -1]])}


def test_generate_with_a_mesh(speech: Path, head: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.npz"
    done = call("generate", speech, "--out", out, "--fps", "23.976", "--mesh", head)
    assert (done.returncode, done.stderr) == (0, "")
    result, given = arrays(out), arrays(head)
    frames, count = round(soundfile.info(speech).duration * 23.976), len(given["vertices"])
    assert float(result["fps"]) == 23.976
    assert tuple(result["names"]) == CHANNELS
    assert result["weights"].shape == (frames, 52) and result["weights"].dtype == np.float32
    assert result["weights"].min() >= 0 and result["weights"].max() <= 1
    assert result["basis"].shape == (52, count, 3) and result["basis"].dtype == np.float32
    assert result["vertices"].shape == (frames, count, 3) and result["vertices"].dtype == np.float32
    moved = given["vertices"] + np.tensordot(result["weights"], result["basis"], axes=1)
    np.testing.assert_allclose(result["vertices"], moved, atol=1e-4 * np.ptp(given["vertices"]))
    assert result["weights"][:, CHANNELS.index("jawOpen")].std() > 0.01
    assert list(tmp_path.iterdir()) == [out]


def test_defaults_and_seeds(speech: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert call("generate", speech, "--out", tmp_path / name, "--seed", str(seed)).returncode == 0
    a, b, c = (arrays(tmp_path / name) for name in "abc")
    assert set(a) == {"fps", "names", "weights"} and float(a["fps"]) == 30
    np.testing.assert_array_equal(a["weights"], b["weights"])
    assert not np.array_equal(a["weights"], c["weights"])


def test_silence_keeps_the_mouth_closed_and_says_so(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silent.wav", np.zeros(32000), 16000)
    done = call("generate", tmp_path / "silent.wav", "--out", tmp_path / "out.npz")
    assert done.returncode == 0 and "silent" in done.stderr
    weights = arrays(tmp_path / "out.npz")["weights"]
    assert weights.shape == (60, 52) and weights[:, CHANNELS.index("jawOpen")].max() < 0.05


def test_an_ogg_that_was_cut_off_is_heard_and_told(speech: Path, tmp_path: Path) -> None:
    data = speech.read_bytes()
    (tmp_path / "a.ogg").write_bytes(data[: len(data) // 2])
    done = call("generate", tmp_path / "a.ogg", "--out", tmp_path / "out.npz")
    assert done.returncode == 0 and "cut off" in done.stderr and len(done.stderr.splitlines()) == 1


def test_info() -> None:
    done = call("info")
    assert (done.returncode, done.stderr) == (0, "")
    for word in ("ptalker: ", "torch: ", "device: ", "card"):
        assert word in done.stdout


def test_help_is_quick_and_torch_stays_out() -> None:
    code = "import sys; from ptalker_blender.core import cli; cli.build_parser(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "False"
    assert call("--help").returncode == 0


@pytest.mark.parametrize("fps", ["0", "-1", "nan", "inf", "-inf", "240.5", "thirty", ""])
def test_bad_frame_rates(capfd: pytest.CaptureFixture[str], speech: Path, tmp_path: Path, fps: str) -> None:
    refused(capfd, "generate", speech, "--out", tmp_path / "o.npz", "--fps", fps)


@pytest.mark.parametrize(
    "extra",
    [
        ("--seed", "-1"), ("--seed", "1.5"), ("--strength", "nan"), ("--strength", "9"), ("--device", "tpu"),
        ("--unknown",), ("--mesh",),
    ],
)  # fmt: skip
def test_bad_options(capfd: pytest.CaptureFixture[str], speech: Path, tmp_path: Path, extra: tuple[str, ...]) -> None:
    refused(capfd, "generate", speech, "--out", tmp_path / "o.npz", *extra)


def test_bad_calls(capfd: pytest.CaptureFixture[str], speech: Path) -> None:
    for arguments in ([], ["sing"], ["generate"], ["generate", speech]):
        refused(capfd, *arguments)


def test_bad_sound(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "o.npz"
    garbage = tmp_path / "garbage.mp3"
    garbage.write_bytes(np.random.default_rng(0).bytes(100_000))
    short = tmp_path / "short.wav"
    soundfile.write(short, np.zeros(10), 16000)
    for sound in (tmp_path / "none.wav", tmp_path, garbage, short, "line\nbreak"):
        refused(capfd, "generate", sound, "--out", out)
    assert not out.exists()


def test_bad_out(capfd: pytest.CaptureFixture[str], speech: Path, tmp_path: Path) -> None:
    for out in (tmp_path, tmp_path / "no" / "o.npz", tmp_path / ("x" * 5000)):
        refused(capfd, "generate", speech, "--out", out)


def test_an_input_is_never_the_output(capfd: pytest.CaptureFixture[str], speech: Path, head: Path, tmp_path: Path) -> None:
    sound, mesh, style = (tmp_path / name for name in ("in.ogg", "h.npz", "s.safetensors"))
    sound.write_bytes(speech.read_bytes())
    mesh.write_bytes(head.read_bytes())
    style.write_bytes(b"style")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for arguments in (
        ["generate", sound, "--out", sound], ["generate", sound, "--mesh", mesh, "--out", mesh], ["rig", mesh, "--out", mesh],
        ["generate", sound, "--style", f"{style}:0.5", "--out", style], ["generate", sound, "--reference", mesh, "--out", mesh],
        ["rig", mesh, "--landmarks", style, "--out", style], ["style", sound, "--out", sound],
        ["style", sound, "--out", tmp_path / "a", "--plot", tmp_path / "a"],
        ["finetune", mesh, "--out", tmp_path / "a", "--plot", mesh],
    ):  # fmt: skip
        assert "cannot take the place" in refused(capfd, *arguments)
    assert "is a folder" in refused(capfd, "generate", sound, "--out", f"{tmp_path / 'new'}/")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.skipif(sys.platform == "win32", reason="there, nothing that is told to end hears of it")
def test_sigterm_leaves_no_unfinished_file(speech: Path, head: Path, tmp_path: Path) -> None:
    arguments = ["generate", speech, "--mesh", head, "--fps", "240", "--out", tmp_path / "o.npz"]
    process = subprocess.Popen([sys.executable, "-m", "ptalker_blender.core", *map(str, arguments)], cwd=ROOT)
    while process.poll() is None and not any(part.stat().st_size for part in tmp_path.glob(".*.part")):
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 130 and not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="there, nothing that is told to end hears of it")
def test_sigterm_interrupts_the_command_alone() -> None:
    """Not a program that called it in a thread; afterwards all is as it was."""
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), cli.interrupted_by_sigterm():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before
    seen = []

    def in_thread() -> None:
        with cli.interrupted_by_sigterm():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=in_thread)
    thread.start()
    thread.join()
    assert seen == [before]


def test_unknown_style(speech: Path, tmp_path: Path) -> None:
    done = call("generate", speech, "--out", tmp_path / "o.npz", "--style", "nobody's")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and "nobody's" in done.stderr


@pytest.mark.parametrize(
    "spoil",
    [
        {"vertices": None}, {"faces": None},
        {"vertices": np.full((5, 3), np.nan)}, {"vertices": np.full((5, 3), np.inf)},
        {"vertices": np.zeros((5, 3))}, {"vertices": np.zeros((5, 2))}, {"vertices": np.zeros(15)},
        {"vertices": np.zeros((0, 3))}, {"vertices": np.ones((5, 3), complex)}, {"vertices": np.full((5, 3), "a")},
        {"vertices": np.eye(5, 3) * 1e30}, {"faces": np.zeros((0, 3), int)}, {"faces": np.array([[0, 1, 2.0]])},
        {"faces": np.array([[0, 1, 5]])}, {"faces": np.array([[0, -1, 2]])}, {"faces": np.array([[0, 1, 2, -2]])},
        {"faces": np.array([[0, 1]])}, {"faces": np.array([[0, 1, 2**63]], np.uint64)},
        {"vertices": np.array([{}] * 3, dtype=object)},
    ],
)  # fmt: skip
def test_bad_meshes(
    capfd: pytest.CaptureFixture[str],
    speech: Path,
    tmp_path: Path,
    square: dict[str, np.ndarray],
    spoil: dict[str, Any],
) -> None:
    mesh = tmp_path / "mesh.npz"
    np.savez(mesh, **{name: array for name, array in (square | spoil).items() if array is not None})
    assert "mesh" in refused(capfd, "generate", speech, "--out", tmp_path / "o.npz", "--mesh", mesh)
    assert "mesh" in refused(capfd, "rig", mesh, "--out", tmp_path / "o.npz")
    assert list(tmp_path.iterdir()) == [mesh]


def test_what_is_no_npz(capfd: pytest.CaptureFixture[str], speech: Path, tmp_path: Path) -> None:
    files = {"empty": b"", "zip": b"PK\x03\x04" + b"x" * 100, "noise": bytes(range(256)), "npy": b"\x93NUMPY\x01\x00"}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        refused(capfd, "generate", speech, "--out", tmp_path / "o.npz", "--mesh", tmp_path / name)
    refused(capfd, "generate", speech, "--out", tmp_path / "o.npz", "--mesh", tmp_path / "none.npz")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"mouth": [0, 0, 0]}', "no landmark named 'mouth'"),
        ('{"chin": [0, NaN, 0]}', "'chin' is not three finite numbers"),
        ("[1, 2]", "table of names"),
        ("chin", "cannot be read as JSON"),
    ],
)
def test_rig_refuses_landmarks_in_one_sentence(
    capfd: pytest.CaptureFixture[str], head: Path, tmp_path: Path, text: str, says: str
) -> None:
    (tmp_path / "l.json").write_text(text)
    assert says in refused(capfd, "rig", head, "--landmarks", tmp_path / "l.json", "--out", tmp_path / "o.npz")


def test_rig_with_landmarks(head: Path, tmp_path: Path) -> None:
    assert call("rig", head, "--out", tmp_path / "a.npz").returncode == 0
    found = arrays(tmp_path / "a.npz")
    chin = found["landmarks"][found["landmark_names"].tolist().index("chin")] + np.array([0, 0, 0.01])
    (tmp_path / "l.json").write_text(json.dumps({"chin": chin.tolist()}))
    done = call("rig", head, "--landmarks", tmp_path / "l.json", "--out", tmp_path / "b.npz")
    assert (done.returncode, done.stderr) == (0, "")
    marked = arrays(tmp_path / "b.npz")
    assert set(marked) == {"names", "basis", "landmark_names", "landmarks", "confidence"}
    assert tuple(marked["names"]) == CHANNELS and marked["basis"].shape == found["basis"].shape
    assert not np.allclose(marked["basis"], found["basis"], atol=1e-4)


def test_a_speech_encoder_by_name_may_be_fetched(tmp_path: Path) -> None:
    """The hub's library reads whether it may once, when it is imported."""
    code = (
        "import sys; from ptalker_blender.core import cli; sys.argv[1:] = []\n"
        f"done = cli.main(['corpus', '--data', {str(tmp_path)!r}, '--out', {str(tmp_path / 'out')!r}, *{{options}}])\n"
        "from huggingface_hub import constants; print(done, constants.HF_HUB_OFFLINE)"
    )
    for options, offline in (([], True), (["--speech-encoder", "nobody/nothing"], False)):
        ended = subprocess.run([sys.executable, "-c", code.format(options=options)], capture_output=True, text=True, cwd=ROOT)
        assert ended.stdout.split() == ["2", str(offline)], ended.stderr
