"""A data folder of a few clips in the real one's layout: grid_s1, grid_dev, speech, heads, encoders.

The sound is the demo's speech, cut up. The phones are made up, and the tracks are the tiny head moved by the teacher
for these phones, so faces and phones belong together (the sound does not know of them).
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import soundfile
from tiny_head import UNIT, write_head

from ptalker_blender.core.channels import CHANNELS
from ptalker_blender.core.data.teacher import TeacherStyle, curves

DEMO = Path(__file__).resolve().parents[2] / "demo" / "speech" / "demo.ogg"
SECONDS, RATE, FRAMES = 3.0, 16000, 75
SPOKEN = "b ɪ n b l u æ t ɛ f t u n aʊ p eɪ m ɑ k s i v oʊ w".split()


def phones(seed: int, end: float = SECONDS) -> list[list]:
    """[[ipa, start_s, end_s]] from 0.4 s to 0.5 s before the end, without silences."""
    rng, at, out = np.random.default_rng(seed), 0.4, []
    while at < end - 0.6:
        length = float(rng.uniform(0.06, 0.14))
        out.append([str(rng.choice(SPOKEN)), round(at, 3), round(at + length, 3)])
        at += length
    return out


def _sound(path: Path, seed: int, seconds: float = SECONDS) -> None:
    speech, _ = soundfile.read(DEMO, dtype="float32")
    start = int(np.random.default_rng(seed).integers(0, len(speech) - round(seconds * RATE)))
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, speech[start : start + round(seconds * RATE)], RATE, format="OGG", subtype="VORBIS")


def _write_lines(path: Path, lines: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(json.dumps(line, ensure_ascii=False) for line in lines) + "\n", encoding="utf-8")


def _grid(folder: Path, clips: list[tuple[str, str, str]], head: dict[str, np.ndarray], seed: int) -> None:
    """clips (id, split, speaker) -> clips.jsonl, audio/, tracks_00.npz."""
    lines, landmarks = [], []
    points, effect = head["neutral"][head["landmarks68"]], head["arkit"][:, head["landmarks68"]].astype(np.float32)
    for row, (name, split, speaker) in enumerate(clips):
        spoken = phones(seed + row)
        words = [["bin", spoken[0][1], spoken[-1][2]]]
        lines.append({
            "id": name, "split": split, "speaker": speaker, "sex": "m", "text": "bin blue", "words": words,
            "phones": spoken, "tracked": 1.0, "shard": "tracks_00.npz", "row": row, "audio": f"audio/{name}.ogg",
        })  # fmt: skip
        _sound(folder / "audio" / f"{name}.ogg", seed + row)
        weights = curves(spoken, np.arange(FRAMES) / 25, TeacherStyle.neutral(), seed=row)
        noise = np.random.default_rng(row).normal(size=(FRAMES, 68, 3)) * 0.002
        landmarks.append((points + np.tensordot(weights, effect, 1)) / UNIT + noise)
    n = len(clips)
    names = ["_neutral", *(c for c in CHANNELS if c != "tongueOut")]
    pose = np.zeros((n, FRAMES, 8), np.float32)
    pose[..., 0], pose[..., 7] = 1.0, 65.0
    template = np.zeros((478, 3), np.float32)
    _write_lines(folder / "clips.jsonl", lines)
    np.savez(
        folder / "tracks_00.npz", ids=np.array([c[0] for c in clips]), fps=25, index=np.arange(68),
        blendshape_names=np.array(names), landmarks=np.array(landmarks, np.float16),
        blendshapes=np.zeros((n, FRAMES, 52), np.float16), pose=pose,
        mat=np.tile(np.eye(4, dtype=np.float32), (n, FRAMES, 1, 1)), ok=np.ones((n, FRAMES), bool),
        template=np.tile(template, (n, 1, 1)) if folder.name == "grid_dev" else template,
    )  # fmt: skip


def _speech(folder: Path) -> None:
    """Two English voices and a Spanish one say two sentences each for training and one for dev."""
    lines = []
    for v, (voice, language) in enumerate((("af_one", "en"), ("am_two", "en"), ("ef_tres", "es"))):
        for s in range(3):
            spoken = phones(100 + s)
            file = f"{language}/{voice}/{voice}_common_{s:03d}.ogg"
            _sound(folder / file, 1000 + 10 * v + s)
            lines.append({
                "file": file, "voice": voice, "sex": "f", "language": language, "speed": 1.0,
                "sentence": f"{language}_common_{s:03d}", "parallel": True, "split": "dev" if s == 2 else "train",
                "seconds": SECONDS, "text": "Bob and Pam.", "tokens": "", "units": [],
                "phones": [["sil", 0.0, spoken[0][1]], *spoken, ["sil", spoken[-1][2], SECONDS]],
            })  # fmt: skip
    _write_lines(folder / "manifest.jsonl", lines)


def write_encoder(folder: Path, hidden: int = 16) -> None:
    """A Whisper encoder with random weights, in a transformers folder: it gives 2 * hidden features."""
    import torch
    from transformers import WhisperConfig, WhisperFeatureExtractor
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    torch.manual_seed(0)
    config = WhisperConfig(d_model=hidden, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=32,
                           decoder_layers=1, decoder_attention_heads=2, decoder_ffn_dim=32, vocab_size=64,
                           pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1)  # fmt: skip
    WhisperEncoder(config).save_pretrained(folder)
    WhisperFeatureExtractor().save_pretrained(folder)


def write_corpus(data: Path) -> Path:
    """Write the data folder (5 + 2 tracked clips, 9 spoken ones) -> ``data``."""
    head = write_head(data / "heads" / "ict_facekit.npz")
    s1 = [(f"tiny{i}a", "train" if i < 4 else "dev", "s1") for i in range(5)]
    _grid(data / "grid_s1", s1, head, seed=10)
    _grid(data / "grid_dev", [("dev0a", "dev_unseen_speaker", "s4"), ("dev1a", "dev_unseen_speaker", "s7")], head, seed=50)
    _speech(data / "speech")
    write_encoder(data / "encoders" / "whisper-tiny.en-encoder")
    return data
