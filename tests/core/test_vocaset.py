"""VOCASET in its published layout: splits, rates, regions, and what people get wrong; nothing in a pickle is ever run."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import soundfile
from vertex_sets import V, brows, dome, lips, make_vocaset, write_ply

from ptalker_blender.core.data import vocaset
from ptalker_blender.core.data.mesh_files import read_mesh
from ptalker_blender.core.data.safe_pickle import read_npy, read_pickle
from ptalker_blender.core.data.vertex_clips import looks_like
from ptalker_blender.core.data.vocaset_unpack import unpack
from ptalker_blender.core.errors import PTalkerError


@pytest.fixture
def folder(tmp_path: Path, speech: Path) -> Path:
    return make_vocaset(tmp_path / "vocaset", speech)


def refused(folder: Path) -> PTalkerError:
    with pytest.raises(PTalkerError) as caught:
        vocaset.load(folder)
    return caught.value


def test_splits_are_the_published_ones(folder: Path) -> None:
    data = vocaset.load(folder)
    assert looks_like(folder, vocaset.LAYOUT)
    assert {k: len(v) for k, v in data.clips.items()} == {"train": 6, "val": 2, "test": 2}
    assert {c.sentence for c in data.clips["test"]} == {21, 40}  # sentence 2 of a test subject is in no split
    assert len(vocaset.TRAIN) == 8 and len({*vocaset.TRAIN, *vocaset.VALIDATION, *vocaset.TEST}) == 12


def test_every_second_frame_fits_the_sound(folder: Path) -> None:
    data = vocaset.load(folder)
    clip = data.clips["train"][0]
    stored = np.load(clip.path)
    vertices, audio = clip.vertices(), clip.audio()
    assert vertices.shape == ((len(stored) + 1) // 2, V, 3) and vertices.dtype == np.float32
    np.testing.assert_array_equal(vertices[1].ravel(), stored[2])
    assert abs(len(vertices) / data.layout.fps - len(audio) / 16000) < 0.05  # 22.05 kHz became 16 kHz
    np.testing.assert_array_equal(clip.frames(np.array([3, 1])), vertices[[3, 1]])


def test_masks_topology_and_templates(folder: Path) -> None:
    data = vocaset.load(folder)
    np.testing.assert_array_equal(data.lips, lips())
    np.testing.assert_array_equal(data.upper, brows())  # forehead and eye region, each vertex once
    np.testing.assert_array_equal(data.faces(), dome()[1])
    np.testing.assert_allclose(data.templates[vocaset.TRAIN[0]][:, 2], dome(1.0)[0][:, 2], atol=0.01)


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


def test_an_unsafe_pickle_is_refused_and_not_run(folder: Path, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        (folder / "templates.pkl").write_bytes(pickle.dumps({"F": Evil(trap)}, protocol=protocol))
        error = refused(folder)
        assert error.code == "data_unsafe" and "nothing was run" in error.sentence
        assert not trap.exists()
    pickle.loads((folder / "templates.pkl").read_bytes())  # the very file would have done it
    assert trap.is_dir()


@pytest.mark.parametrize(
    "attack",
    [
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cnumpy\nndarray\n(I3\ntR.",  # an array called for
        b"cnumpy\nload\n(S'x'\ntR.",
        b"cnumpy.core.multiarray\n_reconstruct\n.",  # a function left in the tree
        b"c_codecs\nencode\n(S'x'\nS'rot13'\ntR.",
        b"cbuiltins\ngetattr\n(cnumpy\ndtype\nS'__globals__'\ntR.",
        b"Pmodule\n.",
        b"cnumpy\ndtype\n(S'V8'\ntR.",
    ],
)
def test_other_tricks_are_refused(tmp_path: Path, attack: bytes) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(attack)
    with pytest.raises(PTalkerError) as caught:
        read_pickle(path)
    assert caught.value.code in ("data_unsafe", "data_damaged")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_of_every_kind_come_back(tmp_path: Path, protocol: int) -> None:
    shared = np.arange(4)
    value = {
        "double": np.linspace(0, 1, 7).reshape(7, 1),
        "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "big endian": np.arange(5, dtype=">i4"),
        "part": np.arange(10, dtype=np.uint8)[::3],
        "empty": np.zeros((0, 3), np.float32),
        "list": [shared, shared, (1, 2.5, "text", b"bytes", None, True)],
        "scalar": np.float64(2.5),
    }
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    back = read_pickle(path)
    for name in ("double", "columns", "big endian", "part", "empty"):
        np.testing.assert_array_equal(back[name], value[name])
        assert back[name].dtype == value[name].dtype
    assert back["list"][0] is back["list"][1] and back["list"][2] == value["list"][2] and back["scalar"] == 2.5


def test_what_python_2_wrote_is_read(tmp_path: Path) -> None:
    raw = np.arange(3, dtype="<f8").tobytes()
    text = raw.decode("latin1").encode("unicode_escape").replace(b"'", b"\\'")
    old = b"(dp0\nS'F1'\np1\ncnumpy.core.multiarray\n_reconstruct\np2\n(cnumpy\nndarray\np3\n(I0\ntp4\nS'b'\np5\ntp6\nRp7\n"
    old += b"(I1\n(I3\ntp8\ncnumpy\ndtype\np9\n(S'f8'\np10\nI0\nI1\ntp11\nRp12\n(I3\nS'<'\np13\nNNNI-1\nI-1\nI0\ntp14\nb"
    old += b"I00\nS'" + text + b"'\np15\ntp16\nbs."
    path = tmp_path / "old.pkl"
    path.write_bytes(old)
    np.testing.assert_array_equal(read_pickle(path)["F1"], np.arange(3.0))


def test_pickled_frames_are_read_safely(tmp_path: Path) -> None:
    path, trap = tmp_path / "x.npy", tmp_path / "trap"
    frames = np.empty(3, object)
    frames[:] = [np.arange(6.0) + i for i in range(3)]
    np.save(path, frames, allow_pickle=True)
    np.testing.assert_array_equal(read_npy(path), np.arange(6.0) + np.arange(3)[:, None])
    frames[1] = Evil(trap)
    np.save(path, frames, allow_pickle=True)
    with pytest.raises(PTalkerError, match="nothing was run"):
        read_npy(path)
    assert not trap.exists()


def test_mistakes_are_told(folder: Path, tmp_path: Path) -> None:
    assert "no folder 'vertices_npy'" in refused(tmp_path).sentence
    clip = vocaset.load(folder).clips["train"][0]
    frames = np.load(clip.path)
    np.save(clip.path, frames[:, :-3])
    assert f"frames of {V - 1} vertices, but its subject's template has {V}" in refused(folder).sentence
    clip.path.write_bytes(b"no array")
    assert refused(folder).code == "data_damaged"
    np.save(clip.path, frames)
    clip.sound.unlink()
    assert f"wav/{clip.id}.wav" in refused(folder).sentence
    (folder / "FLAME_masks.pkl").unlink()
    assert refused(folder).code == "data_missing"


def test_another_topology_is_told(folder: Path) -> None:
    write_ply(folder / "FLAME_sample.ply", np.vstack([dome()[0], [[0, 0, 0]]]), dome()[1])
    with pytest.raises(PTalkerError, match=f"{V + 1} vertices, but the templates have {V}"):
        vocaset.load(folder).faces()
    (folder / "FLAME_sample.ply").unlink()
    with pytest.raises(PTalkerError, match=r"FLAME_sample\.ply"):
        vocaset.load(folder).faces()


def test_the_download_is_unpacked(folder: Path, tmp_path: Path) -> None:
    data = vocaset.load(folder)
    raw, clips = tmp_path / "raw", data.everything[:2]
    raw.mkdir()
    frames = [np.load(c.path).reshape(-1, V, 3) for c in clips]
    shuffled = np.random.default_rng(0).permutation(sum(map(len, frames)))
    stored = np.empty((len(shuffled), V, 3), np.float32)
    stored[shuffled] = np.concatenate(frames)
    np.save(raw / "data_verts.npy", stored)
    rows: dict[str, dict] = {}
    sounds: dict[str, dict] = {}
    for clip, first, length in zip(clips, (0, len(frames[0])), map(len, frames), strict=True):
        subject, sentence = clip.id.rsplit("_", 1)
        rows.setdefault(subject, {})[sentence] = {i: int(shuffled[first + i]) for i in reversed(range(length))}
        samples, rate = soundfile.read(clip.sound, dtype="int16")
        sounds.setdefault(subject, {})[sentence] = {"audio": samples, "sample_rate": rate}
    (raw / "subj_seq_to_idx.pkl").write_bytes(pickle.dumps(rows, protocol=2))
    (raw / "raw_audio_fixed.pkl").write_bytes(pickle.dumps(sounds, protocol=2))
    assert unpack(raw) == (2, 2)
    for clip, truth in zip(clips, frames, strict=True):
        np.testing.assert_array_equal(np.load(raw / "vertices_npy" / clip.path.name).reshape(truth.shape), truth)
        assert (raw / "wav" / clip.sound.name).read_bytes() == clip.sound.read_bytes()
    (raw / "subj_seq_to_idx.pkl").write_bytes(pickle.dumps({"a": {"b01": {0: len(stored)}}}))
    with pytest.raises(PTalkerError, match="names frames"):
        unpack(raw)


def test_meshes_are_read_from_ply_and_obj(tmp_path: Path) -> None:
    vertices, faces = dome()
    obj = tmp_path / "x.obj"
    lines = [f"v {x} {y} {z}" for x, y, z in vertices] + [f"f {' '.join(f'{i + 1}/1/{i + 1}' for i in f)}" for f in faces]
    obj.write_text("\n".join([*lines, "f 1 2 3 11 10", "f -1 -2 -3"]), "ascii")
    write_ply(tmp_path / "text.ply", vertices, faces)
    write_ply(tmp_path / "binary.ply", vertices, faces, binary=True)
    for name, extra in (("x.obj", 4), ("text.ply", 0), ("binary.ply", 0)):
        v, f = read_mesh(tmp_path / name)
        np.testing.assert_allclose(v, vertices, atol=1e-7)
        np.testing.assert_array_equal(f[: len(faces)], faces)
        assert len(f) == len(faces) + extra and (f[len(faces) :, 3] == -1).all()
    (tmp_path / "x.obj").write_text("v 0 0 0\nf 1 2 3", "ascii")
    with pytest.raises(PTalkerError, match="cannot be read as a mesh"):
        read_mesh(tmp_path / "x.obj")
