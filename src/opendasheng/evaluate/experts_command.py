"""``opendasheng eval experts``: what experts of curation report, judged by what is known of the same clips."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opendasheng.evaluate.experts import Judged


def configure_experts(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``eval experts``."""
    parser.description = (
        "Judge what experts of curation report by what the corpus knows of its clips, which they have not seen, or by "
        "the measures of clips that were made for this (opendasheng corpus known)."
    )
    parser.add_argument("records", type=Path, metavar="RECORDS", help="records.jsonl of a run of opendasheng curate")
    curated = parser.add_mutually_exclusive_group()
    curated.add_argument("--data", default="corpus", metavar="FOLDER", help="the corpus that was curated (corpus)")
    curated.add_argument("--known", type=Path, metavar="FOLDER", help="or what opendasheng corpus known has written")
    parser.add_argument("--output", type=Path, metavar="FILE.json", help="all figures")
    parser.add_argument("--update", type=Path, metavar="FILE.md", help="put the table between its markers in this file")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Judge and print."""
    from opendasheng.data.shards import ShardReader
    from opendasheng.evaluate.experts import judge, read_pairs
    from opendasheng.evaluate.known import judge_known
    from opendasheng.evaluate.report.section import update_section
    from opendasheng.files import write_atomically

    if args.known:
        judged = judge_known(args.records, args.known)
    else:
        judged = judge(read_pairs(args.records, ShardReader(args.data).clips))
    markdown = table_of(judged)
    print(markdown)
    if args.output:
        write_atomically(args.output, (json.dumps([asdict(row) for row in judged], indent=1) + "\n").encode())
    if args.update:
        update_section(args.update, "known" if args.known else "experts", markdown)
    return 0


def table_of(judged: "list[Judged]") -> str:
    """A line for each aspect, shares in per cent."""
    from opendasheng.markdown import table

    rows = [
        (
            row.aspect,
            row.metric,
            str(row.num_clips),
            str(row.num_told),
            f"{100 * row.value:.1f}",
            f"{100 * row.low:.1f} to {100 * row.high:.1f}",
        )
        for row in judged
    ]
    return table(("aspect", "metric", "clips", "told", "%", "95 %"), rows, right=(2, 3, 4))
