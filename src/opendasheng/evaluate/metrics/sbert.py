"""Cosine similarity of sentence vectors: what the paper's tables call FENSE (EVALUATION.md section 0, point 3).

Its fluency penalty is left out there, so one model is enough; :mod:`fense` has the penalised metric.
"""

from typing import Any, ClassVar

import numpy as np

from opendasheng.errors import EvaluationError
from opendasheng.evaluate.metrics.answers import Lists, Texts
from opendasheng.evaluate.metrics.base import Floats, Metric, Outcome, Ratio, Resources, WordEncoder, floats
from opendasheng.evaluate.rows import Row

NOT_COMPARABLE = "not comparable with published figures"


class SentenceMetric(Metric):
    """What all metrics of sentences gather. Fields: ``text`` (else ``answer``): a reference or a list of them;
    ``model_output``. Each text is kept once; ``rows`` sees it by its place in the order of the alphabet, so that
    batches, and with them the last digits, are those of any row order (law 10)."""

    def __init__(self, options: dict[str, Any] | None = None, resources: Resources | None = None) -> None:
        super().__init__(options, resources)
        self._texts = Texts()
        self._references, self._answers = Lists(), Lists()
        self._blank: list[bool] = []

    def add(self, row: Row) -> None:
        """Take one answer."""
        answer = row.text("model_output")
        self._references.add([self._texts.number(text) for text in references(row)])
        self._answers.add([self._texts.number(answer)])
        self._blank.append(not answer.strip())

    def rows(self) -> tuple[list[str], list[int], list[tuple[int, ...]], np.ndarray[Any, np.dtype[np.bool_]]]:
        """Texts in the order of the alphabet; by row the place of its answer, those of its references, and whether the
        answer is blank."""
        texts = self._texts.all()
        order = sorted(range(len(texts)), key=texts.__getitem__)
        place = np.empty(len(texts), dtype=np.int64)
        place[order] = np.arange(len(texts))
        answers = place[np.array(self._answers.values)].tolist()
        of_rows = [tuple(place[np.array(self._references[row])].tolist()) for row in range(len(self._blank))]
        return [texts[number] for number in order], answers, of_rows, np.array(self._blank)


class SentenceSimilarity(SentenceMetric):
    """A row scores the mean of its cosines with the references.

    ``compat`` embeds an empty answer like any other, as published; ``strict`` gives it 0. Every text is embedded once.
    """

    name: ClassVar[str] = "sbert"
    version: ClassVar[int] = 1

    def outcome(self) -> Outcome:
        """Mean cosines; runs the sentence model."""
        encoder = sentence_encoder(self.resources)
        texts, answers, of_rows, blank = self.rows()
        cosines = mean_cosines(encoder, texts, answers, of_rows)
        ones = np.ones(len(cosines))
        strict = np.where(blank, 0.0, cosines)
        num_cut = encoder.num_cut(texts)
        return Outcome(
            compat=Ratio(cosines, ones),
            strict=Ratio(strict, ones),
            row_scores=strict,
            num_unparsed=int(blank.sum()),
            details={"sentence_model": encoder.name, "num_sentences": len(texts), "num_cut": num_cut},
            notes=encoder_notes(encoder, num_cut),
        )


def mean_cosines(encoder: WordEncoder, texts: list[str], answers: list[int], of_rows: list[tuple[int, ...]]) -> Floats:
    """Of each row the mean cosine of its answer with its references, float64 ``(num_rows,)``; see
    :meth:`SentenceMetric.rows`."""
    vectors = encoder(texts)
    found = []
    for answer, own in zip(answers, of_rows, strict=True):
        found.append(float((vectors[list(own)].astype(np.float64) @ vectors[answer].astype(np.float64)).mean()))
    return floats(found)


def references(row: Row) -> list[str]:
    """``text`` where the row has it, else ``answer``, as a list; :class:`EvaluationError` for a blank one."""
    name = "text" if "text" in row.fields else "answer"
    value: Any = row.fields.get(name)
    if isinstance(value, list):
        return row.texts(name)
    text = row.text(name)
    if not text.strip():
        raise row.error(f"field {name!r} is blank; a row needs something to be compared with")
    return [text]


def sentence_encoder(resources: Resources) -> WordEncoder:
    """The sentence model of a run; :class:`EvaluationError` where none was named, since there is no fallback."""
    if resources.sentences is None:
        raise EvaluationError(
            "this metric compares sentence vectors and takes no model by itself: name a folder or a hub id with "
            "--sentence-model (the paper's is sentence-transformers/paraphrase-TinyBERT-L6-v2)"
        )
    encoder: WordEncoder = resources.sentences()
    return encoder


def encoder_notes(encoder: WordEncoder, num_cut: int) -> tuple[str, ...]:
    """What a reader must know of a figure that another model than the published one made, or of texts that were cut."""
    notes = []
    if encoder.is_stand_in:
        notes.append(f"{encoder.name} stands in for the published sentence model: {NOT_COMPARABLE}")
    if num_cut:
        notes.append(f"{num_cut} texts are longer than the sentence model reads; what is beyond does not count")
    return tuple(notes)
