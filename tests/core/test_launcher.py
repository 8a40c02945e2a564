"""The launcher's decisions; that its installs work is shown by this test running at all."""

from __future__ import annotations

import re
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

import launcher
from launcher import LauncherError, environments, extension
from launcher.environments import BLENDERS, ENGINE, Environment, explain, find_python
from launcher.main import main

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place for environments that are really made: empty ones, so that it takes no network."""
    monkeypatch.setattr(environments, "HOME", tmp_path / "home")
    monkeypatch.setattr(environments, "ROOT", tmp_path)
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "none.txt").write_text("# nothing\n")
    return tmp_path / "home"


@pytest.fixture
def empty(home: Path) -> Environment:
    return Environment("empty", f"{sys.version_info[0]}.{sys.version_info[1]}", ("requirements/none.txt",))


def test_an_environment_is_made_once(empty: Environment, capfd: pytest.CaptureFixture[str]) -> None:
    assert not empty.ready()
    python = empty.ensure()
    assert subprocess.run([python, "-c", "import pip"]).returncode == 0 and "empty is ready" in capfd.readouterr().out
    started = time.monotonic()
    assert empty.ensure() == python and time.monotonic() - started < 0.3
    assert capfd.readouterr().out == ""


def test_a_half_made_one_is_made_anew(empty: Environment) -> None:
    empty.ensure()
    (empty.folder / "stamp").unlink()
    (empty.folder / "left over").touch()
    assert not empty.ready()
    empty.ensure()
    assert empty.ready() and not (empty.folder / "left over").exists()


def test_other_requirements_or_a_vanished_python_ask_for_a_new_one(empty: Environment) -> None:
    empty.ensure()
    (environments.ROOT / "requirements" / "none.txt").write_text("# something else\n")
    assert not empty.ready()
    empty.ensure()
    empty.interpreter.unlink()
    assert not empty.ready()


def test_two_at_a_time(empty: Environment) -> None:
    with environments._lock(), (environments.HOME / "lock").open("a+b") as file:
        assert not environments._try_lock(file)
    with (environments.HOME / "lock").open("a+b") as file:
        assert environments._try_lock(file)


def test_a_failed_install_is_a_sentence(empty: Environment) -> None:
    (environments.ROOT / "requirements" / "none.txt").write_text("./no_such_folder\n")
    with pytest.raises(LauncherError) as caught:
        empty.ensure()
    assert "\n" not in str(caught.value) and not empty.ready()


def test_a_missing_python(empty: Environment) -> None:
    with pytest.raises(LauncherError, match=r"no Python 3\.99"):
        replace(empty, python="3.99").ensure()
    assert find_python("3.99") is None
    assert find_python(empty.python) == sys.executable


def test_what_pip_says_becomes_a_sentence() -> None:
    log = Path("x.log")
    assert "disk" in explain("OSError: [Errno 28] No space left on device", log)
    assert "network" in explain("NewConnectionError(...)", log)
    assert "a==1" in explain("...\nERROR: No matching distribution found for a==1\n", log)
    assert "x.log" in explain("?", log)


def test_every_requirement_is_pinned() -> None:
    for environment in (ENGINE, *BLENDERS.values()):
        for file in environment.files:
            lines = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
            assert lines and all(re.fullmatch(r'[\w.-]+==[\w.]+(; python_version \S+ "[\d.]+")?', line) for line in lines), file


def test_the_zip_holds_the_extension() -> None:
    path = extension.build()
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        assert archive.testzip() is None
    assert {"blender_manifest.toml", "__init__.py", "LICENSE", "core/serve.py"} <= set(names)
    assert any(n.startswith("assets/") and n.endswith(".safetensors") for n in names)
    assert len(names) == len(set(names)) and not [n for n in names if "__pycache__" in n or n.startswith(("/", "."))]
    first = path.read_bytes()
    assert extension.build().read_bytes() == first


def test_bad_calls_are_sentences(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["sing"]) == 2 and main([]) == 2 and main(["--help"]) == 0
    assert main(["setup", "--blender", "1.0"]) == 1 and main(["build", "x"]) == 1
    assert "Traceback" not in capfd.readouterr().err


def test_run_passes_exit_codes_through() -> None:
    command = [sys.executable, str(ROOT / "ptalker"), "run", "generate"]
    if not ENGINE.ready():
        pytest.skip("called outside ptalker test: there is no .ptalker/engine")
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1


def test_the_launcher_needs_the_standard_library_only() -> None:
    code = "import sys, launcher.main, launcher.checks, launcher.extension\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert not loaded - set(sys.stdlib_module_names) - {"launcher", "__main__"}
    assert launcher.HOME == ROOT / ".ptalker"
