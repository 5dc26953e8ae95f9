"""A figure by language, length, source and speaker: the same statistic over rows of a kind, nothing is scored anew."""

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from opendasheng.evaluate.metrics.base import Outcome
from opendasheng.evaluate.report.texts import as_name
from opendasheng.evaluate.rows import Row

UNKNOWN = "unknown"
OTHERS = "all others"
MAX_PARTS = 50  # the most frequent; more say nothing to a reader
_EDGES_SECONDS = (0, 2, 5, 10, 30)


@dataclass(frozen=True)
class Part:
    """What the rows of one kind score, in percent."""

    name: str
    num_rows: int
    compat: float
    strict: float


@dataclass(frozen=True)
class Breakdown:
    """The parts of a figure by one property of the rows; rare ones and rows without it come last."""

    by: str
    parts: tuple[Part, ...]


def breakdowns(rows: Sequence[Row], outcome: Outcome) -> tuple[Breakdown, ...]:
    """By ``lang``, ``duration_seconds``, ``source`` and ``speaker``: each that at least one row has."""
    found = (_breakdown(by, [kind(row) for row in rows], outcome) for by, kind in _KINDS.items())
    return tuple(breakdown for breakdown in found if breakdown is not None)


def _breakdown(by: str, kinds: list[str], outcome: Outcome) -> Breakdown | None:
    counts = Counter(kinds)
    unknown = counts.pop(UNKNOWN, 0)
    if not counts:
        return None
    frequent = sorted(counts, key=lambda kind: (-counts[kind], kind))[:MAX_PARTS]
    kinds = [kind if kind == UNKNOWN or kind in frequent else OTHERS for kind in kinds]
    names = sorted(frequent, key=_LENGTHS.index if by == "length" else None)
    names += [OTHERS] if len(counts) > len(frequent) else []
    names += [UNKNOWN] if unknown else []
    parts = []
    for name in names:
        weights = np.array([kind == name for kind in kinds], dtype=np.float64)
        parts.append(Part(name, int(weights.sum()), 100 * outcome.compat(weights), 100 * outcome.strict(weights)))
    return Breakdown(by, tuple(parts))


def _text(name: str) -> Callable[[Row], str]:
    def of(row: Row) -> str:
        value = row.fields.get(name)
        return as_name(value) or UNKNOWN if isinstance(value, str) else UNKNOWN

    return of


def length_of(row: Row) -> str:
    """The bucket of the row's ``duration_seconds``; each holds its lower edge."""
    seconds = row.fields.get("duration_seconds")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return UNKNOWN
    if not 0 <= seconds <= sys.float_info.max:  # inf and nan too, and whole numbers that no float holds
        return UNKNOWN
    return _LENGTHS[sum(seconds >= edge for edge in _EDGES_SECONDS) - 1]


_LENGTHS = (
    *(f"{low} to {high} s" for low, high in pairwise(_EDGES_SECONDS)),
    f"{_EDGES_SECONDS[-1]} s and more",
)
_KINDS: dict[str, Callable[[Row], str]] = {
    "language": _text("lang"),
    "length": length_of,
    "source": _text("source"),
    "speaker": _text("speaker"),
}
