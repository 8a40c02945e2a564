from __future__ import annotations

import errno
import importlib

import numpy as np
import pytest
import torch

from ptalker_blender.core.errors import PTalkerError
from ptalker_blender.core.failures import as_ptalker_error


def test_memory_that_is_not_there() -> None:
    with pytest.raises(MemoryError) as in_numpy:
        np.empty(1 << 60, np.uint8)
    with pytest.raises(RuntimeError) as in_torch:
        torch.empty(1 << 60, dtype=torch.uint8)
    for error in (in_numpy.value, in_torch.value, torch.OutOfMemoryError("CUDA out of memory.")):
        assert as_ptalker_error(error).code == "out_of_memory"


def test_the_rest() -> None:
    known = PTalkerError("a", "B.")
    assert as_ptalker_error(known) is known
    assert as_ptalker_error(OSError(errno.ENOSPC, "full")).code == "disk_full"
    with pytest.raises(ImportError) as missing:
        importlib.import_module("a_part_that_is_not_installed")
    assert "a_part_that_is_not_installed" in as_ptalker_error(missing.value).sentence
    assert as_ptalker_error(KeyError("a\nb")).code == "internal"
    assert "\n" not in as_ptalker_error(KeyError("a\nb")).sentence
