"""The bundled tasks by name, and which task the rows of a prediction file belong to."""

import difflib
import re
from collections.abc import Iterable
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from opendasheng.errors import EvaluationError
from opendasheng.evaluate.rows import Row
from opendasheng.evaluate.task import Task, read_task

_SIGNS = re.compile(r"[\W_]+")


def task_files() -> list[Path]:
    """The files of the bundled tasks, by name."""
    return sorted(Path(str(files("opendasheng.evaluate"))).joinpath("tasks").glob("*.toml"))


@lru_cache(maxsize=1)
def tasks() -> dict[str, Task]:
    """All bundled tasks, by name; a file is named after its task."""
    return {path.stem: read_named(path) for path in task_files()}


def read_named(path: Path) -> Task:
    """The task of a file that is named after it. Raises what :func:`read_task` does, and for another name."""
    task = read_task(path)
    if task.name != path.stem:
        raise EvaluationError(f"{path}: name is {task.name!r}, and the file is called {path.stem}; make them the same")
    return task


@lru_cache(maxsize=1)
def _by_dataset() -> dict[str, str]:
    return claims(tasks().values())


def claims(found: Iterable[Task]) -> dict[str, str]:
    """Which task a dataset name belongs to: name without case and signs -> name of the task.

    Raises :class:`EvaluationError` where two tasks want one name.
    """
    owners: dict[str, str] = {}
    for task in found:
        for dataset in task.dataset_names:
            other = owners.setdefault(_level(dataset), task.name)
            if other != task.name:
                raise EvaluationError(
                    f"{task.name}.toml: dataset_names: {dataset!r} is a name of {other}.toml too (case and signs do "
                    "not tell names apart)"
                )
    return owners


def find_task(name: str) -> Task:
    """A bundled task by its name or that of its data set, or one's own by the path of its file (ending in .toml).

    Case and signs of a name do not matter. Raises :class:`EvaluationError`, with the nearest name, for one that is not
    there.
    """
    if name.endswith(".toml"):
        return read_task(Path(name))
    by_name = {_level(task): task for task in tasks()}
    found = by_name.get(_level(name)) or _by_dataset().get(_level(name))
    if found is not None:
        return tasks()[found]
    nearest = difflib.get_close_matches(name.lower(), tasks(), n=3, cutoff=0.4)
    hint = f"did you mean {', '.join(nearest)}? " if nearest else ""
    raise EvaluationError(f"there is no task {name!r}; {hint}`opendasheng eval list` shows all")


def task_of(row: Row) -> Task:
    """The task that a row's ``dataset_name`` belongs to, whatever its case and signs.

    Raises :class:`EvaluationError` where the name is missing, or is no task's.
    """
    dataset = row.text("dataset_name")
    name = _by_dataset().get(_level(dataset))
    if name is None:
        nearest = difflib.get_close_matches(_level(dataset), _by_dataset(), n=5)
        near = list(dict.fromkeys(_by_dataset()[name] for name in nearest))
        hint = f" (near it: {', '.join(near)})" if near else ""
        raise row.error(f"dataset_name {dataset!r} belongs to no task; name the task with --task{hint}")
    return tasks()[name]


def _level(name: str) -> str:
    return _SIGNS.sub("", name.casefold())
