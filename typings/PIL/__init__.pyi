# Only for making heads to train on and to show, so not among the pinned requirements. To the type checker: anything.
from typing import Any

def __getattr__(name: str) -> Any: ...
