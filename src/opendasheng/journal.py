"""Answers on disk, one JSON line a clip: what is written survives a kill, and the next run goes on from it."""

import json
import os
import stat
from collections.abc import Callable, Hashable
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from opendasheng.errors import ConfigError

_START = b'{"id": '  # every line begins so, which tells a torn line of ours from the end of another file


class Journal:
    """A file of records that are appended and never changed.

    A record holds ``id``, ``settings`` (a hash of all that an answer depends on but the clip) and ``text`` or
    ``error``. A clip that failed is tried again by the next run, since the file or the server may have been repaired;
    a failure in the same words is not written again. Where an id has several lines of the same settings, the last
    counts.
    """

    def __init__(
        self, path: str | Path, settings: str, key: Callable[[dict[str, Any]], Hashable] = lambda record: record["id"]
    ) -> None:
        """Open or create ``path``, and mend a last line that a kill left torn.

        ``key`` tells records apart where their id alone does not. Raises :class:`ConfigError` for a file that holds
        something else, that another process writes, or that is no file but a pipe or a device.
        """
        self.path = Path(path)
        self.settings = settings
        self._key = key
        self._outcomes: dict[Hashable, str | None] = {}  # key -> its error, None for an answer
        try:
            self._require_file()
            self._file: BinaryIO = self.path.open("a+b")
        except (OSError, ValueError) as error:  # ValueError: a name that no file can have
            reason = getattr(error, "strerror", None) or error
            raise ConfigError(f"{self.path}: cannot be written ({reason}); choose another --output") from error
        try:
            self._lock()
            self._read()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._file.close()  # which writes once more what could not be written
        except OSError as problem:
            if error is None:
                raise self._not_written(problem) from problem

    def is_answered(self, key: Hashable) -> bool:
        """Whether the file holds an answer about this clip (by default its id) under the same settings."""
        return self._outcomes.get(key, "") is None

    def write(self, record: dict[str, Any]) -> None:
        """Append a record; it is on the disk when this returns. A failure known in the same words is left out.

        Raises :class:`ConfigError` where the disk takes no more.
        """
        error, key = record.get("error"), self._key(record)
        if error is not None and self._outcomes.get(key) == error:
            return
        line = json.dumps({**record, "settings": self.settings}, ensure_ascii=False).encode() + b"\n"
        assert line.startswith(_START)
        try:
            self._file.write(line)
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as problem:
            raise self._not_written(problem) from problem
        self._outcomes[key] = error

    def _not_written(self, problem: OSError) -> ConfigError:
        reason = problem.strerror or problem
        return ConfigError(
            f"{self.path}: cannot be written ({reason}); what is in it stays: make room, and the same command goes on"
        )

    def _require_file(self) -> None:
        """A pipe cannot be read again, and some devices never end."""
        try:
            mode = self.path.stat().st_mode
        except FileNotFoundError:
            return
        kinds = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
        kind = kinds.get(stat.S_IFMT(mode))
        if kind is not None:
            raise ConfigError(f"{self.path}: it is {kind}, and answers need a file; choose another --output")

    def _lock(self) -> None:
        try:
            import fcntl
        except ModuleNotFoundError:  # Windows
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(f"{self.path}: another process is writing it; choose another --output") from error
        except OSError:  # a file system without locks
            return

    def _read(self) -> None:
        self._file.seek(0)
        whole = 0
        for number, line in enumerate(self._file, 1):
            if not line.endswith(b"\n") and (line.startswith(_START) or _START.startswith(line)):
                self._file.truncate(whole)  # the kill came while this was written: its clip is answered again
                return
            self._note(line, number)
            whole += len(line)

    def _note(self, line: bytes, number: int) -> None:
        try:
            record = json.loads(line)
            if record["settings"] == self.settings and record["id"] is not None:
                self._outcomes[self._key(record)] = record.get("error")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            reason = f"line {number} is no answer that this program wrote"
            raise ConfigError(f"{self.path}: {reason}; choose another --output") from error
