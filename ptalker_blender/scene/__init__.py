# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender data in and out: strips, meshes, shape keys, Actions. No torch, no engine."""
