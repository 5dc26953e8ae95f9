"""Which kind of data set a task has, or a path holds."""

import re
from pathlib import Path

from opendasheng.data.records import Source
from opendasheng.errors import EvaluationError
from opendasheng.evaluate.sources.files import METADATA, AudioFolder, Manifest, audio_files
from opendasheng.evaluate.sources.tars import TAR_SUFFIXES, TarShards, tar_files, tars_of_hub
from opendasheng.evaluate.task import Task

CORPUS = "corpus"  # where `opendasheng corpus build` puts it
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_FORMS = "a corpus, a folder that datasets saved, Parquet, WebDataset tars, a folder of audio, or JSON lines"


def open_source(task: Task, data: str | Path | None = None, needed: frozenset[str] = frozenset()) -> Source:
    """The data set of a task, or the one at ``data``: a path, a pattern of tars, or a hub id.

    A folder may also hold a folder named after the task. What it is shows in its files, whatever the loader of the
    task. ``needed`` columns say which clips of a corpus are part of the task. Raises :class:`EvaluationError` for what
    is not there or is no data set.
    """
    spec = task.dataset
    if data is not None:
        inner = Path(data) / task.name
        path = inner if inner.is_dir() else Path(data).expanduser()
        return _hub(task, str(data)) if _is_hub_id(str(data), path) else _at(task, path, needed)
    if spec.loader == "corpus":
        if not Path(CORPUS).is_dir():
            raise EvaluationError(
                f"{task.name}: there is no folder {CORPUS} here; `opendasheng corpus build` makes it, "
                "--data names another"
            )
        return _at(task, Path(CORPUS), needed)
    if spec.loader in ("huggingface", "mecat"):
        return _hub(task, spec.source)
    if Path(spec.source).exists():
        return _at(task, Path(spec.source), needed)
    how = f" {spec.note}" if spec.note else ""
    raise EvaluationError(
        f"{task.name}: its data are not fetched by themselves; get {spec.source} and give --data.{how}"
    )


def _is_hub_id(data: str, path: Path) -> bool:
    return bool(_HUB_ID.fullmatch(data)) and not data.startswith(".") and not path.exists() and not path.parent.exists()


def _hub(task: Task, repo: str) -> Source:
    from opendasheng.data.arrow import of_hub

    spec = task.dataset
    folder = tars_of_hub(repo, spec.data_dir, spec.split)
    if folder is not None:
        return TarShards(tar_files(folder, spec.split), repo)
    return of_hub(repo, spec.config, spec.data_dir, spec.split)


def _at(task: Task, path: Path, needed: frozenset[str]) -> Source:
    if path.is_dir():
        return _folder(task, path, needed)
    name = path.name.lower()
    if name.endswith((".jsonl", ".ndjson")) and path.is_file():
        return Manifest(path)
    if name.endswith(".parquet") and path.is_file():
        from opendasheng.data.arrow import parquet

        return parquet([path], str(path), path.parent)
    tars = tar_files(path, task.dataset.split) if name.endswith(TAR_SUFFIXES) else []
    if tars:
        return TarShards(tars, str(path))
    if path.exists():
        raise EvaluationError(f"{path}: its name tells no kind of data set; give {_FORMS}")
    raise EvaluationError(f"{path}: there is no such file or folder; give {_FORMS}")


def _folder(task: Task, path: Path, needed: frozenset[str]) -> Source:
    spec = task.dataset
    if (path / "index.json").is_file() or any(path.glob("*/index.json")):
        from opendasheng.evaluate.sources.corpus import Corpus

        source = spec.source if spec.loader == "corpus" else ""
        return Corpus(path, split=spec.split, source=source, needed=needed)
    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        from opendasheng.data.arrow import saved

        return saved(path, spec.split)
    if any((folder / name).is_file() for folder in (path, path / spec.split) for name in METADATA):
        return AudioFolder(path, spec.split)
    if (path / f"{spec.split}.jsonl").is_file():
        return Manifest(path / f"{spec.split}.jsonl")
    tars = tar_files(path, spec.split)
    if tars:
        return TarShards(tars, str(path))
    from opendasheng.data.arrow import parquet, parquet_files

    files = parquet_files(path, spec.config, spec.split)
    if files:
        return parquet(files, str(path), path)
    if next(audio_files(path), None) is not None:
        return AudioFolder(path, spec.split)
    raise EvaluationError(f"{path}: it holds no data set; give {_FORMS}")
