"""Bootstrap intervals: right in size, a function of rows and clusters alone, and quick."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opendasheng.evaluate.metrics.answers import Lists
from opendasheng.evaluate.metrics.base import Ratio
from opendasheng.evaluate.metrics.multilabel import Tally
from opendasheng.evaluate.statistics import interval, paired_interval, resample


def ratio(numerators, denominators=None):
    numerators = np.asarray(numerators, dtype=np.float64)
    return Ratio(numerators, np.ones(len(numerators)) if denominators is None else np.asarray(denominators, float))


def names(values):
    return np.asarray(values, dtype=np.uint64)


def test_resamples_weigh_clusters_around_one():
    drawn = np.array(list(resample(50, 400)))
    assert drawn.shape == (400, 50)
    assert drawn.min() >= 0
    assert drawn.mean() == pytest.approx(1, abs=0.02)
    assert drawn.std() == pytest.approx(1, abs=0.03)
    assert np.array_equal(drawn, np.floor(drawn * 2**20) / 2**20)
    assert np.array_equal(drawn, np.array(list(resample(50, 400))))
    assert not np.array_equal(drawn[0], next(resample(50, 1, seed=1)))


def many_rare_labels():
    wanted, found = Lists(), Lists()
    for row in range(40):
        wanted.add([row, 40 + row % 5])
        found.add([row if row % 4 == 0 else (row + 1) % 40, 40 + row % 3])
    return wanted, found


def test_labels_of_a_single_row_do_not_push_the_figure_out_of_its_interval():
    figure = Tally.of(*many_rare_labels(), list(range(45)))
    ((low, high),) = interval([figure], names(np.arange(40)), 500)
    assert low < figure() < high


def test_the_order_of_rows_reaches_no_digit_of_a_mean_over_labels():
    lists = many_rare_labels()
    order = np.random.default_rng(0).permutation(40)
    shuffled = Lists(), Lists()
    for row in order:
        for old, new in zip(lists, shuffled, strict=True):
            new.add(old[row])
    (first,) = interval([Tally.of(*lists, list(range(45)))], names(np.arange(40)), 50)
    (second,) = interval([Tally.of(*shuffled, list(range(45)))], names(order), 50)
    assert first == second


def test_the_interval_of_a_share_is_the_binomial_one():
    right = np.arange(2000) < 600
    ((low, high),) = interval([ratio(right)], names(np.arange(2000)), 4000)
    error = (0.3 * 0.7 / 2000) ** 0.5
    assert low == pytest.approx(0.3 - 1.96 * error, abs=0.0015)
    assert high == pytest.approx(0.3 + 1.96 * error, abs=0.0015)


def test_repeating_every_row_within_its_cluster_tells_nothing_new():
    values, clusters = np.arange(40) % 3, np.arange(40)
    once = interval([ratio(values)], names(clusters), 200)
    often = interval([ratio(values.repeat(10))], names(clusters.repeat(10)), 200)
    as_rows = interval([ratio(values.repeat(10))], names(np.arange(400)), 200)
    assert often == [pytest.approx(pair, rel=1e-12) for pair in once]
    assert as_rows[0][1] - as_rows[0][0] < (once[0][1] - once[0][0]) / 2


@settings(max_examples=40)
@given(st.lists(st.tuples(st.floats(-1, 1), st.integers(0, 9), st.integers(0, 5)), min_size=1, max_size=60), st.data())
def test_the_order_of_rows_does_not_reach_the_last_digit(rows, data):
    shuffled = data.draw(st.permutations(rows))

    def bounds(found):
        numerators, denominators, clusters = zip(*found, strict=True)
        return interval([ratio(numerators), ratio(numerators, denominators)], names(clusters), 30)

    assert bounds(rows) == bounds(shuffled)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 5)), min_size=1, max_size=60))
def test_a_ratio_of_clusters_is_the_ratio_of_their_rows(rows):
    numerators, denominators, clusters = zip(*rows, strict=True)
    figure = ratio(numerators, denominators)
    # A function is not known to be a ratio, so it is given the weight of every row.
    by_cluster, by_row = interval([figure, lambda weights=None: figure(weights)], names(clusters), 30)
    assert by_cluster == by_row


def test_nothing_to_divide_by_is_what_the_ratio_says():
    empty = Ratio(np.zeros(3), np.zeros(3), empty=1.0)
    assert interval([empty], names([1, 2, 3]), 20) == [(1.0, 1.0)]


def test_one_cluster_alone_has_no_spread():
    assert interval([ratio([0, 1, 1, 0])], names([5, 5, 5, 5]), 20) == [(0.5, 0.5)]


def test_equal_models_differ_by_chance_alone():
    right = ratio(np.arange(300) % 2)
    assert paired_interval(right, right, names(np.arange(300)), 200) == (0.0, 0.0, 1.0)


def test_a_model_that_is_better_everywhere_is_better_for_sure():
    clusters = names(np.arange(300))
    worse, better = ratio(np.arange(300) % 2), ratio(np.ones(300))
    low, high, p = paired_interval(worse, better, clusters, 200)
    assert 0.4 < low < 0.5 < high < 0.6
    assert p == 1 / 200
    assert paired_interval(better, worse, clusters, 200)[:2] == (-high, -low)


def test_pairing_sees_what_two_intervals_hide():
    generator = np.random.default_rng(0)
    first = generator.random(400) < 0.5
    second = first | (np.arange(400) % 20 == 0)
    clusters = names(np.arange(400))
    low, _, p = paired_interval(ratio(first), ratio(second), clusters, 500)
    (_, high), (other_low, _) = interval([ratio(first), ratio(second)], clusters, 500)
    assert low > 0
    assert p < 0.01
    assert other_low < high


def test_ten_thousand_rows_take_seconds_at_most():
    generator = np.random.default_rng(0)
    figures = [ratio(generator.random(10_000), generator.random(10_000)) for _ in range(2)]
    began = time.process_time()
    interval(figures, generator.integers(0, 2**63, 10_000).astype(np.uint64), 1000)
    assert time.process_time() - began < 3
