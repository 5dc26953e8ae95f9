"""FENSE with its penalty, as MECAT scores it (EVALUATION.md section 4): cosine similarity, of which a broken sentence
keeps a tenth. Published by Zhou et al., ICASSP 2022; what the paper's tables 7 and 11 call FENSE is :mod:`sbert`.
"""

from typing import Any, ClassVar

import numpy as np

from opendasheng.errors import EvaluationError
from opendasheng.evaluate.metrics.base import Floats, FluencyChecker, Outcome, Ratio, Rounded
from opendasheng.evaluate.metrics.sbert import (
    NOT_COMPARABLE,
    SentenceMetric,
    encoder_notes,
    mean_cosines,
    sentence_encoder,
)

# A sentence is broken where the checker is surer than this; then its similarity is multiplied by the factor.
ERROR_THRESHOLD, ERROR_FACTOR = 0.9, 0.1
# MECAT reads this many word pieces of an answer, fewer where it is asked about a single one.
_PIECES, _PIECES_OF_ONE = 256, 64
NO_PENALTY = f"without the penalty for broken sentences: {NOT_COMPARABLE}"


class Fense(SentenceMetric):
    """A row scores the mean of its cosines with the references, times 0.1 where the answer is a broken sentence.

    ``compat`` is MECAT's: an empty answer is embedded like any other, and the mean is rounded to 4 decimals. In
    ``strict`` an empty answer scores 0, and nothing is rounded. With the option ``penalty = false`` no checker is
    needed, and a note says so.
    """

    name: ClassVar[str] = "fense"
    version: ClassVar[int] = 1
    option_names: ClassVar[frozenset[str]] = frozenset({"penalty"})

    def outcome(self) -> Outcome:
        """Mean similarities; runs the sentence model and the fluency checker."""
        encoder, checker = sentence_encoder(self.resources), fluency_checker(self)
        texts, answers, of_rows, blank = self.rows()
        factors = penalties(checker, texts, answers)
        cosines = mean_cosines(encoder, texts, answers, of_rows) * factors
        ones = np.ones(len(cosines))
        strict = np.where(blank, 0.0, cosines)
        num_cut = encoder.num_cut(texts)
        return Outcome(
            compat=Rounded(Ratio(cosines, ones), 4),
            strict=Ratio(strict, ones),
            row_scores=strict,
            num_unparsed=int(blank.sum()),
            details={
                "sentence_model": encoder.name,
                "fluency_model": None if checker is None else checker.name,
                "num_penalised": int((factors < 1).sum()),
                "num_sentences": len(texts),
                "num_cut": num_cut,
            },
            notes=(*encoder_notes(encoder, num_cut), *checker_notes(checker)),
        )


def fluency_checker(metric: SentenceMetric) -> FluencyChecker | None:
    """The fluency checker of a run, None with the option ``penalty = false``; :class:`EvaluationError` for none."""
    wanted: Any = metric.options.get("penalty", True)
    if not isinstance(wanted, bool):
        raise EvaluationError(f"metric {metric.name}: option penalty is {wanted!r}; it is true or false")
    if not wanted:
        return None
    if metric.resources.fluency is None:
        raise EvaluationError(
            f"{metric.name} penalises broken sentences and takes no model for that by itself: name one with "
            "--fluency-model (echecker_clotho_audiocaps_base), or go without it (penalty = false in the task; "
            "--no-penalty in eval mecat)"
        )
    return metric.resources.fluency()


def checker_notes(checker: FluencyChecker | None) -> tuple[str, ...]:
    """What a reader must know of a figure without the published fluency checker."""
    if checker is None:
        return (NO_PENALTY,)
    if checker.is_stand_in:
        return (f"{checker.name} stands in for the published fluency checker: {NOT_COMPARABLE}",)
    return ()


def penalties(checker: FluencyChecker | None, texts: list[str], answers: list[int]) -> Floats:
    """What each row's similarity is multiplied by, float64 ``(num_rows,)``: 1 or :data:`ERROR_FACTOR`."""
    if checker is None:
        return np.ones(len(answers))
    chosen = sorted(set(answers))
    found = checker([texts[number] for number in chosen], _PIECES if len(answers) > 1 else _PIECES_OF_ONE)
    factors = np.where(found > np.float32(ERROR_THRESHOLD), ERROR_FACTOR, 1.0)
    return factors[np.searchsorted(chosen, answers)].astype(np.float64)
