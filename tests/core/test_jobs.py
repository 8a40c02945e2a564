from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from ptalker_blender.core.errors import Cancelled, PTalkerError
from ptalker_blender.core.jobs import Heard, Quiet, between, check_options, generate, part
from ptalker_blender.core.protocol import Generate
from ptalker_blender.core.runtime import PTalker

SOUND = np.arange(1, 32001, dtype=np.float32)  # two seconds


def heard(start: float, duration: float | None, block: int = 700) -> np.ndarray:
    blocks = (SOUND[a : a + block] for a in range(0, len(SOUND), block))
    return np.concatenate(list(between(blocks, *part(len(SOUND), start, duration))))


@pytest.mark.parametrize("block", [1000, 7777, 32000])
def test_the_part_of_a_sound_that_is_heard(block: int) -> None:
    np.testing.assert_array_equal(heard(0.0, None, block), SOUND)
    np.testing.assert_array_equal(heard(0.5, 1.0, block), SOUND[8000:24000])
    np.testing.assert_array_equal(heard(1.5, None, block), SOUND[24000:])


def test_outside_the_sound_is_silence() -> None:
    sound = heard(-0.5, 3.0)
    assert len(sound) == 48000 and not sound[:8000].any() and not sound[40000:].any()
    np.testing.assert_array_equal(sound[8000:40000], SOUND)
    for start in (5.0, -5.0, 2.0, -1.0):
        assert len(heard(start, 1.0)) == 16000 and not heard(start, 1.0).any()
    assert len(heard(100.0, 60.0)) == 960_000


@pytest.mark.parametrize(("start", "duration"), [(2.0, None), (0.0, 0.0), (0.0, -1.0), (0.0, 1e6)])
def test_a_part_that_cannot_be_heard(start: float, duration: float | None) -> None:
    with pytest.raises(PTalkerError):
        part(len(SOUND), start, duration)


def test_silence_is_noticed_on_the_way() -> None:
    quiet, loud = np.zeros(10, np.float32), np.array([0.0, -0.1], np.float32)
    for blocks, silent in (([quiet, quiet], True), ([quiet, loud, quiet], False), ([], True)):
        listener = Heard(blocks)
        assert len(list(listener)) == len(blocks) and listener.silent == silent


def test_only_the_part_that_is_heard_counts_for_the_warning(tmp_path: Path) -> None:
    """Loud, then silent; and what is wrong with a file is known before the model is asked for."""
    tone = 0.3 * np.sin(np.arange(22050) * 0.1)
    soundfile.write(tmp_path / "a.wav", np.concatenate([tone, np.zeros(22050)]), 22050)
    model = PTalker.load(device="cpu")
    for start, warned in ((0.0, False), (1.2, True)):
        job = Generate(1, str(tmp_path / "a.wav"), str(tmp_path / "o.npz"), fps=25.0, start=start)
        result = generate(job, lambda: model, Quiet())
        assert bool(result.warnings) == warned
        assert result.seconds == pytest.approx(2 - start) and result.frames == round((2 - start) * 25)

    def never() -> PTalker:
        raise AssertionError("the model was asked for")

    soundfile.write(tmp_path / "half.flac", np.random.default_rng(0).standard_normal(80000) * 0.1, 16000)
    data = (tmp_path / "half.flac").read_bytes()
    (tmp_path / "half.flac").write_bytes(data[: len(data) // 2])
    with pytest.raises(PTalkerError):
        generate(Generate(1, str(tmp_path / "half.flac"), str(tmp_path / "o.npz")), never, Quiet())


def test_cancel_while_the_sound_is_checked(tmp_path: Path) -> None:
    class Impatient(Quiet):
        def cancelled(self) -> bool:
            return True

    soundfile.write(tmp_path / "a.wav", np.zeros(16000), 16000)
    with pytest.raises(Cancelled):
        generate(Generate(1, str(tmp_path / "a.wav"), str(tmp_path / "o.npz")), lambda: PTalker.load(), Impatient())
    assert [p.name for p in tmp_path.iterdir()] == ["a.wav"]


@pytest.mark.parametrize("options", [(0, 1, 0), (241, 1, 0), (float("nan"), 1, 0), (30, 9, 0), (30, 1, -1)])
def test_bad_options(options: tuple[float, float, int]) -> None:
    with pytest.raises(PTalkerError):
        check_options(*options)
    check_options(23.976, 0.0, 7)
