"""``opendasheng score``: what a prediction file scores, by the published definition and by ours."""

import argparse
import json
from typing import TYPE_CHECKING

from opendasheng.options import at_least

if TYPE_CHECKING:
    from opendasheng.evaluate.metrics.base import Resources
    from opendasheng.evaluate.scoring import Score

_RESAMPLES = 1000  # statistics.RESAMPLES, without importing numpy for --help (tested)

_EPILOG = """\
FILE has one JSON object a line: dataset_name, model_output, and by task text (with lang), label, or answer (with
choices). compat is the published definition, to its digits; strict counts every row and takes only what really is an
answer. Figures are percent; the interval is a 95 % bootstrap over speakers or clips.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``score``."""
    parser.description = "Score predictions. The task is that of the rows' dataset_name unless --task names another."
    parser.epilog = _EPILOG
    parser.add_argument("files", nargs="+", metavar="FILE", help="predictions, one JSON object a line")
    parser.add_argument("--task", metavar="NAME", help="a task of `opendasheng eval list`, or a task file (.toml)")
    parser.add_argument("--json", action="store_true", help="one JSON object a file")
    add_scoring_arguments(parser)
    parser.set_defaults(run=run)


def add_scoring_arguments(parser: argparse.ArgumentParser, *, device: bool = True) -> None:
    """What every command that scores may be told: models that metrics need, and the intervals.

    ``device`` False leaves that option to the command.
    """
    models = parser.add_argument_group("models of sentence metrics")
    models.add_argument(
        "--sentence-model",
        metavar="FOLDER_OR_ID",
        help="sentence vectors for SBERT metrics; another model than the paper's is named as a stand-in",
    )
    models.add_argument("--fluency-model", metavar="FOLDER", help="the error detector of penalised FENSE and of DATE")
    if device:
        models.add_argument("--device", default="auto", help="auto, cpu, cuda, mps")
    intervals = parser.add_argument_group("intervals")
    intervals.add_argument(
        "--resamples", type=at_least(0), default=_RESAMPLES, metavar="N", help="bootstrap resamples (%(default)s)"
    )
    intervals.add_argument("--no-intervals", action="store_true", help="leave the intervals out")
    intervals.add_argument("--seed", type=at_least(0), default=0, metavar="N", help="of the bootstrap (0)")


def run(args: argparse.Namespace) -> int:
    """Print the scores of each file; a file that cannot be scored ends the run with its error."""
    from opendasheng.evaluate.scoring import score_file

    task = args.task
    for file in args.files:
        score = score_file(file, task, resources=resources_of(args), resamples=num_resamples(args), seed=args.seed)
        print(json.dumps(score.to_dict(), ensure_ascii=False) if args.json else described(score))
    return 0


def resources_of(args: argparse.Namespace) -> "Resources":
    """The models that ``args`` names, loaded when a metric asks for them."""
    from opendasheng.evaluate.metrics.base import Resources

    if args.sentence_model is None and args.fluency_model is None:
        return Resources()
    from opendasheng.evaluate.sentences import resources

    return resources(args.sentence_model, args.fluency_model, device=args.device)


def num_resamples(args: argparse.Namespace) -> int:
    """How many resamples ``args`` asks for; 0 leaves the intervals out."""
    return 0 if args.no_intervals else int(args.resamples)


def described(score: "Score") -> str:
    """A score in lines for a reader."""
    from opendasheng.evaluate.metrics import metric_class
    from opendasheng.evaluate.registry import find_task, tasks

    name, _, _ = score.metric.partition("@")
    better = "higher is better" if metric_class(name).higher_is_better else "lower is better"
    lines = [f"{score.task}: {score.metric}, percent, {better}"]
    for label, value, bounds in (
        ("compat", score.compat, score.ci95),
        ("strict", score.strict, score.ci95_strict),
    ):
        between = f"   95 % interval {bounds[0]:.2f} to {bounds[1]:.2f}" if bounds else ""
        lines.append(f"  {label:7}{value:8.2f}{between}")
    if score.task in tasks():
        published = find_task(score.task).published
        lines += [f"  {'paper':7}{value:8.2f}   {model}" for model, value in published.items()]
    left_out = f"{score.num_skipped} left out by compat, {score.num_unparsed} without an answer"
    lines.append(f"  {score.num_rows} rows in {score.num_clusters} clusters; {left_out}")
    return "\n".join([*lines, *(f"  note: {note}" for note in score.notes)])
