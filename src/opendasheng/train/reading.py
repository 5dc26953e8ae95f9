"""What a run reads: its corpus, and batches of what can be read: a damaged clip is left out and told, the others go
on."""

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import TypeVar

from opendasheng.data.clip import KINDS, Clip
from opendasheng.data.crops import Crop
from opendasheng.data.mixture import Draw, MixtureConfig
from opendasheng.data.rates import refuse_unknown
from opendasheng.data.shards import ShardReader
from opendasheng.errors import AudioError, ConfigError, CorpusError
from opendasheng.train.config import DataConfig
from opendasheng.train.learner import Batch, TellClip

log = logging.getLogger(__name__)

D = TypeVar("D")


def open_corpus(data: DataConfig, catalogue: Collection[str] = ()) -> tuple[ShardReader, MixtureConfig]:
    """The clips to learn from, and how they are mixed, less the rates of sources that have none of them: those that
    ``permissive_only`` leaves out, of other splits, or of the ``catalogue`` and not built here, which are told.

    Raises :class:`ConfigError` for a rate of what is in neither corpus nor catalogue, and where no clip is left.
    """
    reader = ShardReader(data.corpus, split="train", permissive_only=data.permissive_only)
    if not reader.clips and reader.left_out:
        raise ConfigError(
            f"data.permissive_only: none of the {len(reader.left_out)} training clips of {data.corpus} has a licence "
            f"that is known as permissive; the first has {reader.left_out[0].licence!r}"
        )
    if not reader.clips:
        raise ConfigError(
            f"data.corpus {data.corpus} has no training clip, all are of other splits: build sources that have some, "
            "or import a table with a lower --dev-percent"
        )
    repeats = data.mixture.repeats
    refuse_unknown(repeats, reader.sources.union(catalogue))
    present = {clip.source for clip in reader.clips}.union(KINDS)
    for name in sorted(repeats.keys() - present):
        why = "has no clip to learn from" if name in reader.sources else "is not built"
        log.info("data.mixture.repeats: %s %s in %s, so its rate counts for nothing", name, why, data.corpus)
    kept = {name: rate for name, rate in repeats.items() if name in present}
    return reader, replace(data.mixture, repeats=kept)


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


def clip_at_fault(error: Exception, drawn: str) -> str:
    """The id of the clip that cannot be read, which may be the one beneath that which was ``drawn``."""
    return (isinstance(error, CorpusError) and error.clip_id) or drawn


def telling(clips: Sequence[Clip], tell: TellClip) -> Callable[[Draw | Crop, Exception], None]:
    """What :func:`read_batch` tells of draws from ``clips``, told to ``tell`` by their clip."""
    return lambda draw, error: tell(clips[draw.index], error)
