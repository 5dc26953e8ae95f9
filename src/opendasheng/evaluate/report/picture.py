"""The radar picture of a report: its tasks as axes, its models and the paper's as polygons."""

from opendasheng.evaluate.report.data import Entry, Report
from opendasheng.evaluate.report.published import TITLES
from opendasheng.evaluate.report.radar import MIN_AXES, Axis, Series, radar_svg
from opendasheng.evaluate.task import MODELS, Task

TITLE = "Abilities"


def picture(report: Report) -> str | None:
    """The SVG, or None for a report of fewer than three tasks, of which no polygon can be made."""
    tasks = tasks_of(report)
    if len(tasks) < MIN_AXES:
        return None
    series = [*_ours(report, tasks), *_papers(tasks)]
    axes = [_axis(report, task, [one.figures[i] for one in series]) for i, task in enumerate(tasks)]
    return radar_svg(axes, series, TITLE, _footnotes(report))


def tasks_of(report: Report) -> list[Task]:
    """The tasks that have a figure, in the order of the report."""
    return list({entry.task.name: entry.task for entry in report.entries}.values())


def models_of(report: Report) -> list[str]:
    """What the report calls its models, by the alphabet."""
    return sorted({entry.label for entry in report.entries})


def entry_of(report: Report, task: Task, label: str) -> Entry | None:
    """The figure of a model on a task, if there is one."""
    found = (entry for entry in report.entries if (entry.task.name, entry.label) == (task.name, label))
    return next(found, None)


def _ours(report: Report, tasks: list[Task]) -> list[Series]:
    found = []
    for label in models_of(report):
        entries = [entry_of(report, task, label) for task in tasks]
        figures = tuple(None if entry is None else entry.score.compat for entry in entries)
        apart = frozenset(i for i, entry in enumerate(entries) if entry is not None and entry.stand_ins)
        found.append(Series(label, figures, apart=apart))
    return found


def _papers(tasks: list[Task]) -> list[Series]:
    found = []
    for model in MODELS:
        figures = tuple(task.published.get(model) for task in tasks)
        if any(figure is not None for figure in figures):
            found.append(Series(f"{TITLES[model]}, paper", figures, of_paper=True))
    return found


def _axis(report: Report, task: Task, figures: list[float | None]) -> Axis:
    its = [entry for entry in report.entries if entry.task.name == task.name]
    higher = its[0].higher_is_better
    known = [figure for figure in figures if figure is not None]
    best = max(known) if higher else min(known)
    note = f"{best:.2f}" if len(known) > 1 else f"{best:.2f} of 100"
    return Axis(task.title, note if higher else f"{best:.2f} \u2193", higher)


def _footnotes(report: Report) -> tuple[str, ...]:
    notes = ["Beside each axis its best figure"]
    if not all(entry.higher_is_better for entry in report.entries):
        notes[0] += ", \u2193 where lower is better"
    if any(entry.stand_ins for entry in report.entries):
        notes.append("Hollow: a stand-in sentence model, not comparable with the paper")
    return tuple(f"{note}." for note in notes)
