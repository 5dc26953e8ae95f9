"""Averages over tasks, each task weighted by its constant (nominally the size of its test set)."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Scored:
    """A task's score (0 to 1), its weight, and whether its data are private."""

    score: float
    weight: float
    private: bool = False


@dataclass(frozen=True)
class Averages:
    """Weighted averages; None where there is nothing to average.

    ``public`` is over the public tasks and ``all`` over all. ``printed_public`` is what the package prints under the
    name of the public average: its filter keeps the tasks whose flag *private* is set, so it is the average of the
    private ones, and it prints none when there are none (EVALUATION.md section 5).
    """

    public: float | None
    all: float | None
    printed_public: float | None


def averages(tasks: Iterable[Scored]) -> Averages:
    """The averages of one kind of score."""
    tasks = list(tasks)
    return Averages(
        public=weighted_average([task for task in tasks if not task.private]),
        all=weighted_average(tasks),
        printed_public=weighted_average([task for task in tasks if task.private]),
    )


def weighted_average(tasks: Iterable[Scored]) -> float | None:
    """Sum of score times weight over the sum of weights; None for no weight at all."""
    tasks = list(tasks)
    total = sum(task.weight for task in tasks)
    return sum(task.score * task.weight for task in tasks) / total if total else None
