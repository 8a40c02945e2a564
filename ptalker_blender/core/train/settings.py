"""One file that says how a model is trained: TOML with the tables [loop], [data], [weights], [model].

Whatever a file leaves out has the default given here; configs/default.toml says everything.
"""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ..channels import CHANNELS, LOWER_FACE
from ..errors import PTalkerError
from ..model.config import Config
from ..speech import RATE, WINDOW
from .loop import LoopSettings

CONFIGS = Path(__file__).with_name("configs")

# Factor of each term of the loss (core/losses.py). 0 switches a term off.
WEIGHTS: dict[str, float] = {
    "vertex": 5.0,
    "velocity": 10.0,
    "channel": 20.0,
    "gap": 0.6,
    "correlation": 0.3,
    "contrastive": 0.05,
    "kl": 0.02,
    "style_nce": 0.2,
    "style_habits": 0.7,  # the teacher's parameters are read from the style
    "style_agree": 0.3,
    "independence": 0.05,
    "adversary": 0.03,
    "restyled": 2.5,  # the same audio content decoded in another style, too
    "content_same": 0.2,  # the same words in two styles have one motion content
    "content_decode": 0.4,  # cross-reconstruction from motion content
    "outside": 1.0,  # channels below 0 or above 1
}

KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", tuple: "a list of texts"}
MUCH = 1e9
# The least and the most of numbers for which these are not 0 and MUCH.
RANGES: dict[str, tuple[float, float]] = {
    "loop.steps": (1, MUCH), "loop.every": (1, MUCH), "loop.floor": (0, 1), "loop.ema": (0, 1), "loop.seed": (0, 2**62),
    "loop.threads": (0, 1024), "loop.workers": (0, 256),
    "data.restyled": (0, 1), "data.taught": (0, 1), "data.supposed": (0, 1), "data.quiet": (0, 1),
    "data.seconds": (2.2, WINDOW / RATE),  # the motion encoder hears 2 s of it (motion_batch.CROP), and some frames are left
    "data.motion_heads": (1, MUCH),
    "model.channels": (len(CHANNELS), len(CHANNELS)), "model.aligned": (0, len(LOWER_FACE)), "model.dropout": (0, 1),
    **{f"model.{name}": (1, MUCH) for name in (
        "width", "heads", "blocks", "style", "kernel", "node_width", "node_heads", "readings", "frame_width", "places",
    )},
}  # fmt: skip


@dataclass(frozen=True)
class DataSettings:
    """What a batch is made of."""

    shards: tuple[str, ...] = ("real_*", "conv_*", "speech_*", "quiet")  # files of the corpus folder
    dev: tuple[str, ...] = ("dev_real", "dev_speech")
    passes: int = 0  # of numbered shards, only so many; 0: all
    real: int = 4  # windows a batch; 0: without real data
    synthetic: int = 6  # windows a batch, the quiet one among them; 0: without the teacher
    restyled: float = 0.5  # share of the real windows that are shown with another person's habits (data/restyle.py)
    taught: float = 0.25  # share of the real windows that show the teacher instead of the track
    supposed: float = 0.3  # share of the synthetic windows that show a real speaker, where train/supposed.py was run
    quiet: float = 0.7  # how often one of them has no voice in it
    seconds: float = 5.0  # of each window, a random part
    perturb: float = 1.0  # how much features are changed to those of other voices (train/perturb.py); 0: not at all
    identities: int = 3  # heads that vertex losses are measured on, beside the neutral one
    motion_heads: int = 160  # heads of all kinds that the motion encoder sees
    style_pairs: int = 12  # pairs of references a batch that are only there to tell styles apart
    other_languages: float = 3.0  # how much oftener than their share synthetic windows that are not English are drawn


@dataclass(frozen=True)
class RunSettings:
    """A whole file. ``model`` holds fields of model.config.Config; ``features`` follows from the shards."""

    loop: LoopSettings = field(default_factory=LoopSettings)
    data: DataSettings = field(default_factory=DataSettings)
    weights: dict[str, float] = field(default_factory=lambda: dict(WEIGHTS))
    model: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def read_settings(file: str | Path, changes: Iterable[str] = ()) -> RunSettings:
    """A TOML file, or the name of one in configs/; ``changes`` are "table.name=value" and come last.

    Raises PTalkerError(config_missing | config_broken | bad_setting).
    """
    path = Path(file)
    built_in = CONFIGS / f"{file}.toml"
    if not os.path.isfile(path):  # Path.is_file raises where the name is too long, or of a folder that is closed
        if not os.path.isfile(built_in):
            names = ", ".join(sorted(p.stem for p in CONFIGS.glob("*.toml")))
            raise PTalkerError("config_missing", f"There is no settings file '{file}'.", f"Ready-made ones: {names}.")
        path = built_in
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise PTalkerError("config_broken", f"'{path}' cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise PTalkerError("config_broken", f"'{path.name}' is not valid TOML: {error}.") from error
    for change in changes:
        name, equals, value = change.partition("=")
        table, dot, key = name.strip().partition(".")
        if not (equals and dot):
            raise PTalkerError("bad_setting", f"'{change}' is not a setting.", "Write it as loop.steps=500.")
        values = tables.setdefault(table, {})
        if isinstance(values, dict):  # else from_tables says so
            values[key] = value_of(value.strip())
    return from_tables(tables)


def from_tables(tables: dict[str, Any]) -> RunSettings:
    """{"loop": {...}, ...} -> settings. Raises PTalkerError bad_setting for what is unknown or of a wrong kind."""
    defaults = RunSettings()
    known = {
        "loop": asdict(defaults.loop),
        "data": asdict(defaults.data),
        "weights": WEIGHTS,
        "model": {k: v for k, v in asdict(Config()).items() if k != "features"},
    }
    for table, values in tables.items():
        if table not in known or not isinstance(values, dict):
            raise PTalkerError("bad_setting", f"There is no table [{table}].", f"Tables: {', '.join(known)}.")
        for key, value in values.items():
            if key not in known[table]:
                raise PTalkerError("bad_setting", f"There is no setting {table}.{key}.", f"Known: {', '.join(known[table])}.")
            values[key] = like(f"{table}.{key}", value, known[table][key])
            check_range(f"{table}.{key}", values[key])
    settings = RunSettings(
        replace(defaults.loop, **tables.get("loop", {})),
        replace(defaults.data, **tables.get("data", {})),
        WEIGHTS | tables.get("weights", {}),
        tables.get("model", {}),
    )
    check_together(settings)
    return settings


def check_range(name: str, value: Any) -> None:
    """Raises PTalkerError bad_setting for a number that nothing can be trained with; NaN is in no range."""
    least, most = RANGES.get(name, (0, MUCH))
    if type(value) in (int, float) and not least <= value <= most:
        raise PTalkerError("bad_setting", f"{name} is {value}, but should be from {least:g} to {most:g}.")


def check_together(settings: RunSettings) -> None:
    """Raises PTalkerError bad_setting for settings that do not go with each other."""
    if settings.data.real + settings.data.synthetic < 1:
        raise PTalkerError("bad_setting", "data.real and data.synthetic are both 0.", "Train with one of them at least.")
    model = Config(**settings.model)
    for width, heads in (("width", "heads"), ("node_width", "node_heads")):
        if getattr(model, width) % getattr(model, heads):
            raise PTalkerError("bad_setting", f"model.{width} must be a multiple of model.{heads}.")
    if model.kernel % 2 == 0:
        raise PTalkerError("bad_setting", f"model.kernel is {model.kernel}, but should be an odd number.")


def value_of(text: str) -> Any:
    """A TOML value; whatever is none is text."""
    try:
        return tomllib.loads(f"x = {text}")["x"]
    except (ValueError, RecursionError):  # TOMLDecodeError is a ValueError, and so is a number of too many digits
        return text


def like(name: str, value: Any, default: Any) -> Any:
    """``value`` as the kind that ``default`` is of; whole numbers are numbers, too. Raises PTalkerError bad_setting."""
    if isinstance(default, tuple) and isinstance(value, list) and all(isinstance(each, str) for each in value):
        return tuple(value)
    if type(default) is float and type(value) is int and abs(value) <= sys.float_info.max:
        return float(value)
    if type(value) is not type(default):
        raise PTalkerError("bad_setting", f"{name} is {value!r}, but should be {KINDS[type(default)]}.")
    return value
