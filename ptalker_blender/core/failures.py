"""Whatever goes wrong in a job, as an error that a person can read. Standard library only."""

from __future__ import annotations

import errno

from .errors import PTalkerError


def as_ptalker_error(error: BaseException) -> PTalkerError:
    """Whatever a job can raise -> an error with a sentence. Code "internal" means: a fault of ours."""
    if isinstance(error, PTalkerError):
        return error
    if _is_out_of_memory(error):
        fix = "Close other programs, or work on a shorter sound or a lighter mesh."
        return PTalkerError("out_of_memory", "There is not enough memory for this job.", fix)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return PTalkerError("disk_full", "The disk is full.", "Free some space and try again.")
    if isinstance(error, ImportError):
        sentence = f"The engine's Python lacks a part it needs ({error.name or error})."
        return PTalkerError("engine_incomplete", sentence, "Install the engine again.")
    text = " ".join(str(error).split())[:200]
    return PTalkerError("internal", f"PTalker failed unexpectedly ({type(error).__name__}: {text}).", "Report the log.")


def _is_out_of_memory(error: BaseException) -> bool:
    # By name, because this module must not import torch: torch.OutOfMemoryError, and its RuntimeError on the CPU.
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error))
    )
