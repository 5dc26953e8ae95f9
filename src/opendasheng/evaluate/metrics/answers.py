"""Rows gathered for metrics that can only judge once the names of all rows are known: each text is kept once."""

from array import array


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


class Lists:
    """A list of numbers for each row, in one array."""

    def __init__(self) -> None:
        self.values = array("q")
        self.ends = array("q")

    def add(self, numbers: "list[int]") -> None:
        """The list of the next row."""
        self.values.extend(numbers)
        self.ends.append(len(self.values))

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, row: int) -> "array[int]":
        return self.values[self.ends[row - 1] if row else 0 : self.ends[row]]
