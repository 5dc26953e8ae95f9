"""BLEU of a whole file: sacrebleu's figures, sentences that count by their length, typing that strict does not mind."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opendasheng.evaluate.metrics import make_metric
from opendasheng.evaluate.metrics.corpus_bleu import bleu
from opendasheng.evaluate.rows import Row

ANSWERS = ["A dog barks loudly, near the road.", "Rain falls.", "It costs 3.5 dollars, he says.", ""]
FIRST = [
    "a dog barks loudly near the road.",
    "Rain falls on a roof.",
    "It costs 3.5 dollars he says.",
    "Nothing.",
]
SECOND = [
    "A dog is barking near a road, loudly.",
    "It rains.",
    "\u201cIt costs 3.5 dollars\u201d, he says.",
    "Silence.",
]


def outcome(answers, *references):
    metric = make_metric("corpus_bleu", 1)
    for number, (answer, *texts) in enumerate(zip(answers, *references, strict=True), 1):
        metric.add(Row("p.jsonl", number, {"text": texts, "model_output": answer}))
    return metric.outcome()


def test_compat_is_sacrebleus():  # 2.6.0, BLEU().corpus_score
    assert 100 * outcome(ANSWERS, FIRST, SECOND).compat() == pytest.approx(54.05470818066127)
    assert 100 * outcome(ANSWERS[:3], FIRST[:3]).compat() == pytest.approx(43.28038143284585)
    # smoothed: no run of three or four words is shared
    assert 100 * outcome(["the cat sat down here"], ["the dog sat up here"]).compat() == pytest.approx(
        14.058533129758727
    )
    # too short for a run of four words
    assert outcome(["a b"], ["a b"]).compat() == 0
    assert outcome(ANSWERS[1:2], FIRST[1:2], SECOND[1:2]).compat() == 0


def test_sentences_are_sacrebleus_with_effective_order():
    counts = outcome(ANSWERS, FIRST, SECOND).compat.counts
    assert [100 * bleu(row, effective_order=True) for row in counts] == pytest.approx(
        [48.10977290978806, 62.996052494743665, 69.14415692838826, 0.0]
    )


def test_strict_minds_no_case_width_or_curled_quotes():
    found = outcome(["IT\u2019S \u201cmine\u201d, \uff34\uff4f\uff4d said"], ['it\'s "mine", Tom said'])
    assert found.strict() == 1
    assert found.compat() < 0.5
    assert list(found.row_scores) == [1]


def test_an_empty_answer_makes_the_file_too_short():
    text = "the cat sat on the mat"
    found = outcome([text, " "], [text, text])
    assert found.compat() == found.strict() == pytest.approx(np.exp(-1))
    assert found.num_unparsed == 1
    assert list(found.row_scores) == [1, 0]


@given(st.lists(st.integers(0, 3), min_size=len(ANSWERS), max_size=len(ANSWERS)))
def test_a_row_that_counts_twice_is_that_row_twice(times):
    found = outcome(ANSWERS, FIRST, SECOND)
    chosen = [number for number, count in enumerate(times) for _ in range(count)]
    repeated = outcome(*([column[number] for number in chosen] for column in (ANSWERS, FIRST, SECOND)))
    assert found.compat(np.array(times, dtype=np.float64)) == pytest.approx(repeated.compat())
