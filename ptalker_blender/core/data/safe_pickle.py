"""Read pickled arrays from people we do not know, without running anything that a pickle asks for.

The field hands its data round as pickles (``templates.pkl``, ``FLAME_masks.pkl``, written by Python 2 or 3), and
``pickle.load`` runs whatever such a file names. Here the few names that a pickled array needs are answered by functions
of ours, which build the array from its bytes; any other name ends the reading.
"""

from __future__ import annotations

import pickle
import re
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..errors import PTalkerError

_PLAIN = (type(None), bool, int, float, complex, str, bytes, bytearray)
_CODE = re.compile(r"[<>|=]?(?:b1|[iu][1248]|f[248]|c(?:8|16)|[SU]\d{1,6}|O8?|\?)")
_DEEPEST = 50  # containers within containers


class _Type:
    """Stands for a dtype: a code such as "f8", whose byte order comes later as its state."""

    __slots__ = ("code", "order")

    def __init__(self, code: Any, *_flags: Any) -> None:
        text = code.decode("latin1") if isinstance(code, bytes) else code
        if not isinstance(text, str) or not _CODE.fullmatch(text):
            raise pickle.UnpicklingError("arrays of an unusual type")
        self.code, self.order = text.lstrip("<>|="), text[0] if text[0] in "<>|=" else "="

    def __setstate__(self, state: tuple) -> None:
        if any(part is not None for part in state[2:5]):  # sub-arrays and named fields
            raise pickle.UnpicklingError("arrays of an unusual type")
        if state[1] in ("<", ">", "|", "="):
            self.order = state[1]

    def numpy(self) -> np.dtype:
        return np.dtype(self.order + self.code)


class _Array:
    """Stands for an array until its state comes: (version, shape, dtype, column-major, bytes)."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: Any = None

    def __setstate__(self, state: tuple) -> None:
        shape, kind, columns, raw = state[-4:]
        self.value = _filled(raw, kind, shape, "F" if columns else "C")


def _filled(raw: Any, kind: Any, shape: Any, order: str) -> Any:
    """Bytes and their description -> an array of its own memory; a list for an array of objects."""
    if not isinstance(kind, _Type):
        raise pickle.UnpicklingError("an array without a type")
    if kind.code in ("O", "O8"):
        if not isinstance(raw, list):
            raise pickle.UnpicklingError("arrays of an unusual type")
        return raw
    raw = raw.encode("latin1") if isinstance(raw, str) else raw  # Python 2 wrote bytes as text
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    return np.frombuffer(raw, kind.numpy()).reshape(shape, order="F" if order == "F" else "C").copy()


class _Answers:
    """What the names in a pickle mean here. Bound methods, so that a pickle can neither subclass nor alter them."""

    __slots__ = ()

    def reconstruct(self, *_arguments: Any) -> _Array:
        return _Array()

    def frombuffer(self, raw: Any, kind: Any, shape: Any, order: Any = "C") -> _Array:
        array = _Array()
        array.value = _filled(raw, kind, shape, order)
        return array

    def scalar(self, kind: Any, raw: Any) -> Any:
        return _filled(raw, kind, (), "C")[()]

    def dtype(self, *arguments: Any) -> _Type:
        return _Type(*arguments)

    def ndarray(self, *_arguments: Any) -> None:
        """Only ever named as what to reconstruct; arrays that are called for are refused."""
        raise pickle.UnpicklingError("numpy.ndarray called")

    def bytes(self) -> bytes:
        """How Python 3 writes empty bytes for old protocols."""
        return b""

    def encode(self, text: Any, encoding: Any = "latin1") -> bytes:
        """Python 3 writes bytes for old protocols as text to be encoded."""
        if encoding not in ("latin1", "latin-1") or not isinstance(text, str):
            raise pickle.UnpicklingError("_codecs.encode")
        return text.encode("latin1")


_ANSWERS = _Answers()
_NAMES: dict[tuple[str, str], Any] = {("numpy", "dtype"): _ANSWERS.dtype, ("numpy", "ndarray"): _ANSWERS.ndarray}
for _core in ("numpy.core", "numpy._core"):
    _NAMES[_core + ".multiarray", "_reconstruct"] = _ANSWERS.reconstruct
    _NAMES[_core + ".multiarray", "scalar"] = _ANSWERS.scalar
    _NAMES[_core + ".numeric", "_frombuffer"] = _ANSWERS.frombuffer
for _builtins in ("builtins", "__builtin__"):
    _NAMES |= {(_builtins, t.__name__): t for t in (set, frozenset, bytearray, complex)}
    _NAMES[_builtins, "bytes"] = _ANSWERS.bytes
_NAMES |= {("collections", "OrderedDict"): OrderedDict, ("_codecs", "encode"): _ANSWERS.encode}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        answer = _NAMES.get((module, name))
        if answer is None:
            raise _Refused(f"{module}.{name}")
        return answer


class _Refused(pickle.UnpicklingError):
    """The pickle names something that is no array."""


def read_pickle(path: Path) -> Any:
    """A pickle of arrays, numbers and text in plain containers -> the same with numpy arrays; nothing in it is run.

    Raises PTalkerError("data_missing" | "data_unsafe" | "data_damaged").
    """
    if not path.is_file():
        raise PTalkerError("data_missing", f"The file '{path}' does not exist.")
    with path.open("rb") as file:
        return _read(file, path.name)


def read_npy(path: Path) -> np.ndarray:
    """An npy file, mapped into memory where it holds numbers -> array. Pickled ones (lists of frames) are read safely.

    Raises PTalkerError as ``read_pickle`` does.
    """
    if not path.is_file():
        raise PTalkerError("data_missing", f"The file '{path}' does not exist.")
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            objects = header(file)[2].hasobject
            if objects:
                return np.stack([np.asarray(frame) for frame in _elements(_read(file, path.name))])
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except PTalkerError:
        raise
    except Exception as error:  # damage shows as one of many errors
        raise PTalkerError("data_damaged", f"'{path.name}' cannot be read as an array: {error}.") from error


def _elements(value: Any) -> list:
    return value if isinstance(value, list) else [value]


def _read(file: BinaryIO, name: str) -> Any:
    try:
        return _resolved(_Unpickler(file, encoding="latin1").load(), {}, 0)
    except _Refused as error:
        sentence = f"'{name}' holds something other than arrays ({error}); nothing was run."
        raise PTalkerError("data_unsafe", sentence, "Get the file from the authors of the data.") from error
    except Exception as error:  # damage shows as one of many errors
        raise PTalkerError("data_damaged", f"'{name}' cannot be read as pickled arrays: {error}.") from error


def _resolved(value: Any, seen: dict[int, Any], depth: int) -> Any:
    """The tree with arrays in the place of what stood for them; each object once, however often it is named."""
    if isinstance(value, (*_PLAIN, np.generic)):
        return value
    if id(value) in seen:
        return seen[id(value)]
    if depth > _DEEPEST:
        raise pickle.UnpicklingError("containers nested too deep")
    if isinstance(value, _Array):
        out: Any = value.value
        out = _resolved(out, seen, depth + 1) if isinstance(out, list) else out
    elif isinstance(value, dict):
        out = {_resolved(k, seen, depth + 1): _resolved(v, seen, depth + 1) for k, v in value.items()}
    elif isinstance(value, (list, tuple, set, frozenset)):
        out = [_resolved(v, seen, depth + 1) for v in value]
        out = out if isinstance(value, list) else type(value)(out)
    else:
        raise _Refused(type(value).__name__.strip("_"))
    seen[id(value)] = out
    return out
