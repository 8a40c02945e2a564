# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that Blender is told about, in one explicit order."""

from __future__ import annotations

import atexit

import bpy

from . import cli_command, engine, properties, style_properties
from .operators import bake as op_bake
from .operators import cancel as op_cancel
from .operators import create_keys as op_create_keys
from .operators import engine as op_engine
from .operators import finetune as op_finetune
from .operators import generate as op_generate
from .operators import install as op_install
from .operators import landmarks as op_landmarks
from .operators import mapping as op_mapping
from .operators import style as op_style
from .panels import landmarks as panel_landmarks
from .panels import mapping as panel_mapping
from .panels import sequencer as panel_sequencer
from .panels import sidebar as panel_sidebar
from .panels import style as panel_style
from .preferences import PTalkerPreferences
from .scene import picture

CLASSES: tuple[type, ...] = (
    properties.PTalkerRow,
    properties.PTalkerObject,
    properties.PTalkerSettings,
    properties.PTalkerStatus,
    *style_properties.CLASSES,
    PTalkerPreferences,
    op_generate.PTALKER_OT_generate,
    op_create_keys.PTALKER_OT_create_keys,
    op_bake.PTALKER_OT_bake_keys,
    *op_landmarks.CLASSES,
    op_mapping.PTALKER_OT_map_again,
    op_mapping.PTALKER_OT_mapping_add,
    op_mapping.PTALKER_OT_mapping_remove,
    op_mapping.PTALKER_OT_mapping_save,
    op_mapping.PTALKER_OT_mapping_load,
    *op_style.CLASSES,
    op_finetune.PTALKER_OT_finetune_style,
    op_cancel.PTALKER_OT_cancel,
    op_install.PTALKER_OT_install_engine,
    op_engine.PTALKER_OT_restart_engine,
    op_engine.PTALKER_OT_show_log,
    panel_sidebar.PTALKER_PT_sidebar,
    *panel_style.CLASSES,
    panel_mapping.PTALKER_UL_mapping,
    panel_mapping.PTALKER_PT_rig,
    panel_landmarks.PTALKER_PT_landmarks,
    panel_sequencer.PTALKER_PT_sequencer,
)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    properties.register()
    style_properties.register()
    picture.register()
    panel_sequencer.register_menus()
    cli_command.register()
    atexit.register(engine.stop)


def unregister() -> None:
    op_generate.end_all()
    op_install.end_all()
    panel_mapping.end_all()
    engine.stop()
    atexit.unregister(engine.stop)
    cli_command.unregister()
    panel_sequencer.unregister_menus()
    picture.unregister()
    style_properties.unregister()
    properties.unregister()
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
