"""The demo, inside Blender's environment: `python3.11 ptalker demo` calls this.

Installs the real extension, makes a scene with a head and a sound strip, runs the operator behind the button Generate
Lip-Sync, and leaves lipsync.blend, lipsync.mp4 and contact.png. Needs no GPU and no display.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # bpy may be imported only once BLENDER_USER_RESOURCES is set
    import bpy

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
SPEECH = ROOT / "demo" / "speech"
FPS = 25.0
PIXELS = 448
RESULTS = ("lipsync.mp4", "lipsync.blend", "contact.png")
EXTENSION = "bl_ext.user_default.ptalker_blender"


class DemoError(Exception):
    """One sentence for the person at the terminal."""


def arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="ptalker demo", description=__doc__)
    parser.add_argument("--audio", type=Path, default=SPEECH / "demo.ogg", help="speech: wav, flac, ogg, mp3")
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "demo", help="folder for the results")
    parser.add_argument(
        "--head", choices=("with-keys", "no-keys"), default="with-keys",
        help="with-keys: animate the head's own ARKit shape keys; no-keys: PTalker makes the shapes for this mesh",
    )  # fmt: skip
    return parser.parse_args(argv)


@contextmanager
def step(name: str) -> Iterator[None]:
    """Say how long a step took."""
    started = time.monotonic()
    yield
    print(f"{name}: {time.monotonic() - started:.1f} s", flush=True)


def install(package: Path) -> None:
    """Install and enable the zip as *Install from Disk* does."""
    import addon_utils
    import bpy

    bpy.ops.extensions.package_install_files(filepath=str(package), repo="user_default", enable_on_install=True)
    if not addon_utils.check(EXTENSION)[1] or not hasattr(bpy.ops.ptalker, "generate"):
        raise DemoError(f"Blender did not enable the extension {package.name}.")


def build_scene(
    audio: Path, with_keys: bool, fps: float = FPS, pixels: int = PIXELS
) -> tuple[bpy.types.Scene, bpy.types.Object]:
    """A head with its camera, lights and sound strip, the head selected."""
    import bpy

    from demo import scene as make

    scene = make.empty_scene(fps)
    head = make.make_head(scene, with_keys)
    make.add_camera(scene, head)
    make.add_lights(scene)
    make.look(scene, pixels)
    strip = make.add_sound(scene, audio)
    if strip.sound.samplerate == 0:  # Blender makes a strip of anything
        raise DemoError(f"{audio} cannot be read as sound.")
    strip.sound.pack()
    scene.sync_mode = "AUDIO_SYNC"
    scene.sequence_editor.active_strip = strip
    bpy.context.view_layer.objects.active = head
    head.select_set(True)
    return scene, head


def generate() -> str:
    """Press the button. -> what the extension reports."""
    import bpy

    try:
        result = bpy.ops.ptalker.generate()
    except RuntimeError as error:
        raise DemoError("The demo stopped.") from error  # Blender has printed the reason
    if result != {"FINISHED"}:
        raise DemoError("Generate Lip-Sync did not finish.")
    return bpy.context.window_manager.ptalker.result


def pictures(scene: bpy.types.Scene, audio: Path, out: Path) -> None:
    """lipsync.mp4 and contact.png."""
    from demo import film, sheet

    with step("film"):
        film.playblast(scene, out / "lipsync.mp4")
    with step("contact sheet"):
        fps = scene.render.fps / scene.render.fps_base
        own = audio == (SPEECH / "demo.ogg").resolve()
        shots = sheet.moments(SPEECH / "phones.json") if own else sheet.evenly(scene.frame_end / fps)
        sheet.contact_sheet(scene, shots, out / "contact.png")


def main(argv: list[str]) -> int:
    options = arguments(argv)
    if not options.audio.is_file():
        raise DemoError(f"There is no file {options.audio}.")
    package = Path(os.environ.get("PTALKER_EXTENSION_ZIP", ""))
    if package.suffix != ".zip" or not package.is_file():
        raise DemoError("The extension is not built: run the demo as 'python3.11 ptalker demo'.")
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    for name in RESULTS:  # nobody shall take an earlier run's film for this one's
        (out / name).unlink(missing_ok=True)
    audio = options.audio.resolve()
    os.chdir(out)  # away from the repository's own ptalker_blender: what is shown is the installed zip
    # Blender's settings of this run only: the user's own Blender is not touched.
    user = Path(tempfile.mkdtemp(prefix="ptalker-demo-"))
    os.environ["BLENDER_USER_RESOURCES"] = str(user)
    try:
        with step("Blender"):
            import bpy
        scene, _ = build_scene(audio, options.head == "with-keys")
        with step("install the extension"):
            install(package)
        with step("Generate Lip-Sync"):
            report = generate()
        print(f"  {report}".replace("\n", "\n  "))
        with step("save"):
            bpy.ops.wm.save_as_mainfile(filepath=str(out / "lipsync.blend"), compress=True, copy=True)
        pictures(scene, audio, out)
        bpy.ops.preferences.addon_disable(module=EXTENSION)
    finally:
        shutil.rmtree(user, ignore_errors=True)
    print("\nOpen these:")
    for name in RESULTS:
        print(f"  {out / name}")
    return 0


if __name__ == "__main__":
    try:
        code = main(sys.argv[1:])
    except DemoError as error:
        print(error, file=sys.stderr)
        code = 2
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # bpy as a module may crash or hang while Python takes it down
