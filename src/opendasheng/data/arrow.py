"""Tables: Parquet files, data sets that the library datasets saved, and those of a hub. Audio stays encoded.

Audio columns are taken as they are stored (bytes or paths), so that no decoder but ours is needed.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from opendasheng.data.records import Record, Sound, base_name, located, naming, of_split, require_extra
from opendasheng.errors import EvaluationError

_ROWS = 64  # read at a time
_BUFFER_BYTES = 2**20

# A table and the row that it begins with; a pyarrow.Table or RecordBatch.
Batches = Callable[[bool], Iterator[tuple[int, Any]]]


class Table:
    """Rows of Arrow tables. ``features`` are those of the library datasets by column."""

    def __init__(self, name: str, folder: Path | None, features: Mapping[str, Any], batches: Batches) -> None:
        self.name = name
        self.folder = folder
        self._features = features
        self._batches = batches

    @property
    def column_names(self) -> list[str]:
        """Its columns."""
        return list(self._features)

    def records(self, *, audio: bool) -> Iterator[Record]:
        """The rows in order. Labels that are stored as numbers of a class are given by name."""
        for first, table in self._batches(audio):
            columns = {name: self._column(table.column(name), name) for name in table.schema.names}
            for place in range(table.num_rows):
                values = {name: value_of(place, first + place) for name, value_of in columns.items()}
                sound = next((value for value in values.values() if isinstance(value, Sound)), None)
                if isinstance(values.get("__key__"), str):  # made of WebDataset tars: read as those are
                    inner = values.get("json")
                    yield Record(values["__key__"], {**(inner if isinstance(inner, dict) else {}), **values}, sound)
                else:
                    yield Record(sound.name if sound else f"row {first + place}", values)

    def _column(self, column: Any, name: str) -> Callable[[int, int], Any]:
        """What gives the value of a row of the table, by its place there and its number in the data set."""
        if _is_audio(column.type):
            return lambda place, row: self._sound(column, place, row)
        values, feature = column.to_pylist(), self._features.get(name)
        return lambda place, _: _named(values[place], feature)

    def _sound(self, column: Any, place: int, row: int) -> Sound | None:
        value = column[place]
        if not value.is_valid:
            return None
        if not hasattr(value, "keys"):
            return Sound(f"row {row}", value.as_py)
        path = value["path"].as_py() if "path" in value else None

        def opened() -> Any:
            content = value["bytes"].as_py() if "bytes" in value else None
            if content or not path:
                return content or b""
            return located(path, self.folder)

        return Sound(base_name(path) or f"row {row}", opened)


def _is_audio(kind: Any) -> bool:
    if str(kind) in ("binary", "large_binary"):
        return True
    return str(kind).startswith("struct<") and _names_in(kind) <= {"bytes", "path"}


def _names_in(kind: Any) -> set[str]:
    return {kind.field(place).name for place in range(kind.num_fields)}


def _named(value: Any, feature: Any) -> Any:
    """A number of a class, or a list of such, by name."""
    inner = getattr(feature, "feature", feature[0] if isinstance(feature, list) and feature else None)
    if isinstance(value, list) and inner is not None:
        return [_named(item, inner) for item in value]
    names = getattr(feature, "names", None)
    if names is None or not isinstance(value, int):
        return value
    return names[value] if 0 <= value < len(names) else None  # -1 is a label that is not given


def parquet(files: list[Path], name: str, folder: Path) -> Table:
    """Parquet files in order, read a few rows at a time.

    Raises :class:`EvaluationError` for a file that is none or is damaged, and for files with other columns than the
    first.
    """
    try:
        import pyarrow
        from datasets import Features
        from pyarrow.parquet import ParquetFile
    except ModuleNotFoundError as error:
        raise require_extra(error, f"{name}: reading Parquet") from error

    def opened(path: Path) -> Any:
        try:
            # Else all that was read stays, and a row group is read whole.
            return ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER_BYTES)
        except (OSError, pyarrow.ArrowException) as error:
            raise EvaluationError(f"{path}: it cannot be read as Parquet ({error}); fetch it again") from error

    schema = opened(files[0]).schema_arrow
    names = schema.names

    def batches(audio: bool) -> Iterator[tuple[int, Any]]:
        first = 0
        for path in files:
            file = opened(path)
            if file.schema_arrow.names != names:
                raise EvaluationError(f"{path}: it has other columns than {files[0]}; give a folder with one table")
            try:
                for batch in file.iter_batches(_ROWS, columns=None if audio else _without_audio(schema)):
                    yield first, batch
                    first += batch.num_rows
            except (OSError, pyarrow.ArrowException) as error:
                raise EvaluationError(f"{path}: it is damaged ({error}); fetch it again") from error

    return Table(name, folder, Features.from_arrow_schema(schema), batches)


def _without_audio(schema: Any) -> list[str]:
    """The columns to read where no clip will be opened: of audio its path alone."""
    has_path = {field.name for field in schema if _is_audio(field.type) and "path" in _names_in(field.type)}
    return [f"{name}.path" if name in has_path else name for name in schema.names]


def parquet_files(path: Path, config: str | None, split: str) -> list[Path]:
    """Those below a folder that are of this configuration and split, as far as their paths say so."""
    found = sorted(path.rglob("*.parquet"))
    return of_split((naming(found, config, path) if config else []) or found, split, path)


def saved(path: Path, split: str, folder: Path | None = None) -> Table:
    """What ``save_to_disk`` of a ``Dataset`` or ``DatasetDict`` wrote; paths in it begin there, or in ``folder``."""
    datasets = _library(str(path))
    try:
        found = datasets.load_from_disk(str(path))
    except (OSError, ValueError) as error:
        raise EvaluationError(f"{path}: datasets cannot load it ({error}); save it again") from error
    return _of_dataset(_split(found, split, str(path)), str(path), folder or path)


def of_hub(repo: str, config: str | None, data_dir: str | None, split: str) -> Table:
    """A data set of the Hugging Face hub, fetched once into the library's cache.

    Raises :class:`EvaluationError` in one line where it cannot be had.
    """
    datasets = _library(repo)
    try:
        found = datasets.load_dataset(repo, config, data_dir=data_dir, split=split)
    except Exception as error:  # requests, fsspec and datasets each have their own
        words = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise EvaluationError(
            f"{repo}: the data set cannot be had ({words}); connect, or fetch it and give its folder with --data"
        ) from error
    return _of_dataset(found, repo, None)


def _library(what: str) -> Any:
    try:
        import datasets
    except ModuleNotFoundError as error:
        raise require_extra(error, what) from error
    return datasets


def _split(found: Any, split: str, name: str) -> Any:
    if not isinstance(found, dict):
        return found
    if split not in found:
        raise EvaluationError(f"{name}: it has no split {split!r}; it has {', '.join(found)}")
    return found[split]


def _of_dataset(dataset: Any, name: str, folder: Path | None) -> Table:
    arrow = dataset.with_format("arrow")  # which decodes nothing

    def batches(audio: bool) -> Iterator[tuple[int, Any]]:
        del audio  # the file is mapped into memory: what is not asked for is not read
        for first in range(0, len(arrow), _ROWS):
            yield first, arrow[first : first + _ROWS]

    return Table(name, folder, dataset.features, batches)
