"""core runs without Blender, Blender's side runs without torch: both lines are drawn here."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "ptalker_blender"
BLENDER = {"bpy", "bpy_extras", "bmesh", "mathutils", "aud", "gpu", "blf", "bl_ui", "addon_utils", "idprop"}
HEAVY = {"torch", "torch_geometric", "torchaudio", "transformers", "safetensors", "scipy", "soundfile"}
# What Blender's side may import of core: standard library only.
SHARED = {"", "channels", "errors", "landmark_places", "poses", "protocol"}


def imports(file: Path) -> Iterator[str]:
    """The absolute names of all modules that a file imports, anywhere in it."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"), str(file))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # One dot is the file's own package, which for __init__.py is the folder: its last part is dropped, too.
            base = ".".join(parts[: -node.level]) if node.level else ""
            module = ".".join(filter(None, [base, node.module]))
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def files(core: bool) -> list[Path]:
    found = [p for p in sorted(PACKAGE.rglob("*.py")) if (p.relative_to(PACKAGE).parts[0] == "core") == core]
    assert len(found) > 5
    return found


def test_core_imports_no_blender() -> None:
    wrong = {str(f.relative_to(ROOT)): n for f in files(core=True) for n in imports(f) if n.split(".")[0] in BLENDER}
    assert not wrong


def test_nothing_outside_core_imports_torch() -> None:
    wrong = {str(f.relative_to(ROOT)): n for f in files(core=False) for n in imports(f) if n.split(".")[0] in HEAVY}
    assert not wrong


def test_blender_side_imports_only_the_shared_modules_of_core() -> None:
    wrong = []
    for file in files(core=False):
        for name in imports(file):
            prefix, _, rest = name.partition("ptalker_blender.core")
            if prefix == "" and name.startswith("ptalker_blender.core"):
                module = rest.lstrip(".").split(".")[0]
                if (PACKAGE / "core" / module).exists() or (PACKAGE / "core" / f"{module}.py").exists():
                    wrong += [(str(file.relative_to(ROOT)), name)] if module not in SHARED else []
    assert not wrong


def test_shared_modules_need_the_standard_library_only() -> None:
    allowed = set(sys.stdlib_module_names) | {"ptalker_blender"}
    for module in ("__init__", "channels", "errors", "landmark_places", "poses", "protocol"):
        assert not [n for n in imports(PACKAGE / "core" / f"{module}.py") if n.split(".")[0] not in allowed]


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("ptalker_blender", HEAVY | BLENDER | {"numpy"}),
        ("ptalker_blender.core.channels", HEAVY | BLENDER | {"numpy"}),
        ("ptalker_blender.core.protocol", HEAVY | BLENDER | {"numpy"}),
        ("ptalker_blender.engine", HEAVY | BLENDER),
        ("ptalker_blender.core.cli", HEAVY | BLENDER),
        ("ptalker_blender.core.serve", HEAVY | BLENDER),
        ("ptalker_blender.core.runtime", BLENDER),
    ],
)
def test_what_an_import_brings(module: str, absent: set[str]) -> None:
    code = f"import sys, {module}; print(*(n for n in {sorted(absent)!r} if n in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
