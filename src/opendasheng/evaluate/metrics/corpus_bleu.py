"""BLEU of a whole file, as translations are judged (Papineni et al., ACL 2002; Post, WMT 2018).

Shared runs of words are counted over all sentences before they are divided, so a short sentence counts little. The
signature in sacrebleu's terms is ``case:mixed|eff:no|tok:13a|smooth:exp``.
"""

import math
from array import array
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from opendasheng.evaluate.metrics.base import Floats, Metric, Outcome, Resources
from opendasheng.evaluate.metrics.bleu import LONGEST, nearest_length, shared_runs, tokens_13a
from opendasheng.evaluate.metrics.sbert import references
from opendasheng.evaluate.metrics.text import level
from opendasheng.evaluate.rows import Row

_QUOTES = str.maketrans({"\u2018": "'", "\u201c": '"', "\u201d": '"', "\u201e": '"'})
# Of a sentence: shared runs of 1 to 4 words, all runs, words of the answer, words of the nearest reference.
_COLUMNS = 2 * LONGEST + 2


@dataclass(frozen=True)
class Corpus:
    """BLEU as a share of rows by how often each counts; ``counts`` float64 ``(num_rows, 10)`` of whole numbers."""

    counts: Floats

    def __call__(self, weights: Floats | None = None) -> float:
        """The figure, see :class:`opendasheng.evaluate.metrics.base.Statistic`."""
        weighted = self.counts if weights is None else self.counts * weights[:, None]
        return bleu(weighted.sum(axis=0))


def bleu(sums: NDArray[np.float64], *, effective_order: bool = False) -> float:
    """BLEU-4 as a share, from the ten sums of :class:`Corpus`.

    The first length of which no run is shared counts as half a run, the next as a quarter, and so on. With
    ``effective_order`` lengths that the answer is too short for are left out, else they make it 0.
    """
    shared, given = sums[:LONGEST], sums[LONGEST : 2 * LONGEST]
    length, wanted = sums[2 * LONGEST :]
    if not shared.any():
        return 0.0
    logs, order, smoothing = 0.0, 0, 1.0
    for above, below in zip(shared, given, strict=True):
        if not below:
            break
        if not above:
            smoothing *= 2
            above = 1 / smoothing
        logs += math.log(above / below)
        order += 1
    if order < LONGEST and not effective_order:
        return 0.0
    brevity = 1.0 if length >= wanted else math.exp(1 - wanted / length)
    return brevity * math.exp(logs / order)


class CorpusBleu(Metric):
    """Fields: ``text`` (else ``answer``): a reference or a list of them; ``model_output``.

    ``compat`` is sacrebleu's figure with its default settings. In ``strict`` letters are NFKC and case folded and
    quotation marks straight, so that a style of typing is not taken for another word. An empty answer shares nothing
    and makes the file too short, in both. ``row_scores`` are of sentences, with effective order.
    """

    name: ClassVar[str] = "corpus_bleu"
    version: ClassVar[int] = 1

    def __init__(self, options: dict[str, Any] | None = None, resources: Resources | None = None) -> None:
        super().__init__(options, resources)
        self._compat = array("q")
        self._strict = array("q")
        self._num_blank = 0

    def add(self, row: Row) -> None:
        """Take one answer."""
        answer, wanted = row.text("model_output"), references(row)
        self._num_blank += not answer.strip()
        self._compat.extend(_counts(answer, wanted))
        self._strict.extend(_counts(_level(answer), [_level(text) for text in wanted]))

    def outcome(self) -> Outcome:
        """The figure of all sentences taken together."""
        compat, strict = (
            np.array(column, dtype=np.float64).reshape(-1, _COLUMNS) for column in (self._compat, self._strict)
        )
        return Outcome(
            compat=Corpus(compat),
            strict=Corpus(strict),
            row_scores=np.array([bleu(counts, effective_order=True) for counts in strict]),
            num_unparsed=self._num_blank,
            details={"signature": "case:mixed|eff:no|tok:13a|smooth:exp"},
        )


def _level(text: str) -> str:
    return level(text).translate(_QUOTES).casefold()


def _counts(answer: str, wanted: list[str]) -> list[int]:
    words = tokens_13a(answer)
    texts = sorted((tokens_13a(text) for text in wanted), key=len)  # of equally near lengths the shorter one counts
    runs = [shared_runs(words, texts, n) for n in range(1, LONGEST + 1)]
    return [*(shared for shared, _ in runs), *(given for _, given in runs), len(words), nearest_length(words, texts)]
