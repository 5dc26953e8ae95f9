"""Prediction files: one JSON object a line, read row by row, so that a file of any length fits in memory.

The fields are those of the published files (EVALUATION.md section 3): ``dataset_name``, ``audio``, ``prompt``,
``model_output``, ``model_name`` and what the answer is compared with: ``text``, ``label`` or ``answer``.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opendasheng.errors import EvaluationError

_BOM = b"\xef\xbb\xbf"
_SHOWN_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a prediction file; ``number`` counts lines from 1. Fields are checked when they are asked for."""

    file: str
    number: int
    fields: Mapping[str, Any]

    def error(self, message: str) -> EvaluationError:
        """An error that begins with the file and the row."""
        return EvaluationError(f"{self.file}: row {self.number}: {message}")

    def text(self, name: str) -> str:
        """A field that must be a string; it may be empty."""
        value = self._get(name)
        if not isinstance(value, str):
            raise self.error(f"field {name!r} is {_shown(value)}, not text")
        return value

    def optional_text(self, name: str) -> str | None:
        """A field that may be missing or null, and is a string where it is there."""
        return None if self.fields.get(name) is None else self.text(name)

    def texts(self, name: str) -> list[str]:
        """A field that must be a list of strings, at least one, none of them blank."""
        value = self._get(name)
        if isinstance(value, str):
            raise self.error(f"field {name!r} is the text {_shown(value)}, not a list; write [{_shown(value)}]")
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.error(f"field {name!r} is {_shown(value)}, not a list of texts")
        if not value:
            raise self.error(f"field {name!r} is an empty list; a row needs something to be compared with")
        for item in value:
            if not item.strip():
                raise self.error(f"field {name!r} holds a blank text, which every answer would contain")
        return value

    def _get(self, name: str) -> Any:
        try:
            return self.fields[name]
        except KeyError:
            there = ", ".join(sorted(self.fields)) or "nothing"
            raise self.error(f"field {name!r} is missing; the row has {there}") from None


def read_rows(path: str | Path) -> Iterator[Row]:
    """The rows of a JSON lines file in order; blank lines are passed over, a byte order mark is dropped.

    Raises :class:`EvaluationError` that names the file, and where there is one the row: a file that cannot be read or
    holds no row, a line that is not UTF-8, not JSON, or not an object.
    """
    name = str(path)
    empty = True
    try:
        with Path(path).open("rb") as file:
            for number, line in enumerate(file, 1):
                if number == 1:
                    line = line.removeprefix(_BOM)
                if not line.strip():
                    continue
                empty = False
                yield Row(name, number, _object(line, name, number))
    except OSError as error:
        raise EvaluationError(f"{name}: it cannot be read ({error.strerror or error}); check the path") from error
    if empty:
        raise EvaluationError(f"{name}: it holds no rows; a prediction file has one JSON object a line")


def _object(line: bytes, name: str, number: int) -> dict[str, Any]:
    try:
        value = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise EvaluationError(f"{name}: row {number}: it is not UTF-8 (byte {error.start} of the line)") from error
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, ValueError) else "it is nested too deeply"
        start = _shown(line[:_SHOWN_CHARACTERS].decode("utf-8", "replace"))
        raise EvaluationError(f"{name}: row {number}: it is not JSON ({reason}); it begins {start}") from error
    if not isinstance(value, dict):
        raise EvaluationError(f"{name}: row {number}: it is {_shown(value)}, not a JSON object")
    return value


def row_id(row: Row) -> str:
    """What identifies the question that a row answers: its ``id`` where it has one, else audio, prompt and question."""
    given = row.fields.get("id")
    if isinstance(given, str) and given:
        return given
    return "\x1f".join(str(row.fields.get(name, "")) for name in ("audio", "prompt", "question"))


def hash64(text: str) -> int:
    """A 64-bit name for a text, the same on every machine: rows by the million are told apart in little memory."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=True, default=str)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 4] + " ..."
