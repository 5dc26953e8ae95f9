"""Batches of what can be read: a damaged clip is left out and told, the others go on."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from opendasheng.errors import AudioError, CorpusError
from opendasheng.train.learner import Batch

D = TypeVar("D")


def read_batch(
    collate: Callable[[Sequence[D]], Batch], draws: Sequence[D], tell: Callable[[D, Exception], None]
) -> tuple[list[D], Batch | None]:
    """The draws whose audio can be read, and their batch (None where there are none); ``tell`` hears of the others."""
    try:
        return list(draws), collate(draws)
    except (AudioError, CorpusError):
        kept = [draw for draw in draws if _can_be_read(collate, draw, tell)]
    return kept, collate(kept) if kept else None


def _can_be_read(collate: Callable[[Sequence[D]], Batch], draw: D, tell: Callable[[D, Exception], None]) -> bool:
    try:
        collate([draw])
    except (AudioError, CorpusError) as error:
        tell(draw, error)
        return False
    return True


def ignore(draw: object, error: Exception) -> None:
    """To tell nobody: of a dev clip that is asked for again and again."""
    del draw, error
