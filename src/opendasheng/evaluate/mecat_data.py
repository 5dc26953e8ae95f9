"""What MECAT is scored with: its references, and predictions in every form that its package reads, or as our rows."""

import csv
import gzip
import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any

from opendasheng.errors import EvaluationError

_QUESTION = re.compile(r"_[0-9a-f]{8}$")
_BOM = b"\xef\xbb\xbf"
_END = "\0 end of file \0"  # a last line, which shows whether a quote is still open there
_NAMED_ROWS = 5

Source = str | Path | Mapping[str, Any]


@cache
def table() -> dict[str, Any]:
    """mecat.toml: domains, sub-tasks, groups with their weights, published figures."""
    return tomllib.loads(files("opendasheng.evaluate").joinpath("mecat.toml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Reference:
    """What answers about one key are compared with: texts by sub-task. ``level`` is the difficulty of a question."""

    domain: str
    texts: Mapping[str, list[str]]
    level: str | None = None


def clip_of(key: str) -> str:
    """The clip that a key is about: questions have a hexadecimal number after it."""
    return _QUESTION.sub("", key)


def read_references(task: str, folder: str | Path | None = None) -> dict[str, Reference]:
    """References by key, from ``folder`` with its ``DOMAIN.jsonl`` or ``DOMAIN.jsonl.gz``, else the installed package.

    The package mecat (release 1.1.0 has all of them) is found without importing it, so nothing that it depends on is
    needed. Raises :class:`EvaluationError` where neither is there, and for a line that is none of MECAT's.
    """
    where = _package_folder(task) if folder is None else _given_folder(Path(folder), task)
    found: dict[str, Reference] = {}
    for domain in table()["domains"]:
        path = next((where / f"{domain}{end}" for end in (".jsonl.gz", ".jsonl") if _is_file(where, domain, end)), None)
        if path is None:
            continue
        for number, record in _objects(path):
            for key, value in record.items():
                found[key] = _reference(value, task, domain, f"{path}: line {number}: {key}")
    if not found:
        raise EvaluationError(f"{where}: no references; it needs files such as S00.jsonl or S00.jsonl.gz")
    return found


def _is_file(where: Path, domain: str, end: str) -> bool:
    return (where / f"{domain}{end}").is_file()


def _package_folder(task: str) -> Path:
    spec = find_spec("mecat")
    for place in (spec.submodule_search_locations or []) if spec else []:
        if (Path(place) / "reference" / task / "test").is_dir():
            return Path(place) / "reference" / task / "test"
    raise EvaluationError(
        "MECAT's references are not here: install its package (pip install --no-deps mecat==1.1.0), or name a folder "
        "with --references"
    )


def _given_folder(folder: Path, task: str) -> Path:
    if not folder.is_dir():
        raise EvaluationError(f"{folder}: no such folder; --references takes one with files such as S00.jsonl.gz")
    inner = folder / task / "test"
    return inner if inner.is_dir() else folder


def _reference(value: Any, task: str, domain: str, where: str) -> Reference:
    try:
        if task == "qa":
            texts = {value["category"]: [value["answer"]]}
            level = value["difficulty"]
        else:
            texts = {name: value[name] for name in table()["subtasks"]["caption"] if name in value}
            level = None
    except (KeyError, TypeError) as error:
        raise EvaluationError(f"{where}: it is not a reference of MECAT's {task} task ({error!r})") from error
    for name, own in texts.items():
        if not isinstance(own, list) or not own or not all(isinstance(text, str) and text.strip() for text in own):
            raise EvaluationError(f"{where}: {name} is {_shown(own)}, not a list of texts")
    return Reference(domain, texts, level)


class _Repeating(dict[str, Any]):
    """A JSON object that has keys more than once: the last of them, as Python reads it, and the ``earlier`` ones."""

    earlier: list[tuple[str, Any]]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    repeating = _Repeating(found)
    last = {key: place for place, (key, _) in enumerate(pairs)}
    repeating.earlier = [(key, value) for place, (key, value) in enumerate(pairs) if last[key] != place]
    return repeating


def _pairs(value: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """All that an object says, what counts last."""
    return [*(value.earlier if isinstance(value, _Repeating) else ()), *value.items()]


def _objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number and object of each line that is not blank."""
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    value = json.loads(line, object_pairs_hook=_object)
                    if not isinstance(value, dict):
                        raise EvaluationError(f"{path}: line {number} is no JSON object")
                    yield number, value
    except (OSError, EOFError, ValueError, RecursionError) as error:
        raise EvaluationError(f"{path}: it cannot be read as JSON lines ({error})") from error


@dataclass
class Given:
    """Answers by key. ``published`` has what the package reads instead, for those that it reads otherwise.

    ``notes`` say what is odd about the file that they are from.
    """

    texts: dict[str, str] = field(default_factory=dict)
    published: dict[str, str] = field(default_factory=dict)
    num_repeated: int = 0
    notes: list[str] = field(default_factory=list)

    def add(self, key: str, text: str, published: str | None = None) -> None:
        """One answer more; of several with one key the last counts, as in the package."""
        self.num_repeated += key in self.texts
        self.texts[key] = text
        self.published.pop(key, None)
        if published is not None and published != text:
            self.published[key] = published


def read_answers(
    sources: Sequence[Source], task: str, known: Mapping[str, Reference], subtasks: Sequence[str] | None = None
) -> dict[str, Given]:
    """Answers by sub-task, of files or mappings (see :func:`opendasheng.evaluate.mecat.evaluate_mecat`).

    Raises :class:`EvaluationError` that names the file and what is wrong with it.
    """
    order = table()["subtasks"][task]
    for name in subtasks or ():
        if name not in order:
            raise EvaluationError(f"there is no sub-task {name!r} of {task}; there are {', '.join(order)}")
    found: dict[str, Given] = {}
    unnamed: list[Given] = []
    for source in sources:
        here = Given()
        for subtask, key, text, published in _entries(source, task, known, here.notes):
            (here if subtask is None else found.setdefault(subtask, Given())).add(key, text, published)
        if here.texts:
            unnamed.append(here)
    if len(unnamed) > len(order) or (len(unnamed) > 1 and (found or subtasks)):
        raise EvaluationError(
            f"{len(unnamed)} files do not say which sub-task they answer; several are taken in the order "
            f"{', '.join(order)}, alone and without --subtask"
        )
    if len(unnamed) == 1 and (subtasks or not found):
        for name in subtasks or order:  # one file may answer for all
            found.setdefault(name, unnamed[0])
    elif len(unnamed) == 1:
        raise EvaluationError("some answers name their sub-task and some do not; name it with --subtask")
    else:
        found |= dict(zip(order, unnamed, strict=False))
    wanted = {name: found[name] for name in order if name in found and (not subtasks or name in subtasks)}
    if not wanted:
        raise EvaluationError(
            f"no answers for {', '.join(subtasks or order)}; the files are empty or of other sub-tasks"
        )
    return wanted


Entry = tuple[str | None, str, str, str | None]


def _entries(source: Source, task: str, known: Mapping[str, Reference], notes: list[str]) -> Iterator[Entry]:
    """Sub-task (None: not said), key, text, and what the package reads if that is something else.

    What a reader of the figures should know of the file is added to ``notes``.
    """
    if isinstance(source, Mapping):
        yield from _of_mapping(source, "predictions", task)
        return
    path = Path(source)
    if not path.is_file():
        raise EvaluationError(f"{path}: no such file")
    kind = path.suffix.lower()
    if kind == ".csv":
        yield from _of_csv(path, notes)
    elif kind in (".txt", ".tsv"):
        yield from _of_text(path)
    elif kind == ".json":
        yield from _of_mapping(_json(path), str(path), task)
    elif kind == ".jsonl":
        for number, value in _objects(path):
            where = f"{path}: line {number}"
            if "model_output" not in value:
                yield from _of_mapping(value, where, task)
                continue
            for name, text in _pairs(value):
                if name == "model_output":
                    yield _of_row({**value, name: text}, where, task, known)
    else:
        raise EvaluationError(f"{path}: predictions end in .csv, .tsv, .txt, .jsonl or .json")


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_object)
    except (OSError, ValueError, RecursionError) as error:
        raise EvaluationError(f"{path}: it cannot be read as JSON ({error})") from error
    if not isinstance(value, dict):
        raise EvaluationError(f"{path}: it holds a {type(value).__name__}, not an object of keys and answers")
    return value


def _of_mapping(value: Mapping[str, Any], where: str, task: str) -> Iterator[Entry]:
    """{key: text}, {key: {field: text}}, or {sub-task: {key: text}}."""
    names = frozenset(table()["subtasks"][task])
    for key, answer in _pairs(value):
        if not isinstance(answer, Mapping):
            yield None, key, _text(answer, f"{where}: {key}"), None
        elif key in names:
            for inner, text in _pairs(answer):
                yield key, inner, _text(text, f"{where}: {key}: {inner}"), None
        elif names & set(answer):
            for name, text in _pairs(answer):
                if name in names:
                    yield name, key, _text(text, f"{where}: {key}: {name}"), None
        else:
            texts = [text for text in answer.values() if isinstance(text, str)]
            if not texts:
                raise EvaluationError(f"{where}: {key}: there is no text among {_shown(answer)}")
            yield None, key, texts[0], None  # as the package does


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise EvaluationError(f"{where}: the answer is {_shown(value)}, not text")
    return value


def _shown(value: Any) -> str:
    try:
        return json.dumps(value, default=str)[:60]
    except RecursionError:
        return f"a {type(value).__name__} that nests too deep to be shown"


def _of_row(row: Mapping[str, Any], where: str, task: str, known: Mapping[str, Reference]) -> Entry:
    """One of our prediction rows: its key is its id or the name of its audio, whichever MECAT has."""
    named = [row[name] for name in ("id", "key", "audio") if isinstance(row.get(name), str)]
    keys = [key for name in named for key in (name, Path(name).name, Path(name).stem)]
    key = next((key for key in keys if key in known), keys[0] if keys else None)
    if key is None:
        raise EvaluationError(f"{where}: the row has neither id nor audio to tell what it answers")
    text = _text(row["model_output"], f"{where}: model_output")
    if task == "qa":  # the key tells; of one that MECAT lacks it does not matter
        return next(iter(known[key].texts)) if key in known else table()["subtasks"]["qa"][0], key, text, None
    return _subtask_of(row, task), key, text, None


def _subtask_of(row: Mapping[str, Any], task: str) -> str | None:
    """The sub-task that a row names: in ``subtask``, or as the last word of ``task`` or of ``dataset_name``."""
    for name in ("subtask", "task", "dataset_name"):
        words = re.findall(r"[a-z]+", str(row.get(name, "")).lower())
        if words and words[-1] in table()["subtasks"][task]:
            return str(words[-1])
    return None


def _of_csv(path: Path, notes: list[str]) -> Iterator[Entry]:
    """The package takes a row with a key alone where the first row has two cells, and reads "nan"."""
    missing = frozenset(table()["missing_in_csv"])
    bare: list[int] = []
    width = 0  # of the first row
    for number, cells in _csv_rows(path):
        if not cells or (len(cells) == 1 and not cells[0].strip()):
            continue
        width = width or len(cells)
        if len(cells) > 2 or width == 1:
            counted = f"{len(cells)} cells" if len(cells) > 1 else "one cell"
            raise EvaluationError(f"{path}: row {number} has {counted}; it is key,text without a header")
        key, text = cells if len(cells) > 1 else (cells[0], "")
        bare += [number] * (len(cells) == 1)
        yield None, key, text, "nan" if text in missing else None
    if bare:
        more = f" and {len(bare) - _NAMED_ROWS} more" if len(bare) > _NAMED_ROWS else ""
        rows = f"row{'s' * (len(bare) > 1)} {', '.join(map(str, bare[:_NAMED_ROWS]))}{more}"
        notes.append(f"{path.name}: a key and no text in {rows}; each counts as an answer, an empty one in strict")


def _csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Rows with their numbers. One that opens a quote which nothing closes would hold all that follows."""
    reader = csv.reader(chain(_lines(path), [_END]))
    number = line = 0
    try:
        for number, cells in enumerate(reader, 1):
            if cells == [_END]:
                return
            if cells and cells[-1].endswith(_END):
                raise EvaluationError(
                    f"{path}: row {number} (line {line + 1}) opens a quote that nothing closes; close it, and write "
                    "quotes within a quoted text twice"
                )
            yield number, cells
            line = reader.line_num
    except csv.Error as error:
        raise EvaluationError(f"{path}: row {number + 1} (line {line + 1}) cannot be read ({error})") from error


def _of_text(path: Path) -> Iterator[Entry]:
    for line in _lines(path):
        key, sign, text = line.strip().partition("\t")
        if sign:  # the package reads up to the next tab
            yield None, key.strip(), text.strip(), text.split("\t")[0].strip()
            continue
        key, sign, text = line.strip().partition(" ")
        if sign:  # else it is a key without an answer
            yield None, key.strip(), text.strip(), None


def _lines(path: Path) -> Iterator[str]:
    """Lines with their ends, whichever these are; a mark at the beginning of the file is no part of the first."""
    number = 0
    try:
        with path.open("rb") as file:
            for several in file:  # where they end in carriage returns alone
                for line in several.splitlines(keepends=True):
                    number += 1
                    yield (line.removeprefix(_BOM) if number == 1 else line).decode()
    except UnicodeDecodeError as error:
        raise EvaluationError(f"{path}: line {number} is not UTF-8 ({error.reason})") from error
    except OSError as error:
        raise EvaluationError(f"{path}: it cannot be read ({error})") from error
