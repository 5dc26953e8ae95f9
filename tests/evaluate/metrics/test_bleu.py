"""BLEU of single sentences: the package's rule with its white space, and sacrebleu's figures with its tokens."""

import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opendasheng.evaluate.metrics import make_metric
from opendasheng.evaluate.metrics.bleu import sentence_bleu, tokens_13a
from opendasheng.evaluate.rows import Row

SENTENCES = st.lists(st.sampled_from("abcd"), max_size=8)


def outcome(*rows):
    metric = make_metric("bleu", 1)
    for number, (answer, texts) in enumerate(rows, 1):
        metric.add(Row("p.jsonl", number, {"text": texts, "model_output": answer}))
    return metric.outcome()


def by_definition(answer, wanted, n):
    """BLEU-n without a smart step: every precision counted out."""
    precisions = []
    for size in range(1, n + 1):
        runs = [tuple(answer[start : start + size]) for start in range(len(answer) - size + 1)]
        most = Counter()
        for words in wanted:
            there = Counter(tuple(words[start : start + size]) for start in range(len(words) - size + 1))
            for run, times in there.items():
                most[run] = max(most[run], times)
        precisions.append(sum(min(times, most[run]) for run, times in Counter(runs).items()) / max(1, len(runs)))
    if not all(precisions):
        return 0.0
    nearest = min((len(words) for words in wanted), key=lambda length: abs(length - len(answer)))
    brevity = 1.0 if len(answer) > nearest else math.exp(1 - nearest / len(answer))
    return brevity * math.prod(precisions) ** (1 / n)


@settings(max_examples=200)
@given(SENTENCES, st.lists(SENTENCES, min_size=1, max_size=3))
def test_scores_are_the_definition(answer, wanted):
    assert sentence_bleu(answer, wanted) == pytest.approx([by_definition(answer, wanted, n) for n in range(1, 5)])


@pytest.mark.parametrize(
    ("answer", "texts", "expected"),
    [  # of sacrebleu 2.6: lowercase, smooth_method none, max_ngram_order 1 to 4
        (
            "A dog barks loudly, near the road.",
            ["a dog barks loudly near the road.", "A dog is barking near a road, loudly."],
            [100, 86.60254037844388, 75.39474411291539, 61.47881529512643],
        ),
        ("Rain falls.", ["Rain falls on a roof."], [36.78794411714425, 26.013004751144457, 0, 0]),
        (
            "It costs 3.5 dollars, he says.",
            ["It costs 3.5 dollars he says."],
            [87.5, 79.05694150420955, 67.86044041487273, 50],
        ),
    ],
)
def test_strict_is_sacrebleus(answer, texts, expected):
    found = outcome((answer, texts))
    assert [found.details[f"strict_bleu_{n}"] for n in range(1, 5)] == pytest.approx(expected)
    assert 100 * found.strict() == pytest.approx(expected[-1])


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("It's 3.5, isn't it?", ["It's", "3.5", ",", "isn't", "it", "?"]),
        ("1,000 km-long; 5-6.", ["1,000", "km-long", ";", "5", "-", "6", "."]),
        (",,1 ..3.5", [",", ",1", ".", ".3.5"]),
        ("&quot;A&quot; &amp;lt; <skipped>b", ['"', "A", '"', "<", "b"]),
        ("(caf\u00e9)/[x]_{y}", ["(", "caf\u00e9", ")", "/", "[", "x", "]", "_", "{", "y", "}"]),
        ("", []),
    ],
)
def test_tokens_are_those_of_13a(text, tokens):
    assert tokens_13a(text) == tokens


def test_only_strict_takes_punctuation_off():
    found = outcome(("Rain, then wind!", ["rain then wind"]))
    assert found.details["bleu_1"] == pytest.approx(100 / 3)
    assert found.details["strict_bleu_1"] == pytest.approx(60)


def test_of_two_references_as_near_strict_takes_the_shorter_whatever_their_order():
    long, short = "a b c d e", "a b c"
    first, second = outcome(("a b c d", [long, short])), outcome(("a b c d", [short, long]))
    assert first.strict() == second.strict() == pytest.approx(1)
    assert first.compat() == pytest.approx(math.exp(-1 / 4))
    assert second.compat() == pytest.approx(1)


def test_an_empty_answer_scores_nothing_and_counts():
    found = outcome(("", ["a dog barks at night"]), ("a dog barks at night", ["a dog barks at night"]))
    assert (found.compat(), found.strict(), found.num_unparsed) == (0.5, 0.5, 1)
