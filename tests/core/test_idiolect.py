"""Idiolects: people whose mouths do something else than the teacher's in each class of sounds."""

from __future__ import annotations

import numpy as np
import pytest

from ptalker_blender.core.channels import INDEX
from ptalker_blender.core.data.idiolect import NUMBERS, Idiolect, class_targets, principal, ranges
from ptalker_blender.core.data.phonemes import CLASSES
from ptalker_blender.core.data.teacher import TeacherStyle, closures, curves, default_parameters, segments
from ptalker_blender.core.data.teacher_style import OWN, SHOWN, TOLD

PHONES = [["sil", 0.0, 0.3], ["m", 0.3, 0.42], ["ɑ", 0.42, 0.62], ["p", 0.62, 0.74], ["i", 0.74, 0.95], ["w", 0.95, 1.05],
          ["ʃ", 1.05, 1.2], ["oʊ", 1.2, 1.5], ["sil", 1.5, 2.0]]  # fmt: skip
TIMES = np.arange(50) / 25


def people(count: int, seed: int = 0) -> list[Idiolect]:
    rng = np.random.default_rng(seed)
    return [Idiolect.sample(rng) for _ in range(count)]


def test_none_is_the_teacher_himself() -> None:
    own, teacher = Idiolect.none().parameters, default_parameters()[0]
    assert own.labels == teacher.labels
    for name in ("target", "log_alpha", "log_rise", "log_fall", "edges", "power"):
        np.testing.assert_allclose(getattr(own, name), getattr(teacher, name), atol=1e-6)
    assert not Idiolect.none().numbers().any()
    plain = curves(PHONES, TIMES, TeacherStyle.neutral())
    np.testing.assert_allclose(curves(PHONES, TIMES, TeacherStyle(own=Idiolect.none())), plain, atol=1e-5)


def test_people_keep_within_what_mouths_do_and_rest_when_silent() -> None:
    least, most = ranges()
    rest = list(CLASSES).index("silence")
    assert (least <= most).all() and not class_targets()[rest].any()
    for person in people(40):
        target = class_targets() + person.shift
        low, high = np.minimum(least, class_targets()) - 1e-9, np.maximum(most, class_targets()) + 1e-9
        assert (target >= low).all() and (target <= high).all() and not person.shift[rest].any()


def test_their_curves_differ_and_their_lips_meet() -> None:
    plain, gap = curves(PHONES, TIMES, TeacherStyle.neutral()), default_parameters()[0].gap[:, 0]
    lips = closures(segments(PHONES), TeacherStyle.neutral())[0]
    shut = np.any([(a <= TIMES) & (b >= TIMES) for a, b in lips], axis=0)
    assert shut.sum() >= 3
    for person in people(20):
        z = curves(PHONES, TIMES, TeacherStyle(own=person))
        assert z.min() >= 0 and z.max() <= 1 and np.abs(z - plain).max() > 0.02
        assert (z[shut] @ gap).max() < 0.02, "cm between the lips at p, b, m"
        assert not curves(PHONES, TIMES - 4, TeacherStyle(own=person))[:20].max() > 0.02, "long before"


def test_earlier_is_earlier() -> None:
    jaw, none = INDEX["jawOpen"], Idiolect.none()
    early = Idiolect(none.shift, none.rise, none.fall, none.power, 0.04)
    now, soon = (curves(PHONES, TIMES, TeacherStyle(own=own))[:, jaw] for own in (none, early))
    at = int(now.argmax())
    assert soon[: at - 1].sum() > 1.05 * now[: at - 1].sum()


def test_numbers_tell_people_apart_and_are_of_one_size() -> None:
    rows = np.stack([person.numbers() for person in people(300, 3)])
    assert rows.shape == (300, NUMBERS) and ((rows**2).mean(0) > 0.2).all() and ((rows**2).mean(0) < 2).all()
    axes, _ = principal()
    np.testing.assert_allclose(axes @ axes.T, np.eye(len(axes)), atol=1e-8)
    one, two = people(2)
    np.testing.assert_allclose(one.blended(two, 0.25).numbers(), 0.75 * one.numbers() + 0.25 * two.numbers(), atol=1e-5)


def test_every_second_person_has_one_and_a_style_is_told_of_it() -> None:
    rng = np.random.default_rng(0)
    styles = [TeacherStyle.person(rng) for _ in range(300)]
    owners = [s for s in styles if s.own is not None]
    assert len(owners) / 300 == pytest.approx(OWN, abs=0.1)
    told = owners[0].told()
    assert told.shape == (TOLD,) == (len(SHOWN) + NUMBERS,) and np.abs(told[len(SHOWN) :]).sum() > 1
    plain = next(s for s in styles if s.own is None)
    assert not plain.told()[len(SHOWN) :].any() and plain.told()[: len(SHOWN)].any()
    half = plain.blended(owners[0], 0.5)
    np.testing.assert_allclose(half.told()[len(SHOWN) :], 0.5 * told[len(SHOWN) :], atol=1e-5)
