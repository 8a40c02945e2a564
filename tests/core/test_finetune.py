"""Fine-tuning with the shipped model on the demo's sentences, a few steps of it."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from style_clips import STYLE, clip, head, model, moving, sound, weights, write

from ptalker_blender.core import finetune
from ptalker_blender.core.adapters import merged
from ptalker_blender.core.channels import LOWER_FACE
from ptalker_blender.core.clip_lessons import prepare
from ptalker_blender.core.clips import Clip, clip_of
from ptalker_blender.core.commands.finetune import Interruptible
from ptalker_blender.core.errors import Cancelled, PTalkerError
from ptalker_blender.core.finetune import fine_tune
from ptalker_blender.core.jobs import Quiet
from ptalker_blender.core.lessons import STEP, Shown, content_of, other_content
from ptalker_blender.core.protocol import FineTune
from ptalker_blender.core.reference import read_style
from ptalker_blender.core.solved import head_changes
from ptalker_blender.core.style_jobs import fine_tune as job
from ptalker_blender.core.styles import load_style


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finetune, "MOST_STEPS", 90)
    monkeypatch.setattr(finetune, "EVERY", 15)


@pytest.fixture(scope="module")
def spoken() -> Clip:
    return clip(repeats=2)


def test_it_learns_and_the_model_stays(spoken: Clip, brief: None) -> None:
    before = {k: v.clone() for k, v in model().network.state_dict().items()}
    heard: list[tuple[float, float, float | None]] = []
    tuned = fine_tune(model(), [spoken], "demo", learned=lambda *x: heard.append(x))
    assert tuned.after_mm < tuned.before_mm and tuned.style.adapter and not tuned.cancelled
    assert all(torch.equal(v, before[k]) for k, v in model().network.state_dict().items())
    fractions = [x[0] for x in heard]
    assert fractions == sorted(fractions) and fractions[-1] <= 1 and len(heard) == tuned.steps == 90
    tests = [x[2] for x in heard if x[2] is not None]
    assert len(tests) == 6 and all(0 < t < 2 for t in tests)  # kept: the best of them that may be, or what they began with
    truth, read = weights(STYLE), read_style(model(), spoken, use="motion").style
    wrong = []
    for style in (read, tuned.style):
        made = model().generate(sound(), 25.0, style=style)[: len(truth)]
        off = (made - truth[: len(made)])[:, list(LOWER_FACE)]
        wrong.append(np.linalg.norm(np.tensordot(off, head()[2][list(LOWER_FACE)], 1), axis=-1).mean())
    assert wrong[1] < wrong[0]
    lengths = {len(v) for v in tuned.curves.values()}
    assert len(tuned.curves) == 3 and len(lengths) == 1


def test_the_last_layer_is_solved_at_once(spoken: Clip) -> None:
    """Of a decoder whose last layer was changed, the change is found again; the more it is held, the less of it. How far lips
    part is held to others' speech as well, and changes less."""
    decoder, start = model().network.decoder, model().network.styles["neutral"]
    lessons = prepare(model(), [spoken], lambda stage, part: None, None).lessons
    changed = deepcopy(decoder)
    with torch.no_grad():
        changed.head.weight.mul_(1.2)
        changed.head.bias.add_(0.05)
        lesson = lessons[0]
        times = torch.arange(len(lesson.target)) / lesson.fps
        heard = (torch.arange(len(lesson.content)) + 0.25) * STEP
        asked = lesson.content[None].clone(), heard, start[None], times
        truth = changed(*asked)[0]
        content, contact = other_content(model(), 100), model().network.contact
        assert contact is not None
        other = content, (torch.arange(100) + 0.25) * STEP, torch.arange(95) / 25 + 0.1
        gap = contact.gap[:, 0]
        found = head_changes(decoder, [replace(lesson, target=truth)], start, lambda z: z, other, gap)
        left = [merged(decoder, change)(*asked)[0] - truth for change in found]
        before = decoder(*asked)[0] - truth
        opens = gap / gap.norm()
        beside = [float((x - torch.outer(x @ opens, opens)).square().mean().sqrt()) for x in (before, *left)]
        apart = [float((x @ opens - (x @ opens).mean()).square().mean().sqrt()) for x in (before, *left)]
    assert beside[1:] == sorted(beside[1:]) and beside[1] < 0.1 * beside[0] and beside[-1] < beside[0]
    assert beside[1] / beside[0] < apart[1] / apart[0] < 0.95


def test_a_cancel_keeps_the_best_so_far(spoken: Clip, brief: None, tmp_path: Path) -> None:
    class Later(Quiet):
        better = False

        def learned(self, fraction: float, loss: float, held_out: float | None) -> None:
            self.better = self.better or (held_out is not None and held_out < 1)

        def cancelled(self) -> bool:
            return self.better

    out, plot = tmp_path / "s.safetensors", tmp_path / "s.png"
    path = write(tmp_path / "clip.npz", spoken)
    result = job(FineTune(1, (str(path),), str(out), "demo", str(plot)), model, Later())
    assert result.figures["cancelled"] and 0 < result.figures["steps"] <= 90 and result.figures["gain"] > 0
    saved = load_style(out)
    assert saved.name == "demo" and saved.made_from == "fine-tuning" and saved.adapter and saved.seconds > 17
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_a_cancel_before_there_is_anything(spoken: Clip, tmp_path: Path) -> None:
    class Now(Quiet):
        def cancelled(self) -> bool:
            return True

    path = write(tmp_path / "clip.npz", spoken)
    with pytest.raises(Cancelled):
        job(FineTune(1, (str(path),), str(tmp_path / "s.safetensors")), model, Now())
    assert [p.name for p in tmp_path.iterdir()] == ["clip.npz"]


def test_what_cannot_be_learned_from(spoken: Clip) -> None:
    v, f, _ = head()
    still = clip_of(np.repeat(v[None], 200, 0), f, 25.0, rest=v, audio=sound())
    for code, clips in (
        ("reference_silent", [clip(voice=False)]), ("reference_short", [spoken.part(3.0)]), ("reference_still", [still]),
        ("option_invalid", []),
    ):  # fmt: skip
        with pytest.raises(PTalkerError) as error:
            fine_tune(model(), clips, "x")
        assert error.value.code == code
    with pytest.raises(PTalkerError):
        fine_tune(model(), [spoken], "x", minutes=0.0)
    for seed in (-1, 10**20):
        with pytest.raises(PTalkerError, match="seed"):
            fine_tune(model(), [spoken], "x", seed=seed)


def test_a_sound_that_ends_before_its_motion(monkeypatch: pytest.MonkeyPatch) -> None:
    """The motion goes on in silence; where there is hardly a sound, there is nothing to learn."""
    monkeypatch.setattr(finetune, "MOST_STEPS", 2)
    v, f, _ = head()
    frames = moving(weights(repeats=2)[:250])
    clips = [clip_of(frames, f, 25.0, rest=v, audio=np.tile(sound(), 2)[: round(s * 16000)], name="c") for s in (6.5, 1.0)]
    assert all(c.audio is not None and len(c.audio) == 160000 for c in clips)
    assert fine_tune(model(), clips[:1], "x").steps == 2
    with pytest.raises(PTalkerError, match="too little sound") as error:
        fine_tune(model(), clips[1:], "x")
    assert error.value.code == "reference_short"


def test_a_sound_that_does_not_belong_to_the_motion_is_told(brief: None) -> None:
    z = weights(repeats=2)
    rolled = np.roll(z, len(z) // 5, 0)
    wrong = clip_of(moving(rolled), head()[1], 25.0, rest=head()[0], audio=np.tile(sound(), 2))
    tuned = fine_tune(model(), [wrong], "x")
    assert any("belong together" in w for w in tuned.warnings)


@pytest.mark.parametrize("known", [True, False])
def test_weights_are_found_again_in_a_clip(known: bool) -> None:
    """What the mesh's own shapes made is solved for; without a known rest, up to the frame that stands for it."""
    z = weights()
    shown = Shown.of(model(), clip())
    shown.solver.reading = None  # the rig head plays here, so it misreads nothing (mesh/bounded.py)
    found = shown.solver(iter([moving(z)]), head()[0] if known else None)
    assert found.min() >= 0 and found.max() <= 1 + 1e-6
    cm = shown.root.numpy()
    error = np.sqrt((((found - z) @ cm.T) ** 2).sum(-1).mean())
    size = np.sqrt(((z @ cm.T) ** 2).sum(-1).mean())
    assert error < (0.1 if known else 0.5) * size


def test_others_speech_ships() -> None:
    content = other_content(model(), 100)
    assert len(content) >= 12 and content.shape[1:] == (100, model().network.config.width)
    assert torch.equal(content_of(model(), sound()), content_of(model(), sound()))


def test_ctrl_c_asks_once() -> None:
    import os
    import signal

    with Interruptible() as terminal:
        assert not terminal.cancelled()
        os.kill(os.getpid(), signal.SIGINT)
        assert terminal.cancelled()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
