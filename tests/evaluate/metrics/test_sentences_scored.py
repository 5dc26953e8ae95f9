"""Sentence metrics on a small real model: cosines, penalties, blanks, and nothing that depends on the order of rows."""

import random

import pytest
from tiny_sentences import tiny_fluency_folder, tiny_sentence_model

from opendasheng.evaluate.metrics import make_metric
from opendasheng.evaluate.metrics.bleu import sentence_bleu, tokens_13a
from opendasheng.evaluate.rows import Row
from opendasheng.evaluate.sentences import resources

ROWS = [
    ("a dog barks", ["a dog barks", "the dog is loud"]),
    ("rain on the roof", ["quiet rain"]),
    ("", ["birds"]),
    ("music plays while a woman sings", ["a woman sings", "music"]),
]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return resources(str(tiny_sentence_model(folder / "s")), str(tiny_fluency_folder(folder / "f")), device="cpu")


def outcome(name, models, rows=ROWS, **options):
    metric = make_metric(name, 1, options, models)
    for number, (answer, texts) in enumerate(rows, 1):
        metric.add(Row("p.jsonl", number, {"text": texts, "model_output": answer}))
    return metric.outcome()


@pytest.mark.parametrize("name", ["sbert", "fense", "date", "bleu"])
def test_the_order_of_rows_moves_no_digit(name, models):
    first = outcome(name, models)
    rows = list(ROWS)
    random.Random(1).shuffle(rows)
    second = outcome(name, models, rows)
    assert (first.compat(), first.strict()) == (second.compat(), second.strict())
    assert sorted(first.row_scores) == sorted(second.row_scores)


def test_a_row_scores_the_mean_of_its_cosines(models):
    found = outcome("sbert", models, ROWS[:1])
    encoder = models.sentences()
    answer, *texts = encoder(["a dog barks", *ROWS[0][1]])
    assert found.compat() == pytest.approx(sum(float(answer @ text) for text in texts) / 2, abs=1e-6)


def test_an_empty_answer_has_a_vector_as_published_and_nothing_strictly(models):
    found = outcome("sbert", models)
    assert found.num_unparsed == 1
    assert found.row_scores[2] == 0
    assert found.strict() != found.compat()
    assert any("stands in" in note for note in found.notes)


def test_a_broken_sentence_keeps_a_tenth(models):
    with_it, without = outcome("fense", models), outcome("fense", models, penalty=False)
    plain = outcome("sbert", models)
    assert without.strict() == pytest.approx(plain.strict())
    checked = models.fluency()([answer for answer, _ in ROWS]) > 0.9
    assert with_it.details["num_penalised"] == int(checked.sum())
    for broken, kept, full in zip(checked, with_it.row_scores, plain.row_scores, strict=True):
        assert kept == pytest.approx(full * (0.1 if broken else 1))
    assert round(with_it.compat(), 4) == with_it.compat()


def test_bleu_counts_runs_of_words():
    assert sentence_bleu(["a", "b", "c", "d"], [["a", "b", "c", "d"]]) == [1, 1, 1, 1]
    assert sentence_bleu(["a", "b"], [["a", "c"]])[:2] == [0.5, 0]
    assert sentence_bleu([], [["a"]]) == [0, 0, 0, 0]
    assert tokens_13a("It's 3.5, isn't it?") == ["It's", "3.5", ",", "isn't", "it", "?"]
