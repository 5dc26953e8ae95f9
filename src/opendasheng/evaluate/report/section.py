"""Tables of a report inside other documents, between two markers: the README, the card of a model."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from opendasheng.errors import EvaluationError
from opendasheng.evaluate.report.data import Entry, Report
from opendasheng.evaluate.report.markdown import against_paper, between, metric_of, number
from opendasheng.evaluate.report.picture import entry_of, models_of, tasks_of
from opendasheng.files import write_atomically
from opendasheng.markdown import NOTHING, cell, table


def paper_table(report: Report) -> str:
    """One line for each figure that the paper has too, as Markdown: the paper's, ours in both definitions, interval."""
    rows = []
    for entry in report.entries:
        if entry.published is None:
            continue
        figure, difference, _ = against_paper(entry)
        score = entry.score
        ours = [number(score.compat), difference, number(score.strict), between(score.ci95)]
        rows.append([cell(entry.task.title), metric_of(entry), f"{score.num_rows:,}", figure, *ours])
    heads = ["task", "metric", "rows", "paper", "compat", "compat - paper", "strict", "95 % of compat"]
    published = [entry for entry in report.entries if entry.published]
    return _with_notes(table(heads, rows, right=(2, 3, 4, 5, 6)), published)


def score_table(report: Report) -> str:
    """One line for each figure, whether the paper has it or not, as Markdown: for the card of a model."""
    rows = [
        [
            cell(entry.task.title),
            metric_of(entry),
            f"{entry.score.num_rows:,}",
            number(entry.score.compat),
            between(entry.score.ci95),
            number(entry.score.strict),
        ]
        for entry in report.entries
    ]
    heads = ["task", "metric", "rows", "compat", "95 % of compat", "strict"]
    return _with_notes(table(heads, rows, right=(2, 3, 5)), report.entries)


def model_table(report: Report) -> str:
    """One line for each task, a column for each model with its ``compat`` figure, the best in bold, as Markdown."""
    labels = models_of(report)
    rows = []
    for task in tasks_of(report):
        found = [entry_of(report, task, label) for label in labels]
        entries = [entry for entry in found if entry is not None]
        pick = max if entries[0].higher_is_better else min
        best = pick(entry.score.compat for entry in entries)
        figures = [NOTHING if entry is None else _marked(entry.score.compat, best) for entry in found]
        rows.append([cell(task.title), metric_of(entries[0]), f"{entries[0].score.num_rows:,}", *figures])
    heads = ["task", "metric", "rows", *map(cell, labels)]
    return _with_notes(table(heads, rows, right=range(2, len(heads))), report.entries)


def _with_notes(markdown: str, entries: Iterable[Entry]) -> str:
    """A table and, below it, what stands in for what in its figures."""
    notes = dict.fromkeys(note for entry in entries for note in entry.stand_ins)
    return "\n\n".join([markdown, *(f"{cell(note)}." for note in notes)])


def _marked(figure: float | None, best: float | None) -> str:
    return f"**{number(figure)}**" if figure == best else number(figure)


TABLES: dict[str, Callable[[Report], str]] = {"paper": paper_table, "scores": score_table, "models": model_table}


def update_tables(path: str | Path, report: Report) -> bool:
    """Renew each table of :data:`TABLES` whose markers a file has; whether that changed it.

    Of "scores", for one model, and "models", for several, a file may have both: the one that fits is renewed.

    Raises :class:`EvaluationError` for a file that has none of them, and what :func:`update_section` does.
    """
    path = Path(path)
    text = path.read_bytes().decode("utf-8", "replace") if path.is_file() else ""
    there = [name for name in TABLES if f"<!-- {name}:" in text]
    if path.is_file() and not there:
        markers = " or ".join(f"<!-- {name}:begin --> and <!-- {name}:end -->" for name in TABLES)
        raise EvaluationError(f"{path}: it has no place for a table; write {markers} into it")
    if {"scores", "models"} <= set(there):
        there.remove("scores" if len(models_of(report)) > 1 else "models")
    changed = [update_section(path, name, TABLES[name](report)) for name in there or ["paper"]]
    return any(changed)


def update_section(path: str | Path, name: str, markdown: str) -> bool:
    """Put ``markdown`` between ``<!-- NAME:begin -->`` and ``<!-- NAME:end -->`` of a file; whether that changed it.

    All else stays as it is, line ends too, and the file is whole at any time. Raises :class:`EvaluationError` for a
    file that cannot be read, and for markers that are missing, double or in the wrong order.
    """
    path = Path(path)
    try:
        old = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(f"{path}: it cannot be read ({error}); name a Markdown file with the markers") from error
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    for marker in (begin, end):
        if old.count(marker) != 1:
            raise EvaluationError(
                f"{path}: it has {marker} {old.count(marker)} times, not once; write {begin} and {end}"
            )
    if begin in markdown or end in markdown:
        raise EvaluationError(f"{path}: the new text holds a marker of {name} itself")
    start, stop = old.index(begin) + len(begin), old.index(end)
    if stop < start:
        raise EvaluationError(f"{path}: {end} comes before {begin}; put them in order")
    line = "\r\n" if "\r\n" in old else "\n"
    inside = re.sub(r"\r?\n", line, f"\n\n{markdown.strip()}\n\n")
    new = old[:start] + inside + old[stop:]
    if new != old:
        write_atomically(path, new.encode("utf-8"))
    return new != old
