"""``opendasheng eval report`` and ``opendasheng eval compare``: figures of prediction files, and of two models."""

import argparse
from collections.abc import Iterable
from pathlib import Path

from opendasheng.errors import EvaluationError
from opendasheng.evaluate.score_command import add_scoring_arguments, num_resamples, resources_of
from opendasheng.options import at_least
from opendasheng.progress import say

_WORST = 5  # data.WORST and compare.EXAMPLES, without importing numpy for --help (tested)

_REPORT_EPILOG = """\
PATH is a run folder of `opendasheng eval predict` (TASK/predictions.jsonl) or a file of predictions. The same
predictions give the same files, in whatever order their rows are.
"""


def configure_report(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``report``."""
    parser.description = "What predictions score: beside the paper, with intervals, breakdowns and the worst answers."
    parser.epilog = _REPORT_EPILOG
    parser.add_argument("paths", nargs="+", metavar="PATH", help="run folders and prediction files")
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER", help="write report.json, report.md, report.html and radar.svg there"
    )
    parser.add_argument("--task", metavar="NAME", help="what the rows are answers to, if not what they say")
    add_report_arguments(parser)
    add_scoring_arguments(parser)
    parser.set_defaults(run=run_report)


def add_report_arguments(parser: argparse.ArgumentParser) -> None:
    """What every command that writes a report may be told about it."""
    parser.add_argument(
        "--audio-root",
        metavar="FOLDER",
        help="where the audio of the rows lies, as files or as a corpus, besides the folders of the predictions",
    )
    parser.add_argument(
        "--worst",
        type=at_least(0),
        default=_WORST,
        metavar="N",
        help="how many of the worst answers are shown (%(default)s)",
    )
    parser.add_argument(
        "--update",
        metavar="FILE",
        help="renew the tables of this file: between <!-- paper:begin --> and <!-- paper:end --> what the paper has "
        "too, between <!-- scores:begin --> and <!-- scores:end --> every figure, between <!-- models:begin --> "
        "and <!-- models:end --> several models side by side",
    )
    parser.add_argument("--json", action="store_true", help="print report.json in place of the Markdown")


def configure_compare(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``compare``."""
    parser.description = "Two models on the same questions: is the second one better, by how much, and where."
    parser.add_argument("a", metavar="A", help="run folder or prediction file of one model")
    parser.add_argument("b", metavar="B", help="of the other")
    parser.add_argument("--task", metavar="NAME", help="compare this task only (default: all that both have)")
    parser.add_argument(
        "--examples",
        type=at_least(0),
        default=_WORST,
        metavar="N",
        help="rows of most difference (%(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON in place of the Markdown")
    add_scoring_arguments(parser)
    parser.set_defaults(run=run_compare)


def run_report(args: argparse.Namespace) -> int:
    """Print the report, write its files; 1 where something could not be scored."""
    return 1 if write_and_show(args, args.paths) else 0


def write_and_show(args: argparse.Namespace, paths: Iterable[str | Path]) -> int:
    """Report on predictions as ``args`` say: print it, and write its files where there is an ``output``.

    How many figures could not be scored. ``args`` may name tasks of one's own, by their files, in ``tasks``.
    """
    from opendasheng.evaluate.registry import find_task
    from opendasheng.evaluate.report.data import report, to_dict
    from opendasheng.evaluate.report.gather import by_message
    from opendasheng.evaluate.report.markdown import markdown
    from opendasheng.evaluate.report.section import update_tables
    from opendasheng.evaluate.report.write import as_json, write_report

    found = report(
        paths,
        resources=resources_of(args),
        resamples=num_resamples(args),
        seed=args.seed,
        task=getattr(args, "task", None),
        tasks=[find_task(name) for name in getattr(args, "tasks", ()) if name.endswith(".toml")],
        audio_root=args.audio_root,
        num_worst=args.worst,
    )
    print(as_json(to_dict(found)) if args.json else markdown(found), end="")
    if args.output is not None:
        for path in write_report(found, args.output):
            say(f"wrote {path}")
    if args.update is not None:
        changed = update_tables(args.update, found)
        say(f"{args.update}: {'updated' if changed else 'nothing to change'}")
    for problem in by_message(found.problems):
        say(f"{problem.name}: {problem.message}")
    return len(found.problems)


def run_compare(args: argparse.Namespace) -> int:
    """Print the comparison; 1 where a task could not be compared."""
    from opendasheng.evaluate.report.compare import compare, to_dict
    from opendasheng.evaluate.report.compare_markdown import markdown
    from opendasheng.evaluate.report.gather import by_message
    from opendasheng.evaluate.report.write import as_json

    found = compare(
        args.a,
        args.b,
        task=args.task,
        resources=resources_of(args),
        resamples=num_resamples(args),
        seed=args.seed,
        num_examples=args.examples,
    )
    if not found.found and len(found.problems) == 1:
        raise EvaluationError(f"{found.problems[0].name}: {found.problems[0].message}")
    print(as_json(to_dict(found)) if args.json else markdown(found), end="")
    for problem in by_message(found.problems):
        say(f"{problem.name}: {problem.message}")
    return 1 if found.problems else 0
