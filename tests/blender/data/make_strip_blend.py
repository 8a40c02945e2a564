# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes strip.blend, for builds of Blender that can open sound strips but not make them: run with bpy 4.5.

The file has 24 frames a second and one sound strip of ``//bursts.wav`` (6 s), cut by 12 frames at its left: it lies
at frame 100, so that second t of the file is heard at frame 100 - 12 + 24 t, from frame 100 on, up to frame 219.
"""

from __future__ import annotations

import os
import sys
import tempfile
import wave
from pathlib import Path

os.environ["BLENDER_USER_RESOURCES"] = tempfile.mkdtemp()

import bpy

HERE = Path(__file__).resolve().parent
bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
scene = bpy.context.scene
scene.render.fps = 24
with wave.open(str(HERE / "bursts.wav"), "wb") as file:
    file.setparams((1, 2, 16000, 0, "NONE", ""))
    file.writeframes(bytes(2 * 16000 * 6))
bpy.ops.wm.save_as_mainfile(filepath=str(HERE / "strip.blend"), compress=True)
strip = scene.sequence_editor_create().strips.new_sound("bursts", "//bursts.wav", 1, 88)
strip.frame_final_start = 100
strip.frame_final_end = 220
assert (strip.frame_final_start, strip.frame_final_end, strip.frame_start) == (100, 220, 88), strip.frame_final_end
bpy.ops.wm.save_as_mainfile(filepath=str(HERE / "strip.blend"), compress=True)
(HERE / "bursts.wav").unlink()
(HERE / "strip.blend1").unlink(missing_ok=True)
sys.stdout.flush()
os._exit(0)
