# SPDX-License-Identifier: GPL-3.0-or-later
"""A screen of its own with Blender on it, a mouse and a keyboard. Standard library; Xvfb, openbox, xdotool, ImageMagick."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SIZE = (1280, 800)
State = dict[str, Any]
OPENBOX = """<openbox_config xmlns="http://openbox.org/3.4/rc"><applications><application class="*"><decor>no</decor>
<maximized>yes</maximized></application></applications></openbox_config>
"""


class Desk:
    """Use as a context manager; whatever was started is ended."""

    def __init__(self, zip_file: Path, out: Path, audio: Path, head: str, blender: str) -> None:
        self.out, self.log = out, out / "blender.log"
        self.folder = Path(tempfile.mkdtemp(prefix="ptalker-ui-"))
        self.state_file = self.folder / "state.json"
        self.env = os.environ | {
            "LIBGL_ALWAYS_SOFTWARE": "1", "BLENDER_USER_RESOURCES": str(self.folder), "XDG_RUNTIME_DIR": str(self.folder)
        }  # fmt: skip
        script = Path(__file__).with_name("in_blender.py")
        self.blender = [
            blender, "--factory-startup", "--window-geometry", "0", "0", str(SIZE[0]), str(SIZE[1]), "--python",
            str(script), "--", str(zip_file), str(self.state_file), str(audio), head,
        ]  # fmt: skip
        self.processes: list[subprocess.Popen[bytes]] = []
        self.window, self.origin = "", (0, 0)

    def __enter__(self) -> Desk:
        try:
            self.open()
        except BaseException:
            self.__exit__()
            raise
        return self

    def open(self) -> None:
        """Screen, window manager, Blender; returns when its scene is ready."""
        reading, writing = os.pipe()  # the X server tells the number of the display that it found free
        self.begin("Xvfb", "-displayfd", writing, "-screen", "0", f"{SIZE[0]}x{SIZE[1]}x24", "-nolisten", "tcp", keep=writing)
        os.close(writing)
        with open(reading) as number:
            self.env["DISPLAY"] = f":{number.readline().strip()}"
        config = self.folder / "openbox.xml"
        config.write_text(OPENBOX, "utf-8")
        self.begin("openbox", "--config-file", config)
        self.begin(*self.blender)
        deadline = time.monotonic() + 300
        while not self.state_file.is_file():
            if time.monotonic() > deadline or self.processes[-1].poll() is not None:
                raise SystemExit(f"Blender did not come up:\n{self.log.read_text('utf-8', 'replace')[-2000:]}")
            time.sleep(0.5)
        self.window = self.tool("search", "--onlyvisible", "--class", "Blender").split()[-1]
        place = dict(line.split("=") for line in self.tool("getwindowgeometry", "--shell", self.window).split())
        self.origin = int(place["X"]), int(place["Y"])
        self.tool("windowfocus", "--sync", self.window)  # else keys never arrive

    def begin(self, *command: object, keep: int | None = None) -> None:
        """Start a program; what it says goes to the log."""
        with open(self.log, "ab") as log:
            fds = () if keep is None else (keep,)
            words = [str(word) for word in command]
            self.processes.append(subprocess.Popen(words, env=self.env, stdout=log, stderr=log, pass_fds=fds))

    def __exit__(self, *_: object) -> None:
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def tool(self, *arguments: object) -> str:
        command = ["xdotool", *map(str, arguments)]
        return subprocess.run(command, env=self.env, check=True, capture_output=True, text=True).stdout

    def state(self) -> State:
        if self.processes[-1].poll() is not None:
            text = self.log.read_text("utf-8", "replace")[-3000:]
            raise SystemExit(f"Blender ended with code {self.processes[-1].returncode}:\n{text}")
        return json.loads(self.state_file.read_text("utf-8"))

    def wait(self, wanted: Callable[[State], bool], seconds: float = 60.0) -> State | None:
        """The first state that is as wanted; None where none comes."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            state = self.state()
            if wanted(state):
                return state
            time.sleep(0.05)
        return None

    def settle(self) -> None:
        """Until Blender has drawn what it shows now: its timers and its drawing take turns."""
        tick = self.state()["tick"]
        self.wait(lambda state: state["tick"] >= tick + 4, 30)

    def region(self, name: str) -> tuple[int, int, int, int]:
        """(x, y, width, height) on the screen, y downwards, of "AREA.REGION"."""
        state = self.state()
        x, y, width, height = state["regions"][name]
        return self.origin[0] + x, self.origin[1] + state["window"][1] - y - height, width, height

    def at(self, name: str, x: float, y: float) -> tuple[int, int]:
        """A place on the screen: pixels from the region's top left, from the right or the bottom where negative."""
        left, top, width, height = self.region(name)
        return int(left + (x if x >= 0 else width + x)), int(top + (y if y >= 0 else height + y))

    def move(self, place: tuple[int, int]) -> None:
        """In two steps: Blender notices a mouse that moves, not one that is there."""
        self.tool("mousemove", place[0] - 6, place[1] - 2, "sleep", "0.2", "mousemove", *place)
        time.sleep(0.4)

    def click(self, place: tuple[int, int]) -> None:
        self.move(place)
        self.tool("click", "1")
        time.sleep(0.3)

    def drag(self, start: tuple[int, int], end: tuple[int, int]) -> None:
        self.move(start)
        self.tool("mousedown", "1", "sleep", "0.5")
        self.tool("mousemove", (start[0] + end[0]) // 2, (start[1] + end[1]) // 2, "sleep", "0.5", "mousemove", *end)
        self.tool("sleep", "0.5", "mouseup", "1")
        time.sleep(1.0)

    def key(self, name: str, place: tuple[int, int] | None = None) -> None:
        if place:
            self.move(place)
        self.tool("key", "--clearmodifiers", name)
        time.sleep(0.4)

    def shot(self, name: str, crop: tuple[int, int, int, int] | None = None) -> None:
        """OUT/name.png, cropped to (x, y, width, height)."""
        cut = ["-crop", "{2}x{3}+{0}+{1}".format(*crop), "+repage"] if crop else []
        command = ["import", "-window", "root", *cut, "-define", "png:compression-level=9", str(self.out / f"{name}.png")]
        subprocess.run(command, env=self.env, check=True)
