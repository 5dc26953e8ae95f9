"""The worst answers of a figure, to be looked at and listened to."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from heapq import nsmallest
from pathlib import Path
from typing import TypeAlias

import numpy as np

from opendasheng.evaluate.metrics.base import Floats, Pieces
from opendasheng.evaluate.report.clips import Sound, Sounds
from opendasheng.evaluate.report.gather import name_of, reason_of
from opendasheng.evaluate.report.piles import failed
from opendasheng.evaluate.report.texts import shortened
from opendasheng.evaluate.rows import Row, hash64, row_id

_PERFECT = 1 - 1e-6
_DIGITS = 6

# Score, whether it says nothing, hash, answer, and the row's number among the others.
_Place: TypeAlias = tuple[float, bool, int, str, int]


@dataclass(frozen=True)
class Example:
    """One answer. ``score`` is its row score, 1 for a perfect one; ``failure`` says why there is no answer."""

    id: str
    score: float
    prompt: str
    references: tuple[str, ...]
    choices: tuple[str, ...]
    answer: str
    failure: str | None = None
    sound: Sound | None = None


def worst(rows: Sequence[Row], scores: Floats, count: int) -> tuple[tuple[Row, Example], ...]:
    """The ``count`` rows of the lowest ``scores`` float64 ``(num_rows,)``: none that is perfect, none that failed.

    Of equal scores those that say something come first, then a hash of what identifies the row decides, so that they
    are spread over the data.
    """

    if not count:
        return ()
    low = np.flatnonzero(scores < _PERFECT)
    low = low[np.argsort(scores[low], kind="stable")]
    chosen = nsmallest(count, _candidates(rows, scores, low, count))
    return tuple((rows[i], example(rows[i], float(scores[i]))) for *_, i in chosen)


def _candidates(rows: Sequence[Row], scores: Floats, order: Pieces, count: int) -> Iterator[_Place]:
    """The places of rows that may be among the worst: no more of them are read than it takes to be sure."""
    limit = math.inf
    for i in order.tolist():
        if scores[i] > limit:
            return
        row = rows[i]
        if failed(row):
            continue
        count -= 1
        if not count:
            # Scores are rounded to be compared: up to here another one may yet be the same.
            limit = float(scores[i]) + 10**-_DIGITS
        answer = row.text("model_output")
        yield round(float(scores[i]), _DIGITS), not answer.strip(), hash64(row_id(row)), answer, i


def example(row: Row, score: float) -> Example:
    """What is shown of a row."""
    return Example(
        id=name_of(row),
        score=score,
        prompt=shortened(_string(row, "prompt") or _string(row, "question")),
        references=tuple(shortened(text) for text in references(row)),
        choices=tuple(shortened(text) for text in _strings(row.fields.get("choices"))),
        answer=shortened(_string(row, "model_output")),
        failure=reason_of(row) if failed(row) else None,
    )


def references(row: Row) -> tuple[str, ...]:
    """What the answer was compared with."""
    for name in ("text", "label", "answer"):
        if row.fields.get(name) is not None:
            return _strings(row.fields[name])
    return ()


def with_sound(
    ranked: Sequence[Sequence[tuple[Row, Example]]], folders: Sequence[Sequence[Path]], sounds: Sounds
) -> list[tuple[Example, ...]]:
    """The examples of each figure with their audio, as far as it is found and the page has room.

    ``folders`` are those of each figure. The worst of every figure come first, then the second worst, so that room
    runs out for all alike.
    """
    found = [[item for _, item in examples] for examples in ranked]
    for rank in range(max(map(len, ranked), default=0)):
        for place, examples in enumerate(ranked):
            if rank < len(examples):
                sound = sounds.sound(examples[rank][0], folders[place])
                found[place][rank] = replace(found[place][rank], sound=sound)
    return [tuple(examples) for examples in found]


def _string(row: Row, name: str) -> str:
    value = row.fields.get(name)
    return value if isinstance(value, str) else ""


def _strings(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, Iterable) else ()
