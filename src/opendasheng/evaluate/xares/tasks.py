"""The tasks as data: the official ones of X-ARES (tasks.toml), and ours over a corpus (corpus.toml)."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from importlib.resources import files
from typing import Any, Literal

from opendasheng.errors import EvaluationError

Reading = Literal["compat", "strict"]
"""``compat`` computes what the published package computes, quirks included; ``strict`` what the words describe."""

READINGS: tuple[Reading, ...] = ("compat", "strict")

# What each kind of task is scored by.
METRICS = {
    "clip": ("accuracy",),
    "tags": ("map",),
    "frame": ("segment_f1_macro", "segment_f1_micro"),
    "retrieval": ("recall@1",),
    "asr": ("1-wer",),
    "spelling": ("1-cer",),
}


@dataclass(frozen=True)
class Training:
    """How a head is trained; ``encode_batch_size`` crops are padded together when embeddings are made."""

    epochs: int = 10
    batch_size: int = 32
    encode_batch_size: int = 16
    positive_weight: float = 1.0


@dataclass(frozen=True)
class Label:
    """Where a task finds its label in the JSON beside a clip.

    ``key`` is the field, ``*`` all fields. ``separator`` splits a text into several labels. With ``events`` (the keys
    of onset and offset in seconds) the JSON is a list of objects, one for each event. ``num_classes`` is how many
    classes there are in all; 0: those that occur.
    """

    key: str
    separator: str = ""
    events: tuple[str, str] | None = None
    num_classes: int = 0


@dataclass(frozen=True)
class Task:
    """One task. ``weight`` is its share in the averages (0: the number of test clips); ``splits`` name its data.

    Folds, where there are any, are splits of their own, each of which is tested once. ``published`` holds the figures
    of table 5 of the MiDashengLM report in percent.
    """

    name: str
    title: str
    domain: str
    label: Label
    kind: str = "clip"
    metric: str = "accuracy"
    training: Training = Training()
    crop_seconds: int | None = None
    segment_seconds: float = 1.0
    knn: bool = True
    weight: int = 0
    private: bool = False
    splits: Mapping[str, str] = field(default_factory=dict)
    folds: tuple[str, ...] = ()
    published: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Loan:
    """An official task whose format a corpus task can be written in; ``values`` are its labels for ours."""

    task: str
    values: Mapping[str, str]


@dataclass(frozen=True)
class CorpusTask:
    """A task over our own shards: the clips of ``kinds`` that have a label.

    ``label`` of the task is a field of :class:`~opendasheng.data.clip.Clip`, or ``scene``. Classes with fewer than
    ``min_clips`` clips in training, or none in test, are left out. ``caution`` is what to know of the figures.
    """

    task: Task
    kinds: tuple[str, ...]
    min_clips: int = 1
    caution: str = ""
    loan: Loan | None = None


@lru_cache(maxsize=1)
def official_tasks() -> dict[str, Task]:
    """The 22 public and 5 private tasks of X-ARES by the name of their folder."""
    return {name: _task(name, dict(row)) for name, row in _table("tasks.toml").items()}


@lru_cache(maxsize=1)
def corpus_tasks() -> dict[str, CorpusTask]:
    """Our tasks over a corpus by name."""
    found = {}
    for name, row in _table("corpus.toml").items():
        own = {key: row.pop(key) for key in ("kinds", "min_clips", "caution", "loan") if key in row}
        own["kinds"] = tuple(own["kinds"])
        if "loan" in own:
            own["loan"] = Loan(**own["loan"])
        row.setdefault("splits", {"train": "train", "valid": "dev", "test": "test"})
        found[name] = CorpusTask(_task(name, row), **own)
    return found


def choose(names: Iterable[str], known: Mapping[str, Any]) -> list[str]:
    """The names, or all of ``known`` where there are none; :class:`EvaluationError` for a name that is not known."""
    chosen = list(dict.fromkeys(names))
    for name in chosen:
        if name not in known:
            raise EvaluationError(f"there is no task {name!r} here; the tasks are {', '.join(known)}")
    return chosen or list(known)


def zenodo_records() -> dict[str, int]:
    """The Zenodo record that holds the data of each public task, by name."""
    return {name: row["zenodo"] for name, row in _table("tasks.toml").items() if "zenodo" in row}


def _table(name: str) -> dict[str, dict[str, Any]]:
    return tomllib.loads(files("opendasheng.evaluate.xares").joinpath(name).read_text(encoding="utf-8"))


def _task(name: str, row: dict[str, Any]) -> Task:
    row.pop("zenodo", None)
    training = Training(**{f.name: row.pop(f.name) for f in fields(Training) if f.name in row})
    events = row.pop("events", None)
    label = Label(
        row.pop("label"), row.pop("separator", ""), tuple(events) if events else None, row.pop("num_classes", 0)
    )
    pattern, first, count = row.pop("fold", ""), row.pop("first_fold", 0), row.pop("num_folds", 0)
    folds = {f"fold-{number}": pattern.format(number) for number in range(first, first + count)}
    splits = {**row.pop("splits", {}), **folds}
    task = Task(name=name, label=label, training=training, splits=splits, folds=tuple(folds), **row)
    assert task.metric in METRICS[task.kind], f"{name}: {task.metric} does not score a {task.kind} task"
    return task
