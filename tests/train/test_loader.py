"""Batches read ahead: the same as those read in the loop, in order, however slow or broken their clips are."""

import os
import re
import signal
import threading
import time
from dataclasses import replace
from itertools import count, islice

import psutil
import pytest
import torch

from opendasheng.errors import AudioError, TrainingError
from opendasheng.train.loader import Loader
from opendasheng.train.loop import Run


def plan(num_draws=3):
    """Endless: epoch and draws of each batch, all numbers different."""
    return ((number // 5, [number * 10 + place for place in range(num_draws)]) for number in count())


def collate(draws):
    if any(draw % 7 == 0 for draw in draws):
        raise AudioError(f"{draws} cannot be read")
    time.sleep(0.02 * (draws[0] % 3))  # so that workers overtake each other
    return {"draws": torch.tensor(draws)}


def begun(batches):
    """The processes that reading a first batch starts."""
    before = set(psutil.Process().children(recursive=True))
    next(batches)
    return set(psutil.Process().children(recursive=True)) - before


def told(loaded):
    numbers = None if loaded.batch is None else loaded.batch["draws"].tolist()
    return loaded.epoch, loaded.draws, numbers, loaded.left_out


@pytest.mark.parametrize("num_workers", [1, 2])
def test_workers_change_nothing(num_workers):
    alone = [told(loaded) for loaded in islice(Loader(collate, 0).batches(plan()), 20)]
    batches = Loader(collate, num_workers).batches(plan())
    assert [told(loaded) for loaded in islice(batches, 20)] == alone
    assert alone[0] == (0, [0, 1, 2], [1, 2], [(0, "[0] cannot be read", "")])
    assert alone[19][0] == 3
    batches.close()


def test_a_batch_of_which_nothing_can_be_read_is_none():
    [loaded] = islice(Loader(collate, 1).batches(iter([(0, [7, 14])])), 1)
    assert loaded.batch is None
    assert [left_out.draw for left_out in loaded.left_out] == [7, 14]


def test_a_finite_plan_ends():
    assert len(list(Loader(collate, 1).batches(islice(plan(), 4)))) == 4


def test_reading_goes_on_while_the_loop_works():
    def slow(draws):
        time.sleep(0.1)
        return {"draws": torch.tensor(draws)}

    batches = Loader(slow, 1).batches(plan())
    next(batches)
    time.sleep(0.6)
    assert sum(next(batches).waited_seconds for _ in range(3)) < 0.1
    batches.close()


def test_closing_leaves_no_process_behind():
    batches = Loader(collate, 2).batches(plan())
    started = begun(batches)
    assert len(started) >= 2
    batches.close()
    _, alive = psutil.wait_procs(started, timeout=10)
    assert not alive


def test_workers_read_on_when_all_processes_are_asked_to_end():
    batches = Loader(collate, 2).batches(plan())
    started = begun(batches)
    for worker in started:
        worker.terminate()  # as torchrun does with a group, which the loop outlives for a step
    read = [told(loaded) for loaded in islice(batches, 12)]
    assert [draws[0] for _, draws, _, _ in read] == [10 * number for number in range(1, 13)]
    batches.close()
    _, alive = psutil.wait_procs(started, timeout=10)
    assert started
    assert not alive


def test_workers_end_when_one_of_them_is_killed():
    batches = Loader(collate, 2).batches(plan())
    started = begun(batches)
    next(iter(started)).kill()
    with pytest.raises(TrainingError, match="was killed"):
        list(islice(batches, 40))
    _, alive = psutil.wait_procs(started, timeout=10)
    assert len(started) == 2
    assert not alive


def left_by_closing(batches, workers):
    """Those that are still there after 10 s; they are killed, so that closing comes to an end."""
    threading.Thread(target=batches.close, daemon=True).start()
    _, alive = psutil.wait_procs(workers, timeout=10)
    for worker in alive:
        worker.kill()
    return alive


def test_closing_ends_the_others_when_one_was_killed_unseen(tmp_path):
    def slow(draws):
        if draws[0] == 10:
            (tmp_path / str(os.getpid())).touch()
            time.sleep(60)
        return collate(draws)

    batches = Loader(slow, 2).batches(islice(plan(), 2))
    started = begun(batches)
    while not (reads := {int(path.name) for path in tmp_path.iterdir()}):
        time.sleep(0.01)
    [idle] = [worker for worker in started if worker.pid not in reads]
    idle.kill()
    assert not left_by_closing(batches, started)


def test_closing_ends_idle_ones_when_one_was_killed_unseen():
    batches = Loader(collate, 8).batches(islice(plan(), 8))
    started = begun(batches)
    time.sleep(2.0)  # all is read: one waits for more, the others for it to be done with waiting
    first, *others = started
    for worker in others:
        worker.kill()
    time.sleep(0.5)
    assert not left_by_closing(batches, [first])


def test_a_killed_worker_ends_the_run_with_the_clips_at_hand():
    def fatal(draws):
        if draws[0] == 50:
            os.kill(os.getpid(), signal.SIGKILL)
        return {"draws": torch.tensor(draws)}

    batches = Loader(fatal, 1, "clip {}".format).batches(plan(7))
    read = next(batches)
    assert read.draws[0] == 0
    with pytest.raises(TrainingError) as caught:
        list(islice(batches, 6))
    [first] = map(int, re.findall(r"being read were clip (\d+);", str(caught.value)))
    assert first in (10, 20, 30, 40, 50)  # what was read may not have come back
    named = "; ".join(f"clip {draw}" for draw in range(first, first + 5))
    assert str(caught.value).endswith(f"being read were {named}; and 2 more")


def test_a_killed_worker_is_told_by_the_shards_of_its_clips(tiny_run, monkeypatch):
    config = tiny_run(eval_every=100)
    run = Run(replace(config, compute=replace(config.compute, workers=2)))
    monkeypatch.setattr(run.learner, "collate", lambda draws: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(TrainingError, match=r"being read were clip train-\d+ of .*synthetic/shard-00000\.tar"):
        run.train()


def test_a_killed_loop_leaves_no_process_behind():
    reader = os.fork()
    if reader == 0:  # a loop of its own, which is killed
        batches = Loader(collate, 1).batches(plan())
        next(batches)
        time.sleep(60)
        os._exit(0)
    loop = psutil.Process(reader)
    deadline = time.monotonic() + 20
    while not (children := loop.children()) and time.monotonic() < deadline:
        time.sleep(0.05)
    loop.kill()
    os.waitpid(reader, 0)
    _, alive = psutil.wait_procs(children, timeout=10)
    assert children
    assert not alive


def test_an_error_that_is_no_clips_is_raised_as_it_is():
    def wrong(draws):
        raise ValueError(f"a mistake at {draws}")

    with pytest.raises(ValueError, match="a mistake at"):
        next(Loader(wrong, 1).batches(plan()))
