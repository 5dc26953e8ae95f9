"""The command ``opendasheng corpus``: list, build, import, verify and report corpora, and show what the paper had."""

import argparse
import logging
import os
import sys
from importlib.resources import files
from pathlib import Path

from opendasheng.corpora import build, registry, splits
from opendasheng.corpora.distributions import PinnedStore
from opendasheng.corpora.importing import Table, import_table
from opendasheng.corpora.known import write_known
from opendasheng.corpora.tables import Columns
from opendasheng.corpora.terms import by_terms
from opendasheng.data.catalogue import tables
from opendasheng.data.clip import SPLITS
from opendasheng.data.shards import ShardReader
from opendasheng.errors import ConfigError
from opendasheng.files import is_name
from opendasheng.options import at_least
from opendasheng.progress import say

logger = logging.getLogger(__name__)

_CACHE = ".packages"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands; each sets ``run``, a function of the parsed arguments that returns the exit status."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="the sources, their packages and licences")
    listing.set_defaults(run=_list)

    building = actions.add_parser("build", help="turn packages into shards")
    building.add_argument("sources", nargs="*", metavar="SOURCE", help="sources to build (default: all)")
    building.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="corpus folder")
    building.add_argument(
        "--packages", type=Path, metavar="FOLDER", help="folder with .deb files; what is not there is downloaded"
    )
    building.add_argument("--jobs", type=at_least(1), default=1, metavar="N", help="decoding threads (default: 1)")
    building.add_argument("--force", action="store_true", help="replace what is there, even a finished source")
    building.set_defaults(run=_build)

    importing = actions.add_parser("import", help="turn a table of clips with questions and answers into shards")
    importing.add_argument(
        "table", type=Path, metavar="TABLE", help="CSV with a header, JSON lines, Parquet, or a folder of datasets"
    )
    importing.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="corpus folder")
    importing.add_argument("--name", metavar="NAME", help="of the source (that of the table)")
    importing.add_argument("--audio-root", type=Path, metavar="FOLDER", help="of all audio (beside the table)")
    columns = Columns()
    for name, held in (("audio", "audio"), ("answer", "answers"), ("prompt", "questions, if any")):
        default = getattr(columns, name)
        help_text = f"column of {held} ({default})"
        importing.add_argument(f"--{name}-column", default=default, metavar="NAME", help=help_text)
    importing.add_argument("--prompt", default="", metavar="TEXT", help="question of rows without one")
    percent = at_least(0, at_most=100)
    importing.add_argument("--dev-percent", type=percent, default=5, metavar="N", help="recordings for dev (5)")
    importing.add_argument("--licence", default="unknown", metavar="TEXT", help="of the audio, best SPDX (unknown)")
    importing.add_argument("--force", action="store_true", help="replace what is there")
    importing.set_defaults(run=_import)

    catalogue = actions.add_parser("catalogue", help="the data sets that the paper trained on (Tables 14 to 18)")
    catalogue.add_argument("--table", type=int, choices=range(14, 19), help="this table alone")
    catalogue.set_defaults(run=_catalogue)

    _configure_known(
        actions.add_parser("known", help="clips of known reverberation, noise or tempo, to judge experts by")
    )

    splitting = actions.add_parser("splits", help="the manifest of who is for training, development and test")
    splitting.add_argument("folder", type=Path, metavar="FOLDER")
    splitting.set_defaults(run=_splits)

    schema = actions.add_parser("schema", help="the JSON schema of the shards of a source")
    schema.set_defaults(run=_schema)

    verifying = actions.add_parser("verify", help="compare every shard with its checksum, and the splits")
    verifying.add_argument("folder", type=Path, metavar="FOLDER")
    verifying.set_defaults(run=_verify)

    reporting = actions.add_parser(
        "report", help="hours and clips by source, split, kind, language and terms of licences"
    )
    reporting.add_argument("folder", type=Path, metavar="FOLDER")
    reporting.set_defaults(run=_report)


def _configure_known(knowing: argparse.ArgumentParser) -> None:
    knowing.add_argument("folder", type=Path, metavar="CORPUS", help="whose speech and sounds they are made of")
    knowing.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="audio files and known.jsonl")
    knowing.add_argument("--split", choices=SPLITS, default="test", help="of the corpus (test)")
    knowing.add_argument("--clips", type=at_least(1), default=100, metavar="N", help="of each kind at most (100)")
    knowing.add_argument(
        "--packages", type=Path, metavar="FOLDER", help="folder with .deb files; what is not there is downloaded"
    )
    knowing.set_defaults(run=_known)


def _list(_: argparse.Namespace) -> int:
    width = max(map(len, registry.RECIPES))
    for name, recipe in registry.RECIPES.items():
        print(f"{name:<{width}}  {recipe.summary} [{', '.join(recipe.packages)}; {recipe.licence}]")
    return 0


def _build(arguments: argparse.Namespace) -> int:
    recipes = registry.choose(arguments.sources)
    store = PinnedStore(cache=arguments.output / _CACHE, packages=arguments.packages)
    for recipe in recipes:
        print(f"{recipe.name}: building", file=sys.stderr, flush=True)
        (outcome,) = build.build([recipe], arguments.output, store, num_jobs=arguments.jobs, force=arguments.force)
        state = "built" if outcome.built else "already complete"
        left_out = "".join(f"; {count} {reason}" for reason, count in sorted(outcome.left_out.items()))
        figures = f"{outcome.num_clips} clips, {outcome.hours:.3f} h{left_out}"
        print(f"{outcome.name}: {state}, {figures}", file=sys.stderr, flush=True)
    return 0


def _import(arguments: argparse.Namespace) -> int:
    """1 where rows were left out: each is told."""
    columns = Columns(arguments.audio_column, arguments.answer_column, arguments.prompt_column)
    how = arguments.audio_root, arguments.prompt, arguments.dev_percent, arguments.licence
    table = Table(arguments.table, *how, columns)
    folder = arguments.output / _source_name(arguments.name, arguments.table)
    outcome = import_table(table, folder, force=arguments.force)
    for line in outcome.left_out:
        say(f"left out: {line}")
    say(f"{folder}: {outcome.num_clips} clips, {outcome.hours:.3f} h; {len(outcome.left_out)} rows left out")
    return 1 if outcome.left_out else 0


def _source_name(given: str | None, table: Path) -> str:
    """``--name``, or that of the table: a folder below the corpus and nowhere else."""
    table = Path(os.path.normpath(table.absolute()))  # of a link its own name
    name = given if given is not None else table.name if table.is_dir() else table.stem
    if not is_name(name):
        raise ConfigError(f"{name!r} is no name for a folder; give another --name")
    return name


def _known(arguments: argparse.Namespace) -> int:
    store = PinnedStore(cache=arguments.folder / _CACHE, packages=arguments.packages)
    num = write_known(arguments.folder, arguments.output, store, split=arguments.split, num=arguments.clips)
    say(f"{arguments.output}: {num} clips")
    return 0


def _catalogue(arguments: argparse.Namespace) -> int:
    for table in tables():
        if arguments.table not in (None, table.number):
            continue
        print(f"Table {table.number}: {table.title} ({table.unit}; * also for supervised fine-tuning)")
        for row in table.datasets:
            note = f"  {row.note}" if row.note else ""
            print(f"  {row.size:>12,} {'*' if row.sft else ' '} {row.name}: {', '.join(row.tasks)}  {row.where}{note}")
        both, sft = table.sums()
        print(f"  {both:>12,}   in all, {sft:,} of them *. {table.note}".rstrip() + "\n")
    print("Addresses are not of the paper; look before you rely on one.")
    return 0


def _splits(arguments: argparse.Namespace) -> int:
    print(splits.to_toml(splits.of_corpus(arguments.folder)), end="")
    return 0


def _schema(_: argparse.Namespace) -> int:
    print(files("opendasheng.data").joinpath("shards.schema.json").read_text(encoding="utf-8"), end="")
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    """1 where a bundled source has other splits than the manifest."""
    reader = ShardReader(arguments.folder)
    num_shards = reader.verify()
    print(f"{arguments.folder}: {num_shards} shards with {len(reader)} clips are intact")
    different = splits.differences(splits.of_corpus(arguments.folder))
    for line in different:
        say(line)
    return 1 if different else 0


def _report(arguments: argparse.Namespace) -> int:
    print(build.report(arguments.folder) + "\n")
    print(by_terms(ShardReader(arguments.folder).clips))
    return 0
