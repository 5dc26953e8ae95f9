"""DATE, the metric of MECAT (arXiv 2507.23511; EVALUATION.md section 4): is a caption like its references, and is it
more like them than like those of other clips?

1. Every word piece of a set of sentences gets a weight, tf times idf, both softened by how alike pieces are.
2. Sentences are encoded with the input vectors of their pieces multiplied by the weights.
3. Similarity is the cosine with the mean of a clip's reference vectors, times the fluency penalty of FENSE.
4. Discrimination is the share of clips whose references are less similar, by more than delta / 2.
5. A row scores the harmonic mean of the two.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from opendasheng.errors import EvaluationError
from opendasheng.evaluate.metrics.base import Floats, Outcome, Pieces, Ratio, Rounded, WordEncoder
from opendasheng.evaluate.metrics.fense import checker_notes, fluency_checker, penalties
from opendasheng.evaluate.metrics.sbert import SentenceMetric, encoder_notes, sentence_encoder

# How much more similar its own references must be, by what is described. MECAT takes those of pure clips for mixed ones
# too, and that of long captions for answers to questions.
DELTAS = {"long": 0.1703, "short": 0.1772, "speech": 0.2078, "music": 0.1566, "sound": 0.1988, "environment": 0.2150}
# As published: it keeps 0 / 0 from being one.
_EPSILON = 1e-8
# Values of the largest arrays: products of words and pieces, and of answers and references.
_MAX_VALUES = 2**23
_WORDS_AT_ONCE = 512

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Parts:
    """What DATE is made of, by row: float64 ``(num_rows,)`` each."""

    similarity: Floats
    discrimination: Floats

    def compat(self) -> Floats:
        """The harmonic means by the published formula, which a similarity below 0 can send anywhere."""
        total = self.similarity + self.discrimination
        return 2 * self.similarity * self.discrimination / (total + _EPSILON)

    def strict(self) -> Floats:
        """The harmonic means of what is above 0, else 0."""
        both = (self.similarity > 0) & (self.discrimination > 0)
        total = np.where(both, self.similarity + self.discrimination, 1.0)
        return np.where(both, 2 * self.similarity * self.discrimination / total, 0.0)


class Date(SentenceMetric):
    """``compat`` is that of the mecat package 1.1.0, rounded to 4 decimals as there. In ``strict`` an answer that is
    unlike its references (cosine 0 or less) scores 0, since the published formula has no meaning there; so does an
    empty one, whose row also takes no part in the weights and the discrimination of others.

    Options: ``delta_group``, a key of :data:`DELTAS` (long), and ``penalty``, see :class:`Fense`. Weights and
    discrimination are those of all rows in every resample of an interval: they are properties of the set.
    """

    name: ClassVar[str] = "date"
    version: ClassVar[int] = 1
    option_names: ClassVar[frozenset[str]] = frozenset({"delta_group", "penalty"})

    def outcome(self) -> Outcome:
        """Mean harmonic means; runs the sentence model and the fluency checker."""
        group = self.options.get("delta_group", "long")
        if group not in DELTAS:
            raise EvaluationError(f"metric date: option delta_group is {group!r}; it is one of {', '.join(DELTAS)}")
        encoder, checker = sentence_encoder(self.resources), fluency_checker(self)
        texts, answers, of_rows, blank = self.rows()
        factors = penalties(checker, texts, answers)
        parts = date_parts(encoder, texts, answers, of_rows, factors, DELTAS[group])
        scores = np.zeros(len(blank))
        if not blank.any():
            scores = parts.strict()
        elif not blank.all():
            kept = np.flatnonzero(~blank)
            rest = [answers[row] for row in kept], [of_rows[row] for row in kept]
            scores[kept] = date_parts(encoder, texts, *rest, factors[kept], DELTAS[group]).strict()
        ones = np.ones(len(scores))
        num_cut = encoder.num_cut(texts)
        return Outcome(
            compat=Rounded(Ratio(parts.compat(), ones), 4),
            strict=Ratio(scores, ones),
            row_scores=scores,
            num_unparsed=int(blank.sum()),
            details={
                "sentence_model": encoder.name,
                "fluency_model": None if checker is None else checker.name,
                "delta": DELTAS[group],
                "similarity": 100 * Ratio(parts.similarity, ones)(),
                "discrimination": 100 * Ratio(parts.discrimination, ones)(),
                "num_undefined": int((parts.similarity + parts.discrimination <= 0).sum()),
                "num_penalised": int((factors < 1).sum()),
                "num_cut": num_cut,
            },
            notes=(*encoder_notes(encoder, num_cut), *checker_notes(checker)),
        )


def date_parts(
    encoder: WordEncoder,
    texts: list[str],
    answers: Sequence[int],
    of_rows: Sequence[tuple[int, ...]],
    factors: Floats,
    delta: float,
) -> Parts:
    """Similarity and discrimination of each row. Texts are numbered by ``answers`` and ``of_rows``, the references.

    Equal answers, and equal lists of references, are compared once and counted as often as they are.
    """
    chosen, answer_of_row = np.unique(np.array(answers), return_inverse=True)
    lists = sorted(set(of_rows))
    place = {numbers: number for number, numbers in enumerate(lists)}
    list_of_row = np.array([place[numbers] for numbers in of_rows])
    answer_vectors = _encode(encoder, texts, Counter(answers))
    vectors = _encode(encoder, texts, Counter(number for numbers in of_rows for number in numbers))
    means = np.stack([np.mean([vectors[number] for number in numbers], axis=0) for numbers in lists])
    return _compare(
        np.stack([answer_vectors[number] for number in chosen.tolist()]),
        means,
        (answer_of_row, list_of_row),
        factors,
        delta,
    )


def _compare(answers: Vectors, means: Vectors, of_row: tuple[Pieces, Pieces], factors: Floats, delta: float) -> Parts:
    """Every answer against every clip's references, some rows at a time; ``means`` has the vectors of unique lists."""
    answer_of_row, list_of_row = of_row
    times = np.bincount(list_of_row, minlength=len(means)).astype(np.float64)
    half = np.float32(delta / 2)
    similarity, discrimination = np.empty(len(factors)), np.empty(len(factors))
    # In an order that the texts give, so that products are the same whatever the order of rows.
    order = np.lexsort((list_of_row, answer_of_row))
    step = max(1, _MAX_VALUES // len(means))
    for start in range(0, len(order), step):
        rows = order[start : start + step]
        factor = factors[rows].astype(np.float32)[:, None]
        products = (answers[answer_of_row[rows]] @ means.T) * factor
        own = products[np.arange(len(rows)), list_of_row[rows]]
        similarity[rows] = own
        # Those that are not less similar, the clip itself among them, count against it.
        discrimination[rows] = 1 - (products >= (own - half)[:, None]) @ times / len(factors)
    return Parts(similarity, discrimination)


def _encode(encoder: WordEncoder, texts: list[str], times: Counter[int]) -> dict[int, Vectors]:
    """The vectors of a set of sentences by their number, each piece weighted by what it tells in this set."""
    numbers = sorted(times)
    sentences = encoder.pieces([texts[number] for number in numbers])
    weights = piece_weights(encoder, sentences, np.array([times[number] for number in numbers], dtype=np.float64))
    return dict(zip(numbers, encoder.encode_weighted(sentences, weights), strict=True))


def piece_weights(encoder: WordEncoder, sentences: list[Pieces], times: Floats) -> list[Vectors]:
    """Weights of the pieces of each sentence, float32 ``(num_pieces,)``, with mean 1 over its words.

    The first piece gets the greatest weight of a word, the last one the least; ``times`` says how often each
    sentence is in the set. Memory does not grow with the number of sentences.
    """
    ignored = np.array(sorted(encoder.ignored))
    places = [np.flatnonzero(~np.isin(pieces, ignored)) for pieces in sentences]
    words = [pieces[where] for pieces, where in zip(sentences, places, strict=True)]
    known = np.unique(np.concatenate(words)) if words else np.empty(0, dtype=np.int64)
    weights = [np.ones(len(pieces), dtype=np.float32) for pieces in sentences]
    if not len(known):
        return weights
    vectors = _half(encoder.piece_vectors(known))
    vectors = _half(vectors / np.maximum(_half(np.linalg.norm(vectors, axis=1, keepdims=True)), np.float32(1e-4)))
    of_sentence = [np.searchsorted(known, numbers) for numbers in words]
    frequencies = _document_frequencies(vectors, of_sentence, times)
    rarity = (np.log((times.sum() + 1) / (frequencies + 1)) + 1).astype(np.float32)
    for rows in _equal(of_sentence, _MAX_VALUES // 64):
        numbers = np.stack([of_sentence[row] for row in rows])
        own = vectors[numbers]
        told = _half(_squares(own, own.transpose(0, 2, 1)).sum(axis=2)) * rarity[numbers]
        for row, value in zip(rows, _half(told / told.mean(axis=1, keepdims=True)), strict=True):
            weights[row][places[row]] = value
            if sentences[row][0] == encoder.first:
                weights[row][0] = value.max()
            weights[row][np.flatnonzero(sentences[row] == encoder.last)[:1]] = value.min()
    return weights


def _document_frequencies(vectors: Vectors, of_sentence: list[NDArray[np.int64]], times: Floats) -> Floats:
    """In how many sentences each word is, float64 ``(V,)``: of a sentence at most 1, the sum of the squared cosines of
    its words. Words are taken some hundred at a time."""
    found = np.zeros(len(vectors))
    for start in range(0, len(vectors), _WORDS_AT_ONCE):
        block = slice(start, start + _WORDS_AT_ONCE)
        squares = _squares(vectors, vectors[block].T)
        for rows in _equal(of_sentence, _MAX_VALUES // _WORDS_AT_ONCE):
            numbers = np.stack([of_sentence[row] for row in rows])
            there = squares[numbers[:, 0]]
            for column in numbers.T[1:]:
                there += squares[column]
            found[block] += (np.minimum(_half(there), 1) * times[rows][:, None]).sum(axis=0)
    return found


def _squares(left: Vectors, right: Vectors) -> Vectors:
    """Squared cosines."""
    squares: Vectors = _half(_half(left @ right) ** 2)
    return squares


def _half(values: NDArray[Any]) -> Vectors:
    """Values as half precision has them. The package keeps them so, and of a small set it moves the fourth decimal."""
    return values.astype(np.float16).astype(np.float32)


def _equal(of_sentence: list[NDArray[np.int64]], max_words: int) -> Iterator[list[int]]:
    """Numbers of sentences with as many words, at least one, of together at most ``max_words`` or one sentence."""
    groups: dict[int, list[int]] = {}
    for row, numbers in enumerate(of_sentence):
        groups.setdefault(len(numbers), []).append(row)
    for length in sorted(set(groups) - {0}):
        step = max(1, max_words // length)
        for start in range(0, len(groups[length]), step):
            yield groups[length][start : start + step]
