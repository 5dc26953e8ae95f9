"""A folder of audio files, each a recording that is cut into clips of like length."""

import hashlib
import math
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from opendasheng.audio import Waveform, describe, load_audio, probe_seconds
from opendasheng.curate.config import InputConfig
from opendasheng.curate.record import Record
from opendasheng.curate.selection import no_clip, selected
from opendasheng.data.clip import MAX_SECONDS
from opendasheng.data.records import AUDIO_SUFFIXES
from opendasheng.data.shards import encode_flac
from opendasheng.errors import AudioError, CorpusError, CurationError
from opendasheng.lengths import SAMPLE_RATE_HZ

# Of an id: what a reader knows a file by, what tells it from all others, the place of the clip and how many there are.
_ID = re.compile(r"[A-Za-z0-9_-]*-([0-9a-f]{16})-([0-9]+)-([0-9]+)")
_MOST_NAME_CHARACTERS = 48


class RecordingsInput:
    """The audio files at any depth of a folder. Clips of one are equally long, so that no short rest is left over.

    A clip is the n-th part of what its file holds, however long the header says that is: no sample is lost.
    """

    def __init__(self, config: InputConfig) -> None:
        """Raises :class:`CorpusError` for a folder without audio files."""
        self._config, self._folder = config, Path(config.audio)
        self._files = audio_files(self._folder)
        self._last = LastRecording()

    def records(self) -> Iterator[Record]:
        """One for each clip; a file that cannot be read has one that is dropped."""
        yield from selected((record for path in self._files for record in self._clips(path)), self._config)

    def flac(self, clip_id: str) -> bytes:
        """The audio of a clip. Raises :class:`CorpusError` where its file is gone, else what ``load_audio`` does."""
        match = _ID.fullmatch(clip_id)
        path = match and self._by_digest.get(match[1])
        if not match or not path:
            raise CorpusError(f"clip {clip_id}: {self._folder} has its recording no more", clip_id=clip_id)
        audio, place, num = self._last.load(path), int(match[2]), int(match[3])
        return encode_flac(audio[(place - 1) * len(audio) // num : place * len(audio) // num])

    @cached_property
    def _by_digest(self) -> dict[str, Path]:
        return {_digest(self._name(path)): path for path in self._files}

    def _name(self, path: Path) -> str:
        """By which a file is known: printable, and the same wherever the folder lies."""
        return describe(path.relative_to(self._folder).as_posix())

    def _clips(self, path: Path) -> Iterator[Record]:
        name = self._name(path)
        inside = path.relative_to(self._folder).parts[:-1]
        source = describe(inside[0] if inside else self._folder.absolute().name)
        about = {"source": source, "licence": self._config.licence}
        try:
            seconds = _seconds(path)
            num = math.ceil(seconds / self._config.clip_seconds)
            ends = [round(seconds * place / num, 4) for place in range(num + 1)]
            start = re.sub(r"[^A-Za-z0-9_-]+", "_", path.stem)[:_MOST_NAME_CHARACTERS]
            clips = [
                Record.from_fields(
                    {
                        "id": f"{start}-{_digest(name)}-{place:04d}-{num:04d}",
                        "recording": name,
                        "origin": name,
                        "duration_seconds": round(ends[place] - ends[place - 1], 4),
                        "span": {"start_seconds": ends[place - 1], "end_seconds": ends[place]},
                        **about,
                    }
                )
                for place in range(1, num + 1)
            ]
        except (AudioError, CurationError) as error:
            yield no_clip(name, str(error), seconds=min(self._config.clip_seconds, MAX_SECONDS), **about)
            return
        yield from clips


class LastRecording:
    """Decodes files, and keeps the last one: clips of a recording mostly follow each other."""

    def __init__(self) -> None:
        self._kept: tuple[Path, Waveform] | None = None

    def load(self, path: Path) -> Waveform:
        """The whole file, float32 ``(S,)`` at 16 kHz. Raises what ``load_audio`` does."""
        if self._kept is None or self._kept[0] != path:
            self._kept = None  # two long ones need not fit in memory
            self._kept = path, load_audio(path, max_seconds=MAX_SECONDS)
        return self._kept[1]


def audio_files(folder: Path) -> list[Path]:
    """The audio files at any depth of ``folder`` by their suffixes, sorted, without hidden ones. Raises
    :class:`CorpusError` where it is no folder, or has none."""
    if not folder.is_dir():
        raise CorpusError(f"{folder}: there is no such folder; input.audio is where audio files lie")
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix[1:].lower() in AUDIO_SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )
    if not found:
        raise CorpusError(f"{folder} holds no audio file ({', '.join(sorted(AUDIO_SUFFIXES))})")
    return found


def _seconds(path: Path) -> float:
    """By the header, or decoded where that does not say."""
    seconds = probe_seconds(path)
    if seconds is None:
        seconds = len(load_audio(path, max_seconds=MAX_SECONDS)) / SAMPLE_RATE_HZ
    if seconds > MAX_SECONDS:
        raise AudioError(f"it is {seconds:.0f} s long, and a recording has at most {MAX_SECONDS:g} s; split it")
    return seconds


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:16]
