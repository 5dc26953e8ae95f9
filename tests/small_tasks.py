"""Tasks and data sets of a few clips, for the tests of evaluation."""

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from opendasheng.evaluate.task import Task, parse_task

METRICS = {"wer": "transcript", "accuracy": "label", "choice_accuracy": "choice", "sbert": "text"}
TEXT = {"audio": "audio", "text": "text", "lang": "=en"}
NUM_CLIPS = 5
ROWS = [{"text": f"text {number}", "kind": "odd" if number % 2 else "even"} for number in range(NUM_CLIPS)]


def a_task(
    fields: Mapping[str, str] | None = None,
    *,
    name: str = "small",
    metric: str = "wer",
    template: str = "Write it down.",
    dataset: Mapping[str, Any] | None = None,
    **more: Any,
) -> Task:
    """A task that is like the bundled ones; by default of transcripts in English."""
    table = {
        "name": name,
        "version": 1,
        "title": name,
        "tables": [],
        "group": "mini",
        "dataset_names": [name.title()],
        "metric": {"name": metric, "version": 1, "parser": METRICS[metric]},
        "dataset": {"loader": "jsonl", "source": "", "licence": "CC0", "split": "test", **(dataset or {})},
        "fields": dict(TEXT if fields is None else fields),
        "prompts": {"midashenglm": {"template": template}},
        "generation": {"max_new_tokens": 6},
        **more,
    }
    return parse_task(table, name)


TASK_FILE = """
name = "small"
version = 1
title = "small"
tables = []
group = "mini"
dataset_names = ["Small"]
metric = { name = "wer", version = 1, parser = "transcript" }
dataset = { loader = "jsonl", source = "", licence = "CC0", split = "test" }
fields = { audio = "audio", text = "text", lang = "=en" }
prompts = { midashenglm = { template = "Write it down." } }
generation = { max_new_tokens = 6 }
"""


def noise(number: int, num_samples: int | None = None) -> "np.ndarray[Any, Any]":
    """Clip ``number``: no other has its sound or its length."""
    size = 8_000 + 900 * (number % 7) if num_samples is None else num_samples
    return np.random.default_rng(number).normal(size=size) * 0.1


def encoded(number: int, kind: str = "FLAC") -> bytes:
    """Clip ``number`` as the bytes of a file."""
    buffer = io.BytesIO()
    soundfile.write(buffer, noise(number), 16_000, format=kind)
    return buffer.getvalue()


def write_manifest(folder: Path, rows: Sequence[Mapping[str, Any]], name: str = "test.jsonl") -> Path:
    """A JSON lines file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def a_manifest(folder: Path, num_clips: int, broken: Sequence[int] = ()) -> Path:
    """A manifest of WAV files; those in ``broken`` are no audio."""
    (folder / "clips").mkdir(parents=True, exist_ok=True)
    for number in range(num_clips):
        path = folder / "clips" / f"{number}.wav"
        path.write_bytes(b"no audio at all" if number in broken else encoded(number, "WAV"))
    return write_manifest(
        folder, [{"audio": f"clips/{number}.wav", "text": f"text {number}"} for number in range(num_clips)]
    )


def write_tar(path: Path, members: Mapping[str, bytes | str | dict[str, Any]]) -> Path:
    """A tar of these members, in their order; dictionaries become JSON. The suffix says how it is compressed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as archive:
        for name, content in members.items():
            content = json.dumps(content) if isinstance(content, dict) else content
            data = content.encode() if isinstance(content, str) else content
            header = tarfile.TarInfo(name)
            header.size = len(data)
            archive.addfile(header, io.BytesIO(data))
    return path


def lines_of(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSON lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def members(first: int = 0, last: int = NUM_CLIPS) -> dict[str, Any]:
    """What a tar holds of clips ``first`` to ``last``: audio and a row each."""
    found: dict[str, Any] = {}
    for number in range(first, last):
        found |= {f"{number}.flac": encoded(number), f"{number}.json": ROWS[number]}
    return found
