"""The report as one page of HTML: no scripts, no requests, light and dark, for screens of any size and for paper.

Everything that comes from rows goes through the template's escaping; the only markup that does not is made here, of
numbers.
"""

from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from opendasheng import __version__
from opendasheng.evaluate.report.data import Entry, Report
from opendasheng.evaluate.report.gather import by_message
from opendasheng.evaluate.report.markdown import between, number, summary
from opendasheng.evaluate.report.picture import entry_of, models_of, picture, tasks_of
from opendasheng.evaluate.report.published import TITLES
from opendasheng.evaluate.report.radar import FEW_AXES
from opendasheng.evaluate.report.worst import Example
from opendasheng.evaluate.task import MODELS

# A report of more figures shows its examples only when they are asked for.
_OPEN_BELOW = 6
_PLOT_WIDTH, _PLOT_HEIGHT, _MARGIN = 208, 32, 8


def page(report: Report) -> str:
    """The whole page."""
    svg = picture(report)
    tasks = tasks_of(report)
    has_paper = any(task.published for task in tasks)
    libraries = report.entries[0].score.provenance["libraries"] if report.entries else {}
    boot = f"Bootstrap of {report.resamples:,} resamples, seed {report.seed}." if report.resamples else "No intervals."
    versions = [f"{name} {version}" for name, version in {"opendasheng": __version__, **libraries}.items()]
    numbers: dict[str, int] = {}
    for number_of, entry in enumerate(report.entries, 1):
        numbers.setdefault(entry.task.name, number_of)
    return _template().render(
        sections=[(task.title, numbers[task.name]) for task in tasks],
        entries=report.entries,
        problems=by_message(report.problems),
        summary=summary(report),
        models=models_of(report),
        stand_ins=list(dict.fromkeys(note for entry in report.entries for note in entry.stand_ins)),
        with_intervals=bool(report.resamples),
        with_paper=any(entry.published for entry in report.entries),
        picture=Markup(svg) if svg else None,  # made of escaped names and of numbers
        many_axes=len(tasks) > FEW_AXES,
        beside=_beside(report) if has_paper or len(models_of(report)) > 1 else [],
        paper_titles=[TITLES[model] for model in MODELS] if has_paper else [],
        libraries=f"{boot} {', '.join(versions)}.",
        open_below=_OPEN_BELOW,
    )


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    environment.filters |= {
        "figure": number,
        "signed": lambda value: number(value, signed=True),
        "between": between,
        "plot": plot,
        "share": lambda value: f"{_within(value):.1f}",
        "row_score": row_score,
    }
    source = files("opendasheng.evaluate.report").joinpath("page.html.jinja").read_text(encoding="utf-8")
    return environment.from_string(source)


def _beside(report: Report) -> list[dict[str, Any]]:
    has_paper = any(task.published for task in tasks_of(report))
    lines = []
    for task in tasks_of(report):
        entries = [entry_of(report, task, label) for label in models_of(report)]
        there = next(entry for entry in entries if entry is not None)
        lines.append(
            {
                "title": task.title,
                "higher_is_better": there.higher_is_better,
                "ours": [(entry and entry.score.compat, bool(entry and entry.stand_ins)) for entry in entries],
                "papers": [task.published.get(model) for model in MODELS] if has_paper else [],
            }
        )
    return lines


def row_score(entry: Entry, example: Example) -> str:
    """The score of a row in words: how wrong where the metric counts errors, else how right."""
    if entry.higher_is_better:
        return f"scores {number(100 * example.score)}"
    return f"error rate {number(100 * (1 - example.score))}"


def plot(entry: Entry) -> Markup:
    """Compat, its interval, strict and the paper's figure on a line from 0 to 100; the table says the same in words."""
    middle = _PLOT_HEIGHT / 2
    parts = [f'<path class="axis" d="M{_MARGIN},{middle} H{_PLOT_WIDTH - _MARGIN}"/>']
    parts += [f'<path class="axis" d="M{_x(tick):.1f},{middle - 3} v6"/>' for tick in (0, 25, 50, 75, 100)]
    if entry.score.ci95:
        low, high = entry.score.ci95
        parts.append(f'<path class="span" d="M{_x(low):.1f},{middle} H{_x(high):.1f}"/>')
    if entry.published and entry.published.comparable:
        parts.append(f'<path class="paper" d="M{_x(entry.published.figure):.1f},{middle - 11} v22"/>')
    parts.append(f'<circle class="strict" cx="{_x(entry.score.strict):.1f}" cy="{middle}" r="6"/>')
    parts.append(f'<circle class="compat" cx="{_x(entry.score.compat):.1f}" cy="{middle}" r="3.5"/>')
    view = f"0 0 {_PLOT_WIDTH} {_PLOT_HEIGHT}"
    return Markup(f'<svg class="plot" viewBox="{view}" aria-hidden="true" focusable="false">{"".join(parts)}</svg>')


def _x(percent: float) -> float:
    return _MARGIN + _within(percent) / 100 * (_PLOT_WIDTH - 2 * _MARGIN)


def _within(percent: float) -> float:
    """Error rates may exceed 100: they end where the line ends."""
    return min(100.0, max(0.0, percent))
