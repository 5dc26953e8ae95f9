"""The records of a run on disk: appended as they are made, so that what was heard survives a kill."""

import json
from collections.abc import Iterable
from pathlib import Path

from opendasheng.curate.record import Record
from opendasheng.errors import CurationError
from opendasheng.files import write_atomically
from opendasheng.journal import Journal

# All that findings depend on is in them.
_SETTINGS = "records-1"


class Records:
    """Records by id in the file ``path``; of several lines with one id the last counts."""

    def __init__(self, path: Path) -> None:
        """Opens or creates it. Raises :class:`ConfigError` where another process writes it, or where it is something
        else, and :class:`CurationError` for a line that is no record."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._journal = Journal(path, _SETTINGS)
        self.by_id = {record.id: record for record in read_records(path)}

    def add(self, record: Record) -> None:
        """Append it; it is on the disk when this returns."""
        self._journal.write(record.model_dump(mode="json", exclude_defaults=True))
        self.by_id[record.id] = record

    def close(self) -> None:
        """No more is written."""
        self._journal.__exit__(None, None, None)


def read_records(path: Path) -> list[Record]:
    """The records of a file, each by its last line. Raises :class:`CurationError` with the line at fault."""
    found = {}
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                fields = json.loads(line)
                fields.pop("settings", None)
                record = Record.from_fields(fields)
            except (ValueError, AttributeError, TypeError, RecursionError) as error:
                raise CurationError(f"{path}, line {number}: no JSON ({error}); move it away") from error
            except CurationError as error:
                raise CurationError(f"{path}, line {number}: {error}; move it away") from error
            found[record.id] = record
    return list(found.values())


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Write ``records``, whole or not at all."""
    write_atomically(path, "".join(f"{record.to_line()}\n" for record in records).encode())
