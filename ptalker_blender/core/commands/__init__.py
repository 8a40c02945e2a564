"""The sub-commands of ``python -m ptalker_blender.core``: one module each, with ``register(commands)``.

A module imports torch only inside the function that does the work, so that ``--help`` answers at once.
"""
