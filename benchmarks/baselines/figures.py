"""The figures of the ablation table. ``FIGURES`` says what each is and which way is better.

Each part of the model has a figure on which it can show what it is for: graph attention: style and content on another
topology; cross-attention: r and lag; contrastive: frames found again across audio and motion; KL: audio and motion
content told apart; disentanglement: style found again, leaks; cross-reconstruction: another style's rendition from
motion; teacher: words beyond GRID's; real data: real faces.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ptalker_blender.core.data.teacher import TeacherStyle
from ptalker_blender.core.evaluate import metrics
from ptalker_blender.core.evaluate.sets import Face
from ptalker_blender.core.model.decoder import clamp_weights
from ptalker_blender.core.model.ptalker import PTalker
from ptalker_blender.core.model.time_attention import resample
from ptalker_blender.core.speech import RATE, WINDOW
from ptalker_blender.core.train.heads import Head

from .bench import FPS, REAL, TAUGHT, Animate, Bench, lower, style_of
from .probes import linear_probe

# name: (title, better: +1 higher, -1 lower; digits)
FIGURES: dict[str, tuple[str, int, int]] = {
    "r_s1": ("aperture r, GRID s1 dev", 1, 3),
    "r_unseen": ("aperture r, unseen GRID speakers", 1, 3),
    "r_taught": ("aperture r, synthetic sentences", 1, 3),
    "lag": ("best lag s1, ms, absolute", -1, 0),
    "lve_s1": ("LVE s1, mm²", -1, 2),
    "lve_unseen": ("LVE unseen, mm²", -1, 2),
    "lve_taught": ("LVE synthetic, mm²", -1, 2),
    "fdd": ("FDD s1, absolute, mm²", -1, 3),
    "closed": ("p/b/m that close, synthetic", 1, 3),
    "style": ("style found, other words, other person", 1, 3),
    "style_foreign": ("style found on another topology", 1, 3),
    "voice_style": ("LVE in a voice's own style, read from the voice, mm²", -1, 2),
    "cross_audio": ("cross-style LVE from audio, mm²", -1, 2),
    "cross_motion": ("cross-style LVE from motion, mm²", -1, 2),
    "cross_foreign": ("the same, motion on another topology", -1, 2),
    "sync": ("frames found, audio to motion", 1, 3),
    "modality": ("audio and motion content apart, in their spreads", -1, 2),
    "leak_style": ("style read from motion content", -1, 3),
    "leak_voice": ("voice read from audio content", -1, 3),
}
CROP, CROP_FPS = 3.0, 12.5  # s and frames a second of motion whose content is measured
CHUNK = 8


@torch.no_grad()
def measure(bench: Bench, animate: Animate, net: PTalker | None) -> dict[str, float]:
    """All figures that the model can have. ``net``: ours, for those of style and content."""
    figures = real(bench, animate) | taught(bench, animate)
    if net is not None:
        figures |= style(bench, net) | content(bench, net)
    return figures


def real(bench: Bench, animate: Animate) -> dict[str, float]:
    windows = sorted({c.window for c in bench.clips})
    made = dict(zip(windows, play(bench, animate, windows, REAL), strict=True))
    lips, pairs, errors, fdd = bench.face.lips, {"s1": [], "unseen": []}, {"s1": [], "unseen": []}, []
    for c in bench.clips:
        z = made[c.window][c.frames]
        pairs[c.group].append((aperture(bench, z), c.gap))
        errors[c.group].append(lip_error(bench.face, lower(z), lower(c.weights), lips))
        if c.group == "s1":
            fdd.append(fdd_of(bench.face, z, c.weights))
    out = {f"r_{k}": metrics.pooled_r(v) for k, v in pairs.items() if v}
    out |= {f"lve_{k}": float(np.concatenate(v).mean()) for k, v in errors.items() if v}
    if pairs["s1"]:
        curve = metrics.lag_curve(pairs["s1"], FPS)
        out |= {"lag": float(abs(metrics.LAGS[int(curve.argmax())])), "fdd": abs(float(np.mean(fdd)))}
    return out


def taught(bench: Bench, animate: Animate) -> dict[str, float]:
    rest = bench.gap.distance(torch.zeros(1, bench.gap.basis.shape[0])).item()
    pairs, errors, met = [], [], []
    for i, z in zip(bench.taught, play(bench, animate, bench.taught, TAUGHT), strict=True):
        truth = bench.truth(i, TeacherStyle.neutral())
        d = aperture(bench, z)
        pairs.append((d, aperture(bench, truth)))
        errors.append(lip_error(bench.face, lower(z), truth, bench.face.lips))
        met += metrics.closures(d - rest, bench.times, bench.phones(i))
    return {
        "r_taught": metrics.pooled_r(pairs), "lve_taught": float(np.concatenate(errors).mean()), "closed": float(np.mean(met)),
    }  # fmt: skip


def style(bench: Bench, net: PTalker) -> dict[str, float]:
    """Styles from references on one head found among the same styles in other words on another head; and what the voice
    of a sentence becomes in each style."""
    first, second = bench.spoken
    gallery, query = style_of(net, first, bench.heads[1]), style_of(net, second, bench.heads[2])
    foreign = style_of(net, second, bench.foreign)
    out = {"style": found(query, gallery), "style_foreign": found(foreign, gallery)}
    errors, heard = [], []
    audio_times, times = torch.arange(WINDOW) / RATE, torch.from_numpy(bench.times).float()
    for at in range(0, len(bench.taught), CHUNK):
        part = bench.taught[at : at + CHUNK]
        which = [k % len(bench.styles) for k in range(at, at + len(part))]
        z = net.finish(net(bench.hear(part), audio_times, query[which], times)).numpy()
        for i, k, made in zip(part, which, z, strict=True):
            errors.append(lip_error(bench.face, lower(made), bench.truth(i, bench.styles[k]), bench.face.lips))
        z = net.finish(net(bench.hear(part), audio_times, net.audio.style(bench.hear(part)), times)).numpy()
        for i, made in zip(part, z, strict=True):
            home = bench.set.home[bench.set.windows[i].voice]
            heard.append(lip_error(bench.face, lower(made), bench.truth(i, home), bench.face.lips))
    return out | {"cross_audio": float(np.concatenate(errors).mean()), "voice_style": float(np.concatenate(heard).mean())}


def content(bench: Bench, net: PTalker) -> dict[str, float]:
    """Content of a piece of each synthetic dev window, from its audio and from a performance in some other style."""
    count, n = len(bench.styles), int(CROP * CROP_FPS)
    styles = style_of(net, bench.spoken[1], bench.heads[2])
    at = 2.0 + np.arange(n) / CROP_FPS
    audio_times, crop = net.audio.times(torch.arange(WINDOW) / RATE), torch.from_numpy(at).float()
    heard = torch.cat([net.audio(bench.hear(bench.taught[i : i + CHUNK])) for i in range(0, len(bench.taught), CHUNK)])
    a = resample(heard, audio_times, crop)
    shown = np.stack([bench.truth(w, bench.styles[(k + 1) % count], at) for k, w in enumerate(bench.taught)])
    wanted = np.stack([bench.truth(w, bench.styles[k % count], at) for k, w in enumerate(bench.taught)])
    style = styles[[k % count for k in range(len(bench.taught))]]
    out, contents = {}, {}
    for name, head in (("cross_motion", bench.heads[1]), ("cross_foreign", bench.foreign)):
        m = contents[name] = motion_content(net, shown, head)
        z = net.finish(net.decoder(m, crop, style, crop)).numpy()[:, 4:-4]
        each = [lip_error(bench.face, lower(p), t, bench.face.lips) for p, t in zip(z, wanted[:, 4:-4], strict=True)]
        out[name] = float(np.concatenate(each).mean())
    m = contents["cross_motion"]
    out["sync"], out["modality"] = frames_found(a, m), apart(a, m)
    return out | {"leak_style": style_leak(bench, net, at), **voice_leak(bench, net)}


def style_leak(bench: Bench, net: PTalker, at: np.ndarray) -> float:
    """Share of held-out pieces whose style a linear probe reads from the mean of their motion content."""
    amount, rng = bench.amount, np.random.default_rng(3)
    picks = rng.choice(bench.set.synthetic, (amount.probed, amount.crops))
    shown = np.stack([[bench.truth(int(w), bench.styles[k], at) for w in row] for k, row in enumerate(picks)])
    m = motion_content(net, shown.reshape(-1, *shown.shape[2:]), bench.heads[1]).mean(1).numpy()
    m = m.reshape(amount.probed, amount.crops, -1)
    labels = np.arange(amount.probed)[:, None].repeat(amount.crops, 1)
    return two_ways(m, labels)


def voice_leak(bench: Bench, net: PTalker) -> dict[str, float]:
    """Share of held-out windows whose voice a linear probe reads from the mean of their audio content: leak_voice; nothing
    where no two voices have two windows each."""
    by_voice: dict[str, list[int]] = {}
    for i in bench.set.synthetic:
        by_voice.setdefault(bench.set.windows[i].voice, []).append(i)
    voices = [v for v in by_voice.values() if len(v) >= 2]
    if len(voices) < 2:
        return {}
    count = min(4, *(len(v) for v in voices)) // 2 * 2
    windows = [i for v in voices for i in v[:count]]
    a = torch.cat([net.audio(bench.hear(windows[i : i + CHUNK])).mean(1) for i in range(0, len(windows), CHUNK)]).numpy()
    return {"leak_voice": two_ways(a.reshape(len(voices), count, -1), np.arange(len(voices))[:, None].repeat(count, 1))}


def two_ways(x: np.ndarray, labels: np.ndarray) -> float:
    """Probe trained on one half of each class, tested on the other, and the other way round: x [classes, n, d]."""
    half = x.shape[1] // 2
    a, b = (x[:, :half], labels[:, :half]), (x[:, half : 2 * half], labels[:, half : 2 * half])
    scores = []
    for learn, test in ((a, b), (b, a)):
        scores.append(linear_probe(*(v.reshape(-1, *v.shape[2:]) for v in (*learn, *test))))
    return float(np.mean(scores))


def motion_content(net: PTalker, weights: np.ndarray, head: Head) -> Tensor:
    """weights [n, T, K] at CROP_FPS on a head -> content [n, T, d]."""
    z = torch.from_numpy(weights).float()
    return torch.cat([net.motion(head.seen(part), CROP_FPS)[0] for part in z.split(16)])


def frames_found(a: Tensor, m: Tensor) -> float:
    """Share of frames of audio content whose most similar frame of the clip's motion content is the same or a neighbour."""
    s = torch.nn.functional.normalize(a, dim=-1) @ torch.nn.functional.normalize(m, dim=-1).transpose(1, 2)
    return float(((s.argmax(-1) - torch.arange(s.shape[1])).abs() <= 1).float().mean())


def apart(a: Tensor, m: Tensor) -> float:
    """Squared distance of the clips' means of a and m [n, T, d] over the mean of their variances, mean over clips and d."""
    spread = (a.var(1) + m.var(1)) / 2
    return float(((a.mean(1) - m.mean(1)).square().mean(1) / spread.mean(1)).mean())


def found(query: Tensor, gallery: Tensor) -> float:
    return metrics.retrieval(metrics.cosine(query.numpy(), gallery.numpy()))


def play(bench: Bench, animate: Animate, windows: list[int], who: str) -> list[np.ndarray]:
    """Whole-face weights [T, K] of each window, 0..1."""
    times, out = torch.from_numpy(bench.times).float(), []
    for at in range(0, len(windows), CHUNK):
        out += list(clamp_weights(animate(bench.hear(windows[at : at + CHUNK]), times, who)).numpy())
    return out


def aperture(bench: Bench, z: np.ndarray) -> np.ndarray:
    return bench.gap.distance(torch.from_numpy(np.ascontiguousarray(z, np.float32))).numpy()


def lip_error(face: Face, z: np.ndarray, truth: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Per frame the largest squared distance of a lip vertex, mm²: [T]. From weights [T, K] of both."""
    assert face.basis is not None
    basis = face.basis[:, region]
    made, real = (np.tensordot(w, basis, 1) * face.mm for w in (z, truth))
    return metrics.lip_errors(made, real, np.arange(len(region)))


def fdd_of(face: Face, z: np.ndarray, truth: np.ndarray) -> float:
    """Signed FDD of one clip, mm² (metrics.signed_fdd)."""
    assert face.basis is not None
    basis = face.basis[:, face.upper]
    made, real = (np.tensordot(w, basis, 1) * face.mm for w in (z, truth))
    upper = np.arange(len(face.upper))
    return metrics.signed_fdd(made, real, np.zeros((len(upper), 3)), upper)
