"""Rows of tables of any kind: CSV, JSON lines, Parquet, and what the library datasets saved."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opendasheng.data.records import SPLIT_NAMES, naming
from opendasheng.errors import CorpusError, EvaluationError


@dataclass(frozen=True)
class Columns:
    """Which columns of a table hold what."""

    audio: str = "audio"
    answer: str = "prediction"
    prompt: str = "user_prompt"

    def require(self, there: list[str], where: str) -> None:
        """Raises :class:`CorpusError` where a table has no audio or no answer."""
        for name in (self.audio, self.answer):
            if name not in there:
                raise CorpusError(f"{where}: it has no column {name!r}, but {', '.join(there) or 'nothing'}")


def files_of(path: Path) -> list[Path]:
    """The files that the rows of ``path`` lie in: itself, or all below it but hidden ones.

    Raises :class:`CorpusError` for a folder without any, or that is not there.
    """
    if not path.is_dir():
        if not path.exists():
            raise CorpusError(f"{path}: there is no such file or folder")
        return [path]
    found = [one for one in sorted(path.rglob("*")) if one.is_file()]
    found = [one for one in found if not any(part.startswith(".") for part in one.relative_to(path).parts)]
    if not found:
        raise CorpusError(f"{path}: it is empty")
    return found


def rows_of(path: Path, columns: Columns, audio_root: Path) -> Iterator[tuple[str, dict[str, Any] | CorpusError]]:
    """Rows, each after where it stands: file or split, and number from 1 without a header.

    Audio of a data set is a :class:`Sound`; paths in it begin in ``audio_root``. In place of a row that is none is what
    is wrong with it.

    Raises :class:`CorpusError` for what is no table, is damaged, or has no audio or answer.
    """
    if not path.is_dir() and path.suffix.lower() != ".parquet":
        yield from _plain_rows(path, columns)
        return
    try:
        for where, split, table in _tables(path, audio_root):
            columns.require(table.column_names, where)
            for number, record in enumerate(table.records(audio=True), 1):
                row = dict(record.columns)
                yield f"{where}: row {number}", row if row.get("split") or not split else row | {"split": split}
    except EvaluationError as error:
        raise CorpusError(str(error)) from error


def _tables(path: Path, audio_root: Path) -> Iterator[tuple[str, str, Any]]:
    """Each table below ``path`` after what errors call it, and the split that it says it is, or ""."""
    from opendasheng.data.arrow import parquet, saved

    if (path / "dataset_dict.json").is_file():
        try:
            names = json.loads((path / "dataset_dict.json").read_text(encoding="utf-8"))["splits"]
        except (ValueError, KeyError, TypeError) as error:
            raise CorpusError(f"{path / 'dataset_dict.json'}: it names no splits ({error!r}); save it again") from error
        for name in names:
            yield f"{path}: split {name}", _split_of(name, str(path)), saved(path, name, audio_root)
        return
    if (path / "state.json").is_file():
        yield str(path), "", saved(path, "", audio_root)
        return
    files = [path] if path.is_file() else sorted(path.rglob("*.parquet"))
    if not files:
        raise CorpusError(f"{path}: it holds neither Parquet nor what save_to_disk of datasets writes")
    root = path.parent if path.is_file() else path
    for one in files:
        yield str(one), _split_by_name(one, root), parquet([one], str(one), audio_root)


def _split_of(name: str, where: str) -> str:
    if name.lower() not in SPLIT_NAMES:
        raise CorpusError(
            f"{where}: its split {name!r} is none of {', '.join(SPLIT_NAMES)}; save it under one of these"
        )
    return SPLIT_NAMES[name.lower()]


def _split_by_name(path: Path, root: Path) -> str:
    """What the name of a file says, else those of its folders below ``root``; "" where none says anything."""
    for above in (path.parent, root):
        splits = sorted({ours for word, ours in SPLIT_NAMES.items() if naming([path], word, above)})
        if len(splits) > 1:
            raise CorpusError(f"{path}: its name says {' and '.join(splits)}; rename it, so that it says one of them")
        if splits:
            return splits[0]
    return ""


def _plain_rows(path: Path, columns: Columns) -> Iterator[tuple[str, dict[str, Any] | CorpusError]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if path.suffix.lower() in (".jsonl", ".json"):
                for number, line in enumerate(file, 1):
                    if line.strip():
                        where = f"{path}: row {number}"
                        yield where, _json_row(line, where)
                return
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            columns.require(header, f"{path}: its header")
            for number, fields in enumerate(filter(None, reader), 1):
                yield f"{path}: row {number}", _csv_row(header, fields, columns)
    except (UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(f"{path}: it is no CSV file in UTF-8 ({error})") from error


def _csv_row(header: list[str], fields: list[str], columns: Columns) -> dict[str, Any] | CorpusError:
    row = dict(zip(header, fields, strict=False))
    counts = f"it has {len(fields)} fields, the header has {len(header)}"
    if len(fields) > len(header):
        return CorpusError(f"{counts}; quote values that hold commas")
    missing = [name for name in (columns.audio, columns.answer) if name not in row]
    return CorpusError(f"{counts}, and there is no {missing[0]}") if missing else row


def _json_row(line: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise CorpusError(f"{where}: it is not JSON ({error})") from error
    if not isinstance(row, dict):
        raise CorpusError(f"{where}: it is no JSON object")
    return row
