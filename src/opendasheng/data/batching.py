"""Draws -> batches of like length in audio and in text, bounded by padded audio seconds (not by count alone), again
without state."""

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar

import numpy as np

from opendasheng.errors import ConfigError


class Sized(Protocol):
    """Anything that takes as long as it says."""

    @property
    def duration_seconds(self) -> float: ...


D = TypeVar("D", bound=Sized)
D_co = TypeVar("D_co", bound=Sized, covariant=True)


class Draws(Protocol[D_co]):
    """What is drawn in each epoch: a pure function of its number and of ``seed``."""

    @property
    def seed(self) -> int: ...

    def epoch(self, epoch: int) -> Sequence[D_co]: ...


# So many draws are sorted by length of audio, and then, as many as make so many batches, by text.
_POOL = 8192
_NEIGHBOURS = 4


def no_text(_: object) -> int:
    """The text of what has none."""
    return 0


def length_bounded_batches(
    draws: Sequence[D],
    *,
    batch_seconds: float,
    batch_clips: int,
    seed: Sequence[int],
    text: Callable[[D], int] = no_text,
) -> list[list[D]]:
    """Batches of at most ``batch_clips`` draws whose padded durations sum to at most ``batch_seconds``.

    Every draw is in exactly one batch; a draw longer than ``batch_seconds`` stands alone. ``text`` is the length of a
    draw's text, in any unit. Batches come in an order shuffled by ``seed``.
    """
    if batch_seconds <= 0 or batch_clips <= 0:
        raise ConfigError(f"batch_seconds {batch_seconds} and batch_clips {batch_clips} must be positive")
    batches: list[list[D]] = []
    for start in range(0, len(draws), _POOL):
        pool = sorted(draws[start : start + _POOL], key=lambda draw: -draw.duration_seconds)
        while pool:
            # As many as fit beside the longest of them.
            clips = max(1, min(batch_clips, int(batch_seconds // max(pool[0].duration_seconds, 1e-3))))
            near = sorted(pool[: clips * _NEIGHBOURS], key=lambda draw: -text(draw))
            batches += [near[first : first + clips] for first in range(0, len(near), clips)]
            del pool[: clips * _NEIGHBOURS]
    order = np.random.default_rng(list(seed)).permutation(len(batches))
    return [batches[i] for i in order]


class BatchPlan(Generic[D]):
    """The endless sequence of batches of a run, addressed by step."""

    def __init__(
        self, draws: Draws[D], *, batch_seconds: float, batch_clips: int, text: Callable[[D], int] = no_text
    ) -> None:
        """See :func:`length_bounded_batches`."""
        self.draws = draws
        self.text = text
        self.batch_seconds = batch_seconds
        self.batch_clips = batch_clips

    def epoch(self, epoch: int) -> list[list[D]]:
        """All batches of one epoch."""
        draws = self.draws.epoch(epoch)
        if not draws:
            raise ConfigError("the mixture draws nothing: every repeat or task weight is 0")
        return length_bounded_batches(
            draws,
            batch_seconds=self.batch_seconds,
            batch_clips=self.batch_clips,
            seed=[self.draws.seed, epoch, 1],
            text=self.text,
        )

    def from_step(self, step: int) -> Iterator[tuple[int, list[D]]]:
        """``(epoch, batch)`` of step ``step`` and all that follow."""
        epoch = 0
        while True:
            batches = self.epoch(epoch)
            for batch in batches[step:]:
                yield epoch, batch
            step = max(0, step - len(batches))
            epoch += 1
