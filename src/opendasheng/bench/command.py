"""The command ``opendasheng bench``: measure speed on the CPU, one thread, and say which goals are met."""

import argparse
import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opendasheng.bench.macs import DASHENG, table
from opendasheng.bench.plan import command as plan_command
from opendasheng.bench.threads import ask_for_one_thread, one_thread
from opendasheng.options import at_least
from opendasheng.progress import say

if TYPE_CHECKING:
    from opendasheng.bench.batches import Count
    from opendasheng.bench.timing import Comparison

# Nothing here imports numpy or torch before ask_for_one_thread: they read the number of threads when they are loaded.

TOPICS = {
    "frontend": "the log-mel against transformers' and Qwen2.5-Omni's",
    "encoder": "the audio encoder against Qwen2.5-Omni's",
    "batches": "what training batches compute against random ones and 30 s for every clip, and the time of a step",
    "macs": "multiplications counted from shapes",
    "plan": "memory, multiplications, traffic and days of training the 7B, or --model, on many GPUs",
}
_MIN_SECONDS, _MAX_SECONDS = 0.2, 300.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``bench`` to ``parser``."""
    topics = "; ".join(f"{name}: {what}" for name, what in TOPICS.items())
    parser.epilog = f"Ratios are of CPU time on one thread. The goals are for 30 s and the 0.6b encoder. {topics}."
    parser.add_argument("topics", nargs="*", type=_topic, metavar="TOPIC", help=f"{', '.join(TOPICS)} (default: all)")
    parser.add_argument("--runs", type=at_least(1), default=7, metavar="N", help="of each side; below 7 is a trial (7)")
    parser.add_argument("--seconds", type=_seconds, default=30.0, metavar="S", help="length of the clip (30)")
    parser.add_argument(
        "--encoder-size",
        choices=DASHENG,
        default="0.6b",
        help="of the Dasheng encoder (0.6b); tiny also takes few clips into batches",
    )
    parser.add_argument("--output", type=Path, metavar="FILE.json", help="put the results into this file")
    parser.add_argument("--json", action="store_true", help="print JSON instead of Markdown")
    plan_command.configure(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure and report; 0 whatever the ratios are."""
    ask_for_one_thread()
    from opendasheng.bench import report

    topics = args.topics or list(TOPICS)
    if args.output is not None:
        report.read(args.output)  # better now than after minutes of measuring
    plans = plan_command.plans(args) if "plan" in topics else {}
    results = _measure([topic for topic in topics if topic not in ("macs", "plan")], args)
    macs, batches = table() if "macs" in topics else [], _counts() if "batches" in topics else {}
    found = report.document(results, macs, batches, plans)
    print(json.dumps(found, indent=2) if args.json else report.markdown(found), flush=True)
    if args.output is not None:
        report.merge(args.output, found)
    return 0


def _counts() -> "dict[str, Count]":
    from opendasheng.bench import batches

    return batches.counts()


def _measure(topics: list[str], args: argparse.Namespace) -> list[dict[str, Any]]:
    if not topics:
        return []
    from opendasheng.bench import report
    from opendasheng.bench.timing import MIN_RUNS, measure

    if args.runs < MIN_RUNS:
        say(f"{args.runs} runs are a trial; a result needs {MIN_RUNS}")
    results = []
    with one_thread():
        for topic, comparison in _comparisons(topics, args.seconds, args.encoder_size):
            measurement = measure(comparison, args.runs, tell=say)
            results.append(report.entry(comparison, measurement, _command(topic, args)))
    return results


def _comparisons(topics: list[str], seconds: float, size: str) -> Iterator[tuple[str, "Comparison"]]:
    """Made one after the other, so that the weights of an encoder are there only while it is measured."""
    if "frontend" in topics:
        from opendasheng.bench import frontend

        yield from (("frontend", comparison) for comparison in frontend.comparisons(seconds))
    if "encoder" in topics:
        say("filling the encoders with random weights")
        from opendasheng.bench import encoder

        yield from (("encoder", comparison) for comparison in encoder.comparisons(seconds, size))
    if "batches" in topics:
        from opendasheng.bench import batches
        from opendasheng.hub import bundled_folder
        from opendasheng.model import MiDashengLMConfig

        config = MiDashengLMConfig.from_pretrained(bundled_folder())
        small = {"num_clips": 8} if size == "tiny" else {}
        yield from (("batches", comparison) for comparison in batches.comparisons(config, **small))


def _command(topic: str, args: argparse.Namespace) -> str:
    """What to type for this result alone."""
    words = ["opendasheng", "bench", topic, "--runs", str(args.runs)]
    if topic != "batches":
        words += ["--seconds", f"{args.seconds:g}"]
    if topic != "frontend":
        words += ["--encoder-size", args.encoder_size]
    return shlex.join(words)


def _topic(text: str) -> str:
    if text not in TOPICS:
        raise argparse.ArgumentTypeError(f"must be one of {', '.join(TOPICS)}, not {text!r}")
    return text


def _seconds(text: str) -> float:
    value = float(text)
    if not _MIN_SECONDS <= value <= _MAX_SECONDS:
        raise argparse.ArgumentTypeError(f"must be from {_MIN_SECONDS:g} to {_MAX_SECONDS:g}, not {text}")
    return value
