"""Batches that are ready when the step wants them: processes decode, resample, mix and pad ahead of it.

Which draws make a batch is decided here, in order; a process only turns them into tensors. So the batches are the same
with any number of them, and with none.
"""

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import get_context
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import torch

from opendasheng.errors import TrainingError
from opendasheng.train.learner import Batch
from opendasheng.train.reading import clip_at_fault, read_batch

D = TypeVar("D")

Collate = Callable[[Sequence[Any]], Batch]
_Arrays = dict[str, np.ndarray]
# Batches that each process is asked for ahead of the loop: enough to hide a slow clip, few enough to be small.
_AHEAD = 4
_WATCH_SECONDS = 1.0
# Draws that an error names.
_NUM_NAMED = 5


class Loaded(NamedTuple):
    """A batch, its epoch, the draws that it was to hold, those of them that cannot be read, and the seconds that the
    loop waited for it. ``batch`` is None where nothing can be read."""

    epoch: int
    draws: list[Any]
    batch: Batch | None
    left_out: list["LeftOut"]
    waited_seconds: float


class LeftOut(NamedTuple):
    """A draw that cannot be read, why, and the id of the clip at fault where the draw has several."""

    draw: Any
    error: str
    clip_id: str


class Loader(Generic[D]):
    """Turns a plan of draws into batches, with ``num_workers`` processes ahead of the loop; 0 reads in the loop.
    ``where`` says of a draw, in words, what is read for it."""

    def __init__(self, collate: Collate, num_workers: int, where: Callable[[D], str] = str) -> None:
        self._collate, self._num_workers, self._where = collate, num_workers, where

    def batches(self, plan: Iterable[tuple[int, list[D]]]) -> Generator[Loaded]:
        """The batches of a plan's epochs and draws, in their order.

        Closing the generator ends the processes. Raises :class:`TrainingError` where one was killed, with where the
        draws lie that were being read; what goes wrong inside one, other than a clip that cannot be read, is raised as
        it is.
        """
        if self._num_workers:
            yield from self._ahead(iter(plan))
            return
        for epoch, draws in plan:
            start = time.monotonic()
            batch, left_out = _read(self._collate, draws)
            yield Loaded(epoch, draws, batch, left_out, time.monotonic() - start)

    def _ahead(self, plan: Iterator[tuple[int, list[D]]]) -> Generator[Loaded]:
        context = get_context("fork")  # so that neither model nor indexes are pickled
        is_over = context.RawValue("b", 0)
        pool = ProcessPoolExecutor(self._num_workers, context, _begin, (self._collate, os.getpid(), is_over))

        def submit(function: Callable[..., Any], *values: Any) -> Future[Any]:
            future = pool.submit(function, *values)
            future.add_done_callback(end_if_broken)
            return future

        def end_if_broken(future: Future[Any]) -> None:
            if not future.cancelled() and isinstance(future.exception(), BrokenProcessPool):
                is_over.value = 1

        asked: deque[tuple[int, list[D], Future[Any]]] = deque()
        try:
            while True:
                for epoch, draws in islice(plan, _AHEAD * self._num_workers - len(asked)):
                    asked.append((epoch, draws, submit(_read_there, draws)))
                if not asked:
                    return
                epoch, draws, future = asked[0]
                start = time.monotonic()
                arrays, left_out = future.result()
                waited = time.monotonic() - start
                asked.popleft()
                batch = None if arrays is None else {name: torch.from_numpy(array) for name, array in arrays.items()}
                yield Loaded(epoch, draws, batch, left_out, waited)
        except BrokenProcessPool as error:
            # Batches are taken in their order, so no process was at a later one than these.
            batches = [draws for _, draws, future in asked if not _is_read(future)][: self._num_workers]
            raise TrainingError(
                f"a process that reads clips was killed, as where memory runs out (fewer compute.workers take less); "
                f"being read were {self._in_words([draw for batch in batches for draw in batch])}"
            ) from error
        finally:
            # A process may have been killed while nothing was asked of it, and then no batch tells.
            try:
                submit(int)
            except RuntimeError:  # the pool is broken, or Python ends
                is_over.value = 1
            pool.shutdown(cancel_futures=True)

    def _in_words(self, draws: Sequence[D]) -> str:
        """The first few draws by their place, the others by their number."""
        named = "; ".join(self._where(draw) for draw in draws[:_NUM_NAMED])
        return named + (f"; and {len(draws) - _NUM_NAMED} more" if len(draws) > _NUM_NAMED else "")


def _is_read(future: Future[Any]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


_collate_there: Collate  # of a process that reads


def _begin(collate: Collate, parent: int, is_over: Any) -> None:
    """Make this process one that reads. It outlives the loop's signals, which finishes its step first, but not the
    loop: Ctrl-C reaches all processes of a terminal, SIGTERM by torchrun all of a group, a killed parent tells nobody.
    So does the pool's own SIGTERM when another of its processes was killed: ``is_over`` stands for it."""
    global _collate_there
    _collate_there = collate
    for which in (signal.SIGINT, signal.SIGTERM):
        signal.signal(which, signal.SIG_IGN)
    torch.set_num_threads(1)
    threading.Thread(target=_end_with, args=(parent, is_over), daemon=True).start()


def _end_with(parent: int, is_over: Any) -> None:
    while os.getppid() == parent and not is_over.value:
        time.sleep(_WATCH_SECONDS)
    os._exit(1)


def _read_there(draws: Sequence[D]) -> tuple[_Arrays | None, list[LeftOut]]:
    batch, left_out = _read(_collate_there, draws)
    return None if batch is None else {name: tensor.numpy() for name, tensor in batch.items()}, left_out


def _read(collate: Collate, draws: Sequence[D]) -> tuple[Batch | None, list[LeftOut]]:
    left_out: list[LeftOut] = []

    def leave_out(draw: D, error: Exception) -> None:
        left_out.append(LeftOut(draw, str(error), clip_at_fault(error, "")))

    _, batch = read_batch(collate, draws, leave_out)
    return batch, left_out
