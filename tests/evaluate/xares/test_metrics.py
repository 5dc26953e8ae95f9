"""Metrics against their definitions, written out."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opendasheng.errors import EvaluationError
from opendasheng.evaluate.xares import metrics

SCORES = st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=12)


@given(SCORES)
def test_average_precision_is_precision_summed_over_steps_of_recall(rows: list[tuple[int, bool]]) -> None:
    expected, before = Fraction(0), 0
    positives = sum(positive for _, positive in rows)
    for threshold in sorted({score for score, _ in rows}, reverse=True):
        taken = [positive for score, positive in rows if score >= threshold]
        expected += Fraction((sum(taken) - before) * sum(taken), max(1, positives) * len(taken))
        before = sum(taken)
    scores, truth = np.array([s for s, _ in rows], dtype=float), np.array([p for _, p in rows])
    assert metrics.average_precision(scores, truth) == pytest.approx(float(expected))


def test_a_class_without_a_positive_counts_only_in_compat() -> None:
    scores, labels = np.array([[0.9, 0.1], [0.1, 0.9]]), np.array([[1.0, 0.0], [0.0, 0.0]])
    assert metrics.mean_average_precision(scores, labels, "compat") == 0.5
    assert metrics.mean_average_precision(scores, labels, "strict") == 1.0
    with pytest.raises(EvaluationError, match="nothing to compute mAP from"):
        metrics.mean_average_precision(scores, np.zeros((2, 2)), "strict")


def test_times_are_rounded_up_to_frames() -> None:
    assert metrics.frames_of(0.0, 0.04) == 0
    assert metrics.frames_of(0.041, 0.04) == 2
    assert metrics.frames_of(1.0, 0.04) == 25
    assert metrics.frames_of(0.1, 0.04) == 3


def test_a_segment_is_active_where_any_of_its_frames_is_and_the_tail_is_dropped() -> None:
    active = np.zeros((8, 2), dtype=bool)
    active[1, 0] = active[7, 1] = True
    assert metrics.segments(active, 3).tolist() == [[True, False], [False, False]]
    assert metrics.segments(active[:2], 3).shape == (0, 2)


def test_segment_f1_counts_pooled_or_by_class() -> None:
    found = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0]], dtype=bool)
    wanted = np.array([[1, 0, 0], [0, 0, 0], [0, 1, 0]], dtype=bool)
    # By class: 2 * 1 / (2 + 1), 1, and a class that is nowhere. Pooled: 2 * 2 / (3 + 2).
    assert metrics.segment_f1(found, wanted, "macro", "compat") == pytest.approx((2 / 3 + 1) / 3)
    assert metrics.segment_f1(found, wanted, "macro", "strict") == pytest.approx((2 / 3 + 1) / 2)
    assert metrics.segment_f1(found, wanted, "micro") == pytest.approx(0.8)


def test_recall_is_the_mean_of_both_directions() -> None:
    audio = np.eye(3)
    captions = np.array([[1, 0, 0], [0.9, 0.1, 0], [1, 0.5, 0], [0, 0, 1.0]])
    # Clip 1's only caption is the third, which is nearer to clip 0: it is found by neither side.
    assert metrics.recall_at_1(audio, captions, np.array([0, 0, 1, 2])) == pytest.approx((1.0 + 3 / 4) / 2)
    longer = captions * np.array([[1], [5], [0.1], [7]])
    assert metrics.recall_at_1(7 * audio, longer, np.array([0, 0, 1, 2])) == pytest.approx((1.0 + 3 / 4) / 2)


WORDS = st.lists(st.sampled_from("abc"), max_size=7)


def slow_distance(found: list[str], wanted: list[str]) -> int:
    table = {(i, j): i + j for i in range(len(found) + 1) for j in range(len(wanted) + 1)}
    for i, a in enumerate(found, 1):
        for j, b in enumerate(wanted, 1):
            table[i, j] = min(table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (a != b))
    return table[len(found), len(wanted)]


@given(WORDS, WORDS)
def test_edit_distance_is_the_fewest_edits(found: list[str], wanted: list[str]) -> None:
    assert metrics.edit_distance(found, wanted) == slow_distance(found, wanted)


def test_word_errors_are_pooled_in_lower_case_and_never_below_zero() -> None:
    assert metrics.one_minus_wer(["The dog", "rain falls down"], ["the DOG", "rain fell"]) == pytest.approx(1 - 2 / 4)
    assert metrics.one_minus_wer(["a b c d e"], ["x"]) == 0.0
    with pytest.raises(EvaluationError, match="word error rate"):
        metrics.one_minus_wer(["a"], [" "])
