# SPDX-License-Identifier: GPL-3.0-or-later
"""What an artist does with PTalker, in a real window: click, watch, cancel, play, undo, redo. Pictures on the way.

``drive.py --zip EXTENSION.zip --out DIR`` with Blender, Xvfb, openbox, xdotool, ImageMagick and ffmpeg at hand and
``PTALKER_ENGINE_PYTHON`` set; run.sh does it inside a root of its own. Exit code 1 where something was not as it should.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from desk import Desk, State

REPO = Path(__file__).resolve().parent.parent.parent
SIDEBAR, TIMELINE = "VIEW_3D.UI", "SEQUENCE_EDITOR.UI"
VIEW, STRIPS = "VIEW_3D.WINDOW", "SEQUENCE_EDITOR.WINDOW"
# Pixels from the top left of the sidebar (from its right where negative), at Blender's usual size of 1.
BUTTON = {SIDEBAR: (100, 130), TIMELINE: (100, 130)}
CANCEL = {SIDEBAR: (-46, 130), TIMELINE: (-46, 130)}
STYLE_HEADER, RIG_HEADER, MARKS_HEADER = (60, 194), (60, 220), (60, 246)  # where those above are closed
PROPOSE = (100, 274)
ADD_STYLE = (-50, 324)  # beside the list, below what is said of a style
REFERENCE, READ = (90, 493), (120, 572)  # below a result: the field for the reference, the button once it is filled
LONG = 300.0  # s; a machine that is busy elsewhere takes its time

Crop = tuple[int, int, int, int]


class Tour:
    """The steps, in order. ``check`` notes what was seen; a failed one does not stop the tour."""

    def __init__(self, desk: Desk, plain: bool) -> None:
        self.desk, self.plain, self.failed = desk, plain, 0
        self.start = desk.state()

    def check(self, what: str, seen: object) -> None:
        self.failed += not seen
        print(f"{'ok  ' if seen else 'FAIL'} {what}", flush=True)

    def panel(self, name: str, region: str = SIDEBAR) -> None:
        """A picture of the sidebar, with some of what it belongs to at its left."""
        x, y, width, height = self.desk.region(region)
        left = min(x, 420 if region == SIDEBAR else 520)
        self.desk.shot(name, (x - left, y, width + left, height))

    def untouched(self, state: State) -> bool:
        return all(state[name] == self.start[name] for name in ("keys", "curves", "actions"))

    def press(self, region: str = SIDEBAR, wanted: Callable[[State], bool] = lambda s: s["running"]) -> State | None:
        """Click the big button and wait."""
        self.desk.click(self.desk.at(region, *BUTTON[region]))
        return self.desk.wait(wanted, LONG)

    def rest(self) -> None:
        """The mouse off the panel, as it is in pictures."""
        self.desk.move(self.desk.at(VIEW, 60, -60))
        self.desk.settle()

    def open_tab(self, region: str) -> None:
        """Click the tabs from the lowest up until PTalker is open: their places depend on the others' names."""
        height = self.desk.region(region)[3]
        area = region.split(".")[0]
        for y in range(min(height, 420) - 20, 0, -25):
            if self.desk.state()["tabs"][area] == "PTalker":
                break
            self.desk.click(self.desk.at(region, -9, y))
            self.desk.settle()
        self.check(f"the tab PTalker opens in {area}", self.desk.state()["tabs"][area] == "PTalker")

    def heighten(self, pixels: int) -> None:
        """Drag the upper edge of the sequencer."""
        x, y = self.desk.at("SEQUENCE_EDITOR.HEADER", 400, 0)
        self.desk.drag((x, y - 1), (x, y - 1 - pixels))
        self.desk.settle()

    def lay_out(self) -> None:
        """Make the sequencer taller by its upper edge, and show the whole strip."""
        self.heighten(150)
        self.desk.key("Home", self.desk.at(STRIPS, 300, -30))
        self.desk.settle()

    def open_panel(self) -> None:
        self.open_tab(SIDEBAR)
        self.rest()
        self.panel("panel")

    def escape(self) -> None:
        busy = self.press(wanted=lambda s: s["running"] and s["fraction"] > 0.25)
        self.check(f"progress is seen: {busy and (busy['stage'], round(busy['fraction'], 2))}", busy)
        self.rest()
        self.panel("panel_progress")
        self.check("it still works when the picture is taken", self.desk.state()["running"])
        asked = time.monotonic()
        self.desk.key("Escape")
        state = self.desk.wait(lambda s: not s["running"], 20)
        self.check(f"Esc cancels ({time.monotonic() - asked:.1f} s)", state and self.untouched(state))
        self.rest()
        self.panel("panel_cancelled")

    def cancel_button(self) -> None:
        busy = self.press(wanted=lambda s: s["running"] and s["fraction"] > 0.2)
        self.desk.settle()
        self.check("it runs again after a cancel", busy)
        self.desk.click(self.desk.at(SIDEBAR, *CANCEL[SIDEBAR]))
        state = self.desk.wait(lambda s: not s["running"], 20)
        self.check("the Cancel button cancels", state and self.untouched(state))

    def generate(self) -> None:
        self.press()
        done = self.desk.wait(lambda s: not s["running"], LONG)
        self.check(f"Generate makes F-curves: {done and done['result']}{done and done['error']}", done and done["curves"])
        if self.plain:
            self.check("and shape keys", done and done["keys"] > 20)
        self.rest()

    def play(self) -> None:
        self.desk.key("space", self.desk.at(VIEW, 200, 300))
        began = self.desk.wait(lambda s: s["playing"], 20)
        self.check("space plays", began)
        jaws: list[float] = []
        for _ in range(40):
            jaws.append(self.desk.state()["jaw"])
            time.sleep(0.2)
            if self.desk.state()["frame"] > self.start["frame"] + 40 or max(jaws) - min(jaws) > 0.05:
                break
        self.check(f"the jaw moves: {min(jaws):.2f} .. {max(jaws):.2f}", max(jaws) - min(jaws) > 0.05)
        self.desk.key("space")
        self.check("space stops", self.desk.wait(lambda s: not s["playing"], 20))

    def undo(self) -> None:
        made = self.desk.state()
        self.desk.key("ctrl+z", self.desk.at(VIEW, 200, 300))
        back = self.desk.wait(self.untouched, 20)
        self.check("Ctrl+Z takes it back in one step: keys, curves, Action", back)
        self.rest()
        self.panel("panel_undone")
        self.desk.key("ctrl+shift+z", self.desk.at(VIEW, 200, 300))
        again = self.desk.wait(lambda s: all(s[k] == made[k] for k in ("keys", "curves", "actions")), 20)
        self.check("Ctrl+Shift+Z brings it again", again)

    def scrub(self) -> None:
        """Click along the ruler to a frame with an open mouth."""
        for x in range(60, 700, 9):
            self.desk.click(self.desk.at(STRIPS, x, 10))
            self.desk.settle()
            if self.desk.state()["jaw"] > 0.2:
                break
        self.check(f"scrubbing opens the mouth: {self.desk.state()['jaw']:.2f}", self.desk.state()["jaw"] > 0.2)
        self.rest()
        self.desk.shot("window")
        self.panel("panel_done")

    def grey(self) -> None:
        place = self.desk.at(STRIPS, 300, -60)
        self.desk.key("h", place)
        muted = self.desk.wait(lambda s: s["muted"], 20)
        self.check("H mutes the strip", muted)
        self.desk.move(self.desk.at(SIDEBAR, *BUTTON[SIDEBAR]))  # Blender draws the panel again when the mouse comes
        self.desk.settle()
        self.rest()
        self.panel("panel_greyed")
        state = self.press(wanted=lambda s: True)
        time.sleep(1.0)
        self.check("the grey button does nothing", state and not self.desk.state()["running"])
        self.desk.move(self.desk.at(SIDEBAR, BUTTON[SIDEBAR][0] + 20, BUTTON[SIDEBAR][1]))
        time.sleep(2.5)
        self.panel("panel_greyed_hint")
        self.desk.key("ctrl+z", place)
        self.check("Ctrl+Z unmutes", self.desk.wait(lambda s: not s["muted"], 20))

    def sequencer(self) -> None:
        self.heighten(250)
        self.desk.key("n", self.desk.at(STRIPS, 300, -60))
        self.desk.settle()
        self.open_tab(TIMELINE)
        self.rest()
        self.panel("sequencer", TIMELINE)
        before = len(self.desk.state()["actions"])
        self.press(TIMELINE)
        done = self.desk.wait(lambda s: not s["running"], LONG)
        self.check("the sequencer's button works; a second Action", done and len(done["actions"]) == before + 1)
        self.rest()
        self.panel("sequencer_done", TIMELINE)
        self.desk.key("n", self.desk.at(STRIPS, 300, -60))
        self.heighten(-250)

    def rig(self) -> None:
        """The panel Rig: its header opens it, and the list has filled itself."""
        self.heighten(-185)  # the whole panel shows
        for header in (STYLE_HEADER, RIG_HEADER):
            self.desk.click(self.desk.at(SIDEBAR, *header))
            self.desk.settle()
        rows = self.desk.wait(lambda s: s["rows"], 20)
        self.check(f"the list fills itself: {rows and rows['rows']} rows", rows)
        self.rest()
        self.panel("rig")
        for header in (RIG_HEADER, STYLE_HEADER):
            self.desk.click(self.desk.at(SIDEBAR, *header))
        self.heighten(185)

    def styles(self) -> None:
        """A style is read from the head's own animation: the panel says how sure it is, and what it shows."""
        self.heighten(-185)
        self.desk.click(self.desk.at(SIDEBAR, *REFERENCE))
        for key in ("h", "e", "a", "d", "Return"):
            self.desk.settle()
            self.desk.key(key)
        self.desk.settle()
        self.desk.move(self.desk.at(SIDEBAR, *READ))  # Blender draws the button, which was grey, when the mouse comes
        self.desk.settle()
        self.desk.click(self.desk.at(SIDEBAR, *READ))
        seen = self.desk.wait(lambda s: s["styles"] and not s["running"], LONG)
        self.check(f"a style is read: {seen and seen['result']}", seen and seen["styles"] == 1)
        self.rest()
        self.panel("styles")
        self.desk.click(self.desk.at(SIDEBAR, *ADD_STYLE))
        self.desk.settle()
        x, y, width, height = self.desk.region(SIDEBAR)
        self.desk.shot("styles_menu", (x - 260, y, width + 260, height))
        self.desk.key("Escape")
        self.heighten(185)

    def landmarks(self) -> None:
        """The panel Landmarks: its button puts Empties onto the face."""
        for header in (STYLE_HEADER, MARKS_HEADER):
            self.desk.click(self.desk.at(SIDEBAR, *header))
            self.desk.settle()
        self.desk.click(self.desk.at(SIDEBAR, *PROPOSE))
        seen = self.desk.wait(lambda s: s["landmarks"] and not s["running"], LONG)
        self.check(f"landmarks are proposed: {seen and seen['landmarks']}", seen and seen["landmarks"] == 14)
        self.rest()
        self.panel("landmarks")
        self.desk.key("ctrl+z", self.desk.at(VIEW, 200, 300))
        self.check("Ctrl+Z takes them away", self.desk.wait(lambda s: not s["landmarks"], 20))
        for header in (MARKS_HEADER, STYLE_HEADER):
            self.desk.click(self.desk.at(SIDEBAR, *header))

    def killed(self) -> None:
        before = self.desk.state()
        busy = self.press(wanted=lambda s: s["running"] and s["fraction"] > 0.1)
        os.kill(self.desk.state()["engine"], signal.SIGKILL)
        state = self.desk.wait(lambda s: not s["running"], 20)
        self.check(f"an engine that is killed: {state and state['error']!r}", busy and state and state["error"])
        self.check("and nothing has changed", state and state["actions"] == before["actions"])
        self.rest()
        self.panel("panel_error")
        self.desk.key("Escape")
        self.press()
        done = self.desk.wait(lambda s: not s["running"], LONG)
        self.check("the next run works", done and len(done["actions"]) == len(before["actions"]) + 1)

    def run(self, only: list[str]) -> int:
        steps = ["escape", "cancel_button", "generate", "styles", "play", "undo", "scrub", "grey", "sequencer", "rig"]
        steps += ["landmarks", "killed"]
        names = ["lay_out", "open_panel", *(only or steps)]
        for name in names:
            print(f"-- {name}", flush=True)
            getattr(self, name)()
        return 1 if self.failed else 0


def long_speech(folder: Path, times: int) -> Path:
    """The demo's speech several times over: long enough to be cancelled."""
    target = folder / "speech.wav"
    source = REPO / "demo" / "speech" / "demo.ogg"
    command = ["ffmpeg", "-v", "error", "-y", "-stream_loop", str(times - 1), "-i", str(source), "-ar", "48000", str(target)]
    subprocess.run(command, check=True)
    return target


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--zip", type=Path, required=True, help="the built extension")
    parser.add_argument("--out", type=Path, required=True, help="where the pictures go")
    parser.add_argument("--head", choices=("plain", "keys"), default="plain", help="plain: PTalker makes the shape keys")
    parser.add_argument("--blender", default="blender")
    parser.add_argument("--times", type=int, default=6, help="how often the demo's sentences are spoken")
    parser.add_argument("--only", nargs="*", default=[], metavar="STEP", help="of the tour; the first two always")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        audio = long_speech(Path(folder), options.times)
        with Desk(options.zip, options.out, audio, options.head, options.blender) as desk:
            print(f"Blender {desk.state()['version']}", flush=True)
            return Tour(desk, options.head == "plain").run(options.only)


if __name__ == "__main__":
    sys.exit(main())
