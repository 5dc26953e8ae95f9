"""Two pieces of work timed against each other so that a busy machine disturbs both alike.

Runs alternate, A B A B and so on, on one thread, after one warm-up of each. What counts is CPU time of the process:
other processes slow it only by way of caches and memory. Wall-clock time is noted beside it. The figure is the ratio
of the medians; its 95 % interval is a bootstrap over the pairs of neighbouring runs (Efron's percentile method).
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Final

import numpy as np

from opendasheng.bench.threads import VARIABLES
from opendasheng.errors import ConfigError

MIN_RUNS: Final = 7  # fewer are a trial, not a result

_MIN_RUN_SECONDS = 0.05
_NUM_RESAMPLES = 10_000
_CONFIDENCE = 0.95
# Share of CPU time that may be spent outside the measuring thread before a run no longer counts as one of one thread.
_MAX_OTHER_THREADS = 0.05

Work = Callable[[], object]


@dataclass(frozen=True)
class Comparison:
    """Our work and theirs, the ratio theirs / ours that is wanted, and the one that cannot be passed."""

    name: str
    our_name: str
    their_name: str
    ours: Work
    theirs: Work
    goal: float | None = None
    bound: float | None = None


@dataclass(frozen=True)
class Clock:
    """Seconds of CPU time of the process, of the calling thread alone, and of the wall clock."""

    process: Callable[[], float] = time.process_time
    thread: Callable[[], float] = time.thread_time
    wall: Callable[[], float] = time.perf_counter


@dataclass(frozen=True)
class Times:
    """Seconds per call in each run, and the share of CPU time that other threads of the process took."""

    cpu_seconds: tuple[float, ...]
    wall_seconds: tuple[float, ...]
    other_threads: float = 0.0


@dataclass(frozen=True)
class Measurement:
    """What was measured, run by run."""

    ours: Times
    theirs: Times

    @property
    def ratio(self) -> float:
        """CPU time of theirs over ours, by medians: how many times faster ours is."""
        return median(self.theirs.cpu_seconds) / median(self.ours.cpu_seconds)

    def interval(self, seed: int = 0) -> tuple[float, float]:
        """The 95 % interval of :attr:`ratio`; the same for the same ``seed``."""
        ours, theirs = np.array(self.ours.cpu_seconds), np.array(self.theirs.cpu_seconds)
        picks = np.random.default_rng(seed).integers(len(ours), size=(_NUM_RESAMPLES, len(ours)))
        ratios = np.median(theirs[picks], axis=1) / np.median(ours[picks], axis=1)
        tail = (1 - _CONFIDENCE) / 2
        low, high = np.quantile(ratios, [tail, 1 - tail])
        return float(low), float(high)


def measure(
    comparison: Comparison,
    num_runs: int,
    *,
    clock: Clock | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Measurement:
    """Alternate the two works ``num_runs`` times after a warm-up each.

    A run calls short work again and again until it has used 50 ms of CPU time, as often as the warm-up suggests.
    ``tell`` gets a line of progress before the warm-up and before each pair. Raises :class:`ConfigError` for less
    than one run.
    """
    if num_runs < 1:
        raise ConfigError(f"--runs is {num_runs}; a ratio needs at least 1 run, a result {MIN_RUNS}")
    clock = clock or Clock()
    tell(f"{comparison.name}: warm-up")
    sides: list[_Side] = []
    for work in (comparison.ours, comparison.theirs):
        warm_up = _Side(work, 1, clock)
        warm_up.run()
        sides.append(_Side(work, max(1, math.ceil(_MIN_RUN_SECONDS / max(warm_up.cpu_seconds[0], 1e-6))), clock))
    for run in range(1, num_runs + 1):
        tell(f"{comparison.name}: run {run} of {num_runs}")
        for side in sides:
            side.run()
    ours, theirs = (side.times() for side in sides)
    for name, times in ((comparison.our_name, ours), (comparison.their_name, theirs)):
        if times.other_threads > _MAX_OTHER_THREADS:
            tell(
                f"{comparison.name}: {times.other_threads:.0%} of the CPU time of {name} was spent on other threads; "
                f"set {' '.join(f'{variable}=1' for variable in VARIABLES)}"
            )
    return Measurement(ours, theirs)


class _Side:
    """One of two works, and the times of its runs."""

    def __init__(self, work: Work, num_calls: int, clock: Clock) -> None:
        self.work, self.num_calls, self.clock = work, num_calls, clock
        self.cpu_seconds: list[float] = []
        self.wall_seconds: list[float] = []
        self.thread_seconds: list[float] = []

    def run(self) -> None:
        process, thread, wall = self.clock.process(), self.clock.thread(), self.clock.wall()
        for _ in range(self.num_calls):
            self.work()
        self.wall_seconds.append((self.clock.wall() - wall) / self.num_calls)
        self.thread_seconds.append((self.clock.thread() - thread) / self.num_calls)
        self.cpu_seconds.append((self.clock.process() - process) / self.num_calls)

    def times(self) -> Times:
        used = sum(self.cpu_seconds)
        others = 1 - sum(self.thread_seconds) / used if used else 0.0
        return Times(tuple(self.cpu_seconds), tuple(self.wall_seconds), max(0.0, others))
