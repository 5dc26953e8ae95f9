"""The paper's figures beside ours: which of its columns a model is, and what the two have to do with each other."""

import re
from dataclasses import dataclass

from opendasheng.evaluate.metrics.sbert import NOT_COMPARABLE
from opendasheng.evaluate.scoring import Score
from opendasheng.evaluate.task import Task

# The paper's columns: how a model is called that is one of them. The bundled one, and other sizes, are none.
_COLUMNS = {
    "midashenglm": re.compile(r"midasheng(?:lm)?(?:7b.*)?"),
    "qwen2.5-omni": re.compile(r"qwen25omni(?:7b.*)?"),
    "kimi-audio": re.compile(r"kimi(?:audio)?(?:7b)?(?:instruct)?(?:7b.*)?"),
}
TITLES = {"midashenglm": "MiDashengLM-7B", "qwen2.5-omni": "Qwen2.5-Omni-7B", "kimi-audio": "Kimi-Audio-7B"}
_SIGNS = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class Published:
    """A figure of the paper and ours, in percent.

    ``difference`` is ours (compat) minus the paper's and ``inside`` whether the paper's lies in our 95 % interval
    (None without one). Both are None where ``comparable`` is false: another sentence model made our figure.
    """

    model: str
    figure: float
    comparable: bool
    difference: float | None
    inside: bool | None


def column_of(model: str) -> str | None:
    """The paper's column that a model name belongs to, or None for any other model."""
    name = _SIGNS.sub("", re.split(r"[/\\]", model.strip("/\\"))[-1].casefold())
    return next((column for column, pattern in _COLUMNS.items() if pattern.fullmatch(name)), None)


def stand_ins(score: Score) -> tuple[str, ...]:
    """The notes of a score that say that it was not made as the published one was."""
    return tuple(note for note in score.notes if NOT_COMPARABLE in note)


def published(task: Task, model: str, score: Score) -> Published | None:
    """What the paper has for this model and task, or None."""
    column = column_of(model)
    figure = task.published.get(column) if column else None
    if column is None or figure is None:
        return None
    if stand_ins(score):
        return Published(column, figure, False, None, None)
    inside = None if score.ci95 is None else score.ci95[0] <= figure <= score.ci95[1]
    return Published(column, figure, True, score.compat - figure, inside)
