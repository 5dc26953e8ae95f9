"""Which clips of an input are heard: what is no clip or too long is dropped with the reason, and a limit is drawn."""

import hashlib
from collections.abc import Iterable, Iterator

from opendasheng.audio import describe
from opendasheng.curate.config import InputConfig
from opendasheng.curate.record import Drop, Record
from opendasheng.data.spread import spread

STEP = "input"


def dropped(record: Record, reason: str) -> Record:
    """The same, which is not heard."""
    return record.model_copy(update={"dropped": Drop(step=STEP, reason=reason)})


def no_clip(place: str, reason: str, *, source: str, licence: str, seconds: float) -> Record:
    """In the place of a clip, what tells that there is none at ``place``, which is unique in a run; ``seconds`` is what
    it might have lasted.

    Without a record it would be left out of the report, and of the exit status.
    """
    digest = hashlib.sha256(place.encode(errors="backslashreplace")).hexdigest()
    record = Record(
        id=f"no-clip-{digest[:24]}",
        source=source,
        recording=describe(place),
        licence=licence,
        duration_seconds=seconds,
        origin=describe(place),
    )
    return dropped(record, describe(reason))


def selected(records: Iterable[Record], config: InputConfig) -> Iterator[Record]:
    """``records`` in their order, too long ones dropped. A limit is drawn from each source in turn, by a hash of ids,
    of those that can be heard; where there are none, of the others, which say why."""
    if config.limit:
        there = list(records)
        heard = [record for record in there if record.dropped is None]
        records = spread(heard or there, config.limit, clip=lambda record: record)
    for record in records:
        if record.dropped is None and record.duration_seconds > config.longest_seconds:
            longest = f"{config.longest_seconds:g} s of input.longest_seconds"
            record = dropped(record, f"{record.duration_seconds:.1f} s are more than the {longest}")
        yield record
