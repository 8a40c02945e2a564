"""The coarticulation teacher: closures hold in every style, curves belong to seconds and not to frames."""

import time
from itertools import pairwise

import numpy as np
import pytest

from ptalker_blender.core.channels import CHANNELS, INDEX, UPPER_FACE
from ptalker_blender.core.data.dominance import ARTICULATORS, GROUPS, Parameters
from ptalker_blender.core.data.phonemes import DIPHTHONGS, ESTIMATED, NEIGHBOURS, normalise, segments
from ptalker_blender.core.data.teacher import closures, curves, default_parameters
from ptalker_blender.core.data.teacher_style import RANGES, TeacherStyle

# "baby moved a paper map, five vivid verbs" and a pause
PHONES = [["sil", 0.0, 0.3]]
for label, length in zip(
    "b eɪ b i m u v d ə p eɪ p ɚ m æ p sil f aɪ v v ɪ v ɪ d v ɜ b z".split(),
    [8, 12, 7, 9, 8, 10, 6, 5, 6, 9, 13, 9, 10, 8, 12, 10, 30, 9, 16, 7, 7, 8, 6, 7, 6, 7, 12, 7, 12],
    strict=True,
):
    PHONES.append([label, PHONES[-1][2], PHONES[-1][2] + length / 100])
END = PHONES[-1][2] + 0.5
TIMES = np.arange(0, END, 1 / 100)
NEUTRAL = TeacherStyle.neutral()


def gap(weights: np.ndarray) -> np.ndarray:
    """[T, 2] inner-lip gap in height and depth, cm above rest on the ICT head (linear)."""
    return weights @ default_parameters()[0].gap


def styles(n: int) -> list[TeacherStyle]:
    rng = np.random.default_rng(5)
    return [TeacherStyle.sample(rng) for _ in range(n)]


def test_bilabials_close_in_every_style() -> None:
    for style in [NEUTRAL, *styles(200)]:
        opening = np.maximum(gap(curves(PHONES, TIMES, style)), 0)
        widest = np.quantile(opening[:, 0], 0.95)
        for start, end in closures(segments(PHONES), style)[0]:
            inside = (TIMES >= start) & (TIMES <= end)
            assert np.linalg.norm(opening[inside], axis=1).max() < max(0.05 * widest, 0.02), style


def test_stops_part_before_their_end_and_nasals_later() -> None:
    phones = [["a", 0, 0.2], ["p", 0.2, 0.32], ["a", 0.32, 0.5], ["m", 0.5, 0.6], ["a", 0.6, 0.8]]
    (_, p_end), (_, m_end) = closures(segments(phones), NEUTRAL)[0]
    assert 0.010 <= 0.32 - p_end <= 0.030
    assert 0.0 <= 0.6 - m_end < 0.32 - p_end


def test_labiodentals_narrow_the_gap_without_sealing_it() -> None:
    x = curves([["a", 0.1, 0.3], ["f", 0.3, 0.42], ["a", 0.42, 0.6]], TIMES[:80], NEUTRAL)
    at = lambda t: round(t * 100)  # noqa: E731
    height = gap(x)[:, 0]
    assert 0.02 < height[at(0.36)] < 0.5 * height[at(0.25)]
    assert x[at(0.36), INDEX["mouthRollLower"]] > x[at(0.25), INDEX["mouthRollLower"]]


def test_weights_are_weights() -> None:
    for style in styles(50):
        x = curves(PHONES, TIMES, style, seed=3)
        assert x.dtype == np.float32 and x.shape == (len(TIMES), len(CHANNELS))
        assert np.isfinite(x).all() and x.min() >= 0 and x.max() <= 1


def test_lips_never_cross() -> None:
    for style in styles(100):
        x = curves(PHONES, TIMES, style).astype(np.float64)
        rolls = [INDEX["mouthRollLower"], INDEX["mouthRollUpper"]]
        height = gap(x)[:, 0] - x[:, rolls] @ default_parameters()[0].gap[rolls, 0]
        assert height.min() > -0.25  # cm: soft lips that press; each is some 8 mm thick


def test_frame_rate_does_not_matter() -> None:
    style = styles(1)[0]
    slow, fast = (curves(PHONES, np.arange(0, END, 1 / fps), style, seed=1) for fps in (24, 120))
    assert np.abs(slow - fast[::5][: len(slow)]).max() < 1e-5


def test_a_part_of_the_times_gives_a_part_of_the_curves() -> None:
    long = np.arange(0, 40, 1 / 30)
    phones = [[p, s + shift, e + shift] for shift in np.arange(0, 36, END) for p, s, e in PHONES]
    whole, part = curves(phones, long, NEUTRAL), curves(phones, long[400:500], NEUTRAL)
    assert np.abs(whole[400:500] - part).max() < 1e-4


def test_silence_returns_to_rest_and_the_mouth_opens_before_the_sound() -> None:
    x = curves([["sil", 0, 1.5], ["ɑ", 1.5, 1.8], ["sil", 1.8, 3.5]], np.arange(0, 3.5, 0.01), NEUTRAL)
    jaw = x[:, INDEX["jawOpen"]]
    assert x[[20, 340]].max() < 0.02
    onset = np.flatnonzero(jaw > 0.1 * jaw.max())[0] / 100
    assert 1.2 < onset < 1.47


def test_vowels_look_like_themselves() -> None:
    def at_middle(vowel: str) -> np.ndarray:
        return curves([["t", 0.3, 0.4], [vowel, 0.4, 0.6], ["t", 0.6, 0.7]], np.array([0.5]), NEUTRAL)[0]

    pucker = INDEX["mouthPucker"]
    assert gap(at_middle("ɑ"))[0] > gap(at_middle("i"))[0] > 0
    for rounded in ("u", "y"):
        assert at_middle(rounded)[pucker] > 2 * at_middle("a")[pucker]


def test_styles_differ_and_round_trip() -> None:
    drawn = styles(40)
    x = np.stack([curves(PHONES, TIMES[::4], s) for s in drawn])
    distance = np.abs(x[:, None] - x[None]).max((2, 3)) + np.eye(len(x))
    assert distance.min() > 0.05
    for style in drawn:
        again = TeacherStyle.from_array(style.to_array())
        assert np.allclose(again.to_array(), style.to_array(), atol=1e-5)
        for name, (_, low, high, _) in RANGES.items():
            assert low <= getattr(style, name) <= high
    assert not NEUTRAL.to_array().any()


def test_asymmetry_moves_one_side_more() -> None:
    x = curves(PHONES, TIMES, TeacherStyle(asymmetry=0.3, rest_smile=0.3))
    assert x[:, INDEX["mouthSmileLeft"]].mean() > 1.5 * x[:, INDEX["mouthSmileRight"]].mean()


def test_upper_face_only_with_a_seed() -> None:
    assert not curves(PHONES, TIMES, NEUTRAL)[:, UPPER_FACE].any()
    assert curves(PHONES, TIMES, NEUTRAL, seed=2)[:, UPPER_FACE].any()


def test_every_phone_of_the_inventory_works() -> None:
    for phone in (*ESTIMATED, *NEIGHBOURS, *DIPHTHONGS, "ɔ̃", "tː", "ũ", "dʒː", "tsː", "yː", "ɐ̃", "n̪"):
        if normalise(phone):
            assert np.isfinite(curves([[phone, 0.1, 0.2]], np.arange(0, 0.4, 0.02), NEUTRAL)).all()
    with pytest.raises(KeyError, match="inventory"):
        normalise("ǃ")


def test_segments_are_gapless() -> None:
    spans = segments([["a", 0.1, 0.2], ["b", 0.21, 0.3], ["aɪ", 0.5, 0.7], ["sil", 0.7, 0.8], ["sil", 0.8, 0.9]])
    assert all(a[2] == b[1] for a, b in pairwise(spans))
    assert [s[0] for s in spans] == ["sil", "a", "b", "sil", "aɪ1", "aɪ2", "sil"]


def test_fast_enough() -> None:
    phones = [[p, s + shift, e + shift] for shift in np.arange(0, 60, END) for p, s, e in PHONES]
    times = np.arange(0, 60, 1 / 30)
    curves(phones, times, NEUTRAL)
    start = time.process_time()
    curves(phones, times, NEUTRAL)
    assert (time.process_time() - start) / 60 < 0.006  # s per s; about 0.001 on an idle core


def test_parameters_are_estimated_in_bounds() -> None:
    p, row = default_parameters()
    assert p.target.shape == (len(row), len(ARTICULATORS)) and p.log_rise.shape == (len(row), len(GROUPS))
    assert p.target.min() >= 0 and p.target.max() <= 1
    assert 0.019 < np.exp(p.log_rise).min() and np.exp(p.log_fall).max() < 0.31


def test_parameters_round_trip(tmp_path) -> None:
    p, _ = default_parameters()
    p.save(tmp_path / "t.json", {"source": "test"})
    again = Parameters.load(tmp_path / "t.json")
    assert again.labels == p.labels and np.abs(again.target - p.target).max() < 1e-4


def test_estimation_learns_a_target() -> None:
    """Curves of a known jaw target per phone are explained after a few steps, in the formula that curves() uses."""
    torch = pytest.importorskip("torch")
    from ptalker_blender.core.data.dominance import mixture
    from ptalker_blender.core.data.estimate_teacher import Teacher, estimate, padded

    phones = [[["s", 0.5, 0.7], ["ɑ", 0.7, 1.0], ["s", 1.0, 1.2]], [["ɑ", 0.4, 0.8], ["s", 0.8, 1.1]]]
    times = np.arange(40) / 25
    truth = np.zeros((2, 40, 52), np.float32)
    for clip, spoken in zip(truth, phones, strict=True):
        for label, start, end in spoken:
            clip[(times >= start) & (times < end), INDEX["jawOpen"]] = 0.6 if label == "ɑ" else 0.1
    effect = np.zeros((52, 2))
    effect[INDEX["jawOpen"], 0] = 3.0
    signals = np.stack([truth[..., INDEX["jawOpen"]] * 3.0, np.zeros((2, 40))], -1)
    p = estimate(phones, times, truth, signals, np.ones((2, 40), bool), effect, np.zeros(52), np.ones(52), 150, 2)
    jaw = dict(zip(p.labels, p.target[:, ARTICULATORS.index("jawOpen")], strict=True))
    assert jaw["ɑ"] > 0.45 and jaw["s"] < 0.25 and jaw["sil"] == 0

    model = Teacher()
    label, start, end, real = padded(phones)
    with torch.no_grad():
        expected = model(torch.as_tensor(times, dtype=torch.float32), label, start, end, real)[0].numpy()
    n, rows = int(real[0].sum()), label[0].numpy()
    q = model.parameters_numpy(np.zeros((52, 2), np.float32))
    rows = rows[:n]
    found = mixture(
        times, start[0, :n].numpy() + q.edges[rows, 0], end[0, :n].numpy() + q.edges[rows, 1], q.target[rows],
        np.exp(q.log_alpha[rows]), np.exp(q.log_rise[rows]), np.exp(q.log_fall[rows]), q.power,
    )  # fmt: skip
    assert np.abs(found - expected).max() < 1e-4
