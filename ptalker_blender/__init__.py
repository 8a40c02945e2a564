# SPDX-License-Identifier: GPL-3.0-or-later
"""PTalker: speech to facial animation in a person's own speaking style, on any face mesh.

Only registration. Imports are lazy because the engine imports this package in a Python without bpy.
"""


def register() -> None:
    from . import registration

    registration.register()


def unregister() -> None:
    from . import registration

    registration.unregister()
