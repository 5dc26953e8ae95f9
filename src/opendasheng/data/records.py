"""What every kind of data set gives: records, one by one, each with a clip that is not opened yet."""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import numpy as np

from opendasheng.errors import EvaluationError

# Members of a tar and files of a folder that are taken for audio.
AUDIO_SUFFIXES = frozenset(
    ("aac", "aif", "aiff", "au", "caf", "flac", "m4a", "mp3", "oga", "ogg", "opus", "wav", "webm", "wma", "wv")
)

# What data sets call their splits, and what we do.
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "dev": "dev",
    "valid": "dev",
    "validation": "dev",
    "val": "dev",
    "eval": "dev",
    "test": "test",
}


@dataclass(frozen=True)
class Sound:
    """A clip that is not opened yet.

    ``name`` is what rows call it. ``open`` gives what :func:`opendasheng.audio.load_audio` takes, or a pair of an array
    and its rate in Hz; it raises :class:`DashengError` or OSError.
    """

    name: str
    open: Callable[[], Any]


@dataclass(frozen=True)
class Record:
    """One row of a data set as it stands there.

    ``key`` is what tells it from others: path, member or row number. ``sound`` is its clip where the source knows which
    file that is; else a column holds it. ``cluster`` names the speaker or recording where the source knows it.
    """

    key: str
    columns: Mapping[str, Any] = field(default_factory=dict)
    sound: Sound | None = None
    cluster: str | None = None


class Source(Protocol):
    """A data set that can be read from the start any number of times, each time in the same order.

    ``name`` is what errors call it, ``folder`` where relative paths in its columns begin.
    """

    name: str
    folder: Path | None

    def records(self, *, audio: bool) -> Iterator[Record]:
        """Every record. ``audio`` False says that no clip will be opened, so that none need be read."""
        ...


def sound_of(value: Any, key: str, folder: Path | None) -> Sound | None:
    """The clip that a column holds: a path or URL, bytes, or a mapping of ``path``, ``bytes``, ``array``.

    None for a value that is nothing of the kind.
    """
    if isinstance(value, Sound):
        return value
    if isinstance(value, str) and value:
        return Sound(value, lambda: located(value, folder))
    if isinstance(value, bytes | bytearray):
        return Sound(key, lambda: bytes(value))
    if not isinstance(value, Mapping):
        return None
    path = value.get("path")
    name = base_name(path) or key
    if value.get("bytes"):
        return Sound(name, lambda: value["bytes"])
    if value.get("array") is not None and value.get("sampling_rate"):
        return Sound(name, lambda: (np.asarray(value["array"], dtype=np.float32), int(value["sampling_rate"])))
    return Sound(name, lambda: located(path, folder)) if isinstance(path, str) and path else None


def base_name(path: Any) -> str:
    """The last part of a path, "" where there is none."""
    return PurePosixPath(path.replace("\\", "/")).name if isinstance(path, str) else ""


def located(path: str, folder: Path | None) -> str | Path:
    """A path of a column: URLs and absolute paths as they are, others below ``folder``."""
    if folder is None or re.match(r"https?://", path, re.IGNORECASE):
        return path
    return folder / path


def below(folder: Path, name: str | Path) -> Path | None:
    """The path of what is called ``name`` in ``folder``, absolute; None where the name leads out of it or is none.

    Only names are compared. A link may lead anywhere: who could make one had the files at hand, and the cache of the
    hub is made of links.
    """
    if "\0" in str(name):
        return None
    inside = Path(os.path.normpath(folder.absolute()))
    path = Path(os.path.normpath(inside / name))
    return path if path.is_relative_to(inside) else None


def of_split(paths: list[Path], split: str, root: Path) -> list[Path]:
    """Those of the files whose path below ``root`` names the split as a word; all, where no path names any split.

    Raises :class:`EvaluationError` where they name other splits only: a test is not taken from training data.
    """
    named = naming(paths, split, root)
    others = [word for word in SPLIT_NAMES if naming(paths, word, root)]
    if paths and not named and others:
        raise EvaluationError(
            f"{root}: it has no file of the split {split!r}, but of {', '.join(others)}; give that split"
        )
    return named or paths


def naming(paths: list[Path], word: str, root: Path) -> list[Path]:
    """Those of the files whose path below ``root`` has the word in it."""
    pattern = re.compile(rf"(?:^|[^a-z0-9]){re.escape(word.lower())}(?:[^a-z0-9]|$)")
    return [path for path in paths if pattern.search(path.relative_to(root).as_posix().lower())]


def require_extra(error: ModuleNotFoundError, what: str) -> EvaluationError:
    """The error for an optional package that is not installed."""
    return EvaluationError(f"{what} needs the package {error.name}; install opendasheng[evaluate]")
