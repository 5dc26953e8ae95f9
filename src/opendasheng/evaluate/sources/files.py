"""Data sets made of plain files: a JSON lines manifest, or a folder of audio with metadata or labels."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from opendasheng.data.records import AUDIO_SUFFIXES, Record, Sound
from opendasheng.errors import EvaluationError
from opendasheng.evaluate.rows import read_rows

METADATA = ("metadata.jsonl", "metadata.csv")
_FILE_NAME = "file_name"


class Manifest:
    """A JSON lines file: an object for each row. Paths in it are relative to the file."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self.path = path
        self.folder: Path | None = path.parent

    def records(self, *, audio: bool) -> Iterator[Record]:
        """The rows in the order of the file; raises :class:`EvaluationError` for a line that is no JSON object."""
        del audio
        for row in read_rows(self.path):
            clip = row.fields.get("audio")
            yield Record(clip if isinstance(clip, str) and clip else f"row {row.number}", row.fields)


class AudioFolder:
    """A folder of audio: with ``metadata.jsonl`` or ``metadata.csv`` (``file_name`` and other columns) its rows, else
    every audio file in it, sorted, with the sub-folder it lies in as its ``label``.

    A sub-folder named after the split is taken where there is one.
    """

    def __init__(self, path: Path, split: str) -> None:
        inner = path / split
        self.folder: Path | None = inner if inner.is_dir() else path
        self.name = str(self.folder)
        self._root = inner if inner.is_dir() else path

    def records(self, *, audio: bool) -> Iterator[Record]:
        """The clips; raises :class:`EvaluationError` for metadata without file names, and a folder without audio."""
        del audio
        for name in METADATA:
            if (self._root / name).is_file():
                yield from self._described(self._root / name)
                return
        paths = sorted(audio_files(self._root))
        if not paths:
            raise EvaluationError(f"{self.name}: it holds no audio file, and neither {' nor '.join(METADATA)}")
        for path in paths:
            columns = {_FILE_NAME: path, **({"label": path.split("/")[0]} if "/" in path else {})}
            yield self._record(path, columns)

    def _described(self, metadata: Path) -> Iterator[Record]:
        for number, columns in _rows(metadata):
            path = columns.get(_FILE_NAME)
            if not isinstance(path, str) or not path:
                there = ", ".join(columns) or "nothing"
                raise EvaluationError(f"{metadata}: row {number} has no {_FILE_NAME}; it has {there}")
            yield self._record(path, columns)

    def _record(self, path: str, columns: dict[str, Any]) -> Record:
        return Record(path, columns, Sound(path, lambda: self._root / path))


def _rows(metadata: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    if metadata.suffix == ".jsonl":
        for row in read_rows(metadata):
            yield row.number, dict(row.fields)
        return
    try:
        with metadata.open(encoding="utf-8-sig", newline="") as file:
            for number, line in enumerate(csv.DictReader(file), 2):
                yield number, {str(name): value for name, value in line.items() if name is not None}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise EvaluationError(f"{metadata}: it cannot be read as CSV ({error})") from error


def audio_files(folder: Path) -> Iterator[str]:
    """Audio files at any depth, as paths below ``folder`` with "/"; hidden ones are left out."""
    for path in folder.rglob("*"):
        below = path.relative_to(folder)
        if path.suffix[1:].lower() in AUDIO_SUFFIXES and not any(part.startswith(".") for part in below.parts):
            yield below.as_posix()
