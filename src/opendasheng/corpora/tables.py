"""Rows of tables of any kind: CSV, JSON lines, Parquet, and what the library datasets saved."""

import csv
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from opendasheng.data.records import SPLIT_NAMES, naming
from opendasheng.errors import CorpusError, EvaluationError

_NOT_UTF8 = "it is not text in UTF-8; save the table in UTF-8"


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
    # Bytes that are not UTF-8 become characters that it has not, so that they end one row and not the table.
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        if path.suffix.lower() in (".jsonl", ".json"):
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield f"{path}: row {number}", _json_row(line)
            return
        yield from ((f"{path}: row {number}", row) for number, row in enumerate(_csv_rows(path, file, columns), 1))


def _csv_rows(path: Path, file: TextIO, columns: Columns) -> Iterator[dict[str, Any] | CorpusError]:
    reader = csv.reader(file, strict=True)
    try:
        header = next(reader, [])
    except csv.Error as error:
        raise CorpusError(f"{path}: it is no CSV file ({error})") from error
    if not _is_utf8("".join(header)):
        raise CorpusError(f"{path}: its header is not text in UTF-8; save the table as CSV in UTF-8")
    columns.require(header, f"{path}: its header")
    # Unnamed columns, as spreadsheets append them, are nobody's.
    twice = [name for name, count in Counter(header).items() if count > 1 and name]
    if twice:
        raise CorpusError(f"{path}: its header has the column {twice[0]!r} more than once; rename all but one of them")
    while True:
        first = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:  # reading goes on with the next line
            lines = f"line {first} is" if reader.line_num <= first else f"lines {first} to {reader.line_num} are"
            yield CorpusError(f"{lines} no row of CSV ({error})")
            continue
        if fields:
            yield _csv_row(header, fields)


def _csv_row(header: list[str], fields: list[str]) -> dict[str, Any] | CorpusError:
    if not _is_utf8("".join(fields)):
        return CorpusError(_NOT_UTF8)
    counts = f"it has {len(fields)} fields, the header has {len(header)}"
    if len(fields) > len(header):
        return CorpusError(f"{counts}; quote values that hold commas")
    if len(fields) < len(header):  # without its split a row for test would be learnt from
        return CorpusError(f"{counts}; is it cut short? Leave a field empty where there is nothing")
    return dict(zip(header, fields, strict=True))


def _json_row(line: str) -> dict[str, Any] | CorpusError:
    if not _is_utf8(line):
        return CorpusError(_NOT_UTF8)
    try:
        row = json.loads(line.rstrip())
    except json.JSONDecodeError as error:
        return CorpusError(f"it is not JSON ({error.msg}, character {error.pos + 1})")
    except (ValueError, RecursionError) as error:
        return CorpusError(f"it is not JSON ({error})")
    return row if isinstance(row, dict) else CorpusError("it is no JSON object")


def _is_utf8(text: str) -> bool:
    """Whether what was read with ``surrogateescape`` was UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
