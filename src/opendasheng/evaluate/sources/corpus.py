"""The corpus that ``opendasheng corpus build`` makes, as a data set: clips of one split, with what is known of them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from opendasheng.data.records import Record, Sound
from opendasheng.data.shards import ShardReader
from opendasheng.errors import CorpusError, EvaluationError


class Corpus:
    """Clips of a split of a built corpus. ``source`` names its sources, with spaces between them; "" is all of them.

    Columns are the fields of :class:`opendasheng.data.clip.Clip`. Clips that have nothing in a column that is
    ``needed`` are no part of the task, as they are no part of training for it.
    """

    def __init__(self, path: Path, *, split: str, source: str, needed: frozenset[str]) -> None:
        self.name = str(path)
        self.folder: Path | None = path
        self._needed = needed
        try:
            self._reader = ShardReader(path, split=split, source=source.split() or None)
        except CorpusError as error:
            raise EvaluationError(
                f"{error} (`opendasheng corpus build`), or name another corpus with --data"
            ) from error

    def records(self, *, audio: bool) -> Iterator[Record]:
        """The clips, by source and then as written; only indexes are read before a clip is opened."""
        del audio
        for index, clip in enumerate(self._reader.clips):
            columns = clip.to_dict()
            if all(_says_something(columns, column) for column in self._needed):
                yield Record(clip.id, columns, self._sound(index, clip.id), clip.speaker or _recording(columns))

    def _sound(self, index: int, name: str) -> Sound:
        return Sound(name, lambda: self._reader.flac(index))


def _says_something(columns: Mapping[str, Any], column: str) -> bool:
    return column not in columns or columns[column] not in (None, "", [])


def _recording(columns: Mapping[str, Any]) -> str | None:
    """Clips that were cut from one recording belong together as those of a speaker do."""
    return f"{columns['source']}/{columns['origin']}" if columns["origin"] else None
