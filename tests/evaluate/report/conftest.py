"""Prediction files in the form that ``opendasheng eval predict`` and the published ones have."""

import json
import random
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from opendasheng.evaluate.metrics.base import Resources

WORDS = ("the", "cat", "sat", "on", "a", "mat", "while", "rain", "fell", "over", "green", "hills", "and", "dogs")
FAMILIES = ("bass", "guitar", "keyboard", "organ", "reed")


class Letters:
    """A sentence model: counts of letters. It stands in for the published one."""

    is_stand_in = True

    def __init__(self, name: str = "letters") -> None:
        self.name = name

    def num_cut(self, texts: list[str]) -> int:
        return 0

    def __call__(self, texts: list[str]) -> np.ndarray:
        counts = np.array([[1 + text.lower().count(chr(97 + i)) for i in range(26)] for text in texts], np.float32)
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)


def nsynth(number: int, model: str = "mini", quality: float = 0.6, *, run: bool = False, **fields: Any) -> dict:
    chance = random.Random(f"{number} {model}")
    family = FAMILIES[number % len(FAMILIES)]
    said = family if chance.random() < quality else chance.choice(FAMILIES)
    row = {
        "dataset_name": "NSynth",
        "audio": f"{family}_acoustic_{number // 4:03d}-060-100.wav",
        "label": [family],
        "prompt": f"What's the music instrument? ({number})",
        "model_output": said,
        "model_name": model,
    }
    if run:
        row = {"id": f"nsynth-{number}", **row, "task": "nsynth", "settings": "0123456789ab"}
    return row | fields


def speech(number: int, model: str = "mini", quality: float = 0.8, **fields: Any) -> dict:
    chance = random.Random(f"{number} {model}")
    words = [chance.choice(WORDS) for _ in range(4 + number % 9)]
    said = [word if chance.random() < quality else "um" for word in words]
    return {
        "id": f"librispeech-{number}",
        "dataset_name": "LibriSpeech_test-clean",
        "audio": f"{100 + number // 3}-1-{number:04d}.flac",
        "lang": ("en", "ru")[number % 2],
        "text": " ".join(words),
        "prompt": "Transcribe the speech into text <|en|>",
        "model_output": " ".join(said),
        "model_name": model,
        "task": "librispeech-test-clean",
        "duration_seconds": (0.5, 2.0, 7.25, 12, 99.5)[number % 5],
        "settings": "0123456789ab",
    } | fields


def caption(number: int, model: str = "mini", **fields: Any) -> dict:
    chance = random.Random(f"{number} {model}")
    return {
        "dataset_name": "AutoACD",
        "audio": f"abcdefghijk_{number}.wav",
        "lang": "en",
        "text": " ".join(chance.choices(WORDS, k=7)),
        "prompt": "Write an audio caption describing the sound",
        "model_output": " ".join(chance.choices(WORDS, k=7)),
        "model_name": model,
    } | fields


def choice(number: int, model: str = "mini", **fields: Any) -> dict:
    return {
        "dataset_name": "MuChoMusic",
        "audio": f"test_{number}.wav",
        "question": f"Which genre is number {number}?",
        "choices": ["Reggae", "Pop", "Rock", "Ska"],
        "answer": "ABCD"[number % 4],
        "prompt": f"{model}: which genre is number {number}?",
        "model_output": "ABCD"[number % 4 if number % 3 else 0],
        "model_name": model,
    } | fields


@pytest.fixture
def rows():
    """Rows by task: ``rows.nsynth(7)`` and the like, with any field replaced."""

    class Rows:
        pass

    for make in (nsynth, speech, caption, choice):
        setattr(Rows, make.__name__, staticmethod(make))
    return Rows


@pytest.fixture
def write(tmp_path):
    """``write("run/nsynth/predictions.jsonl", rows)`` -> the path of the file."""

    def written(name: str, found: list[dict]) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf-8")
        return path

    return written


@pytest.fixture
def letters() -> Resources:
    return Resources(sentences=cache(Letters))


@pytest.fixture
def run(rows, write) -> Path:
    """A run folder of three tasks, with failures and hostile texts."""
    write("run/nsynth/predictions.jsonl", [rows.nsynth(i, run=True) for i in range(40)])
    hostile = "<script>alert(1)</script> | `x` ![y](http://evil.example/z) \"'><img src=x onerror=alert(2)>"
    spoken = [rows.speech(i) for i in range(30)]
    spoken[3] |= {"model_output": hostile}
    for i in (5, 11, 20):
        clip = spoken[i]["audio"]
        spoken[i] |= {"model_output": "", "error": f"/secret/data/{clip}: it is {30 + i}.5 s long; take at most 30 s"}
    write("run/librispeech-test-clean/predictions.jsonl", spoken)
    path = write("run/autoacd/predictions.jsonl", [rows.caption(i, task="autoacd") for i in range(20)])
    return path.parents[1]
