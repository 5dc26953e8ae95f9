"""Prediction files and run folders -> groups of rows that make one figure each, in an order that is always the same."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opendasheng.errors import EvaluationError
from opendasheng.evaluate import registry
from opendasheng.evaluate.report.texts import as_name, shortened, without_folders
from opendasheng.evaluate.rows import Row, read_rows
from opendasheng.evaluate.task import Task

PREDICTIONS = "predictions.jsonl"
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_SHOWN_IDS = 3


@dataclass(frozen=True)
class Source:
    """One prediction file: what reports call it, its run, and the folders that the audio of its rows may lie in."""

    path: Path
    name: str
    run: str
    folders: tuple[Path, ...]


@dataclass(frozen=True)
class Failure:
    """Why rows have no answer: the reason with names and figures taken out, how many, and the first ids."""

    reason: str
    count: int
    ids: tuple[str, ...]


@dataclass(frozen=True)
class Group:
    """The rows of one file, task, model and settings, sorted by content. A failed row has an empty answer here.

    ``sha256`` is of the rows as they were written, one JSON object a line with sorted keys, in that order: it is the
    same for the same predictions in any order.
    """

    source: Source
    task: Task
    model: str
    settings: str
    rows: tuple[Row, ...]
    sha256: str
    failures: tuple[Failure, ...]


@dataclass(frozen=True)
class Problem:
    """What could not be scored, and why."""

    name: str
    message: str


def by_message(problems: Iterable[Problem]) -> list[Problem]:
    """The same problems with one entry for each message, which names all that it is about."""
    names: dict[str, list[str]] = {}
    for problem in problems:
        names.setdefault(problem.message, []).append(problem.name)
    return [Problem("; ".join(its), message) for message, its in names.items()]


def gather(
    paths: Iterable[str | Path], task: str | None = None, tasks: Iterable[Task] = ()
) -> tuple[list[Group], list[Problem]]:
    """All rows of files and run folders, grouped; and the files that could not be read as predictions.

    With ``task`` rows of files are taken to be of this task, and of run folders only its folder is read. ``tasks`` are
    further ones that rows may name, besides the bundled ones. Raises
    :class:`EvaluationError` for a path that is not there, for a folder without predictions and for an unknown task.
    """
    given = registry.find_task(task) if task is not None else None
    own = {its.name: its for its in tasks}
    groups, problems = [], []
    for source in _unique(source for path in paths for source in sources(Path(path), given)):
        piles: dict[tuple[str, str, str], list[Row]] = {}
        met: dict[str, Task] = {}
        try:
            for row in read_rows(source.path):
                its = given or task_of(row, own)
                met[its.name] = its
                key = (its.name, str(row.fields.get("model_name") or ""), str(row.fields.get("settings") or ""))
                piles.setdefault(key, []).append(row)
        except EvaluationError as error:
            problems.append(Problem(source.name, without_folders(str(error).replace(str(source.path), source.name))))
            continue
        groups += [_group(source, met[name], model, settings, pile) for (name, model, settings), pile in piles.items()]
    groups.sort(key=lambda group: (group.task.name, group.model, group.source.name, group.settings, group.sha256))
    return groups, sorted(problems, key=lambda problem: (problem.name, problem.message))


def sources(path: Path, task: Task | None = None) -> list[Source]:
    """The prediction files that a path stands for: itself, or those of a run folder, ``<task>/predictions.jsonl``."""
    if path.is_file():
        return [_source(path)]
    if not path.exists():
        raise EvaluationError(f"{path}: there is no such file or folder; give predictions or a run folder")
    if (path / PREDICTIONS).is_file():
        return [_source(path / PREDICTIONS)]
    files = sorted(path.glob(f"{task.name if task else '*'}/{PREDICTIONS}"))
    if not files:
        of_task = f" of task {task.name}" if task else ""
        raise EvaluationError(
            f"{path}: this folder holds no predictions{of_task}; a run folder has TASK/{PREDICTIONS}, "
            "as `opendasheng eval predict` writes it"
        )
    return [_source(file) for file in files]


def _source(path: Path) -> Source:
    """A file of a run is called after its task's folder, any other by its own name."""
    folder = path.resolve().parent
    if path.name == PREDICTIONS:
        return Source(path, f"{folder.name}/{path.name}", folder.parent.name, (folder, folder.parent))
    return Source(path, path.name, folder.name, (folder,))


def _unique(found: Iterable[Source]) -> list[Source]:
    """A file that is named twice is read once."""
    return list({source.path.resolve(): source for source in found}.values())


def task_of(row: Row, own: Mapping[str, Task]) -> Task:
    """The task that a row names in ``task``, of one's ``own`` or bundled, else the one of its ``dataset_name``."""
    name = row.fields.get("task")
    if isinstance(name, str):
        for known in (own, registry.tasks()):
            if name in known:
                return known[name]
    return registry.task_of(row)


def _group(source: Source, task: Task, model: str, settings: str, rows: Sequence[Row]) -> Group:
    kept = _last_word(sorted(((_content(row), row) for row in rows), key=lambda item: item[0]))
    digest = hashlib.sha256()
    for content, _ in kept:
        digest.update(content.encode() + b"\n")
    return Group(
        source=source,
        task=task,
        model=model,
        settings=settings,
        rows=tuple(Row(source.name, row.number, _answered(row)) for _, row in kept),
        sha256=digest.hexdigest(),
        failures=_failures([row for _, row in kept]),
    )


def _content(row: Row) -> str:
    return json.dumps(row.fields, sort_keys=True, separators=(",", ":"))


def _last_word(found: Sequence[tuple[str, Row]]) -> list[tuple[str, Row]]:
    """Of rows that a run wrote about one id under the same settings, what holds: an answer, else one failure.

    A run tries again what failed before and may write the same line twice. Other rows all stay.
    """
    answered = {row.fields["id"] for _, row in found if _of_run(row) and not failed(row)}
    seen: set[Any] = set()
    kept = []
    for content, row in found:
        if _of_run(row):
            key = row.fields["id"] if failed(row) else content
            if key in seen or (failed(row) and row.fields["id"] in answered):
                continue
            seen.add(key)
        kept.append((content, row))
    return kept


def _of_run(row: Row) -> bool:
    return isinstance(row.fields.get("id"), str) and isinstance(row.fields.get("settings"), str)


def failed(row: Row) -> bool:
    """Whether the row says why there is no answer."""
    return row.fields.get("error") is not None


def _answered(row: Row) -> dict[str, Any]:
    """The fields of a row; a failed one answers nothing, which the metrics count like any empty answer."""
    fields = dict(row.fields)
    if failed(row) and not isinstance(fields.get("model_output"), str):
        fields["model_output"] = ""
    return fields


def _failures(rows: Sequence[Row]) -> tuple[Failure, ...]:
    reasons = [(reason_of(row), name_of(row)) for row in rows if failed(row)]
    counts = Counter(reason for reason, _ in reasons)
    found = []
    for reason, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        ids = sorted(name for its, name in reasons if its == reason)
        found.append(Failure(reason, count, tuple(ids[:_SHOWN_IDS])))
    return tuple(found)


def name_of(row: Row) -> str:
    """What a reader calls the row: its id, else its audio, without folders."""
    return as_name(str(row.fields.get("id") or row.fields.get("audio") or ""))


def reason_of(row: Row) -> str:
    """A failure without what differs from clip to clip: the clip's names become CLIP, figures become N."""
    text = " ".join(str(row.fields["error"]).split())
    names = {str(row.fields.get(key) or "") for key in ("audio", "id")}
    for each in sorted(names | {Path(each).name for each in names}, key=len, reverse=True):
        if len(each) > 1:
            text = text.replace(each, "CLIP")
    return shortened(_NUMBER.sub("N", without_folders(text)))
