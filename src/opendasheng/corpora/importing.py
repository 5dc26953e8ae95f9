"""Data of one's own as shards: tables of clips with what to ask and what to answer (the CSV of mdl-toolkit, SPEC 7)."""

import csv
import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opendasheng.audio import load_audio
from opendasheng.corpora.build import refuse_foreign
from opendasheng.corpora.recipe import clip_id, part
from opendasheng.data import shards
from opendasheng.data.clip import SPLITS, Clip, Question
from opendasheng.data.shards import ShardWriter, is_complete, read_index
from opendasheng.errors import AudioError, CorpusError
from opendasheng.lengths import SAMPLE_RATE_HZ

logger = logging.getLogger(__name__)

COLUMNS = ("audio", "user_prompt", "prediction", "system_prompt", "split")
_REQUIRED = ("audio", "prediction")


@dataclass(frozen=True)
class Table:
    """A CSV file with a header, or a file of JSON lines, and how its rows are read.

    Columns are ``audio`` (a path, from ``audio_root`` or the folder of the file), ``prediction`` (the answer),
    ``user_prompt``, ``system_prompt`` and ``split``; others are left out. A row without a prompt gets ``prompt``, one
    without a split goes to train, or of ``dev_percent`` of the recordings to dev.
    """

    path: Path
    audio_root: Path | None = None
    prompt: str = ""
    dev_percent: int = 5
    licence: str = "unknown"

    @property
    def fingerprint(self) -> str:
        """Sha256 over the content of the file, how it is read, and the shard format."""
        content = hashlib.sha256(self.path.read_bytes()).hexdigest()
        parts = [content, str(self.audio_root), self.prompt, self.dev_percent, self.licence, shards.FORMAT]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@dataclass
class Imported:
    """What came of a table: ``left_out`` says why of each row that is not in it."""

    num_clips: int = 0
    hours: float = 0.0
    left_out: list[str] = field(default_factory=list)


def import_table(table: Table, folder: Path, *, force: bool = False) -> Imported:
    """Write the rows of ``table`` as the source ``folder`` of a corpus; a finished one of the same table is kept.

    A row that cannot be used is left out and told; the others go on.

    Raises:
        CorpusError: the table cannot be read, none of its rows can be used, or the folder holds something else and
            ``force`` is not set.
    """
    try:
        fingerprint = table.fingerprint
    except OSError as error:
        raise CorpusError(f"{table.path}: it cannot be read ({error.strerror})") from error
    if not force and is_complete(folder, fingerprint):
        index = read_index(folder)
        seconds = sum(clip["duration_seconds"] for clip in index["clips"])
        return Imported(len(index["clips"]), seconds / 3600, list(index["info"]["left_out"]))
    if not force:
        refuse_foreign(folder, fingerprint, "holds the finished import of another table")
    outcome = Imported()
    with ShardWriter(folder, source=folder.name, fingerprint=fingerprint) as writer:
        for number, row in _rows(table.path):
            try:
                clip, audio = _clip(table, folder.name, number, row)
            except (AudioError, CorpusError) as error:
                outcome.left_out.append(f"{table.path}: row {number}: {error}")
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


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows by number from 1, without the header."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if path.suffix.lower() in (".jsonl", ".json"):
                for number, line in enumerate(file, 1):
                    if line.strip():
                        yield number, _json_row(line, f"{path}: row {number}")
                return
            reader = csv.DictReader(file, strict=True)
            missing = [name for name in _REQUIRED if name not in (reader.fieldnames or ())]
            if missing:
                there = ", ".join(reader.fieldnames or ()) or "nothing"
                raise CorpusError(f"{path}: its header has no column {missing[0]!r}, but {there}")
            yield from enumerate(reader, 1)
    except (UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(f"{path}: it is no CSV file in UTF-8 ({error})") from error


def _json_row(line: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise CorpusError(f"{where}: it is not JSON ({error})") from error
    if not isinstance(row, dict):
        raise CorpusError(f"{where}: it is no JSON object")
    return row


def _clip(table: Table, source: str, number: int, row: dict[str, Any]) -> tuple[Clip, Any]:
    audio_name, answer, prompt, system, split = (
        _text(row, name) for name in ("audio", "prediction", "user_prompt", "system_prompt", "split")
    )
    if not audio_name:
        raise CorpusError("there is no audio")
    if not answer:
        raise CorpusError("there is no prediction, so nothing to learn")
    split = split or part(audio_name, table.dev_percent, 0)
    if split not in SPLITS:
        raise CorpusError(f"split is {split!r}; there are {', '.join(SPLITS)}")
    audio = load_audio(Path(table.audio_root or table.path.parent) / audio_name)
    clip = Clip(
        id=clip_id(source, f"{number:07d}"),
        source=source,
        licence=table.licence,
        split=split,
        kind="sound",
        duration_seconds=round(len(audio) / SAMPLE_RATE_HZ, 4),
        questions=(Question(prompt or table.prompt, answer, system),),
        origin=audio_name,
    )
    return clip, audio


def _text(row: dict[str, Any], name: str) -> str:
    value = row.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise CorpusError(f"{name} is {value!r}, not text")
    return value.strip()
