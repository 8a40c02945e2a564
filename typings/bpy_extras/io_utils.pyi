# Blender's modules exist only inside Blender; the tests there check how they are used. To the type checker: anything.
from typing import Any

def __getattr__(name: str) -> Any: ...
