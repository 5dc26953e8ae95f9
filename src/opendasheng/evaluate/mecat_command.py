"""``opendasheng eval mecat``: captions or answers to questions against MECAT's references."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from opendasheng.errors import EvaluationError
from opendasheng.progress import say

if TYPE_CHECKING:
    from opendasheng.evaluate.mecat import MecatReport
    from opendasheng.evaluate.mecat_groups import Figure

_EPILOG = """\
PREDICTIONS are key,text (.csv without a header; .tsv, .txt), {key: text} (.json, .jsonl) or prediction rows (.jsonl).
One file may answer for all sub-tasks; several are taken in the order long, short, speech, music, sound, environment, or
that of the six categories of questions. The references come with the package mecat, which need not be importable.
compat is what that package gives: only keys of both sides count. strict counts a missing answer as an empty one.
"""


def configure_mecat(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``eval mecat``."""
    from opendasheng.evaluate.score_command import add_scoring_arguments

    parser.description = "Score predictions for MECAT by BLEU, FENSE and DATE."
    parser.epilog = _EPILOG
    parser.add_argument("predictions", nargs="+", metavar="PREDICTIONS", help="files, see below")
    parser.add_argument("--task", choices=("caption", "qa"), default="caption", help="what was asked (caption)")
    parser.add_argument("--subtask", type=_names, metavar="A,B", help="score only these, e.g. long,short")
    parser.add_argument("--level", metavar="NAME", help="of questions: basic, intermediate, advanced or complex")
    parser.add_argument(
        "--references", metavar="FOLDER", help="DOMAIN.jsonl or DOMAIN.jsonl.gz instead of the package's"
    )
    parser.add_argument(
        "--metrics", type=_names, default=("bleu", "fense", "date"), metavar="A,B", help="of bleu,fense,date (all)"
    )
    parser.add_argument("--no-penalty", action="store_true", help="FENSE and DATE without a fluency model, and say so")
    output = parser.add_argument_group("output")
    output.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    output.add_argument("--output", type=Path, metavar="FILE", help="write the JSON object into this new file")
    add_scoring_arguments(parser)
    parser.set_defaults(run=run)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def run(args: argparse.Namespace) -> int:
    """Print the figures of each group, and the overall one where all groups are there."""
    if args.output is not None and args.output.exists():
        raise EvaluationError(f"{args.output}: it exists already and is not overwritten; name another --output")
    if args.output is not None and not args.output.parent.is_dir():
        raise EvaluationError(
            f"{args.output}: there is no folder {args.output.parent}; make it or name another --output"
        )
    from opendasheng.evaluate.mecat import evaluate_mecat
    from opendasheng.evaluate.score_command import num_resamples, resources_of

    report = evaluate_mecat(
        args.predictions,
        task=args.task,
        subtasks=args.subtask,
        level=args.level,
        references=args.references,
        metrics=args.metrics,
        resources=resources_of(args),
        penalty=not args.no_penalty,
        resamples=num_resamples(args),
        seed=args.seed,
        began=_began,
    )
    text = json.dumps(report.to_dict(), ensure_ascii=False, indent=2)
    print(text if args.json else described(report))
    if args.output is not None:
        from opendasheng.files import write_atomically

        try:
            write_atomically(args.output, f"{text}\n".encode())
        except OSError as error:
            reason = error.strerror or error
            raise EvaluationError(f"{args.output}: cannot be written ({reason}); name another --output") from error
    return 0


def _began(name: str, num_rows: int) -> None:
    say(f"{name}: {num_rows} answers")


def described(report: "MecatReport") -> str:
    """A report in lines for a reader: a table for each metric."""
    from opendasheng.evaluate.mecat import OVERALL
    from opendasheng.evaluate.metrics import metric_class

    level = "" if report.level is None else f", {report.level} questions"
    lines = [f"MECAT {report.task}{level}: percent, higher is better"]
    for metric in report.groups[0].figures:
        name = f"{metric}@{metric_class(metric).version}"
        lines.append(f"\n{name:26}{'rows':>7}{'missing':>9}{'compat':>9}{'strict':>9}   95 % interval of compat")
        for group in report.groups:
            counts = f"{group.num_rows:7}{group.num_expected - group.num_rows:9}"
            lines.append(f"  {group.name:24}{counts}{_shown(group.figures[metric])}")
        if metric in report.overall:
            lines.append(f"  {OVERALL[report.task]:24}{'':16}{_shown(report.overall[metric])}")
    return "\n".join([*lines, *(f"note: {note}" for note in report.notes)])


def _shown(figure: "Figure") -> str:
    between = f"   {figure.ci95[0]:.2f} to {figure.ci95[1]:.2f}" if figure.ci95 else ""
    return f"{figure.compat:9.2f}{figure.strict:9.2f}{between}"
