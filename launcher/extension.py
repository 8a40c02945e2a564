"""The extension's zip: the tracked files of ptalker_blender/, checked by Blender's own tool where that is installed."""

from __future__ import annotations

import os
import subprocess
import tomllib
import zipfile
from pathlib import Path

from . import ROOT, LauncherError
from .environments import BLENDERS, DEFAULT_BLENDER

PACKAGE = ROOT / "ptalker_blender"
MANIFEST = PACKAGE / "blender_manifest.toml"
_TOOL = "scripts/addons_core/bl_pkg/cli/blender_ext.py"
_TIME = (2020, 1, 1, 0, 0, 0)  # the same files give the same zip


def build() -> Path:
    """-> dist/<id>-<version>.zip. Raises LauncherError."""
    if not MANIFEST.is_file():
        raise LauncherError(f"{MANIFEST.relative_to(ROOT)} is missing.")
    manifest = tomllib.loads(MANIFEST.read_text(encoding="utf-8"))
    target = ROOT / "dist" / f"{manifest['id']}-{manifest['version']}.zip"
    target.parent.mkdir(exist_ok=True)
    temporary = target.with_suffix(f".{os.getpid()}.part")  # two builds at once keep apart
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in package_files():
            info = zipfile.ZipInfo(path.relative_to(PACKAGE).as_posix(), _TIME)
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(info, path.read_bytes())
        # The licence lies at the repository's root, and belongs into what is handed out.
        archive.writestr(zipfile.ZipInfo("LICENSE", _TIME), (ROOT / "LICENSE").read_bytes())
    temporary.replace(target)
    _validate(target)
    return target


def package_files() -> list[Path]:
    """What belongs into the zip: files that git knows (also new ones it does not ignore), or all without git."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", PACKAGE.name]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
        paths = [ROOT / name for name in listed.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):  # a source archive: no git, or no repository
        paths = list(PACKAGE.rglob("*"))
    return sorted(p for p in paths if p.is_file() and "__pycache__" not in p.parts and p.suffix != ".pyc")


def _validate(target: Path) -> None:
    environment = BLENDERS[DEFAULT_BLENDER]
    tools = sorted(environment.folder.glob(f"lib/python*/site-packages/bpy/*/{_TOOL}"))
    if not (environment.ready() and tools):
        print("  (not validated: no Blender is set up here)")
        return
    command = [str(environment.interpreter), str(tools[-1]), "validate", str(target)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise LauncherError(f"Blender refuses the extension: {(done.stdout + done.stderr).strip()}.")
