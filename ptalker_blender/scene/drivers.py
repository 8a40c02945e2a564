# SPDX-License-Identifier: GPL-3.0-or-later
"""Drivers on shape keys: a driven value does not move by an F-curve, but often by the one property that drives it."""

from __future__ import annotations

import ast
import operator
from dataclasses import dataclass

import bpy

_OPERATIONS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


@dataclass(frozen=True)
class Source:
    """The property that drives a key: key = slope * property + offset."""

    owner: bpy.types.ID
    path: str
    slope: float
    offset: float


def driver_of(owner: bpy.types.ID, path: str) -> bpy.types.FCurve | None:
    """The driver on a property, None where there is none."""
    adt = owner.animation_data
    return next((curve for curve in adt.drivers if curve.data_path == path), None) if adt else None


def obvious_source(curve: bpy.types.FCurve) -> Source | None:
    """The one property that drives, by a straight line; None where it is not as simple as that."""
    driver = curve.driver
    if len(driver.variables) != 1 or curve.mute:
        return None
    variable = driver.variables[0]
    target = variable.targets[0]
    if variable.type != "SINGLE_PROP" or target.id is None or not target.data_path or target.id.library is not None:
        return None
    inner = _straight(driver.expression, variable.name) if driver.type == "SCRIPTED" else (1.0, 0.0)
    outer = _curve_line(curve)
    if inner is None or outer is None:
        return None
    slope, offset = outer[0] * inner[0], outer[0] * inner[1] + outer[1]
    path, owner = _owner_of(target.id, target.data_path)
    if abs(slope) < 1e-6 or not _is_number(owner, path) or driver_of(owner, path) is not None:
        return None
    return Source(owner, path, slope, offset)


def _owner_of(id_data: bpy.types.ID, path: str) -> tuple[str, bpy.types.ID]:
    """F-curves belong to the datablock itself: "data.x" of an object is "x" of its data."""
    if isinstance(id_data, bpy.types.Object) and path.startswith(("data.", "data[")) and id_data.data is not None:
        return path[4:].removeprefix("."), id_data.data
    return path, id_data


def _is_number(owner: bpy.types.ID, path: str) -> bool:
    try:
        value = owner.path_resolve(path)
    except (ValueError, TypeError):
        return False
    return isinstance(value, int | float) and not isinstance(value, bool)


def _curve_line(curve: bpy.types.FCurve) -> tuple[float, float] | None:
    """(slope, offset) of what the driver's own curve makes of the driver's value."""
    if not curve.keyframe_points and not curve.modifiers:
        return 1.0, 0.0
    at = (-1.0, 0.0, 0.25, 0.5, 0.75, 1.0, 2.0)
    values = [float(curve.evaluate(x)) for x in at]  # of the curve alone, its driver does not count here
    offset, slope = values[1], values[5] - values[1]
    straight = all(abs(y - (offset + slope * x)) < 1e-4 * (1 + abs(slope)) for x, y in zip(at, values, strict=True))
    return (slope, offset) if straight else None


def _straight(expression: str, name: str) -> tuple[float, float] | None:
    """(slope, offset) of an expression in one variable, only + - * / and numbers; None where it is no straight line."""
    try:
        tree = ast.parse(expression.strip(), mode="eval").body
        low, middle, high = (_value(tree, {name: x}) for x in (0.0, 1.0, 3.0))
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError):
        return None
    slope = middle - low
    return (slope, low) if abs(high - (low + 3 * slope)) < 1e-6 * (1 + abs(high)) else None


def _value(node: ast.expr, known: dict[str, float]) -> float:
    match node:
        case ast.Constant(value=int() | float()):
            return float(str(node.value))
        case ast.Name() if node.id in known:
            return known[node.id]
        case ast.UnaryOp(op=ast.USub()):
            return -_value(node.operand, known)
        case ast.BinOp() if type(node.op) in _OPERATIONS:
            return _OPERATIONS[type(node.op)](_value(node.left, known), _value(node.right, known))
    raise ValueError("not a sum or product of the variable and numbers")
