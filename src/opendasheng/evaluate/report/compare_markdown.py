"""A comparison of two models as Markdown."""

from opendasheng.evaluate.report.compare import Comparison, Comparisons, Difference, Pair
from opendasheng.evaluate.report.gather import by_message
from opendasheng.evaluate.report.markdown import between, number
from opendasheng.evaluate.report.worst import Example
from opendasheng.markdown import NOTHING, cell, table


def markdown(comparisons: Comparisons) -> str:
    """All comparisons, one section each."""
    parts = ["# Comparison"]
    for problem in by_message(comparisons.problems):
        parts.append(f"> **Not compared:** {cell(problem.name)}: {cell(problem.message)}")
    for one in comparisons.found:
        parts += _section(one, comparisons.resamples)
    if comparisons.found:
        boot = f"{comparisons.resamples} resamples, seed {comparisons.seed}"
        sure = f"Intervals are 95 % paired bootstrap intervals ({boot})" if comparisons.resamples else "No intervals"
        parts.append(f"Figures are percent, over the rows that both have. {sure}. Wins and losses are B's, row by row.")
    return "\n\n".join(parts) + "\n"


def _section(one: Comparison, resamples: int) -> list[str]:
    least = 1 / max(1, resamples)
    metric = f"{one.task.metric.name}@{one.task.metric.version}"
    better = "higher is better" if one.higher_is_better else "lower is better"
    parts = [
        f"## {cell(one.task.title)}",
        f"A is {cell(one.a.label)} ({cell(one.a.file)}), B is {cell(one.b.label)} ({cell(one.b.file)}). "
        f"{metric}, {better}.",
        _alignment(one),
        table(
            ["figure", "A", "B", "B - A", "95 %", "p"],
            [["compat", *_cells(one.compat, least)], ["strict", *_cells(one.strict, least)]],
            right=(1, 2, 3),
        ),
        f"{verdict(one)} B wins {one.wins:,} rows, loses {one.losses:,}, and {one.ties:,} are ties.",
    ]
    if one.notes:
        parts.append("\n".join(f"- {cell(note)}" for note in one.notes))
    if one.pairs:
        heads = ["B - A", "row", "prompt", "reference", "A", "B"]
        parts += ["Where they differ most:", table(heads, map(_row, one.pairs), right=(0,))]
    return parts


def _alignment(one: Comparison) -> str:
    alone = [f"{side.num_alone:,} only in {name}" for name, side in (("A", one.a), ("B", one.b)) if side.num_alone]
    rest = f"; {' and '.join(alone)} take no part" if alone else ", all there are"
    return f"{one.num_rows:,} rows in common{rest}. {one.clusters[0]:,} clusters by {cell(one.clusters[1])}."


def verdict(one: Comparison) -> str:
    """One sentence: whether the strict interval leaves out zero, and which side is then the better."""
    interval = one.strict.ci95
    if interval is None:
        return "Whether the difference is chance was not asked."
    if interval[0] <= 0 <= interval[1]:
        return "By strict, the difference may be chance."
    better = "B" if (interval[0] > 0) == one.higher_is_better else "A"
    return f"By strict, {better} is better."


def _cells(found: Difference, least: float) -> list[str]:
    """``least`` is the smallest p-value that the resamples can give."""
    p = NOTHING if found.p is None else f"<= {least:.2g}" if found.p <= least else f"{found.p:.3f}"
    return [number(found.a), number(found.b), number(found.difference, signed=True), between(found.ci95), p]


def _row(pair: Pair) -> list[str]:
    reference = " / ".join(pair.a.references)
    texts = (pair.a.id, pair.a.prompt, reference, _answer(pair.a), _answer(pair.b))
    return [number(100 * pair.gain, signed=True), *map(cell, texts)]


def _answer(example: Example) -> str:
    return f"failed: {example.failure}" if example.failure else example.answer
