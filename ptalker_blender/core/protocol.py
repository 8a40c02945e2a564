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
from dataclasses import dataclass, field

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
    (duration None: to its end); what lies outside the file is silence.

    The style is ``blend``, styles (names or files) with their shares; without it the one that is read from ``reference``
    (a clip or a sound file); without both ``style``. ``jaw`` .. ``blink`` are gains, 1 as the model says, 0 none, at most 3;
    p, b, m stay closed."""

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
    blend: tuple[tuple[str, float], ...] = ()
    reference: str | None = None
    jaw: float = 1.0
    lips: float = 1.0
    upper_face: float = 1.0
    blink: float = 1.0


@dataclass(frozen=True)
class ReadStyle:
    """A style from a reference, a clip (core/clips.py says how it looks) or a sound file. ``out`` gets the style file,
    ``plot`` (PNG, if given) where it lies among the built-in styles and, of a clip with sound, curves of the reference and
    of what the style makes of its sound. ``use``: "both", "motion" or "voice". Result.figures: confidence 0..1 with its
    confidence_word ("low", "fair", "good"), made_from, seconds, speech (share of the time), agreement (motion with voice,
    -1..1; only where there are both), shows (what is plainest in it, in words; only where there is something)."""

    id: int
    reference: str
    out: str
    name: str = ""
    use: str = "both"
    plot: str | None = None


@dataclass(frozen=True)
class FineTune:
    """A style learned from clips with sound. ``out`` gets the style file, ``plot`` (PNG, if given) curves before and after on
    what was held out. ``minutes`` bounds the training. Its Progress has ``loss`` and, now and then, ``held_out``.
    Result.figures: before_mm, after_mm (vertex error on what was held out, root mean square, the mouth above all, on a head
    of human size), gain (share by which it fell), steps, cancelled.

    A Cancel keeps the best so far: the answer is its Result with figures["cancelled"] true, or CancelledJob where nothing
    better than before had been found yet."""

    id: int
    clips: tuple[str, ...]
    out: str
    name: str = ""
    plot: str | None = None
    minutes: float = 4.0
    seed: int = 0


@dataclass(frozen=True)
class Explain:
    """``out`` (PNG) gets the map of the style space: the built-in styles and ``styles`` (names or files) among them."""

    id: int
    out: str
    styles: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rig:
    """A head to its basis. ``out`` gets names [K], basis [K, V, 3], landmark_names [L], landmarks [L, 3] and confidence.
    ``mesh`` may hold what the artist says of the face (core/landmarks.py); the file ``landmarks`` (JSON) goes before that. With
    ``weights``, the ``out`` of Generate, it also gets weights [T, K] whose lips meet on this very mesh. Result.figures:
    confidence 0..1."""

    id: int
    mesh: str
    out: str
    landmarks: str | None = None
    weights: str | None = None


@dataclass(frozen=True)
class Landmarks:
    """Where the model sees the landmarks of a face. ``out`` gets landmark_names [L], landmarks [L, 3] and confidence."""

    id: int
    mesh: str
    out: str


@dataclass(frozen=True)
class Meet:
    """Weights for a head that speaks with its own shape keys. ``weights`` is the ``out`` of Generate, ``mesh`` a mesh file with
    what the keys do (core/meet_job.py). ``out`` gets weights [T, K] whose lips meet on this very mesh, and ``why`` they are as
    they were where that could not be done, "" where it was."""

    id: int
    weights: str
    mesh: str
    out: str


@dataclass(frozen=True)
class Fit:
    """Weights onto the keys that a rig has. ``weights`` is the ``out`` of Generate. ``keys`` has vertices, faces and keys
    [J, V, 3] (displacements), or poses [J, K] (each key as a sum of channels); with both, low and high [J]. ``out`` gets
    weights [T, J], channel [J], used [J], explained, and spoken [T, K], the channels' weights that were fitted. Of a mesh also
    basis [K, V, 3], and met [T, K], the weights for that; with ``meet`` the lips of each meet on this very mesh."""

    id: int
    weights: str
    keys: str
    out: str
    meet: bool = True


@dataclass(frozen=True)
class Cancel:
    """End job ``job`` soon; its answer is CancelledJob, or its Result where it was quicker (or a FineTune has something to
    keep). Not answered itself."""

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
    """``fraction`` is 0..1 of the whole job. Of a FineTune also ``loss`` of the last step, relative to the first one's, and,
    where it was just measured, ``held_out``, the error on what was held out, relative to before (0.8: a fifth less)."""

    id: int
    stage: str
    fraction: float
    loss: float | None = None
    held_out: float | None = None


@dataclass(frozen=True)
class Result:
    """The job is done and ``out`` is written. ``frames`` T (0 for rig), ``seconds`` of audio, ``warnings`` sentences
    that the artist should see (for example that the sound is silent), ``figures`` what else the job has to say."""

    id: int
    out: str
    frames: int = 0
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    figures: dict[str, typing.Any] = field(default_factory=dict)


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


Request = Hello | Generate | ReadStyle | FineTune | Explain | Rig | Landmarks | Meet | Fit | Cancel | Shutdown
Job = Generate | ReadStyle | FineTune | Explain | Rig | Landmarks | Meet | Fit
Event = Ready | Progress | Result | Failed | CancelledJob

_REQUESTS: dict[str, type] = {
    "hello": Hello, "generate": Generate, "style": ReadStyle, "finetune": FineTune, "explain": Explain, "rig": Rig,
    "landmarks": Landmarks, "meet": Meet, "fit": Fit, "cancel": Cancel, "shutdown": Shutdown,
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
    for part in dataclasses.fields(cls):
        if part.name not in raw:
            if part.default is dataclasses.MISSING and part.default_factory is dataclasses.MISSING:
                raise ProtocolError("protocol_invalid", f"A message lacks the field {part.name!r}.", id=number)
            continue
        value, kind = raw[part.name], hints[part.name]
        if not _is_a(value, kind):
            raise ProtocolError("protocol_invalid", f"The field {part.name!r} of a message is wrong.", id=number)
        values[part.name] = _as(value, kind)
    if values["id"] < 0:
        raise ProtocolError("protocol_invalid", "The field 'id' of a message is negative.", id=number)
    return cls(**values)


def _is_a(value: object, kind: typing.Any) -> bool:
    """Whether a JSON value fits an annotation of the dataclasses above."""
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        return any(_is_a(value, part) for part in typing.get_args(kind))
    if origin is tuple:
        return isinstance(value, list) and len(value) == len(_kinds(value, kind)) and all(map(_is_a, value, _kinds(value, kind)))
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, origin or kind)


def _kinds(values: list[typing.Any], kind: typing.Any) -> list[typing.Any]:
    """The annotation of each member of a tuple: tuple[X, ...] or tuple[X, Y]."""
    kinds = list(typing.get_args(kind))
    return kinds[:1] * len(values) if kinds[-1] is Ellipsis else kinds


def _as(value: typing.Any, kind: typing.Any) -> typing.Any:
    """A JSON value that fits an annotation, as its type: whole numbers become floats, lists tuples."""
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        return _as(value, next(part for part in typing.get_args(kind) if _is_a(value, part)))
    if origin is tuple:
        return tuple(map(_as, value, _kinds(value, kind)))
    return float(value) if kind is float else value


def _no_constant(name: str) -> typing.NoReturn:
    raise ValueError(f"{name} is not JSON")
