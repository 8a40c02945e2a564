# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests in the real bpy module: the real zip is built, installed and enabled, and the real engine does the work.

``PTALKER_ENGINE_PYTHON`` names the engine's interpreter (``ptalker test`` sets it).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

# Before the first import of bpy, or the tests would write into the user's own Blender settings.
HOME = Path(tempfile.mkdtemp(prefix="ptalker-tests-"))
os.environ["BLENDER_USER_RESOURCES"] = str(HOME / "blender")

import bpy  # noqa: E402
import pytest  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import helpers  # noqa: E402

_exit_status = 0


@pytest.fixture(scope="session", autouse=True)
def extension() -> Iterator[None]:
    """The extension as an artist installs it; disabled at the end, because bpy 4.2 crashes at exit otherwise."""
    assert os.environ.get("PTALKER_ENGINE_PYTHON"), "set PTALKER_ENGINE_PYTHON to the engine's interpreter"
    subprocess.run([sys.executable, str(ROOT / "ptalker"), "build"], cwd=ROOT, check=True)
    manifest = tomllib.loads((ROOT / "ptalker_blender" / "blender_manifest.toml").read_text("utf-8"))
    package = ROOT / "dist" / f"{manifest['id']}-{manifest['version']}.zip"
    done = bpy.ops.extensions.package_install_files(filepath=str(package), repo="user_default", enable_on_install=True)
    assert done == {"FINISHED"}
    assert helpers.PACKAGE in bpy.context.preferences.addons
    yield
    import addon_utils  # can be imported once bpy was

    addon_utils.disable(helpers.PACKAGE)


@pytest.fixture
def scene(extension: None) -> bpy.types.Scene:
    """A new, empty file at 30 frames a second. (use_factory_startup would reload the extension, and end its engine.)"""
    bpy.ops.wm.read_homefile(use_empty=True)
    helpers.run_state().__init__()
    scene = bpy.context.scene
    scene.render.fps, scene.render.fps_base = 30, 1.0
    return scene


@pytest.fixture(scope="session")
def speech() -> helpers.Speech:
    """The demo's sentences as 16 kHz samples, and folders with sound files made of them."""
    return helpers.Speech(ROOT / "demo" / "speech" / "demo.ogg", HOME)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    global _exit_status
    _exit_status = int(exitstatus)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave without Python's own exit: bpy 4.2 and 4.5 crash or hang in it."""
    shutil.rmtree(HOME, ignore_errors=True)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(_exit_status)
