"""``info``: versions, device, checkpoint and its figures."""

from __future__ import annotations

import argparse
import json
from typing import Any

from .options import add_device, add_model, load_model


def register(commands: Any) -> None:
    parser = commands.add_parser("info", help="versions, device, checkpoint and its figures", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_device(parser)
    add_model(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    info = load_model(args.device, args.model).info()
    if args.json:
        print(json.dumps(info, indent=2, default=str))
    else:
        print("\n".join(_lines(info)))
    return 0


def _lines(info: dict[str, Any], indent: str = "") -> list[str]:
    lines: list[str] = []
    for key, value in info.items():
        if isinstance(value, dict):
            lines += [f"{indent}{key}:", *_lines(value, indent + "  ")]
        else:
            lines.append(f"{indent}{key}: {value}")
    return lines
