"""The ridge floor; it lives with the evaluation, which prints it beside every figure."""

from ptalker_blender.core.evaluate.floor import OFFSETS, RIDGE, Ridge, design

__all__ = ["OFFSETS", "RIDGE", "Ridge", "design"]
