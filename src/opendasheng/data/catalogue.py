"""The data sets that the paper trained on, as data (Tables 14 to 18); ``catalogue.toml`` beside this file."""

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files


@dataclass(frozen=True)
class Dataset:
    """One row. ``size`` is in the unit of its table, ``sft`` whether supervised fine-tuning takes it too, ``where`` an
    address that the paper does not give ("" where none is known)."""

    name: str
    tasks: tuple[str, ...]
    size: int
    sft: bool
    where: str = ""
    note: str = ""


@dataclass(frozen=True)
class Table:
    """A table of the paper. ``total`` and ``total_sft`` are as printed (None where it has none); ``note`` says where
    the rows do not add up to them."""

    number: int
    title: str
    unit: str
    datasets: tuple[Dataset, ...]
    total: int | None = None
    total_sft: int | None = None
    note: str = ""

    def sums(self) -> tuple[int, int]:
        """Sizes of all rows, and of those for supervised fine-tuning."""
        return sum(d.size for d in self.datasets), sum(d.size for d in self.datasets if d.sft)


@lru_cache(maxsize=1)
def tables() -> tuple[Table, ...]:
    """All tables, by number."""
    content = tomllib.loads(files("opendasheng.data").joinpath("catalogue.toml").read_text(encoding="utf-8"))
    found = []
    for table in content["tables"]:
        rows = tuple(Dataset(**{**row, "tasks": tuple(row["tasks"])}) for row in table.pop("datasets"))
        found.append(Table(datasets=rows, **table))
    return tuple(found)
