"""Train and test, by recording: what is trained on and what is tested on share neither a recording nor a copy of one.

A hash of names decides, so that a recording stays where it is when others are added. One that turns out to be a copy of
another goes to the side of the one whose name comes first.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from opendasheng.curate.config import PERMISSIVE, SplitConfig
from opendasheng.curate.duplicates import near_duplicates
from opendasheng.curate.record import Drop, Record
from opendasheng.data.licences import is_permissive, spelling
from opendasheng.progress import say

STEP = "licence"
# So many recordings in one group are more than there are copies of one.
_CROWD_SHARE, _FEW = 0.05, 20


def licensed(records: Iterable[Record], licences: Sequence[str]) -> list[Record]:
    """``records``, those dropped that are under other licences than ``licences`` (of which one may be
    :data:`~opendasheng.curate.config.PERMISSIVE`); without any, all are kept."""
    named = {spelling(licence) for licence in licences if licence != PERMISSIVE}

    def judged(record: Record) -> Record:
        is_wanted = spelling(record.licence) in named or (PERMISSIVE in licences and is_permissive(record.licence))
        if is_wanted or not licences or record.dropped is not None:
            return record
        drop = Drop(step=STEP, reason=f"{record.licence!r} is not among split.licences")
        return record.model_copy(update={"dropped": drop})

    return [judged(record) for record in records]


def split(records: Sequence[Record], config: SplitConfig) -> list[Record]:
    """``records``, those that are kept with their split.

    Recordings are joined by clips that are dropped too, so that neither filter nor licences move one to the other side.
    """
    copies = near_duplicates(records, config.duplicate_cosine)
    joined = ((records[one].recording, records[other].recording) for one, other in copies)
    groups = first_names((record.recording for record in records), joined)
    _warn_of_a_crowd(groups)
    return [
        record
        if record.dropped is not None
        else record.model_copy(update={"split": side(groups[record.recording], config.test_percent)})
        for record in records
    ]


def _warn_of_a_crowd(groups: Mapping[str, str]) -> None:
    """Say so where clips that are only alike have joined so many recordings that a split is none any more."""
    name, most = max(Counter(groups.values()).items(), key=lambda item: item[1], default=("", 0))
    if most > max(_FEW, _CROWD_SHARE * len(groups)):
        say(
            f"{most} of {len(groups)} recordings count as copies of each other, by {name} and others, and are in one "
            "split; raise split.duplicate_cosine"
        )


def side(name: str, test_percent: float) -> str:
    """train or test, by a hash of ``name`` alone."""
    place = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
    return "test" if 100 * place < test_percent else "train"


def first_names(names: Iterable[str], joined: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Of each of ``names``, the first in the order of text of all those that it is ``joined`` with, directly or by way
    of others."""
    before = {name: name for name in names}

    def first(name: str) -> str:
        while before[name] != name:
            before[name] = before[before[name]]  # a shorter way for those who ask next
            name = before[name]
        return name

    for one, other in joined:
        low, high = sorted((first(one), first(other)))
        before[high] = low
    return {name: first(name) for name in before}
