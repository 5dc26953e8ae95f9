"""What a metric is: rows go in one by one, out comes a figure in two definitions.

``compat`` is the published definition, quirks included, so that it gives the digits of the published scripts;
``strict`` is ours: every row counts, and only an answer that really was given is right. Nothing here loads torch.
"""

from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from opendasheng.evaluate.rows import Row

Floats = NDArray[np.float64]
Pieces = NDArray[np.int64]


class Statistic(Protocol):
    """A figure as a function of how often each row counts, which is what a bootstrap needs."""

    def __call__(self, weights: Floats | None = None) -> float:
        """The figure as a share (1.0 is 100 percent); ``weights`` float64 ``(num_rows,)``, None for all ones."""
        ...


@dataclass(frozen=True)
class Ratio:
    """A sum over a sum: accuracy, word error rate, mean cosine. 0 over 0 is ``empty``.

    Sums of whole numbers are exact. Others are added by ``math.fsum``, so their order changes nothing (law 10).
    """

    numerators: Floats
    denominators: Floats
    empty: float = 0.0

    def __call__(self, weights: Floats | None = None) -> float:
        """The figure, see :class:`Statistic`."""
        if weights is None:
            from math import fsum

            above, below = fsum(self.numerators), fsum(self.denominators)
        else:
            above, below = float(weights @ self.numerators), float(weights @ self.denominators)
        return above / below if below else self.empty


@dataclass(frozen=True)
class Rounded:
    """A figure that its publisher rounds to ``digits`` of a share. Resamples stay as they are."""

    figure: Statistic
    digits: int

    def __call__(self, weights: Floats | None = None) -> float:
        """The figure, see :class:`Statistic`."""
        value = self.figure(weights)
        return round(value, self.digits) if weights is None else value


@dataclass(frozen=True)
class Outcome:
    """What a metric says of a file.

    ``row_scores`` float64 ``(num_rows,)`` tells good answers from bad ones under ``strict``, 1 for a perfect one; it is
    for finding the worst and takes no part in a figure. ``num_skipped`` rows are left out by ``compat``,
    ``num_unparsed`` gave ``strict`` nothing that could be an answer. ``details`` are further figures by name, and
    ``notes`` sentences that a reader of the figure must know.
    """

    compat: Statistic
    strict: Statistic
    row_scores: Floats
    num_skipped: int = 0
    num_unparsed: int = 0
    details: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class SentenceEncoder(Protocol):
    """Texts -> vectors; what it is made of stays outside this room, since it needs torch."""

    name: str
    is_stand_in: bool

    def __call__(self, texts: list[str]) -> NDArray[np.float32]:
        """Unit vectors float32 ``(len(texts), D)``, one for each text in order."""
        ...

    def num_cut(self, texts: list[str]) -> int:
        """How many of the texts are longer than the model reads."""
        ...


class WordEncoder(SentenceEncoder, Protocol):
    """A :class:`SentenceEncoder` of word pieces, whose input can be weighted piece by piece.

    ``first`` and ``last`` are the pieces that begin and end every sentence, ``ignored`` all that are no words.
    """

    first: int
    last: int
    ignored: frozenset[int]

    def pieces(self, texts: list[str]) -> list[Pieces]:
        """Numbers of each text's pieces as the model reads it: cut if too long, ``first`` and ``last`` included."""
        ...

    def piece_vectors(self, pieces: Pieces) -> NDArray[np.float32]:
        """The model's input vectors of pieces, float32 ``(len(pieces), E)``."""
        ...

    def encode_weighted(self, sentences: list[Pieces], weights: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Unit vectors float32 ``(len(sentences), D)`` where each piece's input vector is multiplied by its weight."""
        ...


class FluencyChecker(Protocol):
    """Texts -> the probability that something is wrong with each as a sentence."""

    name: str
    is_stand_in: bool

    def __call__(self, texts: list[str], max_pieces: int = 256) -> NDArray[np.float32]:
        """Probabilities float32 ``(len(texts),)``; of each text the first ``max_pieces`` word pieces are read."""
        ...


@dataclass(frozen=True)
class Resources:
    """Models that some metrics need; each is made when it is first asked for, and raises when it was not named."""

    sentences: Callable[[], Any] | None = None
    fluency: Callable[[], FluencyChecker] | None = None


class Metric(ABC):
    """Takes rows one by one, in any order, and gives an :class:`Outcome`.

    ``name`` and ``version`` name the pair of definitions: a change that can move a figure is a new version. A subclass
    keeps of each row only what it needs. ``options`` are those of the task, ``resources`` what it may load.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    parser: ClassVar[str] = "text"
    higher_is_better: ClassVar[bool] = True
    option_names: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, options: dict[str, Any] | None = None, resources: Resources | None = None) -> None:
        self.options = dict(options or {})
        self.resources = resources or Resources()

    @abstractmethod
    def add(self, row: Row) -> None:
        """Take one row. Raises :class:`EvaluationError` that names row and field where it cannot be scored."""

    @abstractmethod
    def outcome(self) -> Outcome:
        """The figures of all rows that were added; there is at least one."""


def floats(values: "array[float] | array[int] | list[float]") -> Floats:
    """A column that was gathered row by row, as float64."""
    return np.array(values, dtype=np.float64)
