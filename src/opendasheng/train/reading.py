"""What a run reads: its corpus, and batches of what can be read: a damaged clip is left out and told, the others go
on."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from opendasheng.data.clip import Clip
from opendasheng.data.crops import Crop
from opendasheng.data.mixture import Draw, MixtureConfig
from opendasheng.data.shards import ShardReader
from opendasheng.errors import AudioError, ConfigError, CorpusError
from opendasheng.train.config import DataConfig
from opendasheng.train.learner import Batch, TellClip

D = TypeVar("D")


def open_corpus(data: DataConfig) -> tuple[ShardReader, MixtureConfig]:
    """The clips to learn from, and how they are mixed, less the rates of sources that ``permissive_only`` leaves out.

    Raises :class:`ConfigError` where it leaves nothing.
    """
    reader = ShardReader(data.corpus, split="train", permissive_only=data.permissive_only)
    if not reader.clips and reader.left_out:
        raise ConfigError(
            f"data.permissive_only: none of the {len(reader.left_out)} training clips of {data.corpus} has a licence "
            f"that is known as permissive; the first has {reader.left_out[0].licence!r}"
        )
    gone = {clip.source for clip in reader.left_out} - {clip.source for clip in reader.clips}
    repeats = {name: rate for name, rate in data.mixture.repeats.items() if name not in gone}
    return reader, replace(data.mixture, repeats=repeats)


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


def telling(clips: Sequence[Clip], tell: TellClip) -> Callable[[Draw | Crop, Exception], None]:
    """What :func:`read_batch` tells of draws from ``clips``, told to ``tell`` by their clip."""
    return lambda draw, error: tell(clips[draw.index], error)
