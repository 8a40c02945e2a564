"""Windows of clips: what is said and what the face does there stay together, also where a beginning was cut off."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_corpus import write_corpus

from ptalker_blender.core.data.fit import main as fit_main
from ptalker_blender.core.data.sounds import PHONE, TIMES, UNKNOWN, Sounds, face, labels
from ptalker_blender.core.data.windows import BEFORE_CUT, Clip, Segment, knowable, pack, read_clips, said

CLIP = Clip("speech", "v", "none.ogg", "train", [["sil", 0.0, 0.5], ["b", 0.5, 0.7], ["ɑ", 0.7, 1.2], ["??", 1.2, 1.4]])


def test_phones_of_a_window_are_in_its_own_seconds() -> None:
    phones = said([Segment(0, 1.0, 3.0, 2.0)], [CLIP])
    assert [p for p, *_ in phones] == ["sil", "b", "ɑ", "??"]
    assert np.allclose([t[1:] for t in phones][1], [1.25, 1.35])


def test_what_was_cut_off_is_not_said_and_nobody_knows_the_face_before() -> None:
    cut = Segment(0, 2.0, 4.0, 1.0, first=2.8)  # in the midst of the vowel
    phones = said([cut], [CLIP])
    assert [p for p, *_ in phones] == ["ɑ", "??"] and phones[0][1] == 2.8
    times = np.array([2.0, 2.79, 2.81])
    assert knowable([cut], times).tolist() == [1.0, 0.0, 1.0]
    assert knowable([cut], np.array([2.8 - BEFORE_CUT - 0.01])) == 1.0
    assert cut.heard(np.array([2.7, 2.9])).tolist() == [False, True]


def test_labels_follow_the_phones() -> None:
    found = labels([Segment(0, 1.0, 3.0, 1.0)], [CLIP])
    at = lambda t: found[int(np.searchsorted(TIMES, t))]  # noqa: E731
    assert (at(0.5), at(1.6), at(2.0), at(2.3), at(5.0)) == (PHONE["sil"], PHONE["b"], PHONE["ɑ"], UNKNOWN, PHONE["sil"])


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    data, fits = write_corpus(tmp_path_factory.mktemp("data")), tmp_path_factory.mktemp("fits")
    patch = pytest.MonkeyPatch()
    patch.setattr("sys.argv", ["fit", "--data", str(data), "--out", str(fits)])
    fit_main()
    patch.undo()
    return data, fits


def test_sounds_of_every_kind(corpus: tuple[Path, Path]) -> None:
    for kind in ("grid", "speech", "foreign", "quiet"):
        sounds = Sounds(*corpus, {kind: 1.0})
        window = sounds.draw(np.random.default_rng(3))
        assert {k: v.shape[0] for k, v in window.items()} == {
            "heard": 128000,
            "plain": 128000,
            "phone": 400,
            "z": 400,
            "mask": 400,
        }
        spoken = (window["phone"] > 0).mean()
        assert (spoken == 0) == (kind == "quiet")
        again = sounds.draw(np.random.default_rng(3))
        assert all(np.array_equal(window[k], again[k]) for k in window)


def test_plain_sound_is_where_the_degraded_one_is(corpus: tuple[Path, Path]) -> None:
    data, _ = corpus
    clips = read_clips(data)
    wanted = [i for i, c in enumerate(clips) if c.voice == "af_one"]
    best = []
    for seed in range(6):
        heard, plain, _, _ = next(pack(clips, wanted, data, np.random.default_rng(seed), clean=False))
        loud = lambda x: np.convolve(np.abs(x), np.ones(800) / 800, "same")[::160]  # noqa: E731
        a, b = loud(heard), loud(plain)
        lags = range(-20, 21)  # 10 ms each
        best.append(lags[int(np.argmax([np.corrcoef(np.roll(a, -k)[30:-30], b[30:-30])[0, 1] for k in lags]))])
    assert np.median(np.abs(best)) <= 1


def test_real_faces_are_known_only_where_a_clip_is_heard(corpus: tuple[Path, Path]) -> None:
    sounds = Sounds(*corpus, {"grid": 1.0})
    grid = sounds.groups["grid"][0]
    _, mask = face([Segment(grid, 1.0, 4.0, 1.0)], sounds.clips, sounds.fits)
    assert mask[:50].max() == 0 and mask[60:190].min() > 0 and mask[210:].max() == 0
