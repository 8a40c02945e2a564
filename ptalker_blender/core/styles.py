"""Speaking styles: built-in ones by name, saved ones as files, blends of several, and how much of it all.

A style file is safetensors: the vector, for a fine-tuned style the low-rank adapter (core/adapters.py), and metadata, JSON
that says what it was made from and a picture of it. No pickle. Files of version 0.1, which hold a vector and a name only,
still load.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .adapters import scaled
from .channels import CHANNELS
from .errors import PTalkerError
from .npz import check_writable, replacing
from .personal import Personal
from .upper_face import Habits

if TYPE_CHECKING:
    from .model.ptalker import PTalker as Network

NEUTRAL = "neutral"
LEAST, MOST = -1.0, 3.0  # of a share, of the strength
LARGEST = 100.0  # of a number in a style file; real ones are below 10, and from far larger ones no face comes
VERSIONS = ("1", "2", "3")  # "2" has the metadata "about" and may have an adapter, "3" may have a "personal" [2, K]
AGAIN = "Make it again from its reference."


@dataclass(frozen=True)
class Style:
    """A way of speaking. ``adapter``: low-rank changes of the decoder (core/adapters.py)."""

    vector: Tensor  # [s]
    name: str = ""
    made_from: str = ""  # "built-in", "motion", "voice", "motion and voice", "fine-tuning", "blend"; "" where nobody knows
    seconds: float = 0.0  # of the reference
    confidence: float = 1.0  # 0..1, core/reference.py
    model: str = ""  # fingerprint of the model that made it; "" where nobody knows
    adapter: dict[str, Tensor] = field(default_factory=dict)
    habits: Habits | None = None  # of the upper face; None where nobody knows
    personal: Personal | None = None  # what the vector does not say; None where nobody knows
    preview: bytes = b""  # PNG (core/preview.py); empty where nobody has drawn one

    def about(self) -> dict[str, str | float | dict[str, float]]:
        """All but the tensors; plain JSON types."""
        habits: dict[str, dict[str, float]] = {"habits": asdict(self.habits)} if self.habits else {}
        return {
            "name": self.name, "made_from": self.made_from, "seconds": round(float(self.seconds), 3),
            "confidence": round(float(self.confidence), 4), "model": self.model,
        } | habits  # fmt: skip


Share = tuple["str | Path | Style", float]  # a style and how much of it
StyleLike = str | Path | Style | Sequence[Share] | None  # None: neutral


def fingerprint(network: Network) -> str:
    """Which model a style vector is meant for: the same for the shipped and the unpacked weights of one training run."""
    digest = hashlib.sha256()
    for name, value in sorted(network.decoder.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().to(torch.float16).contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def save_style(path: Path, style: Style | Tensor, name: str = "") -> None:
    """Whole or not at all. Raises PTalkerError("out_unwritable")."""
    style = style if isinstance(style, Style) else Style(style, name)
    check_writable(path)
    tensors = {"style": style.vector} | {f"adapter.{k}": v for k, v in style.adapter.items()}
    tensors |= {"personal": style.personal.tensor()} if style.personal else {}
    plain = {k: v.detach().float().cpu().contiguous() for k, v in tensors.items()}
    about = {"ptalker_style": VERSIONS[-1], "name": style.name, "about": json.dumps(style.about())}
    about |= {"preview": base64.b64encode(style.preview).decode("ascii")} if style.preview else {}
    try:
        with replacing(path) as temporary:
            save_file(plain, temporary, about)
    except (OSError, SafetensorError) as error:
        raise PTalkerError("out_unwritable", f"The style cannot be written to '{path}'.") from error


def load_style(path: Path) -> Style:
    """Raises PTalkerError("style_unreadable")."""
    try:
        with safe_open(path, framework="pt") as f:
            meta = f.metadata() or {}
            if meta.get("ptalker_style") not in VERSIONS:
                raise KeyError("ptalker_style")
            tensors = {k: f.get_tensor(k).float() for k in f.keys()}
        about = json.loads(meta.get("about", "{}"))
        vector, personal = tensors.pop("style"), tensors.pop("personal", None)
        if vector.ndim != 1 or (personal is not None and personal.shape != (2, len(CHANNELS))):
            raise ValueError("shape")
        numbers = (vector, *tensors.values(), *([] if personal is None else [personal]))
        if not all(bool((t.abs() <= LARGEST).all()) for t in numbers):  # false for NaN, too
            raise ValueError("style")
        return Style(
            vector, str(meta.get("name", "")), str(about.get("made_from", "")), float(about.get("seconds", 0.0)),
            float(about.get("confidence", 1.0)), str(about.get("model", "")),
            {k.removeprefix("adapter."): v for k, v in tensors.items() if k.startswith("adapter.")},
            Habits.of(about["habits"]) if "habits" in about else None,
            None if personal is None else Personal.of(personal), base64.b64decode(meta.get("preview", "")),
        )  # fmt: skip
    except (OSError, KeyError, ValueError, TypeError, AttributeError, SafetensorError) as error:
        raise PTalkerError(
            "style_unreadable",
            f"'{path}' is not a PTalker style file.",
            "Choose a .safetensors file that PTalker saved.",
        ) from error


def find(
    style: str | Path | Style, built_in: Mapping[str, Tensor], model: str = "", personal: Mapping[str, Tensor] | None = None
) -> Style:
    """A built-in name, a file or a style itself -> the style, which fits the model.

    ``personal`` [2, K] of built-in styles, where they have it; ``model`` is the loaded model's fingerprint ("": not asked).
    Raises PTalkerError("style_unknown" | "style_unreadable" | "style_mismatch").
    """
    if not isinstance(style, Style):
        if str(style) in built_in:
            own = (personal or {}).get(str(style))
            known = None if own is None else Personal.of(own)
            return Style(built_in[str(style)], str(style), "built-in", model=model, personal=known)
        path = Path(style)
        if not _is_file(path):
            names, asked = ", ".join(sorted(built_in)), str(style)
            asked = asked if len(asked) < 200 else f"{asked[:200]}..."
            raise PTalkerError("style_unknown", f"There is no style or style file '{asked}'.", f"Built-in styles: {names}.")
        style = load_style(path)
        style = style if style.name else Style(**{**vars(style), "name": path.stem})
    if style.vector.shape != built_in[NEUTRAL].shape or (model and style.model and style.model != model):
        raise PTalkerError("style_mismatch", f"The style '{style.name}' was made by another version of the model.", AGAIN)
    return style


def _is_file(path: Path) -> bool:
    """Path.is_file, which raises for a name that is too long for any file."""
    try:
        return path.is_file()
    except OSError:
        return False


def choose(
    style: StyleLike, strength: float, built_in: Mapping[str, Tensor], model: str = "",
    personals: Mapping[str, Tensor] | None = None,
) -> Style:  # fmt: skip
    """One style or several with their shares, and how much of it all -> one style.

    The vector is neutral + strength * sum_i share_i (style_i - neutral): 0 is neutral, 1 the style, above 1 exaggerates it;
    shares that add up to less than 1 leave the rest neutral. An adapter acts as far as its style does, but never more than
    once and never backwards: what fine-tuning has learned is not to be exaggerated. So do habits and what is personal; what no
    style brings is as it usually is.
    Raises PTalkerError("style_unknown" | "style_unreadable" | "style_mismatch" | "bad_value").
    """
    if not LEAST <= strength <= MOST:
        fix = f"Use {LEAST:g} to {MOST:g}; 0 is neutral."
        raise PTalkerError("bad_value", f"Style strength {strength} is out of range.", fix)
    if style is None or style == "":
        shares: Sequence[Share] = []
    else:
        shares = [(style, 1.0)] if isinstance(style, str | Path | Style) else style
    neutral = built_in[NEUTRAL]
    vector, adapter, names = neutral.clone(), {}, []
    habits: list[tuple[Habits, float]] = []
    personal: Personal | None = None
    for i, (each, share) in enumerate(shares):
        if not LEAST <= share <= MOST:
            raise PTalkerError("bad_value", f"A style's share of {share} is out of range.", f"Use {LEAST:g} to {MOST:g}.")
        found = find(each, built_in, model, personals)
        amount = strength * share
        vector = vector + amount * (found.vector.to(neutral) - neutral)
        names.append(found.name)
        if (acts := min(max(amount, 0.0), 1.0)) > 0:
            adapter |= {f"{i}:{k}": v for k, v in scaled(found.adapter, acts).items()}
            habits += [(found.habits, acts)] if found.habits else []
            if found.personal:
                personal = found.personal.scaled(acts) + personal if personal else found.personal.scaled(acts)
    mixed = Habits().mixed(habits) if habits else None
    made_from = "blend" if len(shares) > 1 else ""
    return Style(vector, " + ".join(names) or NEUTRAL, made_from, model=model, adapter=adapter, habits=mixed, personal=personal)


def resolve(style: StyleLike, strength: float, built_in: Mapping[str, Tensor]) -> Tensor:
    """The vector [s] of ``choose``, for models without adapters."""
    return choose(style, strength, built_in).vector


def read_shares(texts: Sequence[str]) -> list[tuple[str, float]]:
    """What a person writes, "clear", "warm.safetensors:0.6" -> styles and their shares; without shares, equal ones.

    Raises PTalkerError("option_invalid").
    """
    split = [_split(text) for text in texts]
    given = [share for _, share in split if share is not None]
    if given and len(given) < len(split):
        raise PTalkerError("option_invalid", "Some styles have a share and some have none.", "Give a share to all or to none.")
    return [(name, 1.0 / len(split) if share is None else share) for name, share in split]


def _split(text: str) -> tuple[str, float | None]:
    """The share is what stands behind the last colon, where that is a number and no file is called so."""
    name, colon, share = text.rpartition(":")
    if not colon or _is_file(Path(text)):
        return text, None
    try:
        return name, float(share)
    except ValueError:  # C:\styles\a.safetensors
        return text, None
