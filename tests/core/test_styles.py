"""Style files, blends, shares and adapters."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from style_clips import model

from ptalker_blender.core.adapters import adapted, adapter_of, linear_layers, merged, scaled, together
from ptalker_blender.core.channels import INDEX
from ptalker_blender.core.commands.styles import described
from ptalker_blender.core.errors import PTalkerError
from ptalker_blender.core.personal import Personal
from ptalker_blender.core.styles import Style, choose, find, fingerprint, load_style, read_shares, resolve, save_style
from ptalker_blender.core.upper_face import Habits

BUILT_IN = {"neutral": torch.zeros(4), "clear": torch.tensor([1.0, 0, 0, 0]), "warm": torch.tensor([0, 2.0, 0, 0])}
ADAPTER = {"layer.a": torch.ones(2, 3), "layer.b": torch.full((5, 2), 0.5)}


def code(error: pytest.ExceptionInfo[PTalkerError]) -> str:
    return error.value.code


def test_files_come_back(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    style = Style(torch.arange(4.0), "Bärbel", "motion", 5.25, 0.8, "0123", ADAPTER, preview=b"\x89PNG\x00")
    save_style(path, style)
    found = load_style(path)
    assert found.preview == style.preview
    assert found.about() == style.about() and torch.equal(found.vector, style.vector)
    assert all(torch.equal(found.adapter[k], v) for k, v in ADAPTER.items()) and len(found.adapter) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_files_of_version_0_1_still_load(tmp_path: Path) -> None:
    path = tmp_path / "old.safetensors"
    save_file({"style": torch.ones(4)}, path, {"ptalker_style": "1", "name": "old"})
    found = find(path, BUILT_IN, "any model")
    assert found.name == "old" and found.made_from == "" and not found.adapter


@pytest.mark.parametrize("damage", ["empty", "foreign", "version", "nan", "huge", "shape"])
def test_files_that_are_no_style(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "a.safetensors"
    filled = {"nan": float("nan"), "huge": 1e30}
    tensors = {"style": torch.full((4,), filled[damage]) if damage in filled else torch.ones(2, 2)}
    if damage == "empty":
        path.write_bytes(b"")
    else:
        meta = {"foreign": {}, "version": {"ptalker_style": "99"}}.get(damage, {"ptalker_style": "2"})
        save_file(tensors, path, meta)
    with pytest.raises(PTalkerError) as error:
        load_style(path)
    assert code(error) == "style_unreadable"


def test_another_models_style_is_refused(tmp_path: Path) -> None:
    save_style(tmp_path / "a", Style(torch.ones(4), "a", model="one"))
    assert torch.equal(find(tmp_path / "a", BUILT_IN, "one").vector, torch.ones(4))
    with pytest.raises(PTalkerError) as error:
        find(tmp_path / "a", BUILT_IN, "another")
    assert code(error) == "style_mismatch"
    save_style(tmp_path / "b", Style(torch.ones(5), "b"))
    with pytest.raises(PTalkerError) as error:
        find(tmp_path / "b", BUILT_IN)
    assert code(error) == "style_mismatch"


def test_a_blend_is_a_sum_from_neutral_on() -> None:
    both = choose([("clear", 0.5), ("warm", 0.25)], 2.0, BUILT_IN)
    torch.testing.assert_close(both.vector, torch.tensor([1.0, 1.0, 0, 0]))
    assert both.name == "clear + warm"
    torch.testing.assert_close(resolve("clear", 0.0, BUILT_IN), BUILT_IN["neutral"])
    torch.testing.assert_close(resolve(None, 1.0, BUILT_IN), BUILT_IN["neutral"])
    torch.testing.assert_close(choose([], 1.0, BUILT_IN).vector, BUILT_IN["neutral"])
    for bad in ([("clear", 4.0)], [("clear", float("nan"))]):
        with pytest.raises(PTalkerError):
            choose(bad, 1.0, BUILT_IN)
    with pytest.raises(PTalkerError) as error:
        choose([("clear", 0.5), ("nobody's", 0.5)], 1.0, BUILT_IN)
    assert code(error) == "style_unknown"


@pytest.mark.parametrize(("strength", "share", "acts"), [(1, 1, 1), (0.5, 1, 0.5), (2, 1, 1), (1, 0.25, 0.25), (-1, 1, 0)])
def test_an_adapter_acts_as_far_as_its_style_but_at_most_once(strength: float, share: float, acts: float) -> None:
    chosen = choose([(Style(torch.ones(4), adapter=ADAPTER), share)], strength, BUILT_IN)
    product = chosen.adapter["0:layer.b"] @ chosen.adapter["0:layer.a"] if chosen.adapter else torch.zeros(5, 3)
    torch.testing.assert_close(product, acts * ADAPTER["layer.b"] @ ADAPTER["layer.a"])


def test_what_people_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_shares(["clear"]) == [("clear", 1.0)]
    assert read_shares(["clear", "a b.safetensors"]) == [("clear", 0.5), ("a b.safetensors", 0.5)]
    assert read_shares(["clear:0.6", r"C:\styles\a.safetensors:0.4"]) == [("clear", 0.6), (r"C:\styles\a.safetensors", 0.4)]
    assert read_shares([r"C:\styles\a.safetensors"]) == [(r"C:\styles\a.safetensors", 1.0)]
    assert read_shares([]) == []
    monkeypatch.chdir(tmp_path)
    Path("take:2").touch()
    assert read_shares(["take:2"]) == [("take:2", 1.0)]
    with pytest.raises(PTalkerError):
        read_shares(["clear", "warm:0.5"])


def test_a_name_too_long_for_any_file() -> None:
    with pytest.raises(PTalkerError) as error:
        find("a" * 5000, BUILT_IN)
    assert code(error) == "style_unknown" and len(error.value.sentence) < 300
    assert read_shares(["a" * 5000 + ":0.5"])[0][1] == 0.5


def test_the_range_that_is_told_is_the_one_that_is_taken() -> None:
    for share in (-1.0, 3.0):
        choose([("clear", share)], 1.0, BUILT_IN)
    for shares, strength in (([("clear", 3.1)], 1.0), ([], 3.1)):
        with pytest.raises(PTalkerError, match="Use -1 to 3"):
            choose(shares, strength, BUILT_IN)


def test_a_name_says_nothing_to_the_terminal() -> None:
    text = described(Style(torch.ones(4), "\x1b[31mÄnn\nb\r\ud800", "motion\x07"))
    assert text == "[31mÄnnb: from motion, 0.0 s, confidence 1.00"


def test_a_fingerprint_outlives_packing() -> None:
    network = model().network
    assert fingerprint(network) == model().fingerprint == model().info()["model"]
    other = merged(network.decoder, {"head.a": torch.ones(1, network.config.width), "head.b": torch.ones(52, 1)})
    before, network.decoder = network.decoder, other
    try:
        assert fingerprint(network) != model().fingerprint
    finally:
        network.decoder = before


def test_an_adapter_in_the_weights_does_what_it_did_beside_them() -> None:
    decoder, width = model().network.decoder, model().network.config.width
    torch.manual_seed(0)
    beside = adapted(decoder, 2)
    style = torch.randn(1, model().network.config.style)
    inputs = (torch.randn(1, 25, width), torch.arange(25) / 25, style, torch.arange(20) / 25)
    with torch.no_grad():
        torch.testing.assert_close(beside(*inputs), decoder(*inputs))
        for name, parameter in beside.named_parameters():
            if name.endswith(".b"):
                parameter.normal_(std=0.02)
        learned = adapter_of(beside)
        assert len(learned) == 2 * len(linear_layers(decoder))
        torch.testing.assert_close(merged(decoder, learned)(*inputs), beside(*inputs), atol=1e-5, rtol=1e-4)
        assert (beside(*inputs) - decoder(*inputs)).abs().max() > 1e-3
        twice = {f"{i}:{k}": v for i in (0, 1) for k, v in learned.items()}
        double = {k: 2 * v if k.endswith(".b") else v for k, v in learned.items()}
        torch.testing.assert_close(merged(decoder, twice)(*inputs), merged(decoder, double)(*inputs), atol=1e-5, rtol=1e-4)
    assert merged(decoder, {}) is decoder


def test_two_adapters_act_as_one_and_shifts_with_them() -> None:
    decoder, width = model().network.decoder, model().network.config.width
    torch.manual_seed(1)
    style = torch.randn(1, model().network.config.style)
    inputs = (torch.randn(1, 25, width), torch.arange(25) / 25, style, torch.arange(20) / 25)
    one = {"head.a": torch.randn(3, width) * 0.1, "head.b": torch.randn(52, 3) * 0.1, "head.c": torch.randn(52)}
    two = {"head.a": torch.randn(2, width) * 0.1, "head.b": torch.randn(52, 2) * 0.1, "query.a": torch.randn(1, width) * 0.1}
    two["query.b"] = torch.randn(width, 1) * 0.1
    with torch.no_grad():
        after = merged(merged(decoder, one), two)(*inputs)
        torch.testing.assert_close(merged(decoder, together(one, two))(*inputs), after, atol=1e-4, rtol=1e-4)
        plain, whole = decoder(*inputs), merged(decoder, one)(*inputs)
        torch.testing.assert_close(merged(decoder, scaled(one, 0.5))(*inputs), (plain + whole) / 2, atol=1e-4, rtol=1e-4)
        blend = {f"{i}:{k}": v for i, a in enumerate((one, one)) for k, v in scaled(a, 0.5).items()}
        torch.testing.assert_close(merged(decoder, blend)(*inputs), whole, atol=1e-4, rtol=1e-4)
    with pytest.raises(PTalkerError):
        merged(decoder, one | {"head.c": torch.zeros(51)})


@pytest.mark.parametrize("key", ["nowhere", "norm", "head"])
def test_an_adapter_of_another_decoder_is_refused(key: str) -> None:
    adapter = {f"{key}.a": torch.ones(1, 7), f"{key}.b": torch.ones(52, 1)}
    with pytest.raises(PTalkerError) as error:
        merged(model().network.decoder, adapter)
    assert code(error) == "style_mismatch"


def test_habits_come_with_the_style(tmp_path: Path) -> None:
    calm = Habits(blink_rate=10.0, gaze=0.3)
    save_style(tmp_path / "a", Style(torch.ones(4), "a", habits=calm))
    assert load_style(tmp_path / "a").habits == calm
    whole = choose(tmp_path / "a", 1.0, BUILT_IN).habits
    assert whole is not None and vars(whole) == pytest.approx(vars(calm))
    half = choose([(tmp_path / "a", 0.5), ("clear", 0.5)], 1.0, BUILT_IN).habits
    assert half is not None and half.blink_rate == pytest.approx((10.0 + Habits().blink_rate) / 2)
    assert choose("clear", 1.0, BUILT_IN).habits is None and choose(tmp_path / "a", 0.0, BUILT_IN).habits is None


@pytest.mark.parametrize("habits", ['{"gaze": NaN}', '{"gaze": "far"}', "[]", "3"])
def test_habits_that_are_none(tmp_path: Path, habits: str) -> None:
    about = f'{{"habits": {habits}}}'
    save_file({"style": torch.ones(4)}, tmp_path / "a", {"ptalker_style": "2", "name": "a", "about": about})
    if habits == "[]":  # names nothing
        assert load_style(tmp_path / "a").habits == Habits()
        return
    with pytest.raises(PTalkerError) as error:
        load_style(tmp_path / "a")
    assert code(error) == "style_unreadable"


def test_what_is_personal_is_kept_mixed_and_never_exaggerated(tmp_path: Path) -> None:
    more, shift = torch.zeros(52), torch.zeros(52)
    more[INDEX["jawOpen"]], shift[INDEX["mouthSmileLeft"]] = 0.5, 0.2
    style = Style(torch.ones(4), "a", personal=Personal(more, shift))
    save_style(tmp_path / "a.safetensors", style)
    found = load_style(tmp_path / "a.safetensors")
    assert found.personal is not None and torch.equal(found.personal.tensor(), torch.stack([more, shift]))
    for strength, share, acts in ((1.0, 1.0, 1.0), (0.5, 0.5, 0.25), (3.0, 1.0, 1.0)):
        mixed = choose([(found, share), ("clear", 1 - share)], strength, BUILT_IN).personal
        assert mixed is not None
        torch.testing.assert_close(mixed.tensor(), acts * found.personal.tensor())
    twice = choose([(found, 0.5), (found, 0.5)], 1.0, BUILT_IN).personal
    assert twice is not None
    torch.testing.assert_close(twice.tensor(), found.personal.tensor())
    assert choose(found, 0.0, BUILT_IN).personal is None and choose(found, -1.0, BUILT_IN).personal is None
    save_file({"style": torch.ones(4), "personal": torch.zeros(2, 3)}, tmp_path / "b", {"ptalker_style": "3"})
    with pytest.raises(PTalkerError) as error:
        load_style(tmp_path / "b")
    assert code(error) == "style_unreadable"
