"""The messages between Blender and the engine: one JSON object a line, UTF-8. Standard library only.

Blender sends requests, the engine answers with events. Every message carries the protocol version ``v`` and an ``id``
(0 = the engine itself, else the request's). Fields that this version does not know are ignored; a message of another
version, or one that lacks a field, raises ProtocolError.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from dataclasses import dataclass

from . import PROTOCOL_VERSION
from .errors import PTalkerError

MAX_LINE = 1 << 20  # bytes; a longer line is no message of ours
ENGINE_ID = 0
LOADING = "loading"  # the stage of the progress events with id 0 that come before "ready"


class ProtocolError(PTalkerError):
    """A line that cannot be understood. ``id`` is the message's own where it could be read, else ENGINE_ID."""

    def __init__(self, code: str, sentence: str, fix: str = "", id: int = ENGINE_ID) -> None:
        super().__init__(code, sentence, fix)
        self.id = id


# ---------------------------------------------------------------------------------------------- requests (op)
@dataclass(frozen=True)
class Hello:
    """Answered by Ready with the same id, once the model is loaded."""

    id: int


@dataclass(frozen=True)
class Generate:
    """Speech to weights. ``out`` gets fps, names [K], weights [T, K]; with ``mesh`` also basis [K, V, 3] and, if
    ``vertices`` is true, vertices [T, V, 3]. Of the audio only ``start`` .. ``start + duration`` seconds are heard
    (duration None: to its end); what lies outside the file is silence."""

    id: int
    audio: str
    out: str
    fps: float = 30.0
    style: str | None = None
    strength: float = 1.0
    seed: int = 0
    mesh: str | None = None
    vertices: bool = False
    start: float = 0.0
    duration: float | None = None


@dataclass(frozen=True)
class Rig:
    """A head to its basis. ``out`` gets names [K] and basis [K, V, 3]."""

    id: int
    mesh: str
    out: str


@dataclass(frozen=True)
class Fit:
    """Weights onto the keys that a rig has. ``weights`` is the ``out`` of Generate. ``keys`` has vertices, faces and keys
    [J, V, 3] (displacements), or poses [J, K] (each key as a sum of channels); with both, low and high [J]. ``out`` gets
    weights [T, J], channel [J], used [J], explained, and basis [K, V, 3] where there is a mesh."""

    id: int
    weights: str
    keys: str
    out: str


@dataclass(frozen=True)
class Cancel:
    """End job ``job`` soon; its answer is CancelledJob, or its Result where it was quicker. Not answered itself."""

    id: int
    job: int


@dataclass(frozen=True)
class Shutdown:
    """End the process; a running job is cancelled."""

    id: int


# ---------------------------------------------------------------------------------------------- events (event)
@dataclass(frozen=True)
class Ready:
    id: int
    info: dict[str, typing.Any]


@dataclass(frozen=True)
class Progress:
    """``fraction`` is 0..1 of the whole job."""

    id: int
    stage: str
    fraction: float


@dataclass(frozen=True)
class Result:
    """The job is done and ``out`` is written. ``frames`` T (0 for rig), ``seconds`` of audio, ``warnings`` sentences
    that the artist should see (for example that the sound is silent)."""

    id: int
    out: str
    frames: int = 0
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Failed:
    """The job failed, nothing was written. With id 0: the engine itself failed and ends."""

    id: int
    code: str
    sentence: str
    fix: str = ""
    traceback: str = ""

    def error(self) -> PTalkerError:
        return PTalkerError(self.code, self.sentence, self.fix)


@dataclass(frozen=True)
class CancelledJob:
    id: int


Request = Hello | Generate | Rig | Fit | Cancel | Shutdown
Job = Generate | Rig | Fit
Event = Ready | Progress | Result | Failed | CancelledJob

_REQUESTS: dict[str, type] = {
    "hello": Hello, "generate": Generate, "rig": Rig, "fit": Fit, "cancel": Cancel, "shutdown": Shutdown,
}  # fmt: skip
_EVENTS: dict[str, type] = {
    "ready": Ready, "progress": Progress, "result": Result, "error": Failed, "cancelled": CancelledJob,
}  # fmt: skip
_TAGS = {cls: ("op", name) for name, cls in _REQUESTS.items()} | {cls: ("event", n) for n, cls in _EVENTS.items()}


def encode(message: Request | Event) -> bytes:
    """A message -> its line, newline included. Raises ValueError for NaN and infinity, which JSON does not know."""
    key, tag = _TAGS[type(message)]
    fields = {name: value for name, value in dataclasses.asdict(message).items() if name != "id"}
    # ASCII escapes keep file names that are not valid UTF-8 (surrogates) intact on the way.
    line = json.dumps({"v": PROTOCOL_VERSION, "id": message.id, key: tag, **fields}, allow_nan=False)
    return line.encode("ascii") + b"\n"


def decode_request(line: bytes | str) -> Request:
    """One line from Blender. Raises ProtocolError."""
    return _decode(line, "op", _REQUESTS)


def decode_event(line: bytes | str) -> Event:
    """One line from the engine. Raises ProtocolError."""
    return _decode(line, "event", _EVENTS)


def _decode(line: bytes | str, key: str, known: dict[str, type]) -> typing.Any:
    if len(line) > MAX_LINE:
        raise ProtocolError("protocol_invalid", "A message between Blender and the engine is too long.")
    try:
        raw = json.loads(line, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("protocol_invalid", f"A message is not valid JSON: {error}.") from error
    if not isinstance(raw, dict):
        raise ProtocolError("protocol_invalid", "A message is not a JSON object.")
    number = raw.get("id")
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        number = ENGINE_ID
    version = raw.get("v")
    if version != PROTOCOL_VERSION or isinstance(version, bool):
        raise ProtocolError(
            "protocol_version",
            f"The engine and the extension speak different protocol versions ({version!r} and {PROTOCOL_VERSION}).",
            "Install the engine again so that both are of one version.",
            number,
        )
    tag = raw.get(key)
    cls = known.get(tag) if isinstance(tag, str) else None
    if cls is None:
        raise ProtocolError("protocol_invalid", f"A message has an unknown {key}: {tag!r}.", id=number)
    return _build(cls, raw, number)


def _build(cls: type, raw: dict[str, typing.Any], number: int) -> typing.Any:
    """A dataclass from the object's fields, each checked against its annotation."""
    hints = typing.get_type_hints(cls)
    values: dict[str, typing.Any] = {}
    for field in dataclasses.fields(cls):
        if field.name not in raw:
            if field.default is dataclasses.MISSING:
                raise ProtocolError("protocol_invalid", f"A message lacks the field {field.name!r}.", id=number)
            continue
        value, kind = raw[field.name], hints[field.name]
        if not _is_a(value, kind):
            raise ProtocolError("protocol_invalid", f"The field {field.name!r} of a message is wrong.", id=number)
        is_float, is_tuple = kind is float, typing.get_origin(kind) is tuple
        values[field.name] = float(value) if is_float else tuple(value) if is_tuple else value
    if values["id"] < 0:
        raise ProtocolError("protocol_invalid", "The field 'id' of a message is negative.", id=number)
    return cls(**values)


def _is_a(value: object, kind: typing.Any) -> bool:
    """Whether a JSON value fits an annotation of the dataclasses above."""
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        return any(_is_a(value, part) for part in typing.get_args(kind))
    if origin is tuple:
        return isinstance(value, list) and all(_is_a(v, typing.get_args(kind)[0]) for v in value)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, origin or kind)


def _no_constant(name: str) -> typing.NoReturn:
    raise ValueError(f"{name} is not JSON")
