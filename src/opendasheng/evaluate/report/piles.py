"""The rows of a figure in the order of their content, kept outside memory: reports are made of rows by the million."""

import json
import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from heapq import merge
from itertools import pairwise
from tempfile import SpooledTemporaryFile, TemporaryFile
from typing import IO, Any, overload
from weakref import finalize

from opendasheng.errors import EvaluationError
from opendasheng.evaluate.metrics.answers import Texts
from opendasheng.evaluate.rows import Row

_HELD_CHARACTERS = 48 * 2**20  # that wait in memory to be sorted, and of sorted rows before they go to a file
_BLOCK_BYTES = 2**20
# After the content of a line stand a tab, which sorts before all that a content holds, the row's number and its kind.
_NUMBER_DIGITS = 15
_TAIL = 1 + _NUMBER_DIGITS + 1


def failed(row: Row) -> bool:
    """Whether the row says why there is no answer."""
    return row.fields.get("error") is not None


def content_of(row: Row) -> str:
    """All fields of a row as one line of ASCII, the same for the same fields in any order."""
    return json.dumps(row.fields, sort_keys=True, separators=(",", ":"))


class Store:
    """Lines of bytes, one after another: in memory while they are few, else in a file that goes with its last user."""

    def __init__(self) -> None:
        self._file: IO[bytes] = SpooledTemporaryFile(max_size=_HELD_CHARACTERS)  # noqa: SIM115
        finalize(self, self._file.close)
        self.size = 0

    def add(self, line: bytes) -> int:
        """Append a line, whose end is added; its offset."""
        at = self.size
        with _room():
            if self._file.tell() != at:
                self._file.seek(at)
            self._file.write(line + b"\n")
        self.size += len(line) + 1
        return at

    def line(self, at: int) -> bytes:
        """The line at an offset."""
        self._file.seek(at)
        return self._file.readline()

    def lines(self, at: int, end: int) -> Iterator[bytes]:
        """The lines from one offset to another, without their ends."""
        return _lines(self._file, at, end, _BLOCK_BYTES)


class Rows(Sequence[Row]):
    """Rows that are read when they are asked for. A failed one answers nothing: metrics count it like an empty answer.

    They stand in ``store`` one after another, from the first of ``offsets`` to ``end``.
    """

    def __init__(self, file: str, store: Store, offsets: "array[int]", numbers: "array[int]", end: int) -> None:
        self._file, self._store, self._offsets, self._numbers, self._end = file, store, offsets, numbers, end

    def __len__(self) -> int:
        return len(self._offsets)

    def __iter__(self) -> Iterator[Row]:
        if self._offsets:
            lines = self._store.lines(self._offsets[0], self._end)
            for line, number in zip(lines, self._numbers, strict=True):
                yield self._row(line, number)

    @overload
    def __getitem__(self, place: int) -> Row: ...

    @overload
    def __getitem__(self, place: slice) -> list[Row]: ...

    def __getitem__(self, place: int | slice) -> Row | list[Row]:
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        return self._row(self._store.line(self._offsets[place]), self._numbers[place])

    def _row(self, line: bytes, number: int) -> Row:
        row = Row(self._file, number, json.loads(line))
        if failed(row) and not isinstance(row.fields.get("model_output"), str):
            return Row(self._file, number, {**row.fields, "model_output": ""})
        return row


class Pile:
    """Lines that are sorted on the way out, by parts that fit in memory."""

    def __init__(self) -> None:
        self._held: list[str] = []
        self._spilled: IO[bytes] | None = None
        self._ends: list[int] = []

    def add(self, content: str, number: int, kind: str) -> None:
        """Take a content, the number of its row, and one letter to come back with it."""
        self._held.append(f"{content}\t{number:0{_NUMBER_DIGITS}d}{kind}")

    def spill(self) -> None:
        """Put what is held into a file, sorted."""
        if not self._held:
            return
        with _room():
            if self._spilled is None:
                self._spilled = TemporaryFile()  # noqa: SIM115
                finalize(self, self._spilled.close)
            self._spilled.seek(0, os.SEEK_END)
            self._held.sort()
            for line in self._held:
                self._spilled.write(line.encode() + b"\n")
            self._ends.append(self._spilled.tell())
        self._held.clear()

    def sorted(self) -> Iterator[tuple[str, int, str]]:
        """All that was added, by content and then by number; once, since it is let go of on the way."""
        found: Iterable[str]
        if self._spilled is None:
            self._held.sort()
            found = self._held
        else:
            self.spill()
            block = max(1, min(_BLOCK_BYTES, _HELD_CHARACTERS // len(self._ends)))
            parts = (_lines(self._spilled, at, end, block) for at, end in pairwise([0, *self._ends]))
            found = merge(*(map(bytes.decode, part) for part in parts))
        for line in found:
            yield line[:-_TAIL], int(line[1 - _TAIL : -1]), line[-1]
        self._held = []


class Piles:
    """One :class:`Pile` for each key, of which all together hold no more in memory than one may."""

    def __init__(self) -> None:
        self.by_key: dict[tuple[str, str, str], Pile] = {}
        self._num_held = 0

    def add(self, key: tuple[str, str, str], content: str, number: int, kind: str) -> None:
        """See :meth:`Pile.add`."""
        self.by_key.setdefault(key, Pile()).add(content, number, kind)
        self._num_held += len(content) + 100  # what an object takes besides
        if self._num_held > _HELD_CHARACTERS:
            for pile in self.by_key.values():
                pile.spill()
            self._num_held = 0


class Traits(Sequence[Row]):
    """Rows with no other fields than those that breakdowns are made by, in a few bytes each.

    ``clustered`` holds a row that names its cluster, if any does.
    """

    _TEXTS = ("lang", "source", "speaker")

    def __init__(self) -> None:
        self.clustered: list[Row] = []
        self._texts = {name: Texts() for name in self._TEXTS}
        self._codes = {name: array("i") for name in self._TEXTS}
        self._seconds = array("d")

    def noting(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The same rows, taken note of as they pass."""
        for row in rows:
            for name, texts in self._texts.items():
                value = row.fields.get(name)
                self._codes[name].append(texts.number(value) if isinstance(value, str) else -1)
            self._seconds.append(_seconds(row.fields.get("duration_seconds")))
            if not self.clustered and isinstance(row.fields.get("cluster"), str):
                self.clustered.append(row)
            yield row

    def __len__(self) -> int:
        return len(self._seconds)

    def __iter__(self) -> Iterator[Row]:
        names = [(name, [*texts.all(), None], self._codes[name]) for name, texts in self._texts.items()]
        for i, seconds in enumerate(self._seconds):
            fields: dict[str, Any] = {name: texts[codes[i]] for name, texts, codes in names}
            yield Row("", i, fields | {"duration_seconds": seconds})

    @overload
    def __getitem__(self, place: int) -> Row: ...

    @overload
    def __getitem__(self, place: slice) -> list[Row]: ...

    def __getitem__(self, place: int | slice) -> Row | list[Row]:
        return list(self)[place]


def _seconds(value: object) -> float:
    """A length as a float; what is no number is not a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return float("nan")
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def _lines(file: IO[bytes], at: int, end: int, block_bytes: int) -> Iterator[bytes]:
    while at < end:
        file.seek(at)
        block = file.read(min(block_bytes, end - at))
        if not block.endswith(b"\n"):
            block += file.readline()
        at += len(block)
        yield from block.splitlines()


@contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EvaluationError(
            f"there is no room to sort the rows on disk ({error.strerror or error}); "
            "set TMPDIR to a folder that can hold as much as the predictions"
        ) from error
