"""``opendasheng embed | search``: vectors of recordings on disk, and what of them is nearest to a text or a sound."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from opendasheng import environment
from opendasheng.cli import FAILED
from opendasheng.errors import ConfigError
from opendasheng.progress import Progress, say

if TYPE_CHECKING:
    from opendasheng.audio_index import AudioIndex

_INDEX = ".opendasheng-index"


def configure_embed(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``embed``."""
    parser.add_argument("inputs", nargs="+", metavar="AUDIO", help="files, folders, patterns, URLs")
    parser.add_argument("--output", type=Path, required=True, metavar="INDEX", help="folder of the index; it goes on")
    _configure(parser)
    parser.set_defaults(run=embed)


def configure_search(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``search``."""
    parser.add_argument("query", metavar="QUERY", help="what is sought, in English; or a recording to find the like of")
    parser.add_argument("inputs", nargs="+", metavar="AUDIO", help="where: files, folders, patterns, URLs")
    parser.add_argument(
        "--index", type=Path, metavar="INDEX", help=f"folder of the index (default: {_INDEX} in the first folder given)"
    )
    parser.add_argument("--top", type=int, default=10, metavar="N", help="how many stretches to show (10)")
    parser.add_argument("--json", action="store_true", help="JSON lines instead of columns")
    _configure(parser)
    parser.set_defaults(run=search)


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", default="mini-match", metavar="NAME", help="mini-match (bundled), a folder, or GLAP's weights"
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, mps")
    parser.add_argument("--offline", action="store_true", help="fetch nothing: neither models nor audio")


def embed(args: argparse.Namespace) -> int:
    """Hear what the index has not heard yet; 0 only if all of it could be heard."""
    clips, num_failed = _expanded(args)
    if not clips:
        return FAILED
    with _opened(args, args.output) as index:
        num_failed += _update(index, clips)
    return FAILED if num_failed else 0


def search(args: argparse.Namespace) -> int:
    """Bring the index up to date and show the nearest stretches; 0 only if all recordings could be heard."""
    from opendasheng.commands.inputs import AUDIO_SUFFIXES

    if not args.query.strip():
        raise ConfigError("the query is empty: say what is sought, or name a recording")
    if args.top < 1:
        raise ConfigError(f"--top is {args.top}; it is 1 or more")
    is_audio = Path(args.query).is_file()
    if not is_audio and Path(args.query).suffix.lower() in AUDIO_SUFFIXES:
        raise ConfigError(f"{args.query}: no such file; as a text it would find nothing of sense")
    clips, num_failed = _expanded(args)
    if not clips:
        return FAILED
    with _opened(args, args.index or _default(args.inputs)) as index:
        sought = index.of_audio(args.query) if is_audio else index.of_text(args.query)
        num_failed += _update(index, clips)
        for found in index.nearest(sought, clips, args.top):
            if args.json:
                print(json.dumps(asdict(found), ensure_ascii=False))
            else:
                where = f"{found.start_seconds:.1f}-{found.end_seconds:.1f} s"
                print(f"{found.cosine:.2f}\t{found.recording}\t{where}")
    return FAILED if num_failed else 0


def _expanded(args: argparse.Namespace) -> tuple[list[str], int]:
    from opendasheng.commands.inputs import expand

    environment.prepare(offline=args.offline)
    clips, failures = expand(args.inputs)
    for failure in failures:
        say(failure)
    return clips, len(failures)


def _default(inputs: list[str]) -> Path:
    folder = next((Path(given) for given in inputs if Path(given).is_dir()), None)
    if folder is None:
        raise ConfigError("name a folder for the index by --index: no folder is among what is to be searched")
    return folder / _INDEX


def _opened(args: argparse.Namespace, folder: Path) -> "AudioIndex":
    from opendasheng import hub
    from opendasheng.audio_index import AudioIndex
    from opendasheng.model.audio_text_files import load_audio_text

    place = hub.place(args.model)
    scorer = load_audio_text(place, args.device)
    return AudioIndex(folder, scorer, hub.fingerprint(place))


def _update(index: "AudioIndex", clips: list[str]) -> int:
    """How many cannot be heard, which are told."""
    num_failed = 0
    with Progress(len(clips), bar=True) as progress:
        for _, error in index.update(clips):
            if error is not None:
                say(str(error))
                num_failed += 1
            progress.advance()
    return num_failed
