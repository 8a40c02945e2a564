# SPDX-License-Identifier: GPL-3.0-or-later
"""The command without a window, in a real Blender: ``blender -b FILE -c ptalker generate --save`` and its exit codes."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent.parent
MAKE = """
import sys; sys.path.insert(0, {repo!r})
import bpy
from pathlib import Path
from demo import scene as make
scene = bpy.context.scene
bpy.data.batch_remove(list(bpy.data.objects))
head = make.make_head(scene, with_keys=False)
make.add_sound(scene, Path({audio!r})).name = "speech"
bpy.context.view_layer.objects.active = head
head.select_set(True)
bpy.ops.wm.save_as_mainfile(filepath={file!r})
"""
LOOK = """
import bpy
keys = bpy.data.objects["Head"].data.shape_keys
print("KEYS", len(keys.key_blocks) if keys else 0, "ACTION", keys.animation_data.action.name if keys else "none")
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--zip", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--blender", default="blender")
    options = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "shot.blend")
        env = os.environ | {"BLENDER_USER_RESOURCES": str(Path(folder) / "user")}

        def blender(*arguments: object) -> tuple[int, str]:
            command = [options.blender, "-b", *map(str, arguments)]
            done = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            return done.returncode, done.stdout

        def check(what: str, seen: bool, said: str) -> None:
            nonlocal failed
            failed += not seen
            print(f"{'ok  ' if seen else 'FAIL'} {what}\n     " + "\n     ".join(said.strip().splitlines()), flush=True)

        code, said = blender("-c", "extension", "install-file", "-r", "user_default", "-e", options.zip)
        check("the zip installs from the command line", code == 0, said)
        audio = str(REPO / "demo" / "speech" / "demo.ogg")
        code, said = blender("--python-exit-code", 1, "--python-expr", MAKE.format(repo=str(REPO), audio=audio, file=file))
        check("a scene is saved", code == 0, said)
        for arguments, wanted in (
            (("--object", "Nobody", "--save"), 2),
            (("--strip", "nothing", "--save"), 2),
            (("--audio", "missing.wav"), 2),
            (("--wrong",), 2),
            (("--object", "Head", "--strip", "speech", "--save"), 0),
        ):
            code, said = blender(file, "-c", "ptalker", "generate", *arguments)
            seen = code == wanted and "Traceback" not in said
            check(f"generate {' '.join(arguments)}: exit code {code}", seen, said)
        code, said = blender(file, "--python-expr", LOOK)
        check("the saved file has keys and Action", "ACTION Head - speech" in said, said)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
