"""ACAVCaps as it was released: WebDataset tars by MECAT's domains, captions of stretches of YouTube videos.

Folders are called by domain and hold tars with members ``KEY.json``, and ``KEY.flac`` (or other audio) where somebody
has added it; JSON lines by key, as MECAT's references are (SPEC 10.2), are read too. A key is that of the video and two
times in seconds, with ``_`` in the place of the point: ``AbC-_123xyz_30_0_40_0`` is from 30.0 to 40.0 s. It is the id
of the record, as it stands.
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from opendasheng.audio import Waveform, load_audio
from opendasheng.curate.config import InputConfig
from opendasheng.curate.parts import Fault, Part, lines_of, members_of
from opendasheng.curate.record import DOMAINS, Record
from opendasheng.curate.recordings import LastRecording, audio_files
from opendasheng.curate.selection import dropped, no_clip, selected
from opendasheng.data.records import AUDIO_SUFFIXES
from opendasheng.data.shards import encode_flac
from opendasheng.errors import AudioError, CorpusError, CurationError
from opendasheng.lengths import SAMPLE_RATE_HZ

MAKER = SOURCE = "acavcaps"
LICENCE = "YouTube, unknown"
"""The release states none, neither of the videos nor of what is cut from them."""
CAPTIONS = ("long", "short", "speech", "music", "sound", "environment")

_KEY = re.compile(r"([A-Za-z0-9_-]+)_([0-9]{1,5})_([0-9]{1,20})_([0-9]{1,5})_([0-9]{1,20})")
_CLIP_SECONDS = 10.0  # what the clips of the release last
_MOST_JSON_BYTES = 2**20
# Codecs and cuts by frames of video are that inexact. What lies further off is of something else.
_TOLERANCE_SECONDS = 0.5


class Key(NamedTuple):
    """A stretch of a video."""

    video: str
    start_seconds: float
    end_seconds: float


def read_key(text: str) -> Key:
    """What a key says. Raises :class:`CorpusError` for what is none."""
    match = _KEY.fullmatch(text)
    if match is None:
        raise CorpusError(f"{text[:100]!r} is no key; one is VIDEO_30_0_40_0, a video with two times in seconds")
    return Key(match[1], float(f"{match[2]}.{match[3]}"), float(f"{match[4]}.{match[5]}"))


class _Entry(NamedTuple):
    """A key with what is said of it, found at ``part``; nothing is where only its audio is there."""

    key: str
    part: Part
    fields: Mapping[str, Any] | None


class AcavCapsInput:
    """The clips of a release. Audio is that of the tars, else of the user's own recordings, called by key or by video.

    Steps that want audio look through the headers of all tars once.
    """

    def __init__(self, config: InputConfig) -> None:
        """Raises :class:`CorpusError` for a folder without tars and JSON lines, and what :func:`audio_files` does."""
        self._config, self._folder = config, Path(config.acavcaps)
        if not self._folder.is_dir():
            raise CorpusError(f"{self._folder}: there is no such folder; input.acavcaps is where the release lies")
        self._files = sorted(path for end in ("*.tar", "*.jsonl") for path in self._folder.rglob(end) if path.is_file())
        if not self._files:
            raise CorpusError(f"{self._folder} holds no .tar and no .jsonl; input.acavcaps is where the release lies")
        own = reversed(audio_files(Path(config.audio))) if config.audio else ()
        self._own = {path.stem: path for path in own}
        self._last = LastRecording()

    def records(self) -> Iterator[Record]:
        """One for each key, in the order of the files; whatever is no clip has one that is dropped."""
        yield from selected(self._all(), self._config)

    def flac(self, clip_id: str) -> bytes:
        """The audio of a clip. Raises :class:`CorpusError` where it is not there, or of another length than its key
        says, else what ``load_audio`` does."""
        key = read_key(clip_id)
        audio = self._audio(clip_id, key)
        seconds, said = len(audio) / SAMPLE_RATE_HZ, key.end_seconds - key.start_seconds
        if abs(seconds - said) > _TOLERANCE_SECONDS:
            raise CorpusError(
                f"clip {clip_id}: there are {seconds:.2f} s of audio, and its key says {said:.2f} s", clip_id=clip_id
            )
        return encode_flac(audio)

    def _audio(self, clip_id: str, key: Key) -> Waveform:
        most = self._config.longest_seconds + _TOLERANCE_SECONDS
        if (part := self._sounds.get(clip_id)) is not None:
            try:
                return load_audio(part.read(), max_seconds=most)
            except AudioError as error:
                raise AudioError(f"{part.place}: {error}") from error
        if (path := self._own.get(clip_id)) is not None:
            return load_audio(path, max_seconds=most)
        if (path := self._own.get(key.video)) is not None:
            start, end = (round(at * SAMPLE_RATE_HZ) for at in (key.start_seconds, key.end_seconds))
            return self._last.load(path)[start:end]
        raise CorpusError(f"clip {clip_id}: its audio is not there any more", clip_id=clip_id)

    @cached_property
    def _found(self) -> tuple[list[Part], list[Fault], dict[str, Part]]:
        """Where JSON lies, what cannot be read, and by key where audio lies."""
        texts: list[Part] = []
        faults: list[Fault] = []
        sounds: dict[str, Part] = {}
        for path in self._files:
            for part in members_of(path) if path.suffix == ".tar" else lines_of(path):
                kind = part.name.rpartition(".")[2].lower() if isinstance(part, Part) else ""
                if isinstance(part, Fault):
                    faults.append(part)
                elif path.suffix == ".jsonl" or kind == "json":
                    texts.append(part)
                elif kind in AUDIO_SUFFIXES:
                    first = sounds.setdefault(_key_of(part), part)
                    if first is not part:
                        faults.append(Fault(part.place, f"its audio is there already, in {first.place}"))
        return texts, faults, sounds

    @property
    def _sounds(self) -> Mapping[str, Part]:
        return self._found[2]

    def _all(self) -> Iterator[Record]:
        texts, faults, sounds = self._found
        faults = list(faults)
        seen: dict[str, Part] = {}
        for part in texts:
            try:
                said = list(_said(part))
            except CorpusError as error:
                seen.setdefault(_key_of(part), part)
                faults.append(Fault(part.place, str(error)))
                continue
            for key, fields in said:
                if (first := seen.setdefault(key, part)) is part:
                    yield self._record(_Entry(key, part, fields))
                else:
                    faults.append(Fault(f"{part.place}, {key}", f"this key is there already, in {first.place}"))
        for key, part in sounds.items():
            if key not in seen:
                yield self._record(_Entry(key, part, None))
        for fault in faults:
            yield _told(fault)
        if not seen and not sounds and not faults:
            raise CorpusError(f"{self._folder}: there is no clip in its {len(self._files)} files")

    def _record(self, entry: _Entry) -> Record:
        try:
            key = read_key(entry.key)
            record = Record.from_fields(
                {
                    "id": entry.key,
                    "source": SOURCE,
                    "recording": key.video,
                    "licence": LICENCE,
                    "duration_seconds": round(key.end_seconds - key.start_seconds, 4),
                    "origin": f"https://www.youtube.com/watch?v={key.video}",
                    "span": {"start_seconds": key.start_seconds, "end_seconds": key.end_seconds},
                    "captions": {} if entry.fields is None else captions_of(entry.fields),
                    "domain": self._domain(entry),
                }
            )
        except (CorpusError, CurationError) as error:
            return _told(Fault(f"{entry.part.place}, {entry.key}", str(error)))
        if entry.key in self._sounds or entry.key in self._own or key.video in self._own:
            return record
        return dropped(record, "its audio is not there, neither in the tars nor in input.audio")

    def _domain(self, entry: _Entry) -> str | None:
        """That of the nearest folder, or of the name of a file of JSON lines; else what is said with the captions."""
        path = entry.part.path.relative_to(self._folder)
        inside = PurePosixPath(entry.part.name).parent.parts
        names = [self._folder.absolute().name, *path.parent.parts, *inside]
        if path.suffix == ".jsonl":
            names.append(path.stem)
        said = entry.fields.get("domain") if entry.fields else None
        return next((name for name in [*reversed(names), said] if name in DOMAINS), None)


def captions_of(fields: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Captions as a record holds them, by their maker; where there are several of a kind, the second ones are those of
    ``acavcaps-2``, and so on. The long and the short one stand in for each other.

    Raises :class:`CorpusError` where there is neither, and for what is no text.
    """
    texts = {name: _texts(fields.get(name), name) for name in CAPTIONS}
    num = max(len(texts["long"]), len(texts["short"]))
    if not num:
        raise CorpusError("it has no long and no short caption")
    found = {}
    for number in range(num):
        said = {name: some[number] for name, some in texts.items() if number < len(some)}
        either = said.get("long") or said["short"]
        maker = MAKER if number == 0 else f"{MAKER}-{number + 1}"
        found[maker] = {"long": either, "short": either, **said, "maker": MAKER}
    return found


def _texts(value: Any, name: str) -> list[str]:
    values = [] if value is None else value if isinstance(value, list) else [value]
    for text in values:
        try:
            if not isinstance(text, str):
                raise CorpusError(f"{name} is {text!r:.60}, not text")
            text.encode()
        except UnicodeEncodeError as error:  # half a pair of surrogates, which JSON can write
            raise CorpusError(f"{name} is not text in Unicode") from error
    return [text.strip() for text in values if text.strip()]


def _said(part: Part) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The keys of a member or line, mostly one, with what is said of each. Raises :class:`CorpusError` for what is no
    JSON of the kind, and for what cannot be read."""
    if part.size > _MOST_JSON_BYTES:
        raise CorpusError(f"it has {part.size} bytes, and captions have at most {_MOST_JSON_BYTES}")
    try:
        fields = json.loads(part.read())
    except (ValueError, RecursionError) as error:
        raise CorpusError(f"it is not JSON ({error})") from error
    if not isinstance(fields, dict):
        raise CorpusError(f"it is {type(fields).__name__} in JSON, not an object")
    if part.path.suffix == ".tar":
        yield _key_of(part), fields
        return
    key = fields.get("id", fields.get("key"))
    if isinstance(key, str):
        yield key, fields
        return
    for name, value in fields.items():
        if not isinstance(value, dict):
            raise CorpusError("it is neither {KEY: {...}} nor an object with its key as id or key")
        yield name, value


def _key_of(part: Part) -> str:
    """As WebDataset has it: the name up to its first point."""
    return PurePosixPath(part.name).name.partition(".")[0]


def _told(fault: Fault) -> Record:
    return no_clip(fault.place, fault.reason, source=SOURCE, licence=LICENCE, seconds=_CLIP_SECONDS)
