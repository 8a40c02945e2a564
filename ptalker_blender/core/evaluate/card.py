"""The model card's figures: taken from a report, written into the card, compared with a new report."""

from __future__ import annotations

from typing import Any

from ..errors import PTalkerError
from .report import LEGEND

BEGIN, END = "<!-- figures: written by train.pack from evaluate --card -->", "<!-- end of figures -->"
ROWS = ("clips", "r", "r_floor", "lag_ms", "closed", "closed_height", "lve_mm2", "mve_mm", "fdd_mm", "fdd_signed_mm2",
        "rounding_auc", "jitter_ratio")  # fmt: skip
STYLE = ("retrieval", "retrieval_other_mesh", "triples", "retrieval_voice", "cross_to_own", "cross_to_neutral")


def figures(result: dict) -> dict[str, Any]:
    """What of a report (run.evaluate) the card shows. Speed is the machine's affair and stays out."""
    return {
        "settings": {k: result["settings"][k] for k in ("seed", "most", "rig", "style")},
        "groups": {g: {k: row[k] for k in ROWS if k in row} for g, row in result["groups"].items()},
        "style": {k: result["style"][k] for k in STYLE if k in result.get("style", {})},
        "still": {k: row["jaw_open"] for k, row in result.get("still", {}).items()},
    }


def markdown(card: dict) -> str:
    """The command that made the card's figures, and the figures as tables."""
    asked = card["settings"]
    options = " --rig" if asked["rig"] else ""
    options += f" --most {asked['most']}" if asked["most"] else ""
    options += f" --seed {asked['seed']}" if asked["seed"] else ""
    options += f" --style {asked['style']}" if asked["style"] != "neutral" else ""
    keys = [k for k in ROWS if any(k in row for row in card["groups"].values())]
    lines = [f"`python -m ptalker_blender.core evaluate DATA --report OUT{options}`", ""]
    lines += ["| | " + " | ".join(LEGEND[k][0] for k in keys) + " |", "|---" * (len(keys) + 1) + "|"]
    for group, row in card["groups"].items():
        lines.append(f"| {group} | " + " | ".join(_show(row[k]) if k in row else "" for k in keys) + " |")
    if card["style"]:
        lines += ["", "Style: " + ", ".join(f"{LEGEND[k][0]} {_show(v)}" for k, v in card["style"].items()) + "."]
    if card["still"]:
        lines += ["", "Largest jawOpen without a voice: " + ", ".join(f"{k} {_show(v)}" for k, v in card["still"].items()) + "."]
    return "\n".join(lines)


def _show(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def fill(text: str, card: dict) -> str:
    """MODEL_CARD.md with its figures replaced. Raises PTalkerError("card_broken") where it has no place for them."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise PTalkerError("card_broken", "The model card has no place for figures.", f"Put '{BEGIN}' and '{END}' where they go.")
    return f"{before}{BEGIN}\n{markdown(card)}\n{END}{after}"


def flat(tree: dict, prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a / b": 1}"""
    out: dict[str, Any] = {}
    for k, v in tree.items():
        out |= flat(v, f"{prefix}{k} / ") if isinstance(v, dict) else {f"{prefix}{k}": v}
    return out


def compare(card: dict, result: dict) -> dict[str, tuple[Any, Any]]:
    """Figures that the card states beside those of a report: name -> (card, here). {} for a card of another form."""
    if set(card) != {"settings", "groups", "style", "still"}:
        return {}
    here = flat(figures(result))
    return {k: (v, here.get(k, "")) for k, v in flat(card).items()}
