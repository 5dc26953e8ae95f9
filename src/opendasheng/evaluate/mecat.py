"""MECAT: captions in nine groups, answers to questions in six (arXiv 2507.23511; EVALUATION.md section 4).

``compat`` gives the figures of the package mecat 1.1.0, which scores only what both sides have. ``strict`` asks for an
answer to every key: one that is missing counts as an empty one, which scores 0.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from opendasheng import __version__
from opendasheng.errors import EvaluationError
from opendasheng.evaluate.mecat_data import Given, Reference, Source, read_answers, read_references, table
from opendasheng.evaluate.mecat_groups import Figure, Part, figures_of, overall_of, parts_of, weights
from opendasheng.evaluate.metrics import make_metric
from opendasheng.evaluate.metrics.base import Outcome, Resources
from opendasheng.evaluate.rows import Row
from opendasheng.evaluate.statistics import RESAMPLES
from opendasheng.files import sha256

METRICS = ("bleu", "fense", "date")
OVERALL = {"caption": "score_caption", "qa": "score_qa"}
_FORMULA = (
    "score_caption follows MECAT's published formula; the technical report's overall of 57.53 does not: its own rows "
    "give 55.90"
)


@dataclass(frozen=True)
class Group:
    """What one group scores: ``num_rows`` answers, of ``num_expected`` that there should be; figures by metric."""

    name: str
    num_rows: int
    num_expected: int
    figures: Mapping[str, Figure]


@dataclass(frozen=True)
class MecatReport:
    """All groups that there are answers for, and, of all of them, the overall figures by metric."""

    task: str
    level: str | None
    groups: tuple[Group, ...]
    overall: Mapping[str, Figure]
    num_extra: int
    notes: tuple[str, ...]
    provenance: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "task": f"mecat-{self.task}",
            "level": self.level,
            "groups": {
                group.name: {
                    "num_rows": group.num_rows,
                    "num_expected": group.num_expected,
                    **{metric: _plain(figure) for metric, figure in group.figures.items()},
                }
                for group in self.groups
            },
            OVERALL[self.task]: {metric: _plain(figure) for metric, figure in self.overall.items()},
            "num_extra": self.num_extra,
            "notes": list(self.notes),
            "provenance": dict(self.provenance),
        }


def _plain(figure: Figure) -> dict[str, Any]:
    bounds = {
        name: None if value is None else list(value)
        for name, value in (("ci95", figure.ci95), ("ci95_strict", figure.ci95_strict))
    }
    return {"compat": figure.compat, "strict": figure.strict, **bounds, "details": dict(figure.details)}


def evaluate_mecat(
    predictions: Sequence[Source],
    *,
    task: str = "caption",
    subtasks: Sequence[str] | None = None,
    level: str | None = None,
    references: str | None = None,
    metrics: Sequence[str] = METRICS,
    resources: Resources | None = None,
    penalty: bool = True,
    resamples: int = RESAMPLES,
    seed: int = 0,
    began: Callable[[str, int], None] | None = None,
) -> MecatReport:
    """Score predictions for MECAT.

    ``predictions`` are files (key,text as .csv without a header; .tsv or .txt with a tab or a space; .json or .jsonl of
    ``{key: text}``, ``{key: {field: text}}`` or ``{sub-task: {key: text}}``; our prediction rows as .jsonl) or such
    mappings. One that does not name sub-tasks answers for all, several are taken in the package's order. ``task`` is
    caption or qa, ``level`` a difficulty of questions. ``penalty`` False leaves the fluency checker out. ``began``
    hears of each group and its number of answers.

    Raises :class:`EvaluationError` for what cannot be read, has no common key, or lacks a model.
    """
    _require(task, level, metrics)
    known = read_references(task, references)
    given = read_answers(predictions, task, known, subtasks)
    parts = parts_of(task, given, known, level)
    if not any(part.num_answered for part in parts):
        some = next(iter(next(iter(given.values())).texts))
        kind = task if level is None else f"{level} {task}"
        raise EvaluationError(f"no key of the predictions is one of MECAT's {kind} task (the first is {some!r})")
    for part in parts:
        if began is not None:
            began(part.name, part.num_answered)
        for metric in metrics:
            _judge(part, metric, known, task, resources or Resources(), penalty)
    complete = len(parts) == len(weights(task))
    return MecatReport(
        task=task,
        level=level,
        groups=tuple(
            Group(part.name, part.num_answered, len(part.keys), figures_of(part, metrics, resamples, seed))
            for part in parts
        ),
        overall=overall_of(parts, task, metrics, resamples, seed) if complete else {},
        num_extra=_num_extra(given, known),
        notes=_notes(parts, given, known, task, complete),
        provenance={
            "opendasheng": __version__,
            "references": _package() if references is None else references,
            "predictions_sha256": [sha256(Path(path)) for path in predictions if not isinstance(path, Mapping)],
            "resamples": resamples,
            "seed": seed,
        },
    )


def _package() -> str:
    try:
        return f"mecat {version('mecat')}"
    except PackageNotFoundError:
        return "mecat"


def _require(task: str, level: str | None, metrics: Sequence[str]) -> None:
    if task not in OVERALL:
        raise EvaluationError(f"there is no task {task!r}; MECAT has {', '.join(OVERALL)}")
    if level is not None and (task != "qa" or level not in table()["levels"]):
        raise EvaluationError(f"there is no level {level!r} of {task}; qa has {', '.join(table()['levels'])}")
    for name in metrics:
        if name not in METRICS:
            raise EvaluationError(f"there is no metric {name!r} of MECAT; there are {', '.join(METRICS)}")


def _judge(
    part: Part, metric: str, known: Mapping[str, Reference], task: str, resources: Resources, penalty: bool
) -> None:
    """Run a metric on what is answered; twice where the package reads an answer otherwise than it is written."""
    if not part.num_answered:
        return
    options: dict[str, Any] = {} if metric == "bleu" else {"penalty": penalty}
    if metric == "date":
        options["delta_group"] = "long" if task == "qa" else part.subtask
    keys = part.answered_keys()

    def outcome(read: Mapping[str, str]) -> Outcome:
        judge = make_metric(metric, 1, options, resources)
        for number, key in enumerate(keys, 1):
            answer = read.get(key, part.given.texts[key])
            judge.add(Row(part.name, number, {"text": known[key].texts[part.subtask], "model_output": answer}))
        return judge.outcome()

    part.strict[metric] = part.compat[metric] = outcome({})
    if any(key in part.given.published for key in keys):
        part.compat[metric] = outcome(part.given.published)


def _num_extra(given: Mapping[str, Given], known: Mapping[str, Reference]) -> int:
    return len({key for answers in given.values() for key in answers.texts if key not in known})


def _notes(
    parts: Sequence[Part], given: Mapping[str, Given], known: Mapping[str, Reference], task: str, complete: bool
) -> tuple[str, ...]:
    notes = list(dict.fromkeys(note for part in parts for outcome in part.strict.values() for note in outcome.notes))
    missing = sum(len(part.keys) - part.num_answered for part in parts)
    if missing:
        notes.append(f"{missing} answers are missing: compat leaves them out as published, strict counts them as empty")
    extra = _num_extra(given, known)
    if extra:
        some = min(key for answers in given.values() for key in answers.texts if key not in known)
        notes.append(f"{extra} keys are none of MECAT's and are left out, such as {some!r}")
    answers = {id(item): item for item in given.values()}.values()
    notes += dict.fromkeys(note for item in answers for note in item.notes)
    repeated, otherwise = (
        sum(counts) for counts in ([a.num_repeated for a in answers], [len(a.published) for a in answers])
    )
    if repeated:
        notes.append(f"{repeated} keys are given again; the last answer counts")
    if otherwise:
        notes.append(
            f"{otherwise} answers are read by the mecat package otherwise than they are written (None or nothing in a "
            "CSV file as nan, text after a second tab not at all); compat does as it does"
        )
    domains = {reference.domain for reference in known.values()}
    lacking = [domain for domain in table()["domains"] if domain not in domains]
    if lacking:
        notes.append(f"the references lack the domains {', '.join(lacking)}")
    if task == "caption" and complete:
        notes.append(_FORMULA)
    return tuple(notes)
