"""Where clips come from, as records without findings."""

from collections.abc import Iterator

from opendasheng.curate.config import InputConfig
from opendasheng.curate.record import Drop, Record
from opendasheng.data.clip import Clip
from opendasheng.data.shards import ShardReader
from opendasheng.data.spread import spread
from opendasheng.errors import CorpusError


class CorpusInput:
    """The clips of a corpus. Their labels, transcripts and captions are not looked at: they are what experts are judged
    by."""

    def __init__(self, config: InputConfig) -> None:
        """Raises :class:`CorpusError` for a folder without shards, and for a source that it has not."""
        self.config = config
        self._reader = ShardReader(config.corpus, split=config.splits or None, source=config.sources or None)
        self._places = {clip.id: place for place, clip in enumerate(self._reader.clips)}

    def records(self) -> Iterator[Record]:
        """One for each clip; too long ones are dropped already."""
        for clip in self._chosen():
            record = Record(
                id=clip.id,
                source=clip.source,
                recording=f"{clip.source}/{clip.origin or clip.id}",
                licence=clip.licence,
                duration_seconds=clip.duration_seconds,
                origin=clip.origin,
            )
            if clip.duration_seconds > self.config.longest_seconds:
                longest = f"{self.config.longest_seconds:g} s of input.longest_seconds"
                reason = f"{clip.duration_seconds:.1f} s are more than the {longest}"
                record = record.model_copy(update={"dropped": Drop(step="input", reason=reason)})
            yield record

    def flac(self, clip_id: str) -> bytes:
        """The audio of a clip. Raises :class:`CorpusError`."""
        place = self._places.get(clip_id)
        if place is None:
            raise CorpusError(f"clip {clip_id}: {self.config.corpus} has it no more", clip_id=clip_id)
        return self._reader.flac(place)

    def _chosen(self) -> list[Clip]:
        """All clips in their order; with a limit, of each source in turn one, by a hash of ids."""
        if not self.config.limit:
            return self._reader.clips
        return spread(self._reader.clips, self.config.limit, clip=lambda clip: clip)
