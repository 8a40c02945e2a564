"""Finished runs -> the tables, in Markdown.

A cell is the mean over the seeds ± their standard deviation (n - 1). The spread of a comparison is the pooled deviation
s = sqrt((sd_full² + sd_row²) / 2). A row is *worse* in a figure where it is worse than the full model by more than s, and
**clearly worse** by more than 3 s: with three seeds each that is t = 3.7 at 4 degrees of freedom, p < 0.02 two-sided,
while a difference of s alone is to be expected somewhere among so many figures. Which figures a part should show on was
written down (rows.py) before anything was measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from .figures import FIGURES
from .rows import FULL, ROWS

CLEAR = 3.0
Runs = Mapping[str, Sequence[Mapping[str, float]]]  # row -> one dict of figures a seed


def mean_sd(values: Sequence[float]) -> tuple[float, float]:
    """sd is NaN below two values."""
    mean = sum(values) / len(values)
    if len(values) < 2:
        return mean, math.nan
    return mean, math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1))


def of(runs: Runs, row: str, figure: str) -> list[float]:
    return [r[figure] for r in runs.get(row, ()) if figure in r]


def worse_by(runs: Runs, row: str, figure: str) -> float:
    """By how many spreads the row is worse than the full model; below 0: better; NaN where that cannot be told."""
    ours, theirs = of(runs, FULL, figure), of(runs, row, figure)
    if min(len(ours), len(theirs)) < 2:
        return math.nan
    (a, sa), (b, sb) = mean_sd(ours), mean_sd(theirs)
    difference = (a - b) * FIGURES[figure][1]
    spread = math.sqrt((sa**2 + sb**2) / 2)
    if spread < 1e-12:
        return 0.0 if abs(difference) < 1e-12 else math.copysign(math.inf, difference)
    return difference / spread


def cell(runs: Runs, row: str, figure: str) -> str:
    values, digits = of(runs, row, figure), FIGURES[figure][2]
    if not values:
        return "-"
    mean, sd = mean_sd(values)
    text = f"{mean:.{digits}f}" + ("" if math.isnan(sd) else f" ± {sd:.{digits}f}")
    by = worse_by(runs, row, figure) if row != FULL else math.nan
    return f"**{text}**" if by > CLEAR else f"*{text}*" if by > 1 else text


def grid(runs: Runs, rows: Sequence[str]) -> list[str]:
    """Figures down, rows of the study across."""
    rows = [r for r in rows if runs.get(r)]
    lines = ["| | " + " | ".join(ROWS[r].title for r in rows) + " |", "|---" * (len(rows) + 1) + "|"]
    for figure, (title, better, _) in FIGURES.items():
        cells = [cell(runs, r, figure) for r in rows]
        if any(c != "-" for c in cells):
            lines.append(f"| {title} {'↑' if better > 0 else '↓'} | " + " | ".join(cells) + " |")
    return [*lines, "| runs | " + " | ".join(str(len(runs[r])) for r in rows) + " |"]


def verdicts(runs: Runs) -> list[str]:
    """One line a part: on its own figures, on all others, and where taking it out did good."""
    lines = [
        "| without | its own figures: worse by (spreads) | other figures that are clearly worse | clearly better |",
        "|---" * 4 + "|",
    ]
    for name, row in ROWS.items():
        if row.kind != "ours" or name == FULL or not runs.get(name):
            continue
        by = {f: worse_by(runs, name, f) for f in FIGURES}
        own = ", ".join(f"{f} {_times(by[f])}" for f in row.own)
        worse = [f"{f} {_times(v)}" for f, v in by.items() if f not in row.own and v > CLEAR]
        better = [f"{f} {_times(-v)}" for f, v in by.items() if v < -CLEAR]
        lines.append(f"| {row.title} | {own} | {', '.join(worse) or 'none'} | {', '.join(better) or 'none'} |")
    return lines


def _times(value: float) -> str:
    return "?" if math.isnan(value) else "**>99**" if value > 99 else f"**{value:.1f}**" if value > CLEAR else f"{value:.1f}"


def against(runs: Runs) -> list[str]:
    """How far ours is below the baselines in LVE and FDD."""
    lines = []
    for name in ("faceformer", "published"):
        shares = []
        for figure in ("lve_s1", "lve_unseen", "lve_taught", "fdd"):
            ours, theirs = of(runs, FULL, figure), of(runs, name, figure)
            if ours and theirs:
                shares.append(f"{FIGURES[figure][0]} {100 * (mean_sd(ours)[0] / mean_sd(theirs)[0] - 1):+.0f} %")
        if shares:
            lines.append(f"- Ours against {ROWS[name].title}: {', '.join(shares)}.")
    return lines


def markdown(runs: Runs) -> str:
    theirs = [n for n, r in ROWS.items() if r.kind != "ours"]
    ours = [n for n, r in ROWS.items() if r.kind == "ours"]
    key = "*italic*: worse than the full model by more than the spread; **bold**: by more than 3 spreads (table.py says how)."
    parts = [
        ["## Ours against others", "", *grid(runs, [FULL, *theirs]), "", *against(runs)],
        ["## Ablations", "", *grid(runs, ours), "", key],
        ["## What each part does", "", *verdicts(runs)],
    ]
    return "\n\n".join("\n".join(p) for p in parts) + "\n"
