"""A label is right where it is named; strictly, as a whole word and alone."""

import pytest

from opendasheng.errors import EvaluationError
from opendasheng.evaluate.metrics import make_metric
from opendasheng.evaluate.rows import Row


def outcome(*rows, options=None):
    metric = make_metric("accuracy", 1, options)
    for number, (label, answer) in enumerate(rows, 1):
        metric.add(Row("p.jsonl", number, {"label": label, "model_output": answer}))
    return metric.outcome()


OTHERS = [(["dog"], "dog"), (["bass guitar"], "bass guitar"), (["c"], "c"), (["c#"], "c#"), (["synth_lead"], "x")]


@pytest.mark.parametrize(
    ("label", "answer", "compat", "strict"),
    [
        ("cat", "cat", True, True),
        ("cat", "It is a Cat.", True, True),
        ("cat", "concatenate", True, False),
        ("cat", "cat or dog", True, False),
        ("cat", "not a cat", True, False),
        ("cat", "a cat, not a dog", True, True),
        ("guitar", "bass guitar", True, False),
        ("cat", "\uff23\uff21\uff34", False, True),  # fullwidth
        ("caf\u00e9", "cafe\u0301", False, True),  # NFD
        ("c", "C#", True, False),
        ("synth_lead", "synth lead", False, True),
        ("cat", "", False, False),
        ("cat", "cats", True, True),
        ("cat", "a cat's meow", True, True),
        ("cat", "I don't hear a cat", True, False),
        ("cat", "No. Cat.", True, True),
    ],
)
def test_cases(label, answer, compat, strict):
    found = outcome(([label], answer), *OTHERS)
    others = outcome(*OTHERS)
    num = len(OTHERS)
    assert found.compat() == (others.compat() * num + compat) / (num + 1)
    assert found.strict() == (others.strict() * num + strict) / (num + 1)
    assert bool(found.row_scores[0]) == strict


def test_only_the_first_label_counts_as_published():
    found = outcome((["cat", "dog"], "dog"))
    assert (found.compat(), found.strict()) == (0, 1)


def test_labels_of_the_task_are_known_too():
    assert outcome((["cat"], "cat or fish")).strict() == 1
    assert outcome((["cat"], "cat or fish"), options={"labels": ["fish"]}).strict() == 0


def test_what_names_nothing_is_counted():
    found = outcome((["cat"], "hm"), (["dog"], ""), (["dog"], "cat and dog"))
    assert (found.num_unparsed, found.details["num_several_labels"]) == (2, 1)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("dog", r"field 'label' is the text \"dog\", not a list; write \[\"dog\"\]"),
        ([], "empty list"),
        ([""], "blank text, which every answer would contain"),
        ([1], "not a list of texts"),
        (None, "null"),
    ],
)
def test_labels_that_would_score_wrongly_are_refused(label, message):
    with pytest.raises(EvaluationError, match=rf"p\.jsonl: row 1: .*{message}"):
        outcome((label, "dog"))
