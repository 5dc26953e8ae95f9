"""``opendasheng curate``: clips through experts, by a recipe."""

import argparse
import dataclasses
import json
import sys

from opendasheng.options import at_least


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``curate`` to ``parser``."""
    parser.description = (
        "Let experts hear clips, by a recipe. The same command goes on where a run was stopped or killed; an expert of "
        "another version hears its clips anew."
    )
    parser.add_argument("recipe", nargs="?", metavar="RECIPE", help="a TOML file; see recipes/curate-mini.toml")
    parser.add_argument("--limit", type=at_least(1), metavar="N", help="N clips, drawn evenly over the sources")
    parser.add_argument("--schema", action="store_true", help="print the JSON schema of a record, and nothing else")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Curate; 0 when every clip was heard by every expert that is there, 1 when a clip was not."""
    from opendasheng.curate.config import CurationConfig
    from opendasheng.curate.journal import read_records
    from opendasheng.curate.pipeline import curate
    from opendasheng.curate.record import json_schema
    from opendasheng.curate.report import report
    from opendasheng.errors import ConfigError
    from opendasheng.recipe import read_recipe

    if args.schema:
        print(json.dumps(json_schema(), indent=1))
        return 0
    if args.recipe is None:
        raise ConfigError("name a recipe, such as recipes/curate-mini.toml")
    config = read_recipe(CurationConfig, args.recipe)
    if args.limit is not None:
        config = dataclasses.replace(config, input=dataclasses.replace(config.input, limit=args.limit))
    path = curate(config)
    records = read_records(path)
    sys.stdout.write(report(records))
    return int(any(record.dropped or any(found.error for found in record.findings.values()) for record in records))
