"""``opendasheng eval list | show | validate``: which tasks there are, what one says, and whether all are right."""

import argparse
import dataclasses
import json
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opendasheng.errors import EvaluationError

if TYPE_CHECKING:
    from opendasheng.evaluate.task import Task

_OURS = "midashenglm"
_WIDTH = 118
_LEGEND = "rows: ? is not confirmed, - not known; paper: MiDashengLM-7B, percent"


def configure_list(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``eval list``."""
    parser.description = "List the bundled tasks: their table in the paper, metric, rows and the paper's figure."
    parser.add_argument("--group", metavar="G", help="only this group, such as asr, captioning or mini")
    parser.add_argument("--table", metavar="T", help="only this table of the paper, 7 to 12")
    parser.add_argument("--json", action="store_true", help="one JSON array")
    parser.set_defaults(run=run_list)


def configure_show(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``eval show``."""
    parser.description = "Show all that a task says."
    parser.add_argument("task", metavar="TASK", help="a task of `opendasheng eval list`, or a task file (.toml)")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.set_defaults(run=run_show)


def configure_validate(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``eval validate``."""
    parser.description = "Check task files, one problem a line; the exit code is 1 if any is wrong."
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE.toml", help="task files (default: the bundled)")
    parser.set_defaults(run=run_validate)


def run_list(args: argparse.Namespace) -> int:
    """Print the tasks that are asked for."""
    found = chosen(args.group, args.table)
    if args.json:
        print(json.dumps([_in_brief(task) for task in found], ensure_ascii=False, indent=2))
        return 0
    lines = [("task", "table", "metric", "rows", "paper"), *map(_columns, found)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        left = "  ".join(f"{text:{width}}" for text, width in zip(line[:3], widths[:3], strict=True))
        right = "  ".join(f"{text:>{width}}" for text, width in zip(line[3:], widths[3:], strict=True))
        print(f"{left}  {right}")
    print(f"{len(found)} tasks; {_LEGEND}")
    return 0


def run_show(args: argparse.Namespace) -> int:
    """Print one task."""
    from opendasheng.evaluate.registry import find_task

    task = find_task(args.task)
    print(json.dumps(dataclasses.asdict(task), ensure_ascii=False, indent=2) if args.json else described(task))
    return 0


def run_validate(args: argparse.Namespace) -> int:
    """Print problems and warnings; 1 where there is a problem."""
    from opendasheng.evaluate.registry import task_files

    files = args.files or task_files()
    errors, warnings = check(files)
    for line in (*errors, *warnings):
        print(line)
    print(f"{len(files)} task files, {len(errors)} errors, {len(warnings)} warnings")
    return 1 if errors else 0


def chosen(group: str | None = None, table: str | None = None) -> "list[Task]":
    """The bundled tasks of a group and a table, in the order of their tables, mini tasks last.

    Raises :class:`EvaluationError` that lists what there is where nothing is of that group or table.
    """
    from opendasheng.evaluate.registry import tasks

    every = sorted(tasks().values(), key=_order)
    groups = list(dict.fromkeys(task.group for task in every))
    numbers = list(dict.fromkeys(number for task in every for number in task.tables))
    if group is not None and group not in groups:
        raise EvaluationError(f"there is no group {group!r}; there are {', '.join(groups)}")
    if table is not None and table not in numbers:
        raise EvaluationError(f"no task is of table {table!r}; there are tasks of {', '.join(numbers)}")
    found = [task for task in every if group in (None, task.group) and (table is None or table in task.tables)]
    if not found:
        raise EvaluationError(f"no task of group {group!r} is of table {table!r}; leave one of them out")
    return found


def check(files: Sequence[Path]) -> tuple[list[str], list[str]]:
    """Errors and warnings about task files, a line each: what cannot be used, and what is not known of it."""
    from opendasheng.evaluate.registry import read_named

    errors: list[str] = []
    found: list[Task] = []
    for path in files:
        try:
            found.append(read_named(path))
        except EvaluationError as error:
            errors.append(_line("error", str(error)))
    errors += [_line("error", clash) for clash in _clashes(found)]
    return errors, [_line("warning", f"{task.name}: {gap}") for task in found for gap in _gaps(task)]


def described(task: "Task") -> str:
    """A task in lines for a reader."""
    return "\n".join(line for part in _parts(task) for line in part)


def _order(task: "Task") -> tuple[int, int, str]:
    return task.group == "mini", min(map(int, task.tables), default=99), task.name


def _in_brief(task: "Task") -> dict[str, Any]:
    return {
        "name": task.name,
        "title": task.title,
        "tables": list(task.tables),
        "group": task.group,
        "metric": _metric(task),
        "num_rows": task.dataset.num_rows,
        "confirmed": task.dataset.confirmed,
        "published": task.published,
    }


def _columns(task: "Task") -> tuple[str, str, str, str, str]:
    published = task.published.get(_OURS)
    figure = "-" if published is None else f"{published:.2f}"
    return task.name, " ".join(task.tables) or task.group, _metric(task), _rows(task), figure


def _metric(task: "Task") -> str:
    return f"{task.metric.name}@{task.metric.version}"


def _rows(task: "Task") -> str:
    if task.dataset.num_rows is None:
        return "-"
    return f"{task.dataset.num_rows}{'' if task.dataset.confirmed else '?'}"


def _clashes(found: "Iterable[Task]") -> Iterator[str]:
    """Each name that two tasks claim; all of them, where the registry stops at the first."""
    from opendasheng.evaluate.registry import claims

    kept: list[Task] = []
    for task in found:
        try:
            claims([*kept, task])
        except EvaluationError as error:
            yield str(error)
        else:
            kept.append(task)


def _gaps(task: "Task") -> Iterator[str]:
    """What is not known of a task."""
    dataset = task.dataset
    if dataset.licence.lower().startswith("unknown"):
        yield f"dataset.licence is {dataset.licence!r}; look at {dataset.source}"
    if not dataset.confirmed:
        known = "is not known" if dataset.num_rows is None else f"{dataset.num_rows} is not confirmed"
        yield f"dataset.num_rows {known}; a score cannot tell whether rows are missing"


def _line(kind: str, message: str) -> str:
    return f"{kind}: {' '.join(message.split())}"


def _parts(task: "Task") -> Iterator[list[str]]:
    from opendasheng.evaluate.task import PUBLISHED_NOTE

    tables = f"table {', '.join(task.tables)} of the paper" if task.tables else "not in a table of the paper"
    yield [f"{task.name} (version {task.version}): {task.title}; group {task.group}, {tables}"]
    yield _entry("rows call it", ", ".join(task.dataset_names))
    yield _entry("metric", f"{_metric(task)}, parser {task.metric.parser}{_options(task.metric.options)}")
    yield from _dataset(task)
    yield _entry("fields", ", ".join(f"{ours} <- {theirs}" for ours, theirs in task.fields.items()))
    if task.labels is not None:
        count = "" if task.labels.num_classes is None else f"{task.labels.num_classes} classes, "
        yield _entry("labels", f"{count}from {task.labels.source}")
        yield _entry("", "; ".join(task.labels.names))
        yield _entry("written as", ", ".join(f"{name} -> {said}" for name, said in task.labels.spelled.items()))
    for model, prompt in task.prompts.items():
        yield [f"  prompt of {model}"]
        yield _entry("", json.dumps(prompt.template, ensure_ascii=False))
        if prompt.system:
            yield _entry("  system", json.dumps(prompt.system, ensure_ascii=False))
        if prompt.table is not None and prompt.table != prompt.template:
            yield _entry("  its cell", json.dumps(prompt.table, ensure_ascii=False))
    yield _entry("generation", f"{_options(task.generation, '')} (ours; the paper has none)")
    if task.cluster is not None:
        yield _entry("cluster", f"what {task.cluster[1]!r} finds in {task.cluster[0]}")
    for model, figure in task.published.items():
        yield _entry("paper", f"{figure:6.2f}  {model}")
    for note in (*task.notes, *([PUBLISHED_NOTE] if task.published else [])):
        yield _entry("note", note)


def _dataset(task: "Task") -> Iterator[list[str]]:
    dataset = task.dataset
    inside = "".join(
        f", {name} {value}" for name, value in (("config", dataset.config), ("folder", dataset.data_dir)) if value
    )
    yield _entry("data", f"{dataset.source}{inside}, split {dataset.split} (loader {dataset.loader})")
    if dataset.where:
        yield _entry("rows where", _options(dataset.where, ""))
    certainty = "confirmed" if dataset.confirmed else "not confirmed"
    yield _entry("rows", "unknown" if dataset.num_rows is None else f"{dataset.num_rows} ({certainty})")
    yield _entry("licence", dataset.licence)
    if dataset.note:
        yield _entry("", dataset.note)


def _options(options: dict[str, Any], before: str = ", options ") -> str:
    return before * bool(options) + ", ".join(f"{name} = {json.dumps(value)}" for name, value in options.items())


def _entry(label: str, text: str) -> list[str]:
    """``text`` beside its label, in lines of the width of a page; nothing for no text."""
    lines = textwrap.wrap(text, _WIDTH - 15, break_on_hyphens=False, break_long_words=False)
    return [f"  {label if i == 0 else '':13}{line}" for i, line in enumerate(lines)]
