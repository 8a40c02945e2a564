"""The report: figures as JSON, and one HTML page that carries its pictures inside itself."""

from __future__ import annotations

import base64
import html
import json
from pathlib import Path
from typing import Any

from ..errors import PTalkerError

# key: (heading in the table, what it is)
LEGEND: dict[str, tuple[str, str]] = {
    "clips": ("clips", "Clips compared."),
    "seconds": ("s", "Seconds compared."),
    "r": ("r", "Lip aperture (distance of the middle inner-lip vertices) with the truth, zero lag: Pearson r of all clips "
          "together, each clip's mean removed."),
    "r_floor": ("r floor", "The same for ridge regression on the same speech features, 14 min of GRID s1."),
    "r_clips": ("r clips", "Mean of the clips' own r."),
    "r_width": ("r width", "The same as r for the width of the mouth."),
    "r_jaw": ("r jaw", "The same as r for the drop of the chin."),
    "gain": ("gain", "How far ours opens for what the truth opens: ratio of the standard deviations."),
    "lag_ms": ("lag ms", "Shift with the best r, steps of 10 ms; positive: ours is late."),
    "r_best_lag": ("r there", "r at that shift (ends of clips left out)."),
    "closures": ("p b m", "Closures counted: p, b, m in the clips."),
    "closed": ("closed", "Share that meet: some frame within 40 ms of the phone's middle has a gap above rest below 8 % of "
               "the clip's 95th percentile; gap = distance of the middle inner-lip vertices."),
    "closed_height": ("by height", "The same for the vertical part of the gap."),
    "closed_clip_floor": ("above min", "As closed, but the gap is counted from the clip's smallest."),
    "closed_truth": ("truth", "As closed, for the truth."),
    "lve_mm2": ("LVE mm²", "Lip vertex error: largest squared distance of a lip vertex, mean over frames (torchmetrics, "
                "CodeTalker)."),
    "lip_max_mm": ("lip max mm", "Its root, frame by frame: how far the farthest lip vertex is from its true place."),
    "mve_mm": ("MVE mm", "Mean vertex error: mean distance of all vertices of the face's skin from their true places."),
    "fdd_mm": ("FDD mm", "Upper-face dynamics deviation as torchmetrics computes it: spread over time of the step lengths, "
               "truth minus ours. 0 is best; positive: ours is stiller."),
    "fdd_signed_mm2": ("signed FDD mm²", "As published (CodeTalker, FaceFormer's tables): spread over time of the squared "
                       "motion relative to the template, truth minus ours. 0 is best."),
    "fdd_step_mm2": ("step error mm²", "The formula in torchmetrics' documentation: mean squared difference of the steps."),
    "lve_native": ("LVE native", "LVE in the data set's own unit, squared."),
    "fdd_signed_native": ("FDD native", "Signed FDD in the data set's own unit, squared."),
    "jitter_m_s3": ("jitter", "Mean length of the lip vertices' third derivative, m/s³."),
    "jitter_truth_m_s3": ("jitter truth", "The same for the truth."),
    "jitter_ratio": ("jitter ratio", "Jitter of ours by jitter of the truth: above 1 ours trembles more."),
    "rounding_auc": ("rounding", "Chance that a rounded vowel or glide has a narrower mouth than an unrounded one (AUC)."),
    "rounding_auc_truth": ("truth", "The same for the truth."),
    "to_english": ("/ English", "r by the r of English."),
    "jaw_open": ("jawOpen", "Largest weight of jawOpen, 0..1."),
    "gap_mm": ("gap mm", "Largest lip gap above rest."),
    "styles": ("styles", "Teacher styles that training has not seen."),
    "sentences": ("sentences", "English dev sentences in which each style was read."),
    "reference_seconds": ("reference s", "Length of a reference."),
    "retrieval": ("retrieval", "Share of references whose own style in another sentence is the most similar of all."),
    "retrieval_other_mesh": ("other mesh", "The same with the query on another head."),
    "triples": ("triples", "Share of triples where the same style in other words is nearer than another style in the same."),
    "voices": ("voices", "Voices (known to the model; the sentences are not)."),
    "retrieval_voice": ("by voice", "Share of clips whose own voice's style in another sentence is the most similar."),
    "cross_error_mm": ("cross mm", "Error (MVE, lower face) when the reference is the style on another sentence."),
    "own_error_mm": ("own mm", "The same when the sentence's own motion is the reference."),
    "neutral_error_mm": ("neutral mm", "The same in the neutral style."),
    "cross_to_own": ("cross / own", "Ratio of the errors (1.25 or less is wanted)."),
    "cross_to_neutral": ("cross / neutral", "Ratio of the errors (0.6 or less is wanted)."),
    "x_real_time": ("x real time", "Time taken by the length of the speech, model loaded."),
    "fps": ("fps", "Frames a second."),
    "threads": ("threads", "Threads of torch."),
    "peak_mb": ("peak MB", "Most memory of the process, evaluation included."),
}  # fmt: skip
TABLES = {
    "Lip aperture": ["clips", "seconds", "r", "r_floor", "r_clips", "gain", "lag_ms", "r_best_lag", "r_width", "r_jaw"],
    "Closures and rounding": ["closures", "closed", "closed_height", "closed_clip_floor", "closed_truth", "rounding_auc",
                              "rounding_auc_truth"],
    "Vertices": ["lve_mm2", "lip_max_mm", "mve_mm", "fdd_mm", "fdd_signed_mm2", "fdd_step_mm2", "lve_native",
                 "fdd_signed_native", "jitter_m_s3", "jitter_truth_m_s3", "jitter_ratio"],
}  # fmt: skip
CSS = """body{font:15px/1.45 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#222}
h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em}table{border-collapse:collapse;font-size:13px;margin:.6em 0}
th,td{padding:3px 9px;text-align:right;border-bottom:1px solid #ddd}th:first-child,td:first-child{text-align:left}
img{max-width:100%;display:block;margin:.6em 0}dt{font-weight:600}dd{margin:0 0 .3em 1em;font-size:13px}p{max-width:75ch}"""


def rounded(x: Any) -> Any:
    """Five significant digits in every number of a JSON tree; also turns numpy numbers into plain ones."""
    if isinstance(x, dict):
        return {str(k): rounded(v) for k, v in x.items()}
    if isinstance(x, list | tuple):
        return [rounded(v) for v in x]
    if isinstance(x, float):
        return float(f"{x:.5g}")
    return x


def paths(out: Path) -> tuple[Path, Path]:
    """OUT -> (JSON, page): report.json and report.html in the folder OUT; a name that ends in .html or .json is the file
    itself, and its sister lies beside it."""
    if out.suffix.lower() in (".html", ".json"):
        return out.with_suffix(".json"), out.with_suffix(".html")
    return out / "report.json", out / "report.html"


def prepare(out: Path) -> tuple[Path, Path]:
    """``paths``, after trying that they can be written. Raises PTalkerError."""
    files = paths(out)
    try:
        files[0].parent.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise _unwritable(out, error) from error
    for file in files:
        try_writing(file)
    return files


def try_writing(file: Path) -> None:
    """Nobody shall wait for minutes to learn that it cannot be written. Raises PTalkerError("out_unwritable")."""
    try:
        there = file.exists()
        with file.open("ab"):
            pass
        if not there:
            file.unlink()
    except (OSError, ValueError) as error:
        raise _unwritable(file, error) from error


def _unwritable(path: Path, error: Exception) -> PTalkerError:
    reason = getattr(error, "strerror", None) or error
    return PTalkerError("out_unwritable", f"'{path}' cannot be written ({reason}).", "Name another place for the report.")


def write(files: tuple[Path, Path], result: dict, pictures: dict[str, bytes]) -> None:
    """result: JSON tree of run.evaluate. pictures: heading -> PNG."""
    files[0].write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8")
    files[1].write_text(page(result, pictures), "utf-8")


def show(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1 else f"{value:.2f}"
    return html.escape(str(value))


def table(rows: dict[str, dict], keys: list[str], corner: str = "") -> str:
    """A row for each item of ``rows``; columns that no row has are left out."""
    keys = [k for k in keys if any(k in r for r in rows.values())]
    if not keys:
        return ""
    head = "".join(f'<th title="{html.escape(LEGEND[k][1])}">{html.escape(LEGEND[k][0])}</th>' for k in keys)
    body = "".join(
        f"<tr><td>{html.escape(name)}</td>" + "".join(f"<td>{show(row[k]) if k in row else ''}</td>" for k in keys) + "</tr>"
        for name, row in rows.items()
    )
    return f"<table><tr><th>{html.escape(corner)}</th>{head}</tr>{body}</table>"


def page(result: dict, pictures: dict[str, bytes]) -> str:
    parts = [f"<p>{html.escape(', '.join(f'{k}: {v}' for k, v in result['settings'].items()))}</p>"]
    for title, keys in TABLES.items():
        parts += [f"<h2>{title}</h2>", table(result["groups"], keys, "group"), *_pictures(pictures, title)]
    for key, title in (("languages", "Languages"), ("still", "Sound without a voice")):
        if result.get(key):
            parts += [f"<h2>{title}</h2>", table(result[key], list(LEGEND)), *_pictures(pictures, title)]
    if result.get("style"):
        keys = [k for k in LEGEND if k in result["style"]]
        parts += ["<h2>Style</h2>", table({"": result["style"]}, keys[: len(keys) // 2])]
        parts += [table({"": result["style"]}, keys[len(keys) // 2 :]), *_pictures(pictures, "Style")]
    if result.get("speed"):
        parts += ["<h2>Speed</h2>", table({"": result["speed"]}, list(LEGEND))]
    if result.get("card"):
        rows = "".join(
            f"<tr><td>{html.escape(k)}</td><td>{show(a)}</td><td>{show(b)}</td></tr>" for k, (a, b) in result["card"].items()
        )
        parts += ["<h2>Against the model card</h2>", f"<table><tr><th></th><th>card</th><th>here</th></tr>{rows}</table>"]
    used = [k for k in LEGEND if any(k in r for t in ("groups", "languages", "still") for r in result.get(t, {}).values())]
    used += [k for t in ("style", "speed") for k in result.get(t, {}) if k in LEGEND and k not in used]
    words = "".join(f"<dt>{html.escape(LEGEND[k][0])}</dt><dd>{html.escape(LEGEND[k][1])}</dd>" for k in used)
    parts += ["<h2>What the figures are</h2>", f"<dl>{words}</dl>"]
    body = "\n".join(parts)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>PTalker: evaluation</title>'
        f"<style>{CSS}</style></head><body><h1>PTalker: evaluation</h1>\n{body}\n</body></html>\n"
    )


def _pictures(pictures: dict[str, bytes], title: str) -> list[str]:
    """Those whose name is "title" or "title: something"."""
    mine = [(k, v) for k, v in pictures.items() if k.split(":")[0] == title]
    return [f'<img alt="{html.escape(k)}" src="data:image/png;base64,{base64.b64encode(v).decode()}">' for k, v in mine]
