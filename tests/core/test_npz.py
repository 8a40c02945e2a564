from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from ptalker_blender.core import npz
from ptalker_blender.core.errors import Cancelled, PTalkerError
from ptalker_blender.core.npz import Frames, check_writable, write_npz


@pytest.fixture
def frames() -> Frames:
    rng = np.random.default_rng(0)
    return Frames(rng.random((40, 3)), rng.random((52, 40, 3), np.float32), rng.random((25, 52), np.float32))


def test_frames_in_small_chunks(tmp_path: Path, frames: Frames, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npz, "_CHUNK", 8 * 40 * 3 * 4)  # four frames
    assert len(list(frames.chunks())) == 7
    write_npz(tmp_path / "o", {"fps": np.float64(30), "names": np.array(["a", "bc"])}, frames)
    with np.load(tmp_path / "o", allow_pickle=False) as archive:
        assert float(archive["fps"]) == 30 and list(archive["names"]) == ["a", "bc"]
        expected = frames.neutral + frames.weights.astype(float) @ frames.basis
        np.testing.assert_allclose(archive["vertices"], expected.reshape(25, 40, 3), rtol=1e-5)
        assert archive["vertices"].dtype == np.float32


def test_cancel_leaves_what_was_there(tmp_path: Path, frames: Frames) -> None:
    (tmp_path / "o").write_text("earlier")
    with pytest.raises(Cancelled):
        write_npz(tmp_path / "o", {}, frames, cancelled=lambda: True)
    assert (tmp_path / "o").read_text() == "earlier" and len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_vanished(tmp_path: Path) -> None:
    with pytest.raises(PTalkerError, match="cannot be written"):
        write_npz(tmp_path / "gone" / "o", {"a": np.zeros(3)})
    with pytest.raises(PTalkerError, match="does not exist"):
        check_writable(tmp_path / "gone" / "o")


def test_arrays_of_objects_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PTalkerError):
        write_npz(tmp_path / "o", {"a": np.array([{}], dtype=object)})
    assert not list(tmp_path.iterdir())


def test_what_a_result_may_not_take_the_place_of(tmp_path: Path) -> None:
    there, new = tmp_path / "in.npz", tmp_path / "out.npz"
    there.write_text("earlier")
    for out, others in ((there, [there]), (there, [None, tmp_path / "." / "in.npz"]), (new, [there, str(new)])):
        with pytest.raises(PTalkerError, match="cannot take the place"):
            check_writable(out, *others)
    check_writable(there, new, None, "a\0b")
    for folder in (f"{new}{os.sep}", f"{there}{os.sep}", f"{new}{os.sep}."):
        with pytest.raises(PTalkerError, match="is a folder"):
            check_writable(folder)
    assert list(tmp_path.iterdir()) == [there] and there.read_text() == "earlier"


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes")
def test_a_link_stays_a_link_and_a_pipe_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    real, link, pipe = tmp_path / "far" / "real.npz", tmp_path / "link.npz", tmp_path / "pipe"
    link.symlink_to("far/real.npz")
    for _ in range(2):  # what it leads to need not be there yet
        check_writable(link)
        write_npz(link, {"a": np.arange(3)})
        assert link.is_symlink() and not real.is_symlink() and len(np.load(real)["a"]) == 3
    with pytest.raises(PTalkerError, match="cannot take the place"):
        check_writable(link, real)
    os.mkfifo(pipe)
    for out in (pipe, "/dev/null"):
        with pytest.raises(PTalkerError, match="pipe or a device"):
            check_writable(out)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["far", "link.npz", "pipe", "real.npz"]
