"""Data of one's own as shards: tables of clips with what to ask and what to answer (the CSV of mdl-toolkit, SPEC 7)."""

import hashlib
import json
import logging
import os
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from opendasheng.audio import load_audio
from opendasheng.corpora.recipe import clip_id, part
from opendasheng.corpora.tables import Columns, files_of, rows_of
from opendasheng.data import shards
from opendasheng.data.clip import MAX_ID_CHARACTERS, SPLITS, Clip, Question
from opendasheng.data.records import SPLIT_NAMES, Sound, below
from opendasheng.data.shards import INDEX, ShardWriter, is_complete, read_index
from opendasheng.errors import AudioError, ConfigError, CorpusError, DashengError
from opendasheng.files import sha256
from opendasheng.lengths import SAMPLE_RATE_HZ

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Table:
    """A CSV file with a header, a file of JSON lines, or a data set of Hugging Face (Parquet, or what ``save_to_disk``
    wrote), and how its rows are read.

    ``columns`` says which hold audio (a path below ``audio_root`` or the folder of the file, or the file itself),
    answer and question; ``system_prompt`` and ``split`` may be there, others are left out. A row without a prompt gets
    ``prompt``, one without a split goes to train, or of ``dev_percent`` of the recordings to dev.
    """

    path: Path
    audio_root: Path | None = None
    prompt: str = ""
    dev_percent: int = 5
    licence: str = "unknown"
    columns: Columns = field(default_factory=Columns)

    @property
    def root(self) -> Path:
        """The folder that paths of audio begin in and may not lead out of."""
        beside = self.path if self.path.is_dir() else self.path.parent
        return (self.audio_root or beside).absolute()

    @property
    def fingerprint(self) -> str:
        """Sha256 over the content of the file or files, how they are read, and the shard format."""
        content = [(path.relative_to(self.path).as_posix(), sha256(path)) for path in files_of(self.path)]
        how = [str(self.audio_root), self.prompt, self.dev_percent, self.licence, asdict(self.columns)]
        parts = [content, *how, shards.FORMAT]
        return _sha256(parts)


@dataclass
class Imported:
    """What came of a table: ``left_out`` says why of each row that is not in it."""

    num_clips: int = 0
    hours: float = 0.0
    left_out: list[str] = field(default_factory=list)


def import_table(table: Table, folder: Path, *, force: bool = False) -> Imported:
    """Write the rows of ``table`` as the source ``folder`` of a corpus; a finished one of the same table and the same
    recordings is kept, one of other content of the recordings is made again.

    A row that cannot be used is left out and told; the others go on.

    Raises:
        ConfigError: no id of a clip can begin with the name of the folder.
        CorpusError: the table cannot be read, none of its rows can be used, the folder lies in the data set, or it
            holds something else, or recordings that are gone, and ``force`` is not set.
    """
    _refuse_name(folder.name)
    _refuse_place(table, folder, force=force)
    try:
        of_table = table.fingerprint
    except OSError as error:
        raise CorpusError(f"{table.path}: it cannot be read ({error.strerror})") from error
    there = None if force else _finished(folder, of_table)
    recordings = _recordings(table)
    fingerprint = _sha256([of_table, recordings])
    if there is not None:
        if is_complete(folder, fingerprint):
            seconds = sum(clip["duration_seconds"] for clip in there["clips"])
            return Imported(len(there["clips"]), seconds / 3600, list(there["info"]["left_out"]))
        _refuse_loss(folder, there["info"]["recordings"], recordings)
    outcome = Imported()
    info = {"table": of_table, "recordings": recordings}
    with ShardWriter(folder, source=folder.name, fingerprint=fingerprint, info=info) as writer:
        for number, (where, row) in enumerate(rows_of(table.path, table.columns, table.root), 1):
            try:
                if isinstance(row, CorpusError):
                    raise row
                clip, audio = _clip(table, folder.name, number, row)
            except (AudioError, CorpusError, OSError) as error:
                outcome.left_out.append(f"{where}: {error}")
                logger.debug("%s", outcome.left_out[-1])
                continue
            writer.add(clip, audio)
            outcome.num_clips += 1
            outcome.hours += clip.duration_seconds / 3600
        if not outcome.num_clips:
            first = f"; the first: {outcome.left_out[0]}" if outcome.left_out else ""
            raise CorpusError(f"{table.path}: none of its rows can be used{first}")
        writer.info["left_out"] = outcome.left_out
    return outcome


def _refuse_name(name: str) -> None:
    """Ids begin with the name of their source: where none can, no row is at fault."""
    try:
        size = len(_id_of(name, 1))
    except UnicodeEncodeError as error:
        raise ConfigError(f"the source's name {name!r} is not text in UTF-8; give another --name") from error
    if size > MAX_ID_CHARACTERS:
        raise ConfigError(
            f"the source's name {name!r} makes ids of {size} characters, and they have at most {MAX_ID_CHARACTERS}; "
            "give a shorter --name"
        )


def _refuse_place(table: Table, folder: Path, *, force: bool) -> None:
    """A writer of shards removes what is called like its own, which may be the data set or somebody's only copy."""
    if table.path.is_dir() and folder.resolve().is_relative_to(table.path.resolve()):
        raise CorpusError(f"{folder} lies in {table.path}, which is to be read; give another --output")
    if not force and folder.is_dir() and not (folder / INDEX).exists():
        there = sorted(path.name for path in folder.iterdir())
        if there:
            raise CorpusError(
                f"{folder} holds {there[0]!r} and no finished import; give another --output or --name, or --force to "
                "replace the shards in it"
            )


def _finished(folder: Path, of_table: str) -> dict[str, Any] | None:
    """The index of a finished import of the table with this fingerprint; None where there is no index.

    Raises :class:`CorpusError` for a finished source that is something else, and for an index that cannot be read and
    so may be of one: it is somebody's data.
    """
    if not (folder / INDEX).exists():
        return None
    try:
        index = read_index(folder)
    except CorpusError as error:
        raise CorpusError(f"{error}; it may be of another table or program, so only --force replaces it") from error
    info = index["info"]
    if info.get("table") != of_table:
        raise CorpusError(f"{folder} holds the finished import of another table; --force replaces it")
    for key, kind in (("recordings", dict), ("left_out", list)):
        if not isinstance(info.get(key), kind):
            found = f"is {info[key]!r:.40}" if key in info else "is missing"
            raise CorpusError(f"{folder / INDEX} is damaged: {key} of its info {found}; --force reads the table again")
    return index


def _refuse_loss(folder: Path, before: dict[str, Any], now: dict[str, str | None]) -> None:
    """A finished import may be all that is left of recordings: where such are gone, only ``force`` may replace it."""
    gone = [name for name in before if before[name] and not now.get(name)]
    if gone:
        raise CorpusError(
            f"{folder} holds {len(gone)} recordings that are not there any more, the first {gone[0]!r}; put them back, "
            "or leave them out by --force"
        )
    changed = [name for name in now if now[name] != before.get(name)]
    if changed:
        logger.warning("%s: %d recordings changed, the first %r; it is made again", folder, len(changed), changed[0])
    else:
        logger.warning("%s is damaged and is made again", folder)


def _recordings(table: Table) -> dict[str, str | None]:
    """Sha256 of each file that rows name, by its path from the root; None of one that is not there or unreadable.

    Audio that lies in the table itself is part of the table's fingerprint.
    """
    found: dict[str, str | None] = {}
    for _, row in rows_of(table.path, table.columns, table.root):
        if isinstance(row, CorpusError):
            continue
        try:
            called, opened = _audio(table, row.get(table.columns.audio))
            path = opened()
        except (DashengError, OSError):
            continue
        if isinstance(path, Path) and (name := _identity(table, called, path)) not in found:
            try:
                found[name] = sha256(path) if path.is_file() else None
            except OSError:
                found[name] = None
    return found


def _identity(table: Table, name: str, found: Any) -> str:
    """What a recording is known by: of a file its path from the root, however a row spells it, else its ``name``."""
    return os.path.relpath(found, table.root) if isinstance(found, Path) else name


def _sha256(parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _clip(table: Table, source: str, number: int, row: dict[str, Any]) -> tuple[Clip, Any]:
    columns = table.columns
    audio_name, opened = _audio(table, row.get(columns.audio))
    answer, prompt, system, split = (
        _text(row, name) for name in (columns.answer, columns.prompt, "system_prompt", "split")
    )
    if not answer:
        raise CorpusError(f"there is no {columns.answer}, so nothing to learn")
    found = opened()
    split = SPLIT_NAMES.get(split.lower(), split) or part(_identity(table, audio_name, found), table.dev_percent, 0)
    if split not in SPLITS:
        raise CorpusError(f"split is {split!r}; there are {', '.join(SPLIT_NAMES)}")
    try:
        audio = load_audio(found)
    except AudioError as error:
        raise AudioError(str(error) if audio_name in str(error) else f"{audio_name}: {error}") from error
    clip = Clip(
        id=_id_of(source, number),
        source=source,
        licence=table.licence,
        split=split,
        kind="sound",
        duration_seconds=round(len(audio) / SAMPLE_RATE_HZ, 4),
        questions=(Question(prompt or table.prompt, answer, system),),
        origin=audio_name,
    )
    return clip, audio


def _id_of(source: str, number: int) -> str:
    """Of the clip of row ``number``."""
    return clip_id(source, f"{number:07d}")


def _audio(table: Table, value: Any) -> tuple[str, Callable[[], Any]]:
    """What a row calls its clip, and what gives something to decode."""
    if isinstance(value, Sound):
        return value.name, lambda: _allowed(table, value.open())
    name = _text({table.columns.audio: value}, table.columns.audio)
    if not name:
        raise CorpusError("there is no audio")
    return name, lambda: _allowed(table, name)


def _allowed(table: Table, found: Any) -> Any:
    """The file itself, or a path below the table's root: a row must not be able to bring any file of the machine."""
    if not isinstance(found, str | Path):
        return found
    if re.match(r"https?://", str(found), re.IGNORECASE):
        raise CorpusError(f"{found} is an address; fetch it, and name the file")
    path = below(table.root, found)
    if path is None:
        raise CorpusError(f"{str(found)!r} is no path below {table.root}; --audio-root gives the folder of all audio")
    return path


def _text(row: dict[str, Any], name: str) -> str:
    value = row.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise CorpusError(f"{name} is {value!r}, not text")
    try:
        value.encode()
    except UnicodeEncodeError as error:  # half a pair of surrogates, which JSON can write
        raise CorpusError(f"{name} is {value!r}, which is not text in Unicode") from error
    return value.strip()
