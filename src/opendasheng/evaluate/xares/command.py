"""The command ``opendasheng eval xares``: score frozen encoders side by side, or write data for the package itself."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opendasheng.data.shards import ShardReader
from opendasheng.errors import EvaluationError
from opendasheng.evaluate.xares.tasks import READINGS, choose, corpus_tasks, official_tasks, zenodo_records
from opendasheng.files import write_atomically
from opendasheng.options import at_least
from opendasheng.progress import say

if TYPE_CHECKING:
    from opendasheng.evaluate.xares.dataset import Dataset
    from opendasheng.evaluate.xares.protocol import Settings

# torch is imported by what is called here, not before: --help and --list answer at once.

MODELS = ("mini", "random:mini")
CACHE = Path("~/.cache/opendasheng/xares")
_FILES = ("xares.json", "xares.md")

_EPILOG = """\
A model is "mini", a model folder, a hub id or a Dasheng encoder alone (.safetensors); random:NAME is that encoder
before training. Data are either our own corpus (--corpus, as opendasheng corpus build makes it) or X-ARES's tars
(--data, a folder with a folder for each task). Embeddings are kept in --cache: a run that is broken off goes on where
it was. The package xares itself takes the encoder as opendasheng/evaluate/xares/entry.py, and data for it are written
with --write-tars.
"""


def configure_xares(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``eval xares`` to ``parser``."""
    parser.epilog = _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("tasks", nargs="*", metavar="TASK", help="tasks by name (default: all that the data allow)")
    parser.add_argument("--list", action="store_true", help="print the tasks and do nothing else")
    data = parser.add_mutually_exclusive_group()
    data.add_argument("--corpus", type=Path, metavar="FOLDER", help="a corpus of our own shards")
    data.add_argument("--data", type=Path, metavar="FOLDER", help="X-ARES's data")
    parser.add_argument(
        "--model", action="append", dest="models", metavar="NAME", help=f"repeatable (default: {' and '.join(MODELS)})"
    )
    parser.add_argument(
        "--reading", choices=READINGS, default="compat", help="as the package computes it, or as it should be (compat)"
    )
    parser.add_argument("--limit", type=at_least(1), metavar="N", help="clips of a split at most (only with --corpus)")
    parser.add_argument(
        "--seeds", type=_seeds, default=(42,), metavar="N,N,...", help="a head is trained for each (42)"
    )
    parser.add_argument("--language-model", metavar="FOLDER", help="frozen language model for asr tasks, or its hub id")
    parser.add_argument("--tokenizer", metavar="FOLDER", help="of captions, in place of the words of those in training")
    parser.add_argument(
        "--device", default="auto", metavar="NAME", help="where the encoder runs: auto, cpu, cuda:1 ..."
    )
    parser.add_argument("--cache", type=Path, default=CACHE, metavar="FOLDER", help=f"for embeddings ({CACHE})")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help=f"write {' and '.join(_FILES)} into this folder")
    parser.add_argument("--force", action="store_true", help="replace the files in --output")
    parser.add_argument("--json", action="store_true", help="print JSON instead of Markdown")
    parser.add_argument("--write-tars", type=Path, metavar="FOLDER", help="write data for the package; score nothing")
    parser.set_defaults(run=run_command)


def run_command(args: argparse.Namespace) -> int:
    """Score, list or write; 0 when it is done. Raises :class:`~opendasheng.errors.DashengError`."""
    if args.list:
        print(_listing())
        return 0
    if args.write_tars is not None:
        if args.corpus is None:
            raise EvaluationError("--write-tars needs the corpus to take clips from: --corpus FOLDER")
        for line in write_loans(args.corpus, args.write_tars, args.tasks, limit=args.limit):
            print(line, flush=True)
        return 0
    if args.limit is not None and args.corpus is None:
        raise EvaluationError(f"--limit {args.limit} chooses clips of a corpus; X-ARES's own data are taken whole")
    if args.output is not None and not args.force:
        for name in _FILES:
            if (args.output / name).exists():
                raise EvaluationError(f"{args.output / name}: it exists already; replace it with --force")
    from opendasheng.evaluate.xares import report
    from opendasheng.evaluate.xares.protocol import Settings

    settings = Settings(
        cache=args.cache.expanduser(),
        reading=args.reading,
        seeds=args.seeds,
        language_model=args.language_model,
        tokenizer=args.tokenizer,
        tell=say,
    )
    found = run(
        args.models or MODELS,
        settings,
        corpus=args.corpus,
        data=args.data,
        tasks=args.tasks,
        limit=args.limit,
        device=args.device,
    )
    texts = (json.dumps(found, indent=2, ensure_ascii=False), report.markdown(found))
    print(texts[0] if args.json else texts[1], flush=True)
    if args.output is not None:
        args.output.mkdir(parents=True, exist_ok=True)
        for name, text in zip(_FILES, texts, strict=True):
            write_atomically(args.output / name, f"{text}\n".encode())
    return 0


def run(
    models: Sequence[str],
    settings: "Settings",
    *,
    corpus: Path | None = None,
    data: Path | None = None,
    tasks: Sequence[str] = (),
    limit: int | None = None,
    device: str = "auto",
) -> dict[str, Any]:
    """Score models side by side on a corpus or on X-ARES's data; the document of :mod:`report`, figures in percent.

    Raises :class:`EvaluationError` for unknown tasks, and for tasks that are named and whose data are not there;
    :class:`~opendasheng.errors.CheckpointError` for models that cannot be loaded.
    """
    from opendasheng.devices import pick_device
    from opendasheng.evaluate.xares import report
    from opendasheng.evaluate.xares.encoder import load_encoder
    from opendasheng.evaluate.xares.protocol import run_task

    where = pick_device(device)
    datasets, cautions = _datasets(corpus, data, tasks, limit, settings)
    encoders = []
    for model in dict.fromkeys(models):
        encoder = load_encoder(model).to(where)
        scores = []
        for dataset in datasets:
            settings.tell(f"{model}: {dataset.task.title}")
            scores.append(run_task(encoder, dataset, settings))
        encoders.append(report.EncoderScores(model, encoder.fingerprint, encoder.output_dim, tuple(scores)))
    return report.document(encoders, settings, cautions)


def _datasets(
    corpus: Path | None, data: Path | None, names: Sequence[str], limit: int | None, settings: "Settings"
) -> tuple[list["Dataset"], list[str]]:
    """What to score on, and what to know of it. Tasks without data are passed over unless they are named."""
    if (corpus is None) == (data is None):
        raise EvaluationError("name the data: --corpus FOLDER for our own shards, or --data FOLDER for X-ARES's tars")
    from opendasheng.evaluate.xares import tars
    from opendasheng.evaluate.xares.corpus import CorpusDataset
    from opendasheng.evaluate.xares.dataset import Remembered

    found: list[Dataset] = []
    cautions = []
    reader = None if corpus is None else ShardReader(corpus)
    known: dict[str, Any] = dict(corpus_tasks() if corpus is not None else official_tasks())
    for name in choose(names, known):
        task = known[name].task if corpus is not None else known[name]
        if task.kind == "asr" and settings.language_model is None and not names:
            settings.tell(f"{name}: passed over, since it needs --language-model")
            continue
        dataset: Dataset
        if reader is not None:
            dataset = CorpusDataset(reader, known[name], limit)
            is_there = dataset.is_there()
            if known[name].caution:
                cautions.append(f"{task.title}: {known[name].caution}")
        else:
            assert data is not None
            dataset, is_there = tars.TarDataset(data, task), tars.is_there(data, task)
        if is_there or names:
            found.append(Remembered(dataset))
        else:
            settings.tell(f"{name}: passed over, since {corpus or data} does not hold what it needs")
    if not found:
        raise EvaluationError(f"{corpus or data}: there is nothing in it that a task could be scored on")
    return found, cautions


def write_loans(corpus: Path, root: Path, names: Sequence[str] = (), *, limit: int | None = None) -> list[str]:
    """Write corpus tasks in the format of the official tasks they lend their clips to; a line on each.

    Raises :class:`EvaluationError` for a task that lends to none, and where a folder is there already.
    """
    from opendasheng.evaluate.xares import tars
    from opendasheng.evaluate.xares.corpus import CorpusDataset

    lending = {name: task for name, task in corpus_tasks().items() if task.loan is not None}
    reader = ShardReader(corpus)
    lines = []
    for name in choose(names, lending):
        corpus_task = lending[name]
        loan = corpus_task.loan
        assert loan is not None
        official = official_tasks()[loan.task]
        dataset = CorpusDataset(reader, corpus_task, limit)
        splits = {}
        for split in official.splits:
            lent = [tars.lend(sample, dataset.task, loan, official) for sample in dataset.split(split).samples]
            splits[split] = [sample for sample in lent if sample is not None]
        if official.splits["valid"] == official.splits["test"]:
            splits["valid"] = splits["test"]
        folder = tars.write_task(root, official, splits)
        counts = ", ".join(f"{len(samples)} {split}" for split, samples in splits.items())
        lines.append(f"{name}: {folder}: {counts}")
    return lines


def _listing() -> str:
    records = zenodo_records()
    lines = ["Over a corpus (--corpus):"]
    lines += [f"  {name:<22} {task.task.title} ({task.task.metric})" for name, task in corpus_tasks().items()]
    lines.append("X-ARES's own (--data):")
    for name, official in official_tasks().items():
        source = f"zenodo {records[name]}" if name in records else "private"
        lines.append(f"  {name:<22} {official.title} ({official.metric}; weight {official.weight}; {source})")
    return "\n".join(lines)


def _seeds(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be numbers separated by commas, not {text!r}") from error
