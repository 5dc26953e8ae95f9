"""The files of one task's predictions: written row by row, kept through kills, put in order when all is answered.

``predictions.jsonl`` holds the rows; each of several processes appends to a ``predictions.rank-K.jsonl`` of its own.
When every example has a row, the last process to finish writes ``predictions.jsonl`` anew, in the order of the data set
and with one row an example, and removes the others. Answers that belong to no example of this run (other settings, a
changed reference, a lower limit) go to ``predictions.kept.jsonl``, and are taken from there when they are asked for
again.
"""

import json
import os
import re
from array import array
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from opendasheng.errors import ConfigError, EvaluationError
from opendasheng.evaluate.asking import key_of
from opendasheng.files import fcntl_module, replacing
from opendasheng.journal import Journal

FINAL = "predictions.jsonl"
KEPT = "predictions.kept.jsonl"
_RANK = re.compile(r"predictions\.rank-(\d+)\.jsonl")


@dataclass(frozen=True)
class Finished:
    """A file with a row for each example, ``num_failed`` of them without an answer."""

    num_failed: int


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the row of a key stands: its file's number, its offset, and whether it is a failure."""

    file: int
    offset: int
    failed: bool


class Predictions:
    """The prediction files in ``folder``, written by process ``rank`` of ``num_ranks``."""

    def __init__(self, folder: Path, rank: int = 0, num_ranks: int = 1) -> None:
        self.folder = folder
        self.path = folder / FINAL
        self._own = self.path if num_ranks == 1 else folder / f"predictions.rank-{rank}.jsonl"

    def journal(self, settings: str) -> Journal:
        """The file that this process appends to; a last line that a kill left torn is taken away.

        Raises :class:`ConfigError` for a file of another kind, one that another process writes, and a folder that
        cannot be made.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except (OSError, ValueError) as error:  # ValueError: a name that no folder can have
            places = (self.folder, *self.folder.parents)
            file = next((place for place in places if place.exists() and not place.is_dir()), None)
            reason = f"{file} is a file" if file else _reason(error, self.folder)
            raise ConfigError(
                f"{self.folder}: the folder for predictions cannot be made ({reason}); choose another --output"
            ) from error
        with _alone(self.folder):  # no merge may take the file away between opening and locking it
            return Journal(self._own, settings, key=key_of)

    def answered(self) -> set[int]:
        """The keys (:func:`key_of`) of all answers, whichever process and run they are of."""
        return {key for path in self._files() for key, _, failed in _rows(path) if not failed}

    def finish(self, order: "array[int]") -> Finished | None:
        """Put all rows in order, if there is one for each key of ``order`` (the keys of the data set's rows).

        None where rows are missing, or where another process still writes some: that one finishes then. The journal
        of this process must be closed. Raises :class:`EvaluationError` where the files cannot be read or written; they
        stay as they were.
        """
        with _alone(self.folder):
            files = self._files()
            if any(_is_written(path) for path in files):
                return None
            places = _places(files)
            if any(key not in places for key in order):
                return None
            with ExitStack() as stack:
                # As they are now: two of them are about to be replaced.
                opened: list[BinaryIO] = [stack.enter_context(_readable(path)) for path in files]
                self._keep(opened, places, set(order))
                _write(self.path, opened, (places[key] for key in order))
            for path in files:
                if _RANK.fullmatch(path.name):
                    path.unlink()
        return Finished(sum(places[key].failed for key in order))

    def _files(self) -> list[Path]:
        """All files with rows, the kept ones first: of two rows with the same key the later one counts."""
        ranks = sorted(path for path in self.folder.glob("predictions.rank-*.jsonl") if _RANK.fullmatch(path.name))
        return [path for path in (self.folder / KEPT, self.path, *ranks) if path.is_file()]

    def _keep(self, opened: list[BinaryIO], places: dict[int, _Place], wanted: set[int]) -> None:
        """Add answers that are not wanted now to the kept ones. Those stay, wanted or not: a kill may come next."""
        kept = {number for number, file in enumerate(opened) if file.name == str(self.folder / KEPT)}
        answers = [(key, place) for key, place in places.items() if not place.failed]
        if any(key not in wanted and place.file not in kept for key, place in answers):
            chosen = (place for key, place in answers if key not in wanted or place.file in kept)
            _write(self.folder / KEPT, opened, chosen)


def _rows(path: Path) -> Iterator[tuple[int, int, bool]]:
    """Key, offset and failure of each whole row; a last line without an end is still being written, or torn."""
    with _readable(path) as file:
        offset = 0
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            try:
                row = json.loads(line)
                yield key_of(row), offset, "error" in row
            except (ValueError, AttributeError, RecursionError) as error:
                reason = f"row {number} is no prediction that this program wrote ({error})"
                raise EvaluationError(f"{path}: {reason}; choose another --output") from error
            offset += len(line)


def _places(files: list[Path]) -> dict[int, _Place]:
    """The row of each key that counts: an answer rather than a failure, else the last one."""
    places: dict[int, _Place] = {}
    for number, path in enumerate(files):
        for key, offset, failed in _rows(path):
            if not failed or key not in places or places[key].failed:
                places[key] = _Place(number, offset, failed)
    return places


def _write(path: Path, opened: list[BinaryIO], places: Iterator[_Place]) -> None:
    """The rows at ``places`` as the new content of ``path``, which is replaced when they are all written."""
    try:
        with replacing(path) as target:
            for place in places:
                opened[place.file].seek(place.offset)
                target.write(opened[place.file].readline())
    except OSError as error:
        raise EvaluationError(
            f"{path}: cannot be written anew, in order ({_reason(error, path)}); all answers stay where they are: "
            "make room, and the same command goes on"
        ) from error


def _readable(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise EvaluationError(f"{path}: cannot be read ({_reason(error, path)}); choose another --output") from error


def _reason(error: Exception, path: Path) -> str:
    """What the system says, with the file that it means where that is another than ``path``."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    return error.strerror if error.filename in (None, str(path)) else f"{error.filename}: {error.strerror}"


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Only one process at a time; on a file system without locks, as many as there are."""
    fcntl = fcntl_module()
    if fcntl is None:
        yield
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be read ({error.strerror}); choose another --output") from error
    try:
        _try_lock(fcntl, handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _is_written(path: Path) -> bool:
    """Whether a process holds the lock of a journal."""
    fcntl = fcntl_module()
    if fcntl is None:
        return False
    with _readable(path) as file:
        return not _try_lock(fcntl, file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)


def _try_lock(fcntl: Any, handle: int, kind: int) -> bool:
    try:
        fcntl.flock(handle, kind)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True
