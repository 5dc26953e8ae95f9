"""Rows gathered for metrics that can only judge once the names of all rows are known: each text is kept once."""

from array import array
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray


class Texts:
    """Gives equal texts one number."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    def number(self, text: str) -> int:
        """The number of a text, a new one for a new text."""
        return self._numbers.setdefault(text, len(self._numbers))

    def all(self) -> list[str]:
        """All texts by number."""
        return list(self._numbers)

    def each(self) -> Iterator[str]:
        """The same, one by one."""
        return iter(self._numbers)


class Lists:
    """A list of numbers for each row, in one array. Numbers are those of :class:`Texts`, so 32 bits are enough."""

    def __init__(self) -> None:
        self.values = array("i")
        self.ends = array("q")

    def add(self, numbers: "Iterable[int]") -> None:
        """The list of the next row."""
        self.values.extend(numbers)
        self.ends.append(len(self.values))

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, row: int) -> "array[int]":
        return self.values[self.ends[row - 1] if row else 0 : self.ends[row]]

    def lengths(self) -> NDArray[np.int64]:
        """int64 ``(num_rows,)``: how many numbers each row has."""
        ends = np.array(self.ends, dtype=np.int64)
        lengths = ends.copy()
        lengths[1:] -= ends[:-1]
        return lengths

    def numbers(self) -> NDArray[np.int32]:
        """int32 ``(N,)``: the numbers of all rows, one after another."""
        return np.array(self.values, dtype=np.int32)
