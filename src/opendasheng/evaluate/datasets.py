"""The examples of a task: rows of its data set in our fields, each with an id that stays the same."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opendasheng.data.records import Record, Sound, sound_of
from opendasheng.errors import EvaluationError
from opendasheng.evaluate.rows import hash64
from opendasheng.evaluate.sources.opening import open_source
from opendasheng.evaluate.task import Task

# Fields that are lists of texts, and those that an example may be without.
_LISTS = frozenset(("label", "choices"))
_OPTIONAL = frozenset(("lang", "cluster"))
_OWN = frozenset(("audio", "id"))  # handled on their own
# What a data set lacks where it says nothing: a clip of a corpus without it is no part of the task.
_WANTED = frozenset(("text", "label", "answer", "question", "choices"))


@dataclass(frozen=True)
class Example:
    """One question of a task: an id that is unique in it, a clip that is not opened yet, and what the data set says.

    ``fields`` are ours: ``audio`` (the clip's name) and by task ``text``, ``label``, ``answer``, ``question``,
    ``choices``, ``lang``, ``cluster`` and whatever else the task names.
    """

    id: str
    audio: Sound
    fields: Mapping[str, Any]


class TaskData:
    """The data set of a task, which can be gone through again and again. Nothing but the row at hand is in memory."""

    def __init__(self, task: Task, data: str | Path | None = None) -> None:
        """``data`` is where the data set is, if not where the task says, see
        :func:`opendasheng.evaluate.sources.opening.open_source`; raises what that does."""
        needed = frozenset(column for name, column in task.fields.items() if name in _WANTED and column[:1] != "=")
        self.task = task
        self.source = open_source(task, data, needed)
        self._is_elsewhere = data is not None

    def examples(self, *, limit: int | None = None, audio: bool = True) -> Iterator[Example]:
        """The examples in the order of the data set, at most ``limit``. Where ``audio`` is False clips stay shut.

        Raises :class:`EvaluationError` for a column that is missing (with those that are there), a value that is no
        text, two rows with the same id of their own, and a data set without a single row for the task.
        """
        ids = _Ids(self.source.name)
        found = 0
        for record in self.source.records(audio=audio):
            if not _fits(record.columns, self.task.dataset.where):
                continue
            if found == limit:
                return
            found += 1
            yield self._example(record, ids)
        if not found:
            where = self.task.dataset.where
            wanted = f" where {where}" if where else ""
            raise EvaluationError(
                f"{self.source.name}: no row of the split {self.task.dataset.split!r}{wanted}; give --data"
            )

    def _example(self, record: Record, ids: "_Ids") -> Example:
        sound = self._sound(record)
        values = {name: self._field(name, record) for name in self.task.fields if name not in _OWN}
        values.setdefault("cluster", record.cluster)
        fields = {"audio": _plain(sound.name)} | {name: value for name, value in values.items() if value is not None}
        if "id" in self.task.fields:
            return Example(ids.own(_as_text(self._value("id", record))), sound, fields)
        natural = record.columns.get("id")
        has_id = isinstance(natural, str | int) and not isinstance(natural, bool) and natural != ""
        return Example(ids.given(str(natural) if has_id else record.key), sound, fields)

    def _sound(self, record: Record) -> Sound:
        column = self.task.fields.get("audio", "audio")
        value = record.columns.get(column)
        if isinstance(value, Sound):
            return value
        if record.sound is not None:
            return record.sound
        sound = sound_of(self._value("audio", record), record.key, self.source.folder)
        if sound is not None:
            return sound

        def missing() -> Any:
            raise EvaluationError(f"{self.source.name}: {record.key}: there is no clip in {column!r}")

        return Sound(record.key, missing)

    def _value(self, name: str, record: Record) -> Any:
        """What a row says under the column of our field ``name``; dots lead inwards, "=en" is "en"."""
        column = self.task.fields.get(name, name)
        if column.startswith("="):
            return column[1:]
        found, value = _look_up(record.columns, column)
        if not found and self._is_elsewhere:  # data of one's own may have our names
            found, value = _look_up(record.columns, name)
        if found:
            return value
        if name in _OPTIONAL:
            return None
        there = ", ".join(sorted(map(str, record.columns))) or "nothing"
        raise EvaluationError(
            f"{self.source.name}: {record.key}: there is no column {column!r} ({name}); there is {there}"
        )

    def _field(self, name: str, record: Record) -> Any:
        value = _json_value(self._value(name, record))
        if name in _LISTS and isinstance(value, str):
            value = [value]
        if name == "label" and isinstance(value, list) and self.task.labels is not None:
            value = [self.task.labels.spelled.get(item, item) for item in value]
        right = isinstance(value, list) if name in _LISTS else isinstance(value, str | list)
        right = right and (isinstance(value, str) or all(isinstance(item, str) for item in value))
        if right or (value is None and name in _OPTIONAL):
            return value
        column = self.task.fields.get(name, name)
        kind = "a list of texts" if name in _LISTS else "text"
        raise EvaluationError(
            f"{self.source.name}: {record.key}: column {column!r} ({name}) is {str(value)[:60]!r}, not {kind}"
        )


class _Ids:
    """Gives each row an id that no other has. Ids are kept as 64-bit hashes, so that millions fit."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._seen: set[int] = set()
        self._times: dict[int, int] = {}

    def own(self, name: str) -> str:
        """An id that the task takes from a column: it must be unique."""
        name = _plain(name)
        if not self._is_new(name):
            raise EvaluationError(
                f"{self._name}: the id {name!r} is given twice; map fields.id to a column that differs"
            )
        return name

    def given(self, name: str) -> str:
        """An id made from what there is; the second row with it gets "#2", and so on."""
        name = _plain(name)
        if self._is_new(name):
            return name
        key = hash64(name)
        while True:
            self._times[key] = self._times.get(key, 1) + 1
            other = f"{name}#{self._times[key]}"
            if self._is_new(other):
                return other

    def _is_new(self, name: str) -> bool:
        key = hash64(name)
        if key in self._seen:
            return False
        self._seen.add(key)
        return True


def _look_up(columns: Mapping[str, Any], column: str) -> tuple[bool, Any]:
    if column in columns:
        return True, columns[column]
    value: Any = columns
    for part in column.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return False, None
        value = value[part]
    return True, value


def _fits(columns: Mapping[str, Any], where: Mapping[str, Any]) -> bool:
    for column, wanted in where.items():
        found, value = _look_up(columns, column)
        there = set(map(_key, value if isinstance(value, list | tuple) else [value]))
        if not found or there.isdisjoint(map(_key, wanted if isinstance(wanted, list | tuple) else [wanted])):
            return False
    return True


def _key(value: Any) -> tuple[type, Any]:
    """Values are compared with their type: TOML's true is not 1."""
    return type(value), value if value.__hash__ else str(value)


def _json_value(value: Any) -> Any:
    """A value as JSON has it: numbers are texts, as rows hold what is read."""
    if isinstance(value, list | tuple):
        return [_json_value(item) for item in value]
    if isinstance(value, bool) or value is None:
        return value
    return _plain(str(value)) if isinstance(value, str | int | float) else value


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else str(value)


def _plain(text: str) -> str:
    """Text that UTF-8 can hold: file names may have bytes that are none."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)
