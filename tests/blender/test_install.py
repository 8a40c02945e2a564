# SPDX-License-Identifier: GPL-3.0-or-later
"""Install Engine: what can be tested without downloading gigabytes. The venv, pip and its failures are real."""

from __future__ import annotations

import sys
from pathlib import Path

import bpy
import helpers
import pytest


def test_requirements_are_the_engines_own() -> None:
    """What Install Engine installs is what the launcher installs and the tests run."""
    from launcher.environments import ENGINE, SHIPPED

    assert SHIPPED in ENGINE.requirements
    shipped = helpers.module("engine.install").REQUIREMENTS
    assert shipped.read_text("utf-8") == (helpers.ROOT / SHIPPED).read_text("utf-8")


def test_offline(scene: bpy.types.Scene) -> None:
    """Nothing is downloaded where Blender is set to stay offline; the error names the setting."""
    bpy.context.preferences.system.use_online_access = False
    with pytest.raises(RuntimeError, match="stay offline"):
        bpy.ops.ptalker.install_engine("EXEC_DEFAULT")
    assert not helpers.module("preferences").engine_folder().exists()


def installer(tmp_path: Path, requirements: str, python: str = sys.executable):
    file = tmp_path / "requirements.txt"
    file.write_text(requirements, "utf-8")
    return helpers.module("engine.install").Installer(Path(python), tmp_path / "engine", tmp_path / "install.log", file)


def test_failures_are_sentences(scene: bpy.types.Scene, tmp_path: Path) -> None:
    one = installer(tmp_path, "", str(tmp_path / "no-python"))
    one.run()
    assert not one.done and one.error.code == "install_failed"
    one = installer(tmp_path, f"{tmp_path / 'no-such-wheel.whl'}\n")
    one.run()
    assert not one.done and one.error.sentence.startswith("The engine's packages could not be installed")
    # An environment without the packages does not count as an engine.
    one = installer(tmp_path, "# nothing\n")
    one.run()
    assert not one.done and one.error.code == "install_check" and one.log.read_text("utf-8")
    install = helpers.module("engine.install")
    assert install.installed_python(one.folder, one.requirements) is None


def test_cancel_and_resume(scene: bpy.types.Scene, tmp_path: Path) -> None:
    """A cancelled run ends soon, and the next one uses its environment."""
    one = installer(tmp_path, "# nothing\n")
    one.cancel()
    one.run()
    assert one.stage == "cancelled" and not one.done and one.error is None
    one = installer(tmp_path, "# nothing\n")
    one.start()
    while one.stage in ("preparing", "checking Python", "making the environment") and one.running:
        one._thread.join(0.01)
    one.cancel()
    one._thread.join()
    assert one.stage == "cancelled" and (one.folder / "pyvenv.cfg").is_file()
    made = (one.folder / "pyvenv.cfg").stat().st_mtime_ns
    again = installer(tmp_path, "# nothing\n")
    again.run()
    assert (again.folder / "pyvenv.cfg").stat().st_mtime_ns == made
