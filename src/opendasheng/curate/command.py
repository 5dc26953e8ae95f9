"""``opendasheng curate``: clips through experts, by a recipe."""

import argparse
import dataclasses
import json
import sys
from typing import TYPE_CHECKING

from opendasheng.options import at_least

if TYPE_CHECKING:
    from opendasheng.curate.record import Record


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``curate`` to ``parser``."""
    parser.description = (
        "Let experts hear clips, by a recipe. The same command goes on where a run was stopped or killed; an expert of "
        "another version hears its clips anew."
    )
    parser.add_argument("recipe", nargs="?", metavar="RECIPE", help="a TOML file; see recipes/curate-mini.toml")
    parser.add_argument("--limit", type=at_least(1), metavar="N", help="N clips, drawn evenly over the sources")
    parser.add_argument(
        "--only",
        choices=("listen", "write"),
        help="listen: let experts hear clips, and nothing else; write: the rest, of clips that are heard, without Ray",
    )
    parser.add_argument("--schema", action="store_true", help="print the JSON schema of a record, and nothing else")
    parser.add_argument(
        "--page",
        nargs="?",
        const=50,
        type=at_least(1),
        metavar="N",
        help="write sample.html beside the records: N clips (50) to hear and see, drawn evenly over their categories",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Curate; 0 when all experts that are there heard every clip, and the model wrote what it was asked to, else 1."""
    from opendasheng.curate.card import compared, figures
    from opendasheng.curate.config import CurationConfig
    from opendasheng.curate.costs import Costs
    from opendasheng.curate.dataset import Dataset, usable
    from opendasheng.curate.describe import describe
    from opendasheng.curate.inputs import open_input
    from opendasheng.curate.journal import read_records
    from opendasheng.curate.page import PAGE, write_page
    from opendasheng.curate.pipeline import COSTS, RECORDS, finish, heard_before, listen, with_models_there
    from opendasheng.curate.record import json_schema
    from opendasheng.curate.report import report, writings
    from opendasheng.errors import ConfigError
    from opendasheng.progress import say
    from opendasheng.recipe import read_recipe

    if args.schema:
        print(json.dumps(json_schema(), indent=1))
        return 0
    if args.recipe is None:
        raise ConfigError("name a recipe, such as recipes/curate-mini.toml")
    config = read_recipe(CurationConfig, args.recipe)
    if args.limit is not None:
        config = dataclasses.replace(config, input=dataclasses.replace(config.input, limit=args.limit))
    config = with_models_there(config)
    heard = heard_before(config) if args.only == "write" else listen(config)
    if args.only == "listen":
        sys.stdout.write(f"{report([describe(record) for record in heard])}\n{Costs(config.folder / COSTS).table()}")
        return int(any(map(_is_lacking, heard)))
    could_ask, path = finish(config, heard), config.folder / RECORDS
    records = read_records(path)
    if config.dataset.write:
        records = usable(records)
    sys.stdout.write(report(records))
    sys.stdout.write(f"\n{Costs(config.folder / COSTS).table()}")
    written = writings(records, config.writer.prompt_price, config.writer.completion_price)
    sys.stdout.write(written and f"\n{written}")
    if config.dataset.write:
        dataset = Dataset(config, records)
        folder = dataset.write()
        sys.stdout.write(f"\n{folder}: {figures(dataset.clips)}\n\n{compared(dataset.records, dataset.clips)}")
    if args.page is not None:
        page = path.with_name(PAGE)
        write_page(page, config.name, records, open_input(config.input), args.page)
        say(f"wrote {page}")
    return int(not could_ask or any(map(_is_lacking, records)))


def _is_lacking(record: "Record") -> bool:
    if record.dropped is not None and record.dropped.step not in ("filter", "licence", "dataset"):
        return True  # those are there to drop clips
    return any(found.error for found in record.findings.values()) or any(w.error for w in record.writing.values())
