"""DATE against its definition written out in double precision, and where it must not depend on what it is given."""

import numpy as np
import pytest
from tiny_sentences import WORDS, tiny_sentence_model

from opendasheng.errors import EvaluationError
from opendasheng.evaluate.metrics import date as date_module
from opendasheng.evaluate.metrics import make_metric
from opendasheng.evaluate.metrics.base import Resources
from opendasheng.evaluate.metrics.date import DELTAS, Parts, piece_weights
from opendasheng.evaluate.metrics.sbert import NOT_COMPARABLE
from opendasheng.evaluate.rows import Row
from opendasheng.evaluate.sentences import load_sentence_model


class Rule:
    """Sentences about noise are broken; remembers how far it was to read."""

    name = "rule"
    is_stand_in = False

    def __init__(self):
        self.limits = []

    def __call__(self, texts, max_pieces=256):
        self.limits.append(max_pieces)
        return np.array([0.95 if "noise" in text else 0.9 for text in texts], dtype=np.float32)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return load_sentence_model(str(tiny_sentence_model(tmp_path_factory.mktemp("model") / "m")), device="cpu")


def some_rows(number, seed=0):
    random = np.random.default_rng(seed)

    def sentence():
        return " ".join(random.choice(WORDS.split(), random.integers(2, 9)))

    rows = []
    for _ in range(number):
        texts = [sentence() for _ in range(3)]
        rows.append((texts[0] if random.random() < 0.4 else sentence(), texts))
    return rows


def outcome(encoder, rows, checker=None, metric="date", **options):
    resources = Resources(lambda: encoder, checker and (lambda: checker))
    made = make_metric(metric, 1, {"penalty": checker is not None, **options}, resources)
    for number, (answer, texts) in enumerate(rows, 1):
        made.add(Row("p.jsonl", number, {"text": texts, "model_output": answer}))
    return made.outcome()


def weights_by_definition(encoder, texts):
    sentences = encoder.pieces(texts)
    words = [[piece for piece in own if piece not in encoder.ignored] for own in sentences]

    def unit(pieces):
        vectors = encoder.piece_vectors(np.array(pieces, dtype=np.int64)).astype(np.float64)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    found = []
    for own, those in zip(sentences, words, strict=True):
        told = []
        for word in those:
            frequency = sum(min(1.0, float(((unit(other) @ unit([word])[0]) ** 2).sum())) for other in words if other)
            rarity = np.log((len(texts) + 1) / (frequency + 1)) + 1
            told.append(float(((unit(those) @ unit([word])[0]) ** 2).sum()) * rarity)
        told = np.array(told) / np.mean(told)
        assert len(own) == len(told) + 2
        found.append(np.array([told.max(), *told, told.min()], dtype=np.float32))
    return sentences, found


def by_definition(encoder, rows, delta, factors):
    own = encoder.encode_weighted(*weights_by_definition(encoder, [answer for answer, _ in rows])).astype(np.float64)
    flat = encoder.encode_weighted(*weights_by_definition(encoder, [text for _, texts in rows for text in texts]))
    means = flat.astype(np.float64).reshape(len(rows), -1, flat.shape[1]).mean(axis=1)
    scores = []
    for row, factor in enumerate(factors):
        products = factor * (means @ own[row])
        worse = np.mean(products < products[row] - delta / 2)
        scores.append(2 * products[row] * worse / (products[row] + worse) if products[row] + worse > 0 else 0.0)
    return scores


def test_weights_are_those_of_the_definition(encoder):
    texts = [text for _, texts in some_rows(8) for text in texts]
    sentences, expected = weights_by_definition(encoder, texts)
    for weight, wanted in zip(piece_weights(encoder, sentences, np.ones(len(texts))), expected, strict=True):
        np.testing.assert_allclose(weight, wanted, rtol=4e-3)  # half precision has 11 bits


def test_a_sentence_that_stands_often_counts_as_often(encoder):
    texts = ["a dog barks", "rain on the roof", "quiet music plays"]
    numbers = [0, 1, 1, 1, 2]
    once = piece_weights(encoder, encoder.pieces(texts), np.array([1.0, 3.0, 1.0]))
    often = piece_weights(encoder, encoder.pieces([texts[n] for n in numbers]), np.ones(5))
    for place, number in enumerate(numbers):
        np.testing.assert_array_equal(often[place], once[number])


@pytest.mark.parametrize("group", ["long", "environment"])
def test_date_is_its_definition(encoder, group):
    rows = some_rows(30)
    factors = [0.1 if "noise" in answer else 1.0 for answer, _ in rows]
    assert 0.1 in factors
    found = outcome(encoder, rows, Rule(), delta_group=group)
    expected = by_definition(encoder, rows, DELTAS[group], factors)
    # Half precision can move a clip across the threshold, which is one of 30 in one row.
    assert found.compat() == pytest.approx(np.mean(expected), abs=2e-3)
    assert np.median(np.abs(found.row_scores - np.maximum(expected, 0))) < 1e-3
    assert found.details["num_penalised"] == factors.count(0.1)
    assert round(found.compat(), 4) == found.compat()


def test_neither_order_nor_the_size_of_blocks_moves_a_digit(encoder, monkeypatch):
    rows = some_rows(40)
    rows += rows[:5]
    whole = outcome(encoder, rows)
    order = np.random.default_rng(3).permutation(len(rows))
    shuffled = outcome(encoder, [rows[number] for number in order])
    assert (shuffled.compat.figure(), shuffled.strict()) == (whole.compat.figure(), whole.strict())
    np.testing.assert_array_equal(shuffled.row_scores, whole.row_scores[order])
    monkeypatch.setattr(date_module, "_MAX_VALUES", 640)
    monkeypatch.setattr(date_module, "_WORDS_AT_ONCE", 7)
    assert outcome(encoder, rows).strict() == pytest.approx(whole.strict(), abs=2e-3)


def test_strictly_an_empty_answer_is_one_that_is_missing(encoder):
    rows = some_rows(20)
    given = [row for number, row in enumerate(rows) if number % 4]
    blank = [(answer if number % 4 else "  ", texts) for number, (answer, texts) in enumerate(rows)]
    found = outcome(encoder, blank)
    assert found.strict() == pytest.approx(outcome(encoder, given).strict() * len(given) / len(rows), abs=1e-12)
    assert found.num_unparsed == 5
    assert (found.row_scores[::4] == 0).all()
    nothing = outcome(encoder, [("", texts) for _, texts in rows])
    assert nothing.strict() == 0
    assert np.isfinite(nothing.compat())


def test_nothing_over_nothing_is_guarded():
    parts = Parts(np.array([0.0, -0.2, 0.5, 0.5]), np.array([0.0, 0.4, 0.0, 1.0]))
    assert parts.strict().tolist() == [0, 0, 0, pytest.approx(2 / 3)]
    assert np.isfinite(parts.compat()).all()
    assert parts.compat()[0] == 0


def test_one_clip_has_none_to_be_told_from(encoder):
    checker = Rule()
    assert outcome(encoder, [("a dog barks", ["a dog barks"])], checker).compat() == 0
    assert checker.limits == [64]
    outcome(encoder, some_rows(2), checker)
    assert checker.limits == [64, 256]


def test_the_threshold_itself_is_no_error(encoder):
    """The checker says 0.9 exactly of what is not about noise; only more is punished."""
    found = outcome(encoder, [("a dog", ["a dog"]), ("noise", ["noise"])], Rule(), metric="fense")
    assert found.row_scores == pytest.approx([1, 0.1], abs=1e-6)


@pytest.mark.parametrize("options", [{"delta_group": "loud"}, {"penalty": "no"}])
def test_options_are_checked(encoder, options):
    with pytest.raises(EvaluationError, match=next(iter(options))):
        outcome(encoder, some_rows(2), **options)


@pytest.mark.parametrize("metric", ["date", "fense"])
def test_a_checker_that_stands_in_or_is_left_out_is_said(encoder, metric):
    """What is said makes a report show no difference from the paper."""
    checker = Rule()
    options = {"delta_group": "long"} if metric == "date" else {}
    said = [note for note in outcome(encoder, some_rows(4), checker, metric, **options).notes if "fluency" in note]
    assert said == []
    checker.is_stand_in = True
    [note] = [n for n in outcome(encoder, some_rows(4), checker, metric, **options).notes if "fluency" in n]
    assert note == "rule stands in for the published fluency checker: not comparable with published figures"
    found = outcome(encoder, some_rows(4), None, metric, **options).notes
    assert any(note.endswith(NOT_COMPARABLE) and "without the penalty" in note for note in found)
