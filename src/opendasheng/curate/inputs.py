"""Where clips come from, as records without findings."""

from collections.abc import Iterator
from typing import Protocol

from opendasheng.curate.acavcaps import AcavCapsInput
from opendasheng.curate.config import InputConfig
from opendasheng.curate.record import Record
from opendasheng.curate.recordings import RecordingsInput
from opendasheng.curate.selection import selected
from opendasheng.data.shards import ShardReader
from opendasheng.errors import ConfigError, CorpusError


class Input(Protocol):
    """A source of clips. Steps of a run each make their own of the same configuration, on any machine."""

    def records(self) -> Iterator[Record]:
        """One for each clip, always with the same id; what cannot be heard is dropped already, with the reason."""
        ...

    def flac(self, clip_id: str) -> bytes:
        """The audio of a clip, a FLAC file of 16 kHz mono. Raises :class:`CorpusError` or :class:`AudioError`."""
        ...


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
        yield from selected(
            (
                Record(
                    id=clip.id,
                    source=clip.source,
                    recording=f"{clip.source}/{clip.origin or clip.id}",
                    licence=clip.licence,
                    duration_seconds=clip.duration_seconds,
                    origin=clip.origin,
                )
                for clip in self._reader.clips
            ),
            self.config,
        )

    def flac(self, clip_id: str) -> bytes:
        """The audio of a clip. Raises :class:`CorpusError`."""
        place = self._places.get(clip_id)
        if place is None:
            raise CorpusError(f"clip {clip_id}: {self.config.corpus} has it no more", clip_id=clip_id)
        return self._reader.flac(place)


def open_input(config: InputConfig) -> Input:
    """The input that ``config`` names. Raises :class:`ConfigError` where it names none, and :class:`CorpusError` for a
    folder that holds nothing of the kind."""
    if config.corpus:
        return CorpusInput(config)
    if config.acavcaps:
        return AcavCapsInput(config)
    if config.audio:
        return RecordingsInput(config)
    raise ConfigError("input names no clips; set one of input.corpus, input.acavcaps and input.audio")
