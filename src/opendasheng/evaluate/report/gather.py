"""Prediction files and run folders -> groups of rows that make one figure each, in an order that is always the same."""

import hashlib
import json
import re
from array import array
from bisect import insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from opendasheng.errors import EvaluationError
from opendasheng.evaluate import registry
from opendasheng.evaluate.report.piles import Pile, Piles, Rows, Store, content_of, failed
from opendasheng.evaluate.report.texts import as_name, shortened, without_folders
from opendasheng.evaluate.rows import Row, hash64, read_rows
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
    rows: Sequence[Row]
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
    store = Store()
    for source in _unique(source for path in paths for source in sources(Path(path), given)):
        try:
            groups += _groups_of(source, given, own, store)
        except EvaluationError as error:
            problems.append(Problem(source.name, without_folders(str(error).replace(str(source.path), source.name))))
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


def _groups_of(source: Source, given: Task | None, own: Mapping[str, Task], store: Store) -> list[Group]:
    """The groups of one file, whose rows go to ``store``. Of each row one line is held, and only until it is sorted."""
    piles, met = Piles(), dict[str, Task]()
    tries: dict[tuple[str, str, str], _Tries] = {}
    for row in read_rows(source.path):
        task = given or task_of(row, own)
        met[task.name] = task
        key = (task.name, str(row.fields.get("model_name") or ""), str(row.fields.get("settings") or ""))
        piles.add(key, content_of(row), row.number, tries.setdefault(key, _Tries()).kind(row))
    groups = []
    for key, pile in piles.by_key.items():
        name, model, settings = key
        groups.append(_group(source, met[name], model, settings, tries[key].last_word(pile), store))
    return groups


def _group(
    source: Source, task: Task, model: str, settings: str, kept: Iterable[tuple[str, int, bool]], store: Store
) -> Group:
    digest, failures = hashlib.sha256(), _Failures()
    offsets, numbers = array("q"), array("q")
    for content, number, is_failed in kept:
        line = content.encode()
        digest.update(line + b"\n")
        offsets.append(store.add(line))
        numbers.append(number)
        if is_failed:
            failures.add(Row(source.name, number, json.loads(line)))
    return Group(
        source=source,
        task=task,
        model=model,
        settings=settings,
        rows=Rows(source.name, store, offsets, numbers, store.size),
        sha256=digest.hexdigest(),
        failures=failures.all(),
    )


class _Tries:
    """What a run wrote about each id under the same settings: it tries again what failed, and may write a line twice.

    An answer holds, else one failure. Rows that are of no run all stay.
    """

    PLAIN: Final = "p"
    FAILED: Final = "f"  # a failure, of no run
    ANSWER: Final = "a"
    FAILURE: Final = "t"

    def __init__(self) -> None:
        self._answered, self._failed = array("Q"), array("Q")

    def kind(self, row: Row) -> str:
        """Take note of a row, and say which kind it is of."""
        if not (isinstance(row.fields.get("id"), str) and isinstance(row.fields.get("settings"), str)):
            return self.FAILED if failed(row) else self.PLAIN
        identity = hash64(row.fields["id"])
        (self._failed if failed(row) else self._answered).append(identity)
        return self.FAILURE if failed(row) else self.ANSWER

    def last_word(self, pile: Pile) -> Iterator[tuple[str, int, bool]]:
        """Content and number of what holds, by content, and whether it is a failure."""
        of_failed = np.array(self._failed, dtype=np.uint64)
        settled = set(of_failed[np.isin(of_failed, np.array(self._answered, dtype=np.uint64))].tolist())
        before = ""
        for content, number, kind in pile.sorted():
            if kind == self.ANSWER and content == before:
                continue
            if kind == self.FAILURE:
                identity = hash64(json.loads(content)["id"])
                if identity in settled:
                    continue
                settled.add(identity)
            before = content
            yield content, number, kind in (self.FAILED, self.FAILURE)


class _Failures:
    """Failures by reason."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[list[int], list[str]]] = {}

    def add(self, row: Row) -> None:
        """Count a failed row."""
        count, names = self._found.setdefault(reason_of(row), ([0], []))
        count[0] += 1
        insort(names, name_of(row))
        del names[_SHOWN_IDS:]

    def all(self) -> tuple[Failure, ...]:
        """The most frequent first."""
        order = sorted(self._found.items(), key=lambda item: (-item[1][0][0], item[0]))
        return tuple(Failure(reason, count[0], tuple(names)) for reason, (count, names) in order)


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
