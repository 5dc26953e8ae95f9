"""The report as Markdown: tables that read well as plain text too. Whatever comes from rows is escaped."""

from opendasheng.evaluate.report.data import Entry, Report
from opendasheng.evaluate.report.gather import by_message
from opendasheng.evaluate.report.picture import entry_of, models_of, tasks_of
from opendasheng.evaluate.report.published import TITLES
from opendasheng.evaluate.report.worst import Example
from opendasheng.evaluate.task import MODELS
from opendasheng.markdown import NOTHING, cell, table

HOW_TO_READ = (
    "Figures are percent. *compat* is the published definition, to its digits; *strict* counts every row and takes "
    "only what really is an answer. Intervals are 95 % bootstrap intervals over clusters, which each section names."
)


def number(value: float | None, *, signed: bool = False) -> str:
    """A figure with two decimals; no minus before zero."""
    if value is None:
        return NOTHING
    rounded = round(value, 2) + 0.0
    return f"{rounded:+.2f}" if signed and rounded else f"{rounded:.2f}"


def between(bounds: tuple[float, float] | None) -> str:
    """An interval."""
    return NOTHING if bounds is None else f"{number(bounds[0])} to {number(bounds[1])}"


def metric_of(entry: Entry) -> str:
    """Metric and version, with a word where lower is better."""
    return entry.score.metric if entry.higher_is_better else f"{entry.score.metric}, lower is better"


def against_paper(entry: Entry) -> tuple[str, str, str]:
    """The paper's figure, the difference to it, and whether it lies in our interval."""
    its = entry.published
    if its is None:
        return NOTHING, NOTHING, NOTHING
    if not its.comparable:
        return number(its.figure), "not comparable", NOTHING
    inside = {None: NOTHING, True: "yes", False: "no"}[its.inside]
    return number(its.figure), number(its.difference, signed=True), inside


def markdown(report: Report) -> str:
    """The whole report."""
    parts = ["# Evaluation report", summary(report), *_warnings(report)]
    if report.entries:
        parts += ["## Figures", _figures(report), HOW_TO_READ]
        if any(task.published for task in tasks_of(report)):
            parts += ["## Beside the paper", _beside(report)]
        for entry in report.entries:
            parts += _section(entry)
    return "\n\n".join(parts) + "\n"


def summary(report: Report) -> str:
    """What there is, in one sentence."""
    counts = [
        f"{_count(len(report.entries), 'figure')} of {_count(len(models_of(report)), 'model')} on "
        f"{_count(len(tasks_of(report)), 'task')}"
    ]
    if report.problems:
        counts.append(f"{len(report.problems)} could not be scored")
    boot = f"Bootstrap: {report.resamples} resamples, seed {report.seed}." if report.resamples else "No intervals."
    return f"{'; '.join(counts)}. {boot}"


def _count(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _warnings(report: Report) -> list[str]:
    notes = dict.fromkeys(note for entry in report.entries for note in entry.stand_ins)
    lines = [f"> **Stand-in model:** {cell(note)}." for note in notes]
    lines += [
        f"> **Not scored:** {cell(problem.name)}: {cell(problem.message)}" for problem in by_message(report.problems)
    ]
    return ["\n>\n".join(lines)] if lines else []


def _figures(report: Report) -> str:
    heads = ["task", "model", "metric", "rows", "compat", "95 %", "strict", "95 %"]
    has_paper = any(entry.published for entry in report.entries)
    rows = []
    for entry in report.entries:
        score = entry.score
        mark = " (stand-in)" if entry.stand_ins else ""
        cells = [cell(entry.task.title), cell(entry.label), metric_of(entry) + mark, f"{score.num_rows:,}"]
        cells += [number(score.compat), between(score.ci95), number(score.strict), between(score.ci95_strict)]
        rows.append([*cells, *(against_paper(entry) if has_paper else ())])
    return table([*heads, *(("paper", "ours - paper", "inside") if has_paper else ())], rows, right=(3, 4, 6, 8, 9))


def _beside(report: Report) -> str:
    """All models and the paper's columns; the best of a line is not marked where another sentence model took part."""
    labels = models_of(report)
    rows = []
    for task in tasks_of(report):
        entries = [entry_of(report, task, label) for label in labels]
        cells = [cell(task.title)]
        cells += [
            NOTHING if entry is None else number(entry.score.compat) + (" (stand-in)" if entry.stand_ins else "")
            for entry in entries
        ]
        rows.append([*cells, *(number(task.published.get(model)) for model in MODELS)])
    heads = ["task", *map(cell, labels), *(f"{TITLES[model]}, paper" for model in MODELS)]
    return table(heads, rows, right=range(1, len(heads)))


def _section(entry: Entry) -> list[str]:
    score = entry.score
    parts = [f"## {cell(entry.task.title)}: {cell(entry.label)}"]
    counts = [
        f"{score.num_rows:,} rows in {score.num_clusters:,} clusters by {cell(entry.clustered_by)}",
        f"{score.num_skipped:,} left out by compat",
        f"{score.num_unparsed:,} without an answer for strict",
        f"{entry.num_failed:,} failed",
    ]
    parts.append(f"{'; '.join(counts)}.")
    if entry.notes():
        parts.append("\n".join(f"- {cell(note)}" for note in entry.notes()))
    for breakdown in entry.breakdowns:
        if len(breakdown.parts) > 1:
            rows = [[cell(p.name), f"{p.num_rows:,}", number(p.compat), number(p.strict)] for p in breakdown.parts]
            parts.append(table([breakdown.by, "rows", "compat", "strict"], rows, right=(1, 2, 3)))
    if entry.group.failures:
        failures = [[str(f.count), cell(f.reason), cell(", ".join(f.ids))] for f in entry.group.failures]
        parts.append(table(["failed", "reason", "first"], failures, right=(0,)))
    if entry.worst:
        heads = ["score", "row", "prompt", "reference", "answer"]
        parts += ["Worst answers:", table(heads, map(_example, entry.worst), right=(0,))]
    return [*parts, _provenance(entry)]


def _example(example: Example) -> list[str]:
    answer = f"failed: {example.failure}" if example.failure else example.answer
    reference = " / ".join(example.references)
    return [number(100 * example.score), *map(cell, (example.id, example.prompt, reference, answer))]


def _provenance(entry: Entry) -> str:
    group = entry.group
    settings = f", settings {cell(group.settings)}" if group.settings else ""
    return (
        f"From {cell(group.source.name)}{settings}; task {group.task.name} version {group.task.version}, "
        f"{entry.score.metric}; rows sha256 `{group.sha256}`."
    )
