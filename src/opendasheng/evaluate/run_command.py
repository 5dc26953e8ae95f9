"""``opendasheng eval run``: predict tasks, score them and write the report, in one go."""

import argparse

from opendasheng import environment
from opendasheng.errors import EvaluationError
from opendasheng.evaluate import predict_command
from opendasheng.evaluate.report.command import add_report_arguments, write_and_show
from opendasheng.evaluate.score_command import add_scoring_arguments
from opendasheng.progress import say

_EPILOG = """\
Answers and report go to FOLDER. Run the same command again after a kill, and it goes on: what was answered is not
asked again, and the report is that of a run without a kill.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``eval run``."""
    parser.description = "Ask a model about every example of tasks, score its answers, and report."
    parser.epilog = _EPILOG
    predict_command.add_task_arguments(parser)
    predict_command.add_prediction_arguments(parser)
    add_report_arguments(parser)
    add_scoring_arguments(parser, device=False)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Predict each task, then report on all; 0 only if every example was answered and every task scored.

    Of several processes the one that finishes the last task writes the report: the others are done by then, since all
    take the tasks in the same order.
    """
    tasks = predict_command.chosen_tasks(args.tasks, args.table)
    environment.prepare(offline=args.offline)
    answerer = predict_command.answerer_of(args)
    paths, num_failed, complete = [], 0, True
    for task in tasks:
        try:
            counts = predict_command.predict(args, task, answerer)
        except EvaluationError as error:
            say(str(error))
            num_failed += 1
            continue
        num_failed += counts.num_failed
        complete = counts.complete
        paths.append(counts.path)
    if not paths or not complete:
        return 1 if num_failed else 0
    failed_to_score = write_and_show(args, paths)
    return 1 if num_failed or failed_to_score else 0
