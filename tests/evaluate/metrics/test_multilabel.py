"""Mean average precision in closed form, and two ways to read labels out of an answer."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from opendasheng.evaluate.metrics import make_metric, multilabel
from opendasheng.evaluate.metrics.multilabel import published_split
from opendasheng.evaluate.rows import Row

LABELS = ["dog", "bark", "rain and thunder", "violin", "guitar"]
SETS = st.sets(st.sampled_from(LABELS))


def outcome(*rows, model="MiDashengLM", dataset="AudioSet"):
    metric = make_metric("multi_label_map", 1)
    for number, (label, answer) in enumerate(rows, 1):
        fields = {"label": label, "model_output": answer, "model_name": model, "dataset_name": dataset}
        metric.add(Row("p.jsonl", number, fields))
    return metric.outcome()


@settings(max_examples=100)
@given(st.lists(st.tuples(SETS, SETS), min_size=1, max_size=12))
def test_the_closed_form_is_scikit_learns(rows):
    rows = [({"dog"}, {"dog"}), *rows]
    found = outcome(*((sorted(wanted), "; ".join(sorted(given))) for wanted, given in rows))
    known = sorted(set().union(*(wanted for wanted, _ in rows)))
    truth, guess = (np.array([[label in sets[side] for label in known] for sets in rows], dtype=int) for side in (0, 1))
    assert found.compat() == average_precision_score(truth, guess, average="macro")
    assert found.compat(np.ones(len(rows))) == pytest.approx(found.compat())
    assert found.strict() == pytest.approx(found.compat())


def test_all_or_nothing_scores_the_prevalence():
    rows = [(["dog"], ""), (["bark"], "")]
    assert outcome(*rows).compat() == 0.5
    assert outcome(*((label, "dog; bark") for label, _ in rows)).compat() == 0.5
    assert outcome((["dog"], "dog"), (["bark"], "bark")).compat() == 1


@pytest.mark.parametrize(
    ("model", "dataset", "answer", "labels"),
    [
        ("MiDashengLM", "AudioSet", "dog; wind, breeze", ["dog", "wind, breeze"]),
        ("MiDashengLM", "FSD50K", "dog; chirp, and tweet; a, b", ["dog", "chirp and tweet", "a and b"]),
        ("Qwen2.5-Omni", "FSD50K", "dog_bark, rain - drop", ["dog bark", "rain and drop"]),
        ("Qwen2.5-Omni", "AudioSet", "dog; rain - drop, x", ["dog", "rain, drop, x"]),
        ("Kimi-Audio", "FSD50K", "dog_bark,rain; x", ["dog bark", "rain; x"]),
    ],
)
def test_published_rules_depend_on_the_model(model, dataset, answer, labels):
    assert published_split(answer, model, dataset) == labels


@pytest.mark.parametrize(
    ("answer", "stated"),
    [
        ("and dog barks", ["dog", "bark"]),
        ("rain and thunder; and dog", ["dog", "rain and thunder"]),
        ("and a dog is there, a violin never", ["dog"]),
        ("not a dog, and guitar", ["guitar"]),
    ],
)
def test_a_word_that_does_not_count_neither_hides_a_clause_nor_makes_one(answer, stated):
    found = outcome((stated, answer), (LABELS, "; ".join(LABELS)))
    assert found.row_scores[0] == 1


def test_strictly_the_model_does_not_matter():
    rows = [(["rain and thunder"], "Rain, thunder"), (["guitar"], "Guitar"), (["bass guitar"], "Bass_Guitar")]
    figures = {model: outcome(*rows, model=model) for model in ("MiDashengLM", "Qwen2.5-Omni", "Kimi-Audio")}
    assert {found.strict() for found in figures.values()} == {1.0}
    assert len({found.compat() for found in figures.values()}) > 1
    assert outcome((["guitar"], "bass guitar"), (["bass guitar"], "x")).row_scores[0] == 0


def test_rows_without_labels_count_as_rows():
    found = outcome(([], "dog"), (["dog"], "dog"))
    assert found.compat() == 0.5
    assert found.details["num_labels"] == 1
    assert found.num_unparsed == 0


@pytest.mark.parametrize("sign", ["; ", ", ", "\n"])
def test_labels_do_not_run_across_what_parts_them(sign):
    assert outcome((["Wind", "Chime"], f"Wind{sign}Chime"), (["Wind chime"], "Wind chime")).strict() == 1


def test_labels_that_no_row_has_are_counted_and_left_out():
    found = outcome((["dog"], "dog; cat"), (["bark"], "cat; cow"))
    assert (found.details["num_outside"], found.details["num_labels"]) == (3, 2)
    assert found.compat() == (1.0 + 0.5) / 2


def test_many_rows_are_compared_some_at_a_time(monkeypatch):
    rows = [([LABELS[i % 5]], "; ".join((LABELS[i % 5], LABELS[i % 3]))) for i in range(50)]
    whole = outcome(*rows)
    monkeypatch.setattr(multilabel, "_ROWS_AT_ONCE", 7)
    parts = outcome(*rows)
    assert (parts.compat(), parts.strict(), parts.details) == (whole.compat(), whole.strict(), whole.details)
    assert list(parts.row_scores) == list(whole.row_scores)


def test_of_distinct_answers_made_of_labels_no_text_is_kept():
    names = [f"label {i}" for i in range(200)]
    tracemalloc.start()
    try:
        picked = ((names[i % 200], names[i * 7 % 199], names[i * 13 % 197]) for i in range(20_000))
        outcome(*(([one], f"{one}; {two}; {three}") for one, two, three in picked))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 18 * 2**20
