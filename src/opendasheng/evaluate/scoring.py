"""Predictions -> figures: read a file once, row by row, and say what it scores in both definitions."""

import re
from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from opendasheng import __version__
from opendasheng.errors import EvaluationError
from opendasheng.evaluate import registry
from opendasheng.evaluate.metrics import make_metric
from opendasheng.evaluate.metrics.base import Metric, Outcome, Resources
from opendasheng.evaluate.rows import Row, hash64, read_rows, row_id
from opendasheng.evaluate.statistics import RESAMPLES, Hashes, interval
from opendasheng.evaluate.task import Task
from opendasheng.files import sha256

# Below this many clusters a bootstrap gives intervals that are too narrow.
_FEW_CLUSTERS = 10
_LIBRARIES = ("numpy", "rapidfuzz", "whisper-normalizer", "zhconv", "sentence-transformers")


@dataclass(frozen=True)
class Score:
    """What a prediction file scores; figures in percent.

    ``compat`` is the published definition, ``strict`` ours, ``ci95`` and ``ci95_strict`` their 95 % intervals (None
    where none was asked for). ``num_skipped`` rows are left out by ``compat``; for ``num_unparsed`` no answer was found
    by ``strict``. ``details`` and ``provenance`` say how the figure came about.
    """

    task: str
    metric: str
    compat: float
    strict: float
    num_rows: int
    num_skipped: int
    num_unparsed: int
    ci95: tuple[float, float] | None
    ci95_strict: tuple[float, float] | None
    num_clusters: int
    models: tuple[str, ...]
    details: dict[str, Any]
    notes: tuple[str, ...]
    provenance: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """For JSON; the first keys are those of the contract."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name in ("task", "metric", "compat", "strict", "num_rows", "num_skipped", "num_unparsed", "ci95")
            for value in [getattr(self, name)]
        } | {
            "ci95_strict": None if self.ci95_strict is None else list(self.ci95_strict),
            "num_clusters": self.num_clusters,
            "models": list(self.models),
            "details": self.details,
            "notes": list(self.notes),
            "provenance": self.provenance,
        }


@dataclass
class Scored:
    """A file that was read: its task, its outcome, and of each row, in the file's order, number, id and cluster."""

    task: Task
    outcome: Outcome
    metric: Metric
    numbers: "array[int]" = field(default_factory=lambda: array("q"))
    ids: "array[int]" = field(default_factory=lambda: array("Q"))
    clusters: "array[int]" = field(default_factory=lambda: array("Q"))
    models: Counter[str] = field(default_factory=Counter)

    def id_array(self) -> Hashes:
        """uint64 ``(num_rows,)``: what each row answers."""
        return np.array(self.ids, dtype=np.uint64)

    def cluster_array(self) -> Hashes:
        """uint64 ``(num_rows,)``: which rows belong together in a bootstrap."""
        return np.array(self.clusters, dtype=np.uint64)


def read_scored(path: str | Path, task: str | Task | None = None, resources: Resources | None = None) -> Scored:
    """Read a prediction file and judge its rows.

    The task is that of the rows' ``dataset_name`` unless one is given. Raises :class:`EvaluationError` for a file, row
    or field that cannot be scored, and for rows of several tasks.
    """
    return judge(read_rows(path), task, resources)


def judge(rows: Iterable[Row], task: str | Task | None = None, resources: Resources | None = None) -> Scored:
    """:func:`read_scored` of rows from anywhere; there must be at least one."""
    scored: Scored | None = None
    chosen = registry.find_task(task) if isinstance(task, str) else task
    pattern: re.Pattern[str] | None = None
    for row in rows:
        if scored is None:
            chosen = chosen or registry.task_of(row)
            metric = make_metric(chosen.metric.name, chosen.metric.version, _options(chosen), resources)
            scored = Scored(chosen, None, metric)  # type: ignore[arg-type]
            pattern = re.compile(chosen.cluster[1]) if chosen.cluster else None
        elif task is None:
            _require_same(row, scored.task)
        scored.metric.add(row)
        _note(scored, row, pattern)
    if scored is None:
        raise EvaluationError("there is no row to score")
    scored.outcome = scored.metric.outcome()
    return scored


def _options(task: Task) -> dict[str, Any]:
    takes_labels = task.metric.name == "accuracy" and task.labels is not None and bool(task.labels.names)
    return task.metric.options | ({"labels": task.labels.names} if takes_labels and task.labels else {})


def _require_same(row: Row, task: Task) -> None:
    other = registry.task_of(row)
    if other.name != task.name:
        raise row.error(
            f"dataset_name {row.text('dataset_name')!r} is of task {other.name}, the rows before are of {task.name}; "
            "score one task at a time, or name it with --task"
        )


def _note(scored: Scored, row: Row, pattern: re.Pattern[str] | None) -> None:
    identity = hash64(row_id(row))
    cluster = identity
    if pattern is not None and scored.task.cluster is not None:
        match = pattern.search(str(row.fields.get(scored.task.cluster[0], "")))
        if match:
            cluster = hash64(match[1])
    if isinstance(row.fields.get("cluster"), str):
        cluster = hash64(row.fields["cluster"])
    scored.numbers.append(row.number)
    scored.ids.append(identity)
    scored.clusters.append(cluster)
    scored.models[str(row.fields.get("model_name", ""))] += 1


def score_file(
    path: str | Path,
    task: str | Task | None = None,
    *,
    resources: Resources | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Score:
    """What a prediction file scores; ``resamples`` 0 leaves the intervals out. Raises what :func:`read_scored` does."""
    return summarise(read_scored(path, task, resources), path=path, resamples=resamples, seed=seed)


def summarise(scored: Scored, *, path: str | Path | None, resamples: int = RESAMPLES, seed: int = 0) -> Score:
    """The :class:`Score` of a file that was read; its checksum is of ``path``."""
    outcome, clusters = scored.outcome, scored.cluster_array()
    num_clusters = len(np.unique(clusters))
    intervals: list[tuple[float, float]] | None = None
    if resamples:
        intervals = [
            (100 * low, 100 * high)
            for low, high in interval([outcome.compat, outcome.strict], clusters, resamples, seed)
        ]
    return Score(
        task=scored.task.name,
        metric=f"{scored.task.metric.name}@{scored.task.metric.version}",
        compat=100 * outcome.compat(),
        strict=100 * outcome.strict(),
        num_rows=len(scored.ids),
        num_skipped=outcome.num_skipped,
        num_unparsed=outcome.num_unparsed,
        ci95=intervals[0] if intervals else None,
        ci95_strict=intervals[1] if intervals else None,
        num_clusters=num_clusters,
        models=tuple(sorted(filter(None, scored.models))),
        details=outcome.details,
        notes=(*outcome.notes, *_notes(scored), *(_interval_notes(num_clusters, len(scored.ids)) if resamples else ())),
        provenance=_provenance(scored.task, path, resamples, seed),
    )


def _notes(scored: Scored) -> tuple[str, ...]:
    expected, found = scored.task.dataset.num_rows, len(scored.ids)
    repeated = found - len(np.unique(scored.id_array()))
    notes = []
    if repeated:
        notes.append(f"{repeated} rows answer a question that another row answers too; each counts")
    if expected is not None and found - repeated != expected:
        notes.append(f"the task has {expected} rows, this file answers {found - repeated}")
    if len([name for name in scored.models if name]) > 1:
        notes.append(f"the rows are of several models: {', '.join(sorted(filter(None, scored.models)))}")
    return tuple(notes)


def _interval_notes(num_clusters: int, num_rows: int) -> tuple[str, ...]:
    if num_clusters >= _FEW_CLUSTERS or num_clusters == num_rows:
        return ()
    return (f"the rows are of {num_clusters} speakers or sources alone: too few for the interval to be relied on",)


def _provenance(task: Task, path: str | Path | None, resamples: int, seed: int) -> dict[str, Any]:
    return {
        "opendasheng": __version__,
        "task_version": task.version,
        "predictions_sha256": None if path is None else sha256(Path(path)),
        "resamples": resamples,
        "seed": seed,
        "libraries": {name: found for name in _LIBRARIES if (found := _version(name))},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
