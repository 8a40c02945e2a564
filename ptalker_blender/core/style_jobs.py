"""The engine's jobs with styles: read one from a reference, fine-tune one, show where they lie. Files to files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from .errors import PTalkerError
from .jobs import LoadModel, Reporter, style_files
from .npz import check_writable
from .protocol import Explain, FineTune, ReadStyle, Result

USES = ("both", "motion", "voice")


def read(job: ReadStyle, load: LoadModel, reporter: Reporter) -> Result:
    """Do ``job``: write the style file and, if asked for, the plot. Raises PTalkerError, Cancelled."""
    from .clips import read_reference
    from .preview import preview
    from .reference import read_style
    from .styles import save_style

    _check_outputs((job.out, job.plot), (job.reference,))
    if job.use not in USES:
        raise PTalkerError("option_invalid", f"A style is read from {', '.join(USES)}, not from '{job.use}'.")
    reference = read_reference(job.reference, reporter.cancelled)
    model, name = load(), job.name or Path(job.reference).stem
    reading = read_style(model, reference, name, use=job.use, progress=_part(reporter, 0.05, 0.7), cancelled=reporter.cancelled)
    style = replace(reading.style, preview=preview(model, reading.style, reporter.cancelled))
    save_style(Path(job.out), style)
    if job.plot:
        from .explain import explain_reading

        reporter.progress("drawing", 0.7)
        explain_reading(model, reading, reference, Path(job.plot), reporter.cancelled)
    reporter.progress("writing", 1.0)
    return Result(job.id, job.out, 0, reading.style.seconds, tuple(reading.warnings), reading.figures())


def fine_tune(job: FineTune, load: LoadModel, reporter: Reporter) -> Result:
    """Do ``job``: write the style file and, if asked for, the plot. Raises PTalkerError; Cancelled where there is nothing to
    keep."""
    from .clips import read_clip
    from .finetune import fine_tune as tune
    from .preview import preview
    from .styles import save_style

    _check_outputs((job.out, job.plot), job.clips)
    paths = [Path(path) for path in job.clips]
    for path in paths:
        if not path.is_file():
            raise PTalkerError("reference_missing", f"There is no clip '{path}'.")
    clips = [read_clip(path) for path in paths]
    model = load()
    tuned = tune(
        model, clips, job.name or (paths[0].stem if paths else ""), minutes=job.minutes, seed=job.seed,
        progress=reporter.progress, learned=reporter.learned, cancelled=reporter.cancelled,
    )  # fmt: skip
    save_style(Path(job.out), replace(tuned.style, preview=preview(model, tuned.style)))
    if job.plot:
        from .explain import explain_tuning

        explain_tuning(tuned, Path(job.plot))
    reporter.progress("writing", 1.0)
    return Result(job.id, job.out, 0, tuned.style.seconds, tuned.warnings, tuned.figures())


def explain(job: Explain, load: LoadModel, reporter: Reporter) -> Result:
    """Do ``job``: the map of the style space. Raises PTalkerError."""
    _check_outputs((job.out,), style_files(job.styles))
    from .explain import explain_styles

    explain_styles(load(), job.styles, Path(job.out))
    reporter.progress("writing", 1.0)
    return Result(job.id, job.out)


def _check_outputs(outs: Sequence[str | None], inputs: Sequence[str]) -> None:
    """Before anything long: raises PTalkerError out_unwritable."""
    for i, out in enumerate(outs):
        if out is not None:
            check_writable(out, *outs[:i], *inputs)


def _part(reporter: Reporter, start: float, end: float) -> Callable[[str, float], None]:
    return lambda stage, fraction: reporter.progress(stage, start + (end - start) * min(max(fraction, 0.0), 1.0))
