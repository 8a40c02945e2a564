"""Fine-tuning: a style vector and a low-rank adapter of the decoder, learned from clips of one way of speaking.

The end of each clip is held out: it chooses the best step, ends the training and gives the figures before and after. On
speech of many others, which ships with the extension, lips must move as they did before: when they open is what is said, and
only how far is style. No step is kept after which the lip gap there has less than ALIKE of r with the original model's in the
style that was read from the clip. What is personal (core/personal.py) belongs to the style as it was read, which is to be
beaten; the adapter learns it anew, and better: it begins with the last layer, solved at once (core/solved.py), where that is
better. On others' speech the steps after that keep to what this gave, or they would learn the clip's words by heart.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from . import SAMPLE_RATE, losses
from .adapters import adapted, adapter_of, merged, together
from .audio import SILENCE
from .clip_lessons import prepare
from .clips import Clip
from .errors import Cancelled, PTalkerError
from .jobs import check_seed
from .lessons import SHORTEST, STEP, Lesson, other_content
from .model.contact import Contact
from .model.decoder import Decoder
from .personal import APART, TOGETHER, Personal
from .runtime import PTalker
from .solved import head_changes
from .styles import Style

RANK = 4
PIECE, ROWS = 4.0, 6  # s, pieces a step
BLOCK = SAMPLE_RATE // 50  # samples that sound or not
RATE_ADAPTER, RATE_STYLE = 1e-3, 2e-3  # Adam's
DECAY = 1e-2
MOST_STEPS, EVERY, PATIENCE = 200, 10, 8  # steps; between two tests; tests without a better one
FPS = 25.0  # at which it is learned
KEEP_TIMING, KEEP_PLACE = 3.0, 2.0  # weights of what must stay on others' speech
JUDGED, ALIKE = 8, 0.98  # pieces of others' speech at each test; least r of their lip gap with the original's
LESS = 0.001  # and by so much it may be less than that of the last layer solved alone
WEIGHTS = {"vertex": 1.0, "velocity": 0.5, "channel": 0.5, "gap": 0.3, "correlation": 0.3}

Learned = Callable[[float, float, "float | None"], None]  # fraction, loss, held-out error


@dataclass(frozen=True)
class Tuned:
    """The style and what was found on what was held out. ``curves``: lip gap in cm at FPS, reference, before, after [T]."""

    style: Style
    before_mm: float
    after_mm: float
    steps: int
    cancelled: bool
    warnings: tuple[str, ...]
    curves: dict[str, Tensor]

    def figures(self) -> dict[str, float | int | bool]:
        """Plain JSON types."""
        gain = 1.0 - self.after_mm / max(self.before_mm, 1e-9)
        return {
            "before_mm": round(self.before_mm, 4), "after_mm": round(self.after_mm, 4), "gain": round(gain, 4),
            "steps": self.steps, "cancelled": self.cancelled,
        }  # fmt: skip


def fine_tune(
    model: PTalker, clips: Sequence[Clip], name: str, *, minutes: float = 4.0, seed: int = 0,
    progress: Callable[[str, float], None] | None = None, learned: Learned | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Tuned:  # fmt: skip
    """Learn the style of ``clips``, meshes in motion with their sound.

    Once cancelled, what has been learned so far is given back where it is better than before, else Cancelled is raised.
    Raises PTalkerError (face_not_found, reference_short, reference_silent, reference_still, asset_missing, option_invalid).
    """
    if not 0 < minutes <= 24 * 60:
        raise PTalkerError("option_invalid", f"{minutes:g} minutes of fine-tuning are not possible.")
    tell = progress or (lambda stage, fraction: None)
    check_seed(seed)
    for clip in clips:
        check_sound(clip)
    ready = prepare(model, clips, lambda stage, part: tell(stage, 0.2 * part), cancelled)
    other = other_content(model, round(PIECE / STEP), cancelled)
    tutor = Tutor(model, ready.lessons, ready.start, ready.personal, other, seed)
    state = tutor.run(minutes * 60, learned, cancelled)
    if state.cancelled and not state.better:
        raise Cancelled
    seconds = sum(c.seconds for c in clips)
    confidence = 1.0 - math.exp(-seconds / 10.0)
    kept = None if state.better or ready.personal is None else ready.personal.to(torch.device("cpu"))
    style = Style(
        tutor.best_style, name, "fine-tuning", seconds, confidence, model.fingerprint, tutor.best_adapter,
        max(ready.lessons, key=lambda x: x.seconds).habits, kept,
    )  # fmt: skip
    return Tuned(
        style, tutor.before, state.error, state.step, state.cancelled, tuple(tutor.warnings + state.warnings), tutor.curves()
    )


def check_sound(clip: Clip) -> None:
    """Of a clip that is long enough: from its first sound to its last there is one piece to learn from at least. Raises
    PTalkerError reference_short."""
    if clip.audio is None or clip.seconds < SHORTEST:  # lessons.py tells these apart
        return
    blocks = clip.audio[: len(clip.audio) // BLOCK * BLOCK].reshape(-1, BLOCK)
    heard = np.flatnonzero(np.maximum(blocks.max(1), -blocks.min(1)) >= SILENCE)
    seconds = (heard[-1] - heard[0] + 1) * BLOCK / SAMPLE_RATE if len(heard) else 0.0
    if seconds < PIECE:
        sentence = f"'{clip.name}' has too little sound to learn from ({seconds:.1f} of {clip.seconds:.1f} s)."
        raise PTalkerError("reference_short", sentence, "The animation needs its speech from beginning to end.")


@dataclass
class State:
    """Where the training stands: ``error`` of the best step in mm."""

    error: float
    lowest: float = math.inf  # of all steps, kept or not
    step: int = 0
    since: int = 0  # tests without a better one
    better: bool = False
    cancelled: bool = False
    warnings: list[str] = field(default_factory=list)


class Tutor:
    """Trains a copy of the decoder; the model itself is not touched."""

    def __init__(
        self, model: PTalker, lessons: Sequence[Lesson], start: Tensor, personal: Personal | None, other: Tensor, seed: int
    ) -> None:
        """start [s]: the style to begin with; other [n, N, d]: content of others' speech."""
        if model.network.contact is None:
            raise PTalkerError("style_mismatch", "This model has no lips by name: it cannot be fine-tuned.")
        self.model, self.lessons, self.contact = model, lessons, model.network.contact
        self.personal = personal
        self.original, self.start = model.network.decoder, start.to(model.device)
        self.style = torch.nn.Parameter(self.start.clone())
        self.rng = torch.Generator().manual_seed(seed)
        self.content_times = (torch.arange(round(PIECE / STEP), device=model.device) + 0.25) * STEP
        self.times = torch.arange(round((PIECE - 0.2) * FPS), device=model.device) / FPS + 0.1
        self.other = other
        with torch.inference_mode():
            self.kept = self.original(other, self.content_times, self._rows(self.start, len(other)), self.times).clone()
            pick = torch.linspace(0, len(other) - 1, min(JUDGED, len(other))).long()
            self.judged, self.timing = other[pick], self._gap(self.kept[pick])
        self.before, r = self.test(self.original, self.start, personal)
        self.least = ALIKE
        self.solved, self.begun = self.solve()
        self.best_style, self.best_adapter = self.start.cpu().clone(), self.solved
        devices = [model.device] if model.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(seed)
            self.decoder = adapted(begun := merged(self.original, self.solved), RANK)
        if self.solved:
            self.least = max(ALIKE, self.alike(begun, self.start) - LESS)
            with torch.no_grad():
                self.kept = begun(other, self.content_times, self._rows(self.start, len(other)), self.times)
        self.warnings: list[str] = []
        if r < TOGETHER:
            self.warnings.append(APART)
        self.first_loss: float | None = None

    def solve(self) -> tuple[dict[str, Tensor], float]:
        """The change of the last layer alone that is best on what is held out, and its error there; none, and the error
        before, where it is not better or others' lips would move at other times."""
        best, error = {}, self.before
        other, gap = (self.other, self.content_times, self.times), self.contact.gap[:, 0]
        for change in head_changes(self.original, self.lessons, self.start, self.model.network.finish, other, gap):
            decoder = merged(self.original, change)
            found, _ = self.test(decoder, self.start)
            if found < error and self.alike(decoder, self.start) >= ALIKE:
                best, error = {k: v.cpu() for k, v in change.items()}, found
        return best, error

    def run(self, seconds: float, learned: Learned | None, cancelled: Callable[[], bool] | None) -> State:
        """Until nothing gets better, the time is over, or somebody has cancelled."""
        say = learned or (lambda fraction, loss, held_out: None)
        adapter = [p for p in self.decoder.parameters() if p.requires_grad]
        groups = [{"params": adapter, "lr": RATE_ADAPTER, "weight_decay": DECAY}, {"params": [self.style], "lr": RATE_STYLE}]
        optimiser = torch.optim.AdamW(groups, weight_decay=0.0)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda i: min(1.0, (i + 1) / 20) * _cosine(i / MOST_STEPS))
        state, began = State(self.begun, better=bool(self.solved)), time.monotonic()
        while state.step < MOST_STEPS and state.since < PATIENCE:
            if cancelled is not None and cancelled():
                state.cancelled = True
                break
            part = max(state.step / MOST_STEPS, (time.monotonic() - began) / seconds)
            if part >= 1:
                break
            loss = self.step(optimiser)
            schedule.step()
            state.step += 1
            tested = state.step % EVERY == 0
            held_out = self.judge(state) if tested else None
            say(0.2 + 0.75 * part, loss, held_out)
        if not state.better and not state.cancelled:
            state.warnings.append("Fine-tuning found nothing better than the style as it was read: that was saved.")
        return state

    def step(self, optimiser: torch.optim.Optimizer) -> float:
        """One step -> what is lost on the clips, relative to the first step."""
        optimiser.zero_grad()
        fit, keep = self.fitting(), self.keeping()
        (fit + keep).backward()
        optimiser.step()
        lost = float(fit.detach())
        self.first_loss = self.first_loss or max(lost, 1e-12)
        return lost / self.first_loss

    def fitting(self) -> Tensor:
        """On pieces of the clips."""
        by_length = torch.tensor([x.learned for x in self.lessons])
        lesson = self.lessons[int(torch.multinomial(by_length, 1, generator=self.rng))]
        latest = max(0, int((lesson.learned - PIECE) / STEP))
        starts = torch.randint(0, latest + 1, (ROWS,), generator=self.rng)
        n = len(self.content_times)
        content = torch.stack([lesson.content[s : s + n] for s in starts])
        target = torch.stack([lesson.at(self.times + float(s) * STEP) for s in starts])
        z = self.decoder(content, self.content_times[: content.shape[1]], self._rows(self.style, ROWS), self.times)
        touched = self.model.network.finish(z)
        z = z + (touched - z.clamp(0, 1))  # outside of 0..1 the gradient is the unfinished one's
        mask = torch.ones_like(z[..., 0])
        gap, wanted = lip_gap(self.contact, z), lip_gap(self.contact, target)
        terms = {
            "vertex": losses.vertex_loss(z, target, lesson.root[None], mask),
            "velocity": losses.velocity_loss(z, target, lesson.root[None], mask, FPS),
            "channel": losses.masked_mean((z - target).square().mean(-1), mask),
            "gap": losses.gap_loss(gap, wanted, mask, 0.3),
            "correlation": losses.correlation_loss(gap, wanted, mask),
        }
        return torch.stack([WEIGHTS[k] * v for k, v in terms.items()]).sum()

    def keeping(self) -> Tensor:
        """On others' speech."""
        pick = torch.randperm(len(self.other), generator=self.rng)[:ROWS]
        z = self.decoder(self.other[pick], self.content_times, self._rows(self.style, len(pick)), self.times)
        was, mask = self.kept[pick], torch.ones_like(z[..., 0])
        timing = losses.correlation_loss(lip_gap(self.contact, z), lip_gap(self.contact, was), mask)
        place = losses.vertex_loss(z, was, self.lessons[0].root[None], mask)
        return KEEP_TIMING * timing + KEEP_PLACE * place

    def judge(self, state: State) -> float:
        """Test, and keep the best -> the error on what is held out, relative to before."""
        error, _ = self.test(self.decoder, self.style.detach())
        state.since += 1
        if error < state.lowest:
            state.lowest, state.since = error, 0
        if error < state.error and self.alike(self.decoder, self.style.detach()) >= self.least:
            state.error, state.better = error, True
            self.best_style = self.style.detach().cpu().clone()
            self.best_adapter = together(self.solved, {k: v.cpu() for k, v in adapter_of(self.decoder).items()})
        return error / max(self.before, 1e-9)

    @torch.no_grad()
    def alike(self, decoder: Decoder, style: Tensor) -> float:
        """r of the lip gap on others' speech with the original decoder's, mean of the pieces."""
        z = decoder(self.judged, self.content_times, self._rows(style, len(self.judged)), self.times)
        return float((self._gap(z) * self.timing).sum(-1).mean())

    def _gap(self, z: Tensor) -> Tensor:
        """z [n, T, K] of a decoder -> lip gap as it is generated [n, T], each piece with mean 0 and length 1."""
        gap = lip_gap(self.contact, self.model.network.finish(z))
        gap = gap - gap.mean(-1, keepdim=True)
        return gap / gap.norm(dim=-1, keepdim=True).clamp(min=1e-6)

    @torch.no_grad()
    def test(self, decoder: Decoder, style: Tensor, personal: Personal | None = None) -> tuple[float, float]:
        """On what is held out -> root-mean-square vertex error, where the mouth moves above all, mm; r of the lip gap."""
        square, pairs, frames = 0.0, [], 0
        for lesson in self.lessons:
            z, target = self.shown(lesson, decoder, style, personal)
            square += float(((z - target) @ lesson.root.T).square().sum())
            frames += len(z)
            gaps = [lip_gap(self.contact, x) for x in (z, target)]
            pairs.append(torch.stack([g - g.mean() for g in gaps]))
        ours, true = torch.cat(pairs, 1)
        r = float((ours @ true) / (ours.norm() * true.norm()).clamp(min=1e-9))
        return 10 * math.sqrt(square / max(frames, 1)), r

    def shown(
        self, lesson: Lesson, decoder: Decoder, style: Tensor, personal: Personal | None = None
    ) -> tuple[Tensor, Tensor]:
        """What is held out of a lesson -> finished weights [T, K] of a decoder, and the truth."""
        times = torch.arange(int((lesson.seconds - lesson.tested) * FPS), device=self.start.device) / FPS + lesson.tested
        first = max(0, int((lesson.tested - decoder.halo) / STEP))
        content = lesson.content[first:]
        content_times = (torch.arange(len(content), device=times.device) + first + 0.25) * STEP
        early = max(0, int(decoder.halo * FPS))  # frames before, which self-attention looks at
        asked = torch.cat([times[0] - torch.arange(early, 0, -1, device=times.device) / FPS, times])
        asked = asked[asked >= content_times[0]]
        z = self.model.network.finish(decoder(content[None], content_times, style[None], asked)[0])
        z = z if personal is None else personal(z, self.contact)
        return z[-len(times) :], lesson.at(times)

    @torch.no_grad()
    def curves(self) -> dict[str, Tensor]:
        """Lip gap of what is held out of the first clip, cm: the reference, before, after."""
        lesson, best = self.lessons[0], self.best_decoder()
        before, truth = self.shown(lesson, self.original, self.start, self.personal)
        after, _ = self.shown(lesson, best, self.best_style.to(self.start), None if self.best_adapter else self.personal)
        named = {"reference": truth, "before": before, "after": after}
        return {k: lip_gap(self.contact, v).cpu() for k, v in named.items()}

    def best_decoder(self) -> Decoder:
        return merged(self.original, self.best_adapter)

    def _rows(self, style: Tensor, count: int) -> Tensor:
        return style[None].expand(count, -1)


def lip_gap(contact: Contact, z: Tensor) -> Tensor:
    """z [..., K] -> inner-lip gap above rest [...], cm on the ICT head."""
    return z @ contact.gap[:, 0]


def _cosine(part: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * min(part, 1.0)))
