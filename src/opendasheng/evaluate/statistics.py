"""Intervals: a bootstrap over clusters (speakers or clips), the same for the same predictions in any order.

Clusters are not drawn but weighted, by exponential numbers (the Bayesian bootstrap, Rubin 1981). For shares and error
rates the intervals are those of drawing. Where a figure is a mean over labels drawing fails: a label that one clip has
is missing from a third of all resamples, and the interval of what is left need not even hold the figure.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from opendasheng.evaluate.metrics.base import Floats, Ratio, Statistic

METHOD = "bayesian"
RESAMPLES = 1000
_STEPS = 2.0**20

Hashes = NDArray[np.uint64]
Ints = NDArray[np.int64]


def resample(num_clusters: int, resamples: int, seed: int = 0) -> Iterator[Floats]:
    """How much each cluster counts in each resample: float64 ``(num_clusters,)`` of mean 1, ``resamples`` times.

    They are multiples of ``2**-20``, so that sums of them are exact and have no order.
    """
    random = np.random.default_rng([seed, num_clusters])
    for _ in range(resamples):
        yield np.floor(random.standard_exponential(num_clusters) * _STEPS) / _STEPS


def interval(
    statistics: Sequence[Statistic], clusters: Hashes, resamples: int = RESAMPLES, seed: int = 0
) -> list[tuple[float, float]]:
    """95 % percentile intervals of several figures of the same rows, from the same resamples.

    Rows of a cluster count alike. ``clusters`` uint64 ``(num_rows,)`` names the cluster of each row; clusters are
    numbered by that name, so the order of rows changes nothing, not even the last digit of a :class:`Ratio`.
    """
    values = _resampled(statistics, clusters, resamples, seed)
    low, high = np.percentile(values, [2.5, 97.5], axis=0)
    return [(float(a), float(b)) for a, b in zip(low, high, strict=True)]


def paired_interval(
    first: Statistic, second: Statistic, clusters: Hashes, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float, float]:
    """95 % interval of ``second - first`` over rows that both answered, and the two-sided bootstrap p-value.

    Both statistics are of the same rows in the same order. The p-value is twice the smaller share of resamples on one
    side of zero, ties counted half, at least ``1 / resamples``.
    """
    values = _resampled([first, second], clusters, resamples, seed)
    differences = values[:, 1] - values[:, 0]
    low, high = np.percentile(differences, [2.5, 97.5])
    below = float((differences < 0).mean() + (differences == 0).mean() / 2)
    return float(low), float(high), max(1 / resamples, 2 * min(below, 1 - below))


def _resampled(statistics: Sequence[Statistic], clusters: Hashes, resamples: int, seed: int) -> Floats:
    """Each figure of each resample: float64 ``(resamples, len(statistics))``."""
    names, of_row = np.unique(clusters, return_inverse=True)
    figures = [_of_clusters(statistic, of_row) for statistic in statistics]
    return np.array([[figure(weights) for figure in figures] for weights in resample(len(names), resamples, seed)])


def _of_clusters(statistic: Statistic, of_row: Ints) -> Callable[[Floats], float]:
    """A statistic of rows as one of clusters. A ratio needs no more of a cluster than its two sums."""
    if not isinstance(statistic, Ratio):
        return lambda weights: statistic(weights[of_row])
    above, below = (_sums(column, of_row) for column in (statistic.numerators, statistic.denominators))
    empty = statistic.empty

    def ratio(weights: Floats) -> float:
        # Not a dot product: libraries of linear algebra add in an order that depends on the machine.
        total = float((weights * below).sum())
        return float((weights * above).sum()) / total if total else empty

    return ratio


def _sums(values: Floats, of_row: Ints) -> Floats:
    """The sum of each cluster, float64 ``(num_clusters,)``, added in the order of the values and not of the rows."""
    order = np.lexsort((values, of_row))
    starts = np.flatnonzero(np.diff(of_row[order], prepend=-1))
    sums: Floats = np.add.reduceat(values[order], starts)
    return sums
