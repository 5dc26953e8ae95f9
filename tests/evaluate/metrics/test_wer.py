"""Error rates are edits over length, with and without the utterances that the published script leaves out."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opendasheng.errors import EvaluationError
from opendasheng.evaluate.metrics import make_metric
from opendasheng.evaluate.rows import Row


def outcome(*rows, language="en", metric="wer"):
    metric = make_metric(metric, 1)
    for number, (text, answer) in enumerate(rows, 1):
        metric.add(Row("p.jsonl", number, {"text": text, "model_output": answer, "lang": language}))
    return metric.outcome()


def test_edits_over_length():
    found = outcome(("the cat sat on the mat", "the cat sat mat today"), ("a dog", "A dog."))
    assert found.compat() == found.strict() == 3 / 8
    kinds = [found.details[name] for name in ("substitutions", "deletions", "insertions")]
    assert sum(kinds) == found.details["errors"] == 3
    assert list(found.row_scores) == [0.5, 1.0]


def test_characters_are_counted_with_one_space_between_words():
    found = outcome(("The cat sat.", "the  cut sat"), ("a dog", "a dogs"), metric="cer")
    assert found.compat() == found.strict() == 2 / (11 + 5)
    assert outcome(("\u4f60\u597d", "\u4f60"), language="zh", metric="cer").compat() == 1 / 2


def test_an_empty_answer_costs_nothing_as_published_and_every_word_strictly():
    found = outcome(("how are you today", ""), ("a dog barks", "a dog"))
    assert found.compat() == 1 / 3
    assert found.strict() == 5 / 7
    assert (found.num_skipped, found.num_unparsed) == (1, 1)
    assert "left out" in found.notes[0]


def test_words_for_silence_are_insertions():
    found = outcome(("[noise]", "hello there"), ("a dog", "a dog"))
    assert found.compat() == 0
    assert found.strict() == 2 / 2


def test_all_empty_is_all_wrong():
    found = outcome(("a dog", ""), ("a cat", "..."))
    assert found.compat() == found.strict() == 1
    silent = outcome(("[noise]", ""))
    assert silent.strict() == 0


def test_the_language_of_each_row_counts():
    metric = make_metric("wer", 1)
    for number, (language, text, answer) in enumerate(
        [("en", "colour", "color"), ("fr", "colour", "color"), ("zh", "20 个", "二十个")], 1
    ):
        metric.add(Row("p.jsonl", number, {"text": text, "model_output": answer, "lang": language}))
    found = metric.outcome()
    assert found.details["errors"] == 1
    assert found.details["reference_units"] == 1 + 1 + 3
    assert found.details["languages"] == {"en": 1, "fr": 1, "zh": 1}


@pytest.mark.parametrize("name", ["text", "model_output", "lang"])
def test_a_missing_field_is_named(name):
    fields = {"text": "a", "model_output": "a", "lang": "en"}
    del fields[name]
    with pytest.raises(EvaluationError, match=rf"p\.jsonl: row 7: field '{name}' is missing"):
        make_metric("wer", 1).add(Row("p.jsonl", 7, fields))


WORDS = st.lists(st.sampled_from(["dog", "cat", "bird", "fish"]), min_size=1, max_size=8)


@settings(max_examples=100)
@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=6))
def test_compat_is_the_plain_distance(pairs):
    def distance(a, b):
        row = list(range(len(b) + 1))
        for i, x in enumerate(a, 1):
            diagonal, row[0] = row[0], i
            for j, y in enumerate(b, 1):
                diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
        return row[-1]

    found = outcome(*((" ".join(a), " ".join(b)) for a, b in pairs))
    assert found.compat() == sum(distance(a, b) for a, b in pairs) / sum(len(a) for a, _ in pairs)
