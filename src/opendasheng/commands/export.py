"""``opendasheng export``: a training run or a pickled checkpoint -> a folder with safetensors."""

import argparse
from pathlib import Path

from opendasheng.errors import ConfigError
from opendasheng.progress import say


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``export``."""
    parser.description = "Make a model folder of a finished training run, or convert pickled weights to safetensors."
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--run", dest="run_folder", type=Path, metavar="FOLDER", help="a finished run of `opendasheng train`"
    )
    source.add_argument(
        "--from-pickle", type=Path, metavar="FILE", help="a .pt, .pth or .bin file; nothing that it asks for is run"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="where the model goes")
    parser.add_argument(
        "--dtype", default="float16", metavar="DTYPE", help="how a run's weights are stored (%(default)s)"
    )
    parser.add_argument(
        "--notes",
        type=Path,
        metavar="FILE.md",
        help="paragraphs for the card of a run: what its model cannot do; with them come places for scores, which "
        "`eval run` and `eval report` fill with --update",
    )
    parser.add_argument(
        "--num-heads", type=int, metavar="N", help="attention heads of a pickled encoder of unpublished size"
    )
    parser.set_defaults(run=run)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: it cannot be read as text ({error})") from error


def run(args: argparse.Namespace) -> int:
    """Convert; the path that was written goes to stdout."""
    from opendasheng.export import export_pickle, export_run

    if args.run_folder is not None:
        notes = "" if args.notes is None else _text(args.notes)
        print(export_run(args.run_folder, args.output, dtype=args.dtype, notes=notes))
        return 0
    report = export_pickle(args.from_pickle, args.output, num_heads=args.num_heads)
    for line in report.notes:
        say(line)
    print(report.path)
    return 0
