"""BLEU-1 to BLEU-4 of single sentences, averaged (Papineni et al., ACL 2002; EVALUATION.md section 4).

Words that an answer shares with a reference count as often as the reference has them; the score is the geometric mean
of the shares of runs of 1 to N words, times a penalty for answers shorter than the reference of the nearest length. Not
smoothed: an answer without a shared run of N words scores 0.
"""

import math
import re
from array import array
from collections import Counter
from typing import Any, ClassVar

import numpy as np

from opendasheng.evaluate.metrics.base import Metric, Outcome, Ratio, Resources, floats
from opendasheng.evaluate.metrics.sbert import references
from opendasheng.evaluate.rows import Row

LONGEST = 4

_ENTITIES = (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))
# Signs of their own; dots and commas are only that beside something other than a digit, dashes after a digit. That one
# sign settles the next (",,1" is "," and ",1") is part of the rules.
_SIGN = re.compile(r"[!-&(-+:-@\[-`{-~/]")
_STOP_AFTER = re.compile(r"([^0-9])([.,])")
_STOP_BEFORE = re.compile(r"([.,])([^0-9])")
_DASH = re.compile(r"(?<=[0-9])-")


def tokens_13a(text: str) -> list[str]:
    """Words and signs by the rules of NIST's mteval-v13a, those of WMT and of sacrebleu's default."""
    text = text.replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    for entity, sign in _ENTITIES:
        text = text.replace(entity, sign)
    text = _SIGN.sub(lambda match: f" {match[0]} ", f" {text} ")
    text = _STOP_AFTER.sub(r"\1 \2 ", text)
    text = _STOP_BEFORE.sub(r" \1 \2", text)
    return _DASH.sub(" - ", text).split()


class Bleu(Metric):
    """Fields: ``text`` (else ``answer``): a reference or a list of them; ``model_output``. The figure is BLEU-4, the
    others are details.

    Both lower-case first. ``compat`` splits at white space, as the mecat package does, so that "rain." is another word
    than "rain". ``strict`` splits by :func:`tokens_13a` and is sacrebleu's figure of a sentence without smoothing. An
    empty answer scores 0 in both (the package fails on one).
    """

    name: ClassVar[str] = "bleu"
    version: ClassVar[int] = 1

    def __init__(self, options: dict[str, Any] | None = None, resources: Resources | None = None) -> None:
        super().__init__(options, resources)
        self._compat = [array("d") for _ in range(LONGEST)]
        self._strict = [array("d") for _ in range(LONGEST)]
        self._num_blank = 0

    def add(self, row: Row) -> None:
        """Take one answer."""
        answer, wanted = row.text("model_output"), references(row)
        self._num_blank += not answer.strip()
        compat = sentence_bleu(answer.lower().split(), [text.lower().split() for text in wanted])
        # Of two references that are equally near in length sacrebleu takes the shorter one, the package the first.
        in_order = sorted((tokens_13a(text.lower()) for text in wanted), key=len)
        strict = sentence_bleu(tokens_13a(answer.lower()), in_order)
        for columns, scores in ((self._compat, compat), (self._strict, strict)):
            for column, score in zip(columns, scores, strict=True):
                column.append(score)

    def outcome(self) -> Outcome:
        """Mean scores of sentences."""
        ones = np.ones(len(self._compat[0]))
        compat, strict = (
            [Ratio(floats(column), ones) for column in columns] for columns in (self._compat, self._strict)
        )
        details: dict[str, Any] = {}
        for prefix, ratios in (("", compat), ("strict_", strict)):
            details |= {f"{prefix}bleu_{n}": 100 * ratio() for n, ratio in enumerate(ratios, 1)}
        return Outcome(
            compat=compat[-1],
            strict=strict[-1],
            row_scores=strict[-1].numerators,
            num_unparsed=self._num_blank,
            details={**details, "tokenisation": "white space", "strict_tokenisation": "13a"},
        )


def sentence_bleu(answer: list[str], wanted: list[list[str]]) -> list[float]:
    """BLEU-1 to BLEU-4 of one answer, as shares; of references of equally near lengths the first one counts."""
    if not answer:
        return [0.0] * LONGEST
    nearest = nearest_length(answer, wanted)
    brevity = 1.0 if len(answer) > nearest else math.exp(1 - nearest / len(answer)) if nearest else 0.0
    scores: list[float] = []
    logs = 0.0
    for n in range(1, LONGEST + 1):
        shared, given = shared_runs(answer, wanted, n)
        if not shared:  # then no longer run is shared either
            return scores + [0.0] * (LONGEST - len(scores))
        logs += math.log(shared / given)
        scores.append(brevity * math.exp(logs / n))
    return scores


def nearest_length(answer: list[str], wanted: list[list[str]]) -> int:
    """The length of the reference that is nearest to the answer's; of equally near ones the first."""
    return min((len(words) for words in wanted), key=lambda length: abs(length - len(answer)))


def shared_runs(answer: list[str], wanted: list[list[str]], n: int) -> tuple[int, int]:
    """How many runs of ``n`` words of the answer a reference has too, as often as there, and how many there are."""
    given = _runs(answer, n)
    there: Counter[tuple[str, ...]] = Counter()
    for words in wanted:
        there |= _runs(words, n)
    return (given & there).total(), given.total()


def _runs(words: list[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[start : start + n]) for start in range(len(words) - n + 1))
