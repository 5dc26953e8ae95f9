"""The protocol, on works whose times are known because the clock is ours."""

from statistics import median

import numpy as np
import pytest

from opendasheng.bench import threads
from opendasheng.bench.timing import Clock, Comparison, Measurement, Times, measure
from opendasheng.errors import ConfigError


class Machine:
    """Works that move a clock by as much as they are told to, and note when they were called."""

    def __init__(self, ours: list[float], theirs: list[float]) -> None:
        self.now = self.thread = 0.0
        self.calls: list[str] = []
        self.left = {"ours": iter(ours), "theirs": iter(theirs)}

    def work(self, side: str, share_of_thread: float = 1.0):
        def run() -> None:
            seconds = next(self.left[side])
            self.now += seconds
            self.thread += share_of_thread * seconds
            self.calls.append(side)

        return run

    def measure(self, num_runs: int, share_of_thread: float = 1.0, tell=lambda _: None) -> Measurement:
        comparison = Comparison("x", "A", "B", self.work("ours", share_of_thread), self.work("theirs"))
        clock = Clock(lambda: self.now, lambda: self.thread, lambda: 3 * self.now)
        return measure(comparison, num_runs, clock=clock, tell=tell)


def test_runs_alternate_after_one_warm_up_each() -> None:
    machine = Machine([9, 1, 2, 3], [9, 10, 20, 60])
    told: list[str] = []
    measurement = machine.measure(3, tell=told.append)
    assert machine.calls == ["ours", "theirs"] * 4
    assert measurement.ours.cpu_seconds == (1, 2, 3)
    assert measurement.theirs.cpu_seconds == (10, 20, 60)
    assert measurement.theirs.wall_seconds == (30, 60, 180)
    assert measurement.ratio == 10
    assert told == ["x: warm-up", *(f"x: run {run} of 3" for run in (1, 2, 3))]


def test_short_work_is_repeated_and_counted_by_call() -> None:
    machine = Machine([0.01] * 100, [1.0] * 100)
    measurement = machine.measure(2)
    assert machine.calls == ["ours", "theirs", *(["ours"] * 5 + ["theirs"]) * 2]
    assert measurement.ours.cpu_seconds == pytest.approx((0.01, 0.01))
    assert measurement.ratio == pytest.approx(100)


def test_other_threads_are_told() -> None:
    told: list[str] = []
    measurement = Machine([1.0] * 9, [1.0] * 9).measure(2, share_of_thread=0.5, tell=told.append)
    assert measurement.ours.other_threads == pytest.approx(0.5)
    assert measurement.theirs.other_threads == pytest.approx(0)
    assert "50% of the CPU time of A" in told[-1]
    assert "OMP_NUM_THREADS=1" in told[-1]


def test_no_runs_are_refused() -> None:
    with pytest.raises(ConfigError, match="--runs is 0"):
        Machine([], []).measure(0)


def measurement_of(rng: np.random.Generator, ratio: float, num_runs: int = 25) -> Measurement:
    """Pairs that share the disturbance of the machine, as neighbouring runs do."""
    load = rng.lognormal(sigma=0.3, size=num_runs)
    ours = load * rng.lognormal(sigma=0.03, size=num_runs)
    theirs = ratio * load * rng.lognormal(sigma=0.03, size=num_runs)
    return Measurement(Times(tuple(ours), tuple(ours)), Times(tuple(theirs), tuple(theirs)))


def test_interval_holds_the_true_ratio() -> None:
    rng = np.random.default_rng(3)
    measurements = [measurement_of(rng, 4.0) for _ in range(40)]
    held = [low <= 4.0 <= high for low, high in (one.interval() for one in measurements)]
    assert sum(held) >= 34


def test_interval_uses_the_pairs() -> None:
    measurement = measurement_of(np.random.default_rng(4), 4.0)
    low, high = measurement.interval()
    ours, theirs = measurement.ours.cpu_seconds, measurement.theirs.cpu_seconds
    unpaired = Measurement(measurement.ours, Times(tuple(reversed(theirs)), theirs)).interval()
    assert low <= median(theirs) / median(ours) <= high
    assert high - low < 0.5 * (unpaired[1] - unpaired[0])


def test_interval_of_steady_work_is_a_point_and_repeatable() -> None:
    steady = Measurement(Times((2.0,) * 7, (2.0,) * 7), Times((3.0,) * 7, (3.0,) * 7))
    assert steady.interval() == (1.5, 1.5)
    noisy = measurement_of(np.random.default_rng(5), 2.0)
    assert noisy.interval() == noisy.interval()


def test_more_threads_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in threads.VARIABLES:
        monkeypatch.setenv(variable, "1")
    threads.ask_for_one_thread()
    monkeypatch.setenv("MKL_NUM_THREADS", "4")
    with pytest.raises(ConfigError, match="MKL_NUM_THREADS is 4"):
        threads.ask_for_one_thread()


def test_threads_of_torch_are_put_back() -> None:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with threads.one_thread():
            assert torch.get_num_threads() == 1
            assert torch.is_inference_mode_enabled()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
