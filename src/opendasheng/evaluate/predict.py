"""Predictions of a task: every example asked once, every row on the disk as soon as it is there."""

import os
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opendasheng.errors import DashengError, EvaluationError
from opendasheng.evaluate.answerers import Answerer, Outcome
from opendasheng.evaluate.asking import Asker, Question, key_of, with_answer
from opendasheng.evaluate.datasets import TaskData
from opendasheng.evaluate.predictions import Predictions
from opendasheng.evaluate.task import Task
from opendasheng.progress import Progress


@dataclass(frozen=True)
class Ranks:
    """Which of how many processes this is: ``rank`` of ``total``, started together, as torchrun does."""

    rank: int = 0
    total: int = 1

    @classmethod
    def of_environment(cls) -> "Ranks":
        """By RANK and WORLD_SIZE; one process where they are not set. Raises :class:`EvaluationError` for nonsense."""
        rank, total = os.environ.get("RANK"), os.environ.get("WORLD_SIZE")
        if rank is None or total is None:
            return cls()
        try:
            ranks = cls(int(rank), int(total))
        except ValueError:
            ranks = cls(0, 0)
        if not 0 <= ranks.rank < ranks.total:
            raise EvaluationError(f"RANK is {rank!r} and WORLD_SIZE {total!r}; torchrun sets both, or unset them")
        return ranks


@dataclass(frozen=True)
class Counts:
    """How a task went in this process.

    ``num_rows`` examples there are; of those that fell to this process ``num_answered`` were answered now,
    ``num_before`` were already, and ``num_cut`` of the new answers end at ``max_new_tokens``. ``complete`` says that
    ``path`` holds a row for each example, in order: with several processes, in the last one to finish. ``num_failed``
    rows have an error in place of an answer, of all where it is complete, else of this process.
    """

    task: str
    path: Path
    num_rows: int
    num_answered: int
    num_before: int
    num_failed: int
    num_cut: int
    complete: bool


def predict_task(
    task: Task,
    answerer: Answerer,
    data: TaskData,
    folder: str | Path,
    *,
    prompts: str | None = None,
    generation: Mapping[str, Any] | None = None,
    limit: int | None = None,
    ranks: Ranks | None = None,
    bar: bool = True,
) -> Counts:
    """Ask a model about every example of a task and write ``folder/TASK/predictions.jsonl``.

    What is answered there for the same model, prompt, settings and example is not asked again; what failed is. Killed
    at any moment and called again it goes on, and ends in the same file as a run without a kill. ``prompts`` says
    whose prompt is asked (the model's own by default), ``generation`` overrides the task's, ``limit`` takes the first
    examples only, ``ranks`` shares the work between processes (by default those of torchrun).

    Raises :class:`EvaluationError` for data or prompts that do not fit, before the model is loaded;
    :class:`ConfigError` for generation options that there are not, and a file that is another program's.
    """
    ranks = ranks or Ranks.of_environment()
    wanted = answerer.generation({**task.generation, **(generation or {})})
    asker = Asker(
        task,
        prompts=prompts or answerer.family,
        model_name=answerer.model_name,
        fingerprint=answerer.fingerprint,
        generation=wanted,
    )
    order = array("Q", (key_of(asker.question(example)[1]) for example in data.examples(limit=limit, audio=False)))
    files = Predictions(Path(folder) / task.name, ranks.rank, ranks.total)
    with files.journal(asker.settings) as journal:
        known = files.answered()
        missing = [place for place in range(ranks.rank, len(order), ranks.total) if order[place] not in known]
        run = _Run(asker, data, limit, missing)
        with Progress(len(missing), bar=bar) as progress:
            for row in run.rows(answerer, wanted) if missing else ():
                journal.write(row)
                progress.advance()
    finished = files.finish(order)
    return Counts(
        task=task.name,
        path=files.path,
        num_rows=len(order),
        num_answered=len(missing) - run.num_failed,
        num_before=len(range(ranks.rank, len(order), ranks.total)) - len(missing),
        num_failed=run.num_failed if finished is None else finished.num_failed,
        num_cut=run.num_cut,
        complete=finished is not None,
    )


class _Run:
    """The examples at ``missing`` places, asked one after the other."""

    def __init__(self, asker: Asker, data: TaskData, limit: int | None, missing: Iterable[int]) -> None:
        self._asker = asker
        self._data = data
        self._limit = limit
        self._missing = frozenset(missing)
        self._waiting: dict[int, dict[str, Any]] = {}
        self.num_failed = 0
        self.num_cut = 0

    def rows(self, answerer: Answerer, generation: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The rows with their answers, as they come."""
        for number, outcome in answerer.answers(self._questions(), generation):
            yield with_answer(self._waiting.pop(number), self._said(outcome))

    def _questions(self) -> Iterator[Question]:
        number = 0
        for place, example in enumerate(self._data.examples(limit=self._limit)):
            if place in self._missing:
                question, self._waiting[number] = self._asker.question(example)
                number += 1
                yield question

    def _said(self, outcome: Outcome) -> dict[str, Any]:
        if isinstance(outcome, DashengError):
            self.num_failed += 1
            return {"error": _writable(" ".join(str(outcome).split()))}
        self.num_cut += outcome.finish_reason == "length"
        return {
            "model_output": _writable(outcome.text),
            "duration_seconds": round(outcome.duration_seconds, 3),
            "finish_reason": outcome.finish_reason,
        }


def _writable(text: str) -> str:
    """A text without halves of characters, which names of files and answers of servers may hold and no file can."""
    return text.encode("utf-8", "replace").decode()
