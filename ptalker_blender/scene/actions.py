# SPDX-License-Identifier: GPL-3.0-or-later
"""Weights to F-curves in a new Action. What was animated before stays: in its own Action, and around the new frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import bpy
import numpy as np

from . import compat

GROUP = "PTalker"
_LINEAR, _AUTO_CLAMPED = 1, 4  # values of the enumerations in keyframe_points' arrays
_FLOATS = {"co": 2, "handle_left": 2, "handle_right": 2, "amplitude": 1, "back": 1, "period": 1}
_ENUMS = ("interpolation", "easing", "handle_left_type", "handle_right_type")


def write_action(
    owner: bpy.types.ID,
    name: str,
    first_frame: int,
    curves: Mapping[tuple[str, int], np.ndarray],
    undo: list[Callable[[], None]],
    warnings: list[str] | None = None,
) -> bpy.types.Action:
    """Animate ``owner`` with values [T] a data path and index, one key a frame from ``first_frame`` on, in a new Action.

    Where an Action is active the new one starts as its copy, so that everything outside the new frames, and every
    other curve, stays as it was; the old Action itself is kept with a fake user. NLA tracks are not touched; where they were
    all that there was, they go on playing outside the new frames. ``undo`` receives what takes all of this back,
    ``warnings`` what stands in the new curves' way.
    """
    old, slot = compat.action_state(owner)
    had_animation_data = owner.animation_data is not None
    outside = owner.animation_data.action_extrapolation if had_animation_data else ""
    fake_user = old.use_fake_user if old is not None else False

    def back() -> None:
        current = owner.animation_data.action if owner.animation_data else None
        compat.restore_action(owner, old, slot)
        if current is not None and current != old:
            bpy.data.actions.remove(current)
        if old is not None and old.library is None:
            old.use_fake_user = fake_user
        if not had_animation_data:
            owner.animation_data_clear()
        else:
            owner.animation_data.action_extrapolation = outside

    undo.append(back)
    if had_animation_data:
        told = _beside_nla(owner.animation_data, old is None)
        if told and warnings is not None:
            warnings.append(f"'{name}' {told}")
    if old is not None and old.library is None:
        old.use_fake_user = True
    has_curves = compat.action_curves(owner) is not None
    collection = compat.assign_copied_action(owner, name) if has_curves else compat.assign_new_action(owner, name)
    modified = [path for (path, index), values in curves.items() if write_curve(collection, path, first_frame, values, index)]
    if modified and warnings is not None:
        warnings.append(f"'{name}': modifiers on {len(modified)} of its curves were muted; they would change the speech.")
    return owner.animation_data.action


def _beside_nla(adt: bpy.types.AnimData, alone: bool) -> str:
    """Makes room for NLA tracks beside an Action that is the first (``alone``) -> what else keeps it from showing as it is."""
    playing = [track for track in adt.nla_tracks if not track.mute and track.strips]
    if playing and alone:
        adt.action_extrapolation = "NOTHING"
    if any(track.is_solo for track in adt.nla_tracks):
        return "does not show, because an NLA track is solo: turn off its star."
    if adt.action_influence < 1 or adt.action_blend_type not in ("REPLACE", "COMBINE"):
        return "does not show as it is: set its influence to 1 and its blending to Replace in the NLA editor."
    return ""


def write_curve(collection: Any, path: str, first_frame: int, values: np.ndarray, index: int = 0) -> bool:
    """Values [T] on frames first_frame .. first_frame + T - 1 of one F-curve; its other keys stay. Where the speech is what
    comes first or last, it is held beyond. -> whether modifiers had to be muted."""
    last = first_frame + len(values) - 1
    frames = np.arange(first_frame, last + 1)
    curve, modified = collection.find(path, index=index), False
    if curve is None:
        curve = compat.new_curve(collection, path, GROUP, index)
        _set_keys(curve, _linear_keys(frames, values))
    else:
        curve.mute = False
        for modifier in curve.modifiers:
            modified |= not modifier.mute
            modifier.mute = True
        old = _get_keys(curve)
        at = old["co"][:, 0]
        before, after = at < first_frame - 0.5, at > last + 0.5
        parts = [_select(old, before), _linear_keys(frames, values), _select(old, after)]
        # The curve outside must not bend towards the new frames: hold it with a key right before and right after.
        if after.any() and at[after].min() > last + 1:
            parts.insert(2, _linear_keys(np.array([last + 1]), np.array([curve.evaluate(last + 1)])))
        if before.any() and at[before].max() < first_frame - 1:
            parts.insert(1, _linear_keys(np.array([first_frame - 1]), np.array([curve.evaluate(first_frame - 1)])))
        _set_keys(curve, {k: np.concatenate([p[k] for p in parts]) for k in parts[0]})
        if not (before.any() and after.any()):
            curve.extrapolation = "CONSTANT"
    curve.update()
    return modified


def _linear_keys(frames: np.ndarray, values: np.ndarray) -> dict[str, np.ndarray]:
    co = np.stack([frames, values], axis=1).astype(np.float32)
    n, third = len(co), np.array([1 / 3, 0], np.float32)
    return {
        "co": co, "handle_left": co - third, "handle_right": co + third,
        "amplitude": np.zeros((n, 1), np.float32), "back": np.zeros((n, 1), np.float32),
        "period": np.zeros((n, 1), np.float32), "interpolation": np.full(n, _LINEAR, np.int32),
        "easing": np.zeros(n, np.int32), "handle_left_type": np.full(n, _AUTO_CLAMPED, np.int32),
        "handle_right_type": np.full(n, _AUTO_CLAMPED, np.int32),
    }  # fmt: skip


def _get_keys(curve: Any) -> dict[str, np.ndarray]:
    points = curve.keyframe_points
    keys: dict[str, np.ndarray] = {}
    for name, width in _FLOATS.items():
        flat = np.empty(len(points) * width, np.float32)
        points.foreach_get(name, flat)
        keys[name] = flat.reshape(-1, width)
    for name in _ENUMS:
        keys[name] = np.empty(len(points), np.int32)
        points.foreach_get(name, keys[name])
    return keys


def _select(keys: dict[str, np.ndarray], mask: np.ndarray) -> dict[str, np.ndarray]:
    return {name: values[mask] for name, values in keys.items()}


def _set_keys(curve: Any, keys: dict[str, np.ndarray]) -> None:
    points = curve.keyframe_points
    points.clear()
    points.add(len(keys["co"]))
    for name, values in keys.items():
        points.foreach_set(name, values.ravel())
