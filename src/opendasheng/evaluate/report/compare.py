"""Two models on the same questions: the difference of their figures, how sure it is, and where it lies."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from opendasheng import __version__
from opendasheng.errors import EvaluationError
from opendasheng.evaluate.metrics import metric_class
from opendasheng.evaluate.metrics.base import Floats, Resources, Statistic
from opendasheng.evaluate.report.data import UNNAMED, clustered_by, rounded_floats, score_group
from opendasheng.evaluate.report.gather import Group, Problem, gather
from opendasheng.evaluate.report.texts import as_name, without_folders
from opendasheng.evaluate.report.worst import Example, example, references
from opendasheng.evaluate.rows import Row, hash64, row_id
from opendasheng.evaluate.scoring import Scored
from opendasheng.evaluate.statistics import METHOD, RESAMPLES, Hashes, paired_interval
from opendasheng.evaluate.task import Task

SCHEMA = 1
EXAMPLES = 5
# Row scores closer than this are a tie: cosines carry no more digits from machine to machine.
_TIE = 1e-5


@dataclass(frozen=True)
class Side:
    """One of the two: what it is called, its rows, and how many of them the other side has no answer to."""

    label: str
    file: str
    num_rows: int
    num_alone: int
    rows_sha256: str


@dataclass(frozen=True)
class Difference:
    """A figure of both in percent, b - a, its 95 % interval and two-sided p-value (None without resamples)."""

    a: float
    b: float
    difference: float
    ci95: tuple[float, float] | None
    p: float | None


@dataclass(frozen=True)
class Pair:
    """A question on which the two differ: ``gain`` is the row score of b minus that of a."""

    gain: float
    a: Example
    b: Example


@dataclass(frozen=True)
class Comparison:
    """Two models on the ``num_rows`` rows of a task that both have. Wins, ties and losses are b's, by row score."""

    task: Task
    a: Side
    b: Side
    num_rows: int
    clusters: tuple[int, str]
    compat: Difference
    strict: Difference
    wins: int
    ties: int
    losses: int
    pairs: tuple[Pair, ...]
    notes: tuple[str, ...]

    @property
    def higher_is_better(self) -> bool:
        """Whether a higher figure is a better one."""
        return metric_class(self.task.metric.name).higher_is_better


@dataclass(frozen=True)
class Comparisons:
    """One comparison a task, and the tasks that could not be compared."""

    found: tuple[Comparison, ...]
    problems: tuple[Problem, ...]
    resamples: int
    seed: int


def compare(
    a: str | Path,
    b: str | Path,
    *,
    task: str | None = None,
    resources: Resources | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    num_examples: int = EXAMPLES,
) -> Comparisons:
    """Compare the predictions of two files or run folders, task by task, on the rows that both have.

    Rows belong together by their id, or by audio, prompt and question where they have none; where not one fits, by
    audio and question alone, since models may be asked the same in other words. Raises
    :class:`EvaluationError` where either path holds no predictions, or the two have no task in common.
    """
    sides: list[dict[str, list[Group]]] = []
    problems: list[Problem] = []
    for path in (a, b):
        groups, unread = gather([path], task)
        problems += unread
        by_task = defaultdict(list)
        for group in groups:
            by_task[group.task.name].append(group)
        sides.append(by_task)
    common = sorted(set(sides[0]) & set(sides[1]))
    if not common and not problems:
        tasks = " and ".join(", ".join(sorted(side)) or "none" for side in sides)
        raise EvaluationError(f"{a} and {b} have no task in common (they are of {tasks}); compare answers to one task")
    problems += [Problem(name, "only one of the two has it") for name in sorted(set(sides[0]) ^ set(sides[1]))]
    found = []
    for name in common:
        try:
            pair = _only(sides[0][name]), _only(sides[1][name])
            found.append(_compare(pair, resources, resamples, seed, num_examples))
        except EvaluationError as error:
            problems.append(Problem(name, str(error)))
    return Comparisons(tuple(found), tuple(problems), resamples, seed)


def _only(groups: Sequence[Group]) -> Group:
    if len(groups) > 1:
        what = ", ".join(f"{as_name(group.model) or UNNAMED} {group.settings[:8]}".strip() for group in groups)
        raise EvaluationError(f"{groups[0].source.name}: it has several models or settings ({what}); give one of them")
    return groups[0]


def _compare(
    pair: tuple[Group, Group], resources: Resources | None, resamples: int, seed: int, num_examples: int
) -> Comparison:
    task = pair[0].task
    rows = _aligned(pair[0].rows, pair[1].rows)
    if not rows[0]:
        raise EvaluationError("the two answer no question in common; their rows differ in id, or in audio and prompt")
    a, b = (score_group(group, own, resources) for group, own in zip(pair, rows, strict=True))
    clusters = a.cluster_array()

    def difference(of: Callable[[Scored], Statistic]) -> Difference:
        first, second = of(a), of(b)
        values = 100 * first(), 100 * second()
        if not resamples:
            return Difference(*values, values[1] - values[0], None, None)
        low, high, p = paired_interval(first, second, clusters, resamples, seed)
        return Difference(*values, values[1] - values[0], (100 * low, 100 * high), p)

    gains = b.outcome.row_scores - a.outcome.row_scores
    return Comparison(
        task=task,
        a=_side(pair[0], len(rows[0])),
        b=_side(pair[1], len(rows[1])),
        num_rows=len(rows[0]),
        clusters=(len(np.unique(clusters)), clustered_by(task, rows[0])),
        compat=difference(lambda scored: scored.outcome.compat),
        strict=difference(lambda scored: scored.outcome.strict),
        wins=int((gains > _TIE).sum()),
        ties=int((abs(gains) <= _TIE).sum()),
        losses=int((gains < -_TIE).sum()),
        pairs=_most_different(rows, (a, b), gains, num_examples),
        notes=_notes(rows, (a, b), clusters),
    )


def _aligned(a: Sequence[Row], b: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Rows of both with the same identity, in the order of ``a``; :func:`_paired` by what fits."""
    return _paired(a, b, row_id) or _paired(a, b, _question) or ([], [])


def _paired(a: Sequence[Row], b: Sequence[Row], identity: Callable[[Row], str]) -> tuple[list[Row], list[Row]] | None:
    """Of rows with one identity the first goes with the first. None where nothing is common."""
    waiting: dict[str, list[Row]] = defaultdict(list)
    for row in reversed(b):
        waiting[identity(row)].append(row)
    pairs = [(row, waiting[key].pop()) for row in a if waiting.get(key := identity(row))]
    return ([row for row, _ in pairs], [row for _, row in pairs]) if pairs else None


def _question(row: Row) -> str:
    """Audio and question: models of the paper are asked the same in different words."""
    return "\x1f".join(str(row.fields.get(name, "")) for name in ("audio", "question"))


def _side(group: Group, num_common: int) -> Side:
    num_rows = len(group.rows)
    label = as_name(group.model) or UNNAMED
    return Side(label, as_name(group.source.name), num_rows, num_rows - num_common, group.sha256)


def _most_different(
    rows: tuple[list[Row], list[Row]], scored: tuple[Scored, Scored], gains: Floats, count: int
) -> tuple[Pair, ...]:
    order = sorted(
        (i for i in range(len(gains)) if abs(gains[i]) > _TIE),
        key=lambda i: (-round(abs(float(gains[i])), 5), hash64(row_id(rows[0][i])), i),
    )
    scores = [one.outcome.row_scores for one in scored]
    return tuple(
        Pair(
            float(gains[i]),
            example(rows[0][i], float(scores[0][i])),
            example(rows[1][i], float(scores[1][i])),
        )
        for i in order[:count]
    )


def _notes(rows: tuple[list[Row], list[Row]], scored: tuple[Scored, Scored], clusters: Hashes) -> tuple[str, ...]:
    notes = [without_folders(note) for one in scored for note in one.outcome.notes]
    if row_id(rows[0][0]) != row_id(rows[1][0]):
        notes.append("rows are matched by audio and question, since their ids or prompts differ")
    different = sum(references(one) != references(other) for one, other in zip(*rows, strict=True))
    if different:
        notes.append(f"{different} rows have another reference on one side than on the other")
    repeated = len(clusters) - len(np.unique(scored[0].id_array()))
    if repeated:
        notes.append(f"{repeated} rows answer a question that another row answers too; each counts")
    return tuple(dict.fromkeys(notes))


def to_dict(comparisons: Comparisons) -> dict[str, Any]:
    """For JSON. Figures in percent, rounded to 6 decimals."""
    whole = {
        "schema": SCHEMA,
        "opendasheng": __version__,
        "bootstrap": {"method": METHOD, "resamples": comparisons.resamples, "seed": comparisons.seed},
        "comparisons": [_fields(one) for one in comparisons.found],
        "errors": [asdict(problem) for problem in comparisons.problems],
    }
    rounded: dict[str, Any] = rounded_floats(whole)
    return rounded


def _fields(one: Comparison) -> dict[str, Any]:
    return {
        "task": one.task.name,
        "title": one.task.title,
        "task_version": one.task.version,
        "metric": f"{one.task.metric.name}@{one.task.metric.version}",
        "higher_is_better": one.higher_is_better,
        "a": asdict(one.a),
        "b": asdict(one.b),
        "num_rows": one.num_rows,
        "clusters": {"num": one.clusters[0], "by": one.clusters[1]},
        "compat": asdict(one.compat),
        "strict": asdict(one.strict),
        "wins": one.wins,
        "ties": one.ties,
        "losses": one.losses,
        "most_different": [_pair(pair) for pair in one.pairs],
        "notes": one.notes,
    }


def _pair(pair: Pair) -> dict[str, Any]:
    fields = asdict(pair)
    for side in ("a", "b"):
        del fields[side]["sound"]
    return fields
