"""Draws -> batches of like length in audio and in tokens, bounded by both with their padding (not by count alone),
again without state."""

from collections.abc import Callable, Iterator, Mapping, Sequence
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

    def not_drawn(self) -> Mapping[str, Sequence[int]]:
        """Clips that no epoch draws, by the reason."""


# So many draws are sorted by length of audio.
_POOL = 8192
# Then draws of at most so many batches are sorted by tokens, as long as the audio, were it all padded to the longest of
# them, is at most so many times what is of use: the text costs little where batches are many and short, and where they
# are few and long they are those of like audio alone.
_NEIGHBOURS = 8
_PADDED = 1.025


def no_tokens(_: object) -> int:
    """The tokens of what no decoder reads."""
    return 0


def length_bounded_batches(
    draws: Sequence[D],
    *,
    batch_seconds: float,
    batch_clips: int,
    seed: Sequence[int],
    tokens: Callable[[D], int] = no_tokens,
    batch_tokens: int = 0,
) -> list[list[D]]:
    """Batches of at most ``batch_clips`` draws whose padded durations sum to at most ``batch_seconds``.

    ``tokens`` are those of a draw, of audio and of text: batches are alike in them too where that keeps the padded
    audio below 1.025 times the audio, and with their padding they sum to at most ``batch_tokens``, unless that is 0.
    Every draw is in exactly one batch; one beyond a limit stands alone. Batches come in an order shuffled by ``seed``.
    """
    if batch_seconds <= 0 or batch_clips <= 0:
        raise ConfigError(f"batch_seconds {batch_seconds} and batch_clips {batch_clips} must be positive")
    batches: list[list[D]] = []
    for start in range(0, len(draws), _POOL):
        pool = sorted(draws[start : start + _POOL], key=lambda draw: -draw.duration_seconds)
        while pool:
            # As many as fit beside the longest of them.
            clips = max(1, min(batch_clips, int(batch_seconds // max(pool[0].duration_seconds, 1e-3))))
            near = sorted(pool[: _num_alike(pool, clips)], key=lambda draw: -tokens(draw))
            del pool[: len(near)]
            while near:
                fit = clips if not batch_tokens else max(1, min(clips, batch_tokens // max(1, tokens(near[0]))))
                batches.append(near[:fit])
                del near[:fit]
    order = np.random.default_rng(list(seed)).permutation(len(batches))
    return [batches[i] for i in order]


def _num_alike(pool: Sequence[Sized], clips: int) -> int:
    """How many draws of ``pool``, the longest first, are to be sorted by tokens: whole batches of ``clips``."""
    longest, useful, found = pool[0].duration_seconds, 0.0, clips
    for number, draw in enumerate(pool[: clips * _NEIGHBOURS], 1):
        useful += draw.duration_seconds
        if number * longest > _PADDED * useful:
            break
        if number % clips == 0 or number == len(pool):
            found = max(found, number)
    return found


class BatchPlan(Generic[D]):
    """The endless sequence of batches of a run, addressed by step."""

    def __init__(
        self,
        draws: Draws[D],
        *,
        batch_seconds: float,
        batch_clips: int,
        tokens: Callable[[D], int] = no_tokens,
        batch_tokens: int = 0,
    ) -> None:
        """See :func:`length_bounded_batches`."""
        self.draws = draws
        self.tokens, self.batch_tokens = tokens, batch_tokens
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
            tokens=self.tokens,
            batch_tokens=self.batch_tokens,
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
