"""A style from a reference: what is read, how sure it is, and what cannot be a reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from scipy.spatial.transform import Rotation
from style_clips import clip, head, model, moving, sound, weights, write

from ptalker_blender.core.clips import Clip, clip_of, read_clip, read_reference
from ptalker_blender.core.data.teacher import TeacherStyle
from ptalker_blender.core.errors import Cancelled, PTalkerError
from ptalker_blender.core.mesh.bounded import bounded
from ptalker_blender.core.reference import read_style, together, voiced


def refused(path: Path) -> str:
    """-> the code of the error that reading its style raises."""
    with pytest.raises(PTalkerError) as error:
        read_style(model(), path)
    assert error.value.sentence.endswith(".") and len(error.value.sentence) < 200
    return error.value.code


@pytest.fixture(scope="module")
def spoken() -> Clip:
    return clip()


def test_a_clip_is_read_from_its_file_as_from_memory(spoken: Clip, tmp_path: Path) -> None:
    path = write(tmp_path / "clip.npz", spoken)
    found = read_clip(path)
    assert (found.frames, found.vertices, found.fps) == (spoken.frames, spoken.vertices, spoken.fps)
    assert isinstance(spoken.source, np.ndarray) and found.audio is not None and spoken.audio is not None
    np.testing.assert_array_equal(np.concatenate(list(found.chunks())), spoken.source)
    np.testing.assert_allclose(found.audio, spoken.audio)
    times = np.array([0.0, 0.1, 1.234, 2.0, 99.0])
    there = found.at(times)
    np.testing.assert_array_equal(there, spoken.at(times))
    np.testing.assert_allclose(there[-1], spoken.source[-1])
    np.testing.assert_allclose(there[2], 0.15 * spoken.source[30] + 0.85 * spoken.source[31], rtol=1e-4, atol=1e-5)
    short = found.part(2.0)
    assert short.frames == 50 and short.audio is not None and len(short.audio) == 32000
    assert sum(map(len, short.chunks())) == sum(map(len, spoken.part(2.0).chunks())) == 50
    np.savez_compressed(tmp_path / "other.npz", vertices=np.asfortranarray(spoken.source), faces=spoken.faces, fps=25)
    np.testing.assert_array_equal(np.concatenate(list(read_clip(tmp_path / "other.npz").chunks())), spoken.source)


def test_sound_of_any_kind_in_a_clip(spoken: Clip) -> None:
    second, rate = np.sin(np.arange(22050) * 0.05) * 0.5, 22050
    v, f, _ = head()
    for audio in (second, second.astype(np.float32), np.stack([second, second], 1), (second * 32767).astype(np.int16)):
        found = clip_of(moving(weights()[:25]), f, 25.0, rest=v, audio=audio, sample_rate=rate).audio
        assert found is not None and len(found) == 16000 and 0.45 < np.abs(found).max() < 0.55
    assert clip_of(moving(weights()[:25]), f, 25.0, audio=np.zeros(9000)).audio is None


def test_motion_voice_and_both(spoken: Clip) -> None:
    motion, voice, both = (read_style(model(), spoken, "x", use=use) for use in ("motion", "voice", "both"))
    assert motion.style.made_from == "motion" and voice.style.made_from == "voice" and both.style.made_from == "motion and voice"
    assert motion.agreement is None and both.agreement is not None and -1 <= both.agreement <= 1
    assert both.motion and both.voice and motion.motion and torch.equal(both.motion.vector, motion.motion.vector)
    assert torch.equal(both.voice.vector, voice.style.vector)
    assert 0 < voice.style.confidence < motion.style.confidence < 1
    mixed = together(model(), "x", both.motion, both.voice).style.vector
    between = torch.stack([both.motion.vector, both.voice.vector])
    assert (mixed <= between.amax(0) + 1e-5).all() and (mixed >= between.amin(0) - 1e-5).all()
    assert both.figures()["confidence_word"] in ("low", "fair", "good") and both.style.model == model().fingerprint


def test_more_is_surer_and_silence_tells_nothing(spoken: Clip) -> None:
    short = read_style(model(), spoken.part(1.5), use="motion")
    long = read_style(model(), clip(repeats=2), use="motion")
    assert short.style.confidence < 0.45 < 0.9 < long.style.confidence
    z = weights()
    still = np.concatenate([z[:38], np.repeat(z[37:38], 400, 0)])
    paused = read_style(model(), clip_of(moving(still), head()[1], 25.0, rest=head()[0]))
    assert paused.motion and paused.motion.speech < 0.3 and paused.style.confidence < 0.7
    once = read_style(model(), spoken, use="motion")
    assert torch.cosine_similarity(once.style.vector, long.style.vector, 0) > 0.95  # windows of a longer clip


def test_pose_unit_and_head_motion_do_not_count(spoken: Clip) -> None:
    v, f, _ = head()
    turn = Rotation.from_rotvec([0.3, 0.5, -0.2]).as_matrix()
    frames = moving(weights())
    nods = Rotation.from_rotvec(np.outer(np.sin(np.arange(len(frames)) / 9), [0.15, 0.05, 0.0])).as_matrix()
    middle = v.mean(0)
    nodding = np.einsum("tvc,tdc->tvd", frames - middle, nods) + middle + np.sin(np.arange(len(frames)) / 20)[:, None, None] * 0.1
    plain = read_style(model(), spoken, use="motion").style.vector
    for frames_of, rest in (((frames @ turn.T) * 100 + 7, (v @ turn.T) * 100 + 7), (nodding, v)):
        moved = clip_of(frames_of.astype(np.float32), f, 25.0, rest=rest)
        assert torch.cosine_similarity(plain, read_style(model(), moved, use="motion").style.vector, 0) > 0.9


def test_what_is_no_reference(spoken: Clip, tmp_path: Path) -> None:
    v, path = np.asarray(spoken.source), tmp_path / "clip.npz"
    nan = v.copy()
    nan[60, 3, 1] = np.nan
    ragged = np.empty(2, object)
    ragged[:] = [v[0], v[1][:-1]]
    for code, more in (
        ("reference_invalid", {"vertices": nan}), ("reference_invalid", {"vertices": None}),
        ("reference_invalid", {"faces": None}), ("reference_invalid", {"fps": None}),
        ("reference_invalid", {"fps": 0.0}), ("reference_invalid", {"fps": np.nan}),
        ("reference_invalid", {"vertices": v[0]}), ("reference_invalid", {"sample_rate": None}),
        ("reference_changed", {"vertices": v[:, :-5]}), ("reference_changed", {"rest": v[0, :-5]}),
        ("reference_changed", {"vertices": ragged}), ("reference_short", {"vertices": v[:20]}),
        ("reference_short", {"vertices": v[:0]}),
        ("reference_still", {"vertices": np.repeat(v[:1], 50, 0)}), ("audio_invalid", {"sample_rate": -5}),
        ("mesh_invalid", {"rest": np.zeros_like(v[0])}),
    ):  # fmt: skip
        assert refused(write(path, spoken, **more)) == code, more
    ball = np.random.default_rng(0).normal(size=(30, 40, 3))
    faces = np.stack([np.arange(38), np.arange(1, 39), np.arange(2, 40)], 1)
    assert refused(write(path, clip_of(ball, faces, 25.0))) == "face_not_found"


def test_a_face_that_is_still_is_told_to_those_who_export_and_to_those_in_blender(spoken: Clip, tmp_path: Path) -> None:
    """An object in Blender reaches the engine as NAME.npz: its name is said, and nothing of an export."""
    path = write(tmp_path / "Head.npz", spoken, vertices=np.repeat(np.asarray(spoken.source)[:1], 50, 0))
    with pytest.raises(PTalkerError) as error:
        read_style(model(), path)
    assert error.value.sentence == "The face in 'Head' does not move."
    assert "export" not in error.value.fix and "modifiers" in error.value.fix


def test_files_that_are_no_reference(spoken: Clip, tmp_path: Path) -> None:
    assert refused(tmp_path / "none.npz") == "reference_missing"
    whole = write(tmp_path / "clip.npz", spoken).read_bytes()
    for name, data in (
        ("a.npz", b"PK\x03\x04"),
        ("b.npz", whole[: len(whole) // 2]),
        ("c.blend", b"BLENDER"),
        ("d.safetensors", b"x"),
    ):
        (tmp_path / name).write_bytes(data)
        assert refused(tmp_path / name) == "reference_unreadable"
    for name, samples, code in (("e.wav", np.zeros(48000), "reference_silent"), ("f.wav", np.ones(8000) / 2, "reference_short")):
        soundfile.write(tmp_path / name, samples, 16000)
        assert refused(tmp_path / name) == code
    silent = write(tmp_path / "g.npz", spoken, audio=np.zeros(48000))
    with pytest.raises(PTalkerError) as error:
        read_style(model(), silent, use="voice")
    assert error.value.code == "reference_silent"


def test_a_voice_from_a_file_and_a_cancel(spoken: Clip, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", sound(), 16000)
    given = read_reference(tmp_path / "a.wav")
    assert isinstance(given, np.ndarray)
    reading = read_style(model(), tmp_path / "a.wav")
    assert reading.style.name == "a" and reading.style.made_from == "voice" and reading.voice and reading.voice.speech > 0.5
    with pytest.raises(Cancelled):
        read_style(model(), spoken, cancelled=lambda: True)


def test_how_much_of_a_sound_is_speech() -> None:
    half = np.concatenate([sound()[:48000], np.zeros(48000, np.float32)])
    assert 0.3 < voiced(half).mean() < 0.55


def test_another_manner_is_another_style(spoken: Clip) -> None:
    """Half of the sentences against the other half, in two manners that could hardly differ more."""
    other = clip(TeacherStyle(strength=0.5, jaw=0.5, rounding=0.4))
    seconds = spoken.seconds / 2
    first = [read_style(model(), c.part(seconds), use="motion").style.vector for c in (spoken, other)]
    whole = [read_style(model(), c, use="motion").style.vector for c in (spoken, other)]
    assert (first[0] - whole[0]).norm() < (first[0] - whole[1]).norm()
    assert (first[1] - whole[1]).norm() < (first[1] - whole[0]).norm()


def test_bounded_least_squares() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=(40, 6))
    true = np.clip(rng.normal(size=(30, 6)), 0, 1)
    np.testing.assert_allclose(bounded(a.T @ a, true @ a.T @ a), true, atol=1e-3)
    outside = bounded(a.T @ a, (true + 5) @ a.T @ a)
    assert outside.min() >= 0 and outside.max() <= 1 + 1e-6
