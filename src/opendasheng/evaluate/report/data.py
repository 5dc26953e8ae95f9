"""The report as data: every figure with its interval, the paper's, its breakdowns, failures and worst answers."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from opendasheng import __version__
from opendasheng.errors import EvaluationError
from opendasheng.evaluate.metrics import metric_class
from opendasheng.evaluate.metrics.base import Resources
from opendasheng.evaluate.report.breakdown import Breakdown, breakdowns
from opendasheng.evaluate.report.clips import Sounds
from opendasheng.evaluate.report.gather import Group, Problem, gather, name_of
from opendasheng.evaluate.report.piles import Traits
from opendasheng.evaluate.report.published import Published, published, stand_ins
from opendasheng.evaluate.report.texts import as_name, without_folders
from opendasheng.evaluate.report.worst import Example, with_sound, worst
from opendasheng.evaluate.rows import Row
from opendasheng.evaluate.scoring import Score, Scored, judge, summarise
from opendasheng.evaluate.statistics import METHOD, RESAMPLES
from opendasheng.evaluate.task import GROUPS, Task

SCHEMA = 1
WORST = 5
UNNAMED = "unnamed model"
_DIGITS = 6


@dataclass(frozen=True)
class Entry:
    """One figure. ``label`` is the model's name, with more to it where the report holds it twice."""

    group: Group
    label: str
    score: Score
    clustered_by: str
    published: Published | None
    breakdowns: tuple[Breakdown, ...]
    worst: tuple[Example, ...]

    @property
    def task(self) -> Task:
        """The task of the figure."""
        return self.group.task

    @property
    def higher_is_better(self) -> bool:
        """Whether a higher figure is a better one."""
        return metric_class(self.task.metric.name).higher_is_better

    @property
    def num_failed(self) -> int:
        """Rows that have an error in place of an answer; they count as empty answers."""
        return sum(failure.count for failure in self.group.failures)

    @property
    def stand_ins(self) -> tuple[str, ...]:
        """The notes that say that another sentence model than the published one made the figure."""
        return tuple(without_folders(note) for note in stand_ins(self.score))

    def notes(self) -> tuple[str, ...]:
        """All that a reader of the figure must know: of the score, of the failures, of the task."""
        failed = (f"{self.num_failed} rows failed and count as empty answers",) if self.num_failed else ()
        return tuple(without_folders(note) for note in (*self.score.notes, *failed, *self.task.notes))


@dataclass(frozen=True)
class Report:
    """All figures, sorted by the group and the name of the task, then by model; and what could not be scored."""

    entries: tuple[Entry, ...]
    problems: tuple[Problem, ...]
    resamples: int
    seed: int


def report(
    paths: Iterable[str | Path],
    *,
    resources: Resources | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    task: str | None = None,
    tasks: Iterable[Task] = (),
    audio_root: str | Path | None = None,
    num_worst: int = WORST,
) -> Report:
    """What the predictions of run folders and files score.

    ``resources`` holds the models of sentence metrics, ``resamples`` 0 leaves the intervals out, ``audio_root`` is
    where the audio of the ``num_worst`` worst answers of each figure is looked for besides the predictions' folders;
    ``task`` and ``tasks`` are as in :func:`opendasheng.evaluate.report.gather.gather`.
    Rows that cannot be scored become a :class:`Problem`, and the other tasks go on. Raises :class:`EvaluationError`
    for paths that hold no predictions.
    """
    groups, problems = gather(paths, task, tasks)
    sounds = Sounds(audio_root)
    found: list[tuple[Entry, Sequence[tuple[Row, Example]]]] = []
    for group, label in zip(groups, labels(groups), strict=True):
        traits = Traits()
        try:
            scored = score_group(group, traits.noting(group.rows), resources)
        except EvaluationError as error:
            problems.append(Problem(f"{group.task.name}, {label}", str(error)))
            continue
        entry = _entry(group, label, scored, traits, resamples, seed)
        found.append((entry, worst(group.rows, scored.outcome.row_scores, num_worst)))
    found.sort(key=lambda item: _place(item[0]))
    shown = with_sound([ranked for _, ranked in found], [entry.group.source.folders for entry, _ in found], sounds)
    entries = (replace(entry, worst=examples) for (entry, _), examples in zip(found, shown, strict=True))
    return Report(tuple(entries), tuple(problems), resamples, seed)


def score_group(group: Group, rows: Iterable[Row], resources: Resources | None) -> Scored:
    """Judge rows of a group. An error names the row by its id, since its place in the file says nothing here."""
    current: Row | None = None

    def noted() -> Iterable[Row]:
        nonlocal current
        for row in rows:
            current = row
            yield row

    try:
        return judge(noted(), group.task, resources)
    except EvaluationError as error:
        message = str(error)
        if current is not None and (name := name_of(current)):
            message = message.replace(f"{current.file}: row {current.number}:", f"{current.file}: {name}:")
        raise EvaluationError(without_folders(message)) from error


def _entry(group: Group, label: str, scored: Scored, traits: Traits, resamples: int, seed: int) -> Entry:
    score = summarise(scored, path=None, resamples=resamples, seed=seed)
    if score.num_clusters < 2 and resamples:
        note = "all rows are of one cluster, so that there is no interval"
        score = replace(score, ci95=None, ci95_strict=None, notes=(*score.notes, note))
    return Entry(
        group=group,
        label=label,
        score=score,
        clustered_by=clustered_by(group.task, traits.clustered),
        published=published(group.task, group.model, score),
        breakdowns=breakdowns(traits, scored.outcome),
        worst=(),
    )


def clustered_by(task: Task, rows: Iterable[Row]) -> str:
    """What makes rows one cluster of the bootstrap, in words."""
    if any(isinstance(row.fields.get("cluster"), str) for row in rows):
        return "the rows' field cluster"
    if task.cluster is not None:
        return f"field {task.cluster[0]}, pattern {task.cluster[1]}"
    return "question (each row by itself)"


def labels(groups: Sequence[Group]) -> list[str]:
    """What to call the model of each group: its name, with run, file or settings where that is not enough."""
    names = [as_name(group.model) or UNNAMED for group in groups]
    further = [
        [as_name(group.source.run) for group in groups],
        [as_name(group.source.name) for group in groups],
        [f"{as_name(group.source.name)}, settings {as_name(group.settings[:8])}" for group in groups],
        [f"{as_name(group.source.name)}, rows {group.sha256[:8]}" for group in groups],
    ]
    ways = [names, *([f"{a} ({b})" for a, b in zip(names, more, strict=True)] for more in further)]
    for way in ways[:-1]:
        if len({(group.task.name, label) for group, label in zip(groups, way, strict=True)}) == len(groups):
            return way
    return ways[-1]


def _place(entry: Entry) -> tuple[int, str, str, str]:
    return GROUPS.index(entry.task.group), entry.task.name, entry.label, entry.group.sha256


def to_dict(found: Report) -> dict[str, Any]:
    """For ``report.json``. Figures in percent, rounded to 6 decimals, so that no machine's last digits are in it."""
    libraries = [entry.score.provenance["libraries"] for entry in found.entries]
    whole = {
        "schema": SCHEMA,
        "opendasheng": __version__,
        "libraries": libraries[0] if libraries else {},
        "bootstrap": {"method": METHOD, "resamples": found.resamples, "seed": found.seed},
        "figures": [_figure(entry) for entry in found.entries],
        "errors": [asdict(problem) for problem in found.problems],
    }
    rounded: dict[str, Any] = rounded_floats(whole)
    return rounded


def _figure(entry: Entry) -> dict[str, Any]:
    score, task = entry.score, entry.task
    return {
        "task": task.name,
        "title": task.title,
        "group": task.group,
        "tables": task.tables,
        "model": as_name(entry.group.model),
        "label": entry.label,
        "metric": score.metric,
        "higher_is_better": entry.higher_is_better,
        "num_rows": score.num_rows,
        "compat": score.compat,
        "strict": score.strict,
        "ci95": score.ci95,
        "ci95_strict": score.ci95_strict,
        "num_skipped": score.num_skipped,
        "num_unparsed": score.num_unparsed,
        "num_failed": entry.num_failed,
        "failures": [asdict(failure) for failure in entry.group.failures],
        "clusters": {"num": score.num_clusters, "by": entry.clustered_by},
        "paper": None if entry.published is None else asdict(entry.published),
        "paper_figures": task.published,
        "notes": entry.notes(),
        "details": _clean(score.details),
        "breakdowns": [asdict(breakdown) for breakdown in entry.breakdowns],
        "worst": [_without_sound(example) for example in entry.worst],
        "provenance": {
            "file": entry.group.source.name,
            "rows_sha256": entry.group.sha256,
            "settings": as_name(entry.group.settings) or None,
            "task_version": task.version,
        },
    }


def _without_sound(example: Example) -> dict[str, Any]:
    fields = asdict(example)
    del fields["sound"]
    return fields


def _clean(value: Any) -> Any:
    """Details without the folders of this machine, which the name of a model may hold."""
    if isinstance(value, dict):
        return {key: _clean(item) for key, item in value.items()}
    return without_folders(value) if isinstance(value, str) else value


def rounded_floats(value: Any) -> Any:
    """A JSON value with its floats rounded; those that JSON has no name for become null."""
    if isinstance(value, float):
        return round(value, _DIGITS) + 0.0 if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: rounded_floats(item) for key, item in value.items()}
    return [rounded_floats(item) for item in value] if isinstance(value, list | tuple) else value
