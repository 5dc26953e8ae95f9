"""A task: one dataset, what is asked of it, and how answers are scored, as a versioned TOML file.

The bundled ones lie in ``tasks/``; a file of one's own has the same form. :func:`parse_task` refuses what it does not
know, so that a slip is found before a run and not after it.
"""

import dataclasses
import difflib
import re
import string
import sys
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opendasheng.errors import EvaluationError
from opendasheng.evaluate.metrics import make_metric, metric_class

MODELS = ("midashenglm", "qwen2.5-omni", "kimi-audio")
GROUPS = ("asr", "gender", "tagging-single", "tagging-multi", "captioning", "qa-open", "qa-closed", "mecat", "mini")
LOADERS = ("huggingface", "webdataset", "folder", "jsonl", "corpus", "pairs", "mecat")
# What [generation] may set: the fields of opendasheng.model.generation.GenerationOptions, which would load torch here.
GENERATION = ("max_new_tokens", "temperature", "top_k", "top_p", "repetition_penalty", "seed")
_LEAST = {"max_new_tokens": 1, "top_k": 1, "seed": 0}  # whole numbers
_RANGES: dict[str, tuple[Callable[[float], bool], str]] = {
    "temperature": (lambda value: value >= 0, "0 (greedy) or more"),
    "top_p": (lambda value: 0 < value <= 1, "within (0, 1]"),
    "repetition_penalty": (lambda value: value > 0, "more than 0"),
}
_OPTION_TYPES = {"labels": "tuple[str, ...]", "letters_to_text": "bool", "penalty": "bool", "delta_group": "str"}
_NEEDS_SOURCE = frozenset(("huggingface", "mecat"))  # others are given with --data, or take all that there is
_WHOLE_LIMIT = 2**63  # what a machine word holds
_SHOWN_CHARACTERS = 160
# What all published figures have in common; no file of a task repeats it.
PUBLISHED_NOTE = (
    "Published figures are those of the technical report, of the checkpoint 0804; it gives no generation settings. "
    "The later checkpoint 1021 has other figures."
)
# Fields that a metric reads of every row; of several in one entry it takes the first that is there.
_NEEDED: dict[str, tuple[tuple[str, ...], ...]] = {
    "wer": (("text",), ("lang",)),
    "accuracy": (("label",),),
    "gender_accuracy": (("label",),),
    "choice_accuracy": (("choices",), ("answer",)),
    "multi_label_map": (("label",),),
    "sbert": (("text", "answer"),),
    "fense": (("text", "answer"),),
    "date": (("text", "answer"),),
    "bleu": (("text", "answer"),),
    "corpus_bleu": (("text", "answer"),),
}
# What a template may hold, and the field that fills it.
_PLACEHOLDERS = {"question": "question", "options": "choices"}
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]*")
_CELL = re.compile(r"\s*(?:prompt:\s*)?(?P<prompt>.*?)(?:\s*/\s*sys_prompt:\s*(?P<system>.*?))?\s*", re.DOTALL)


@dataclass(frozen=True)
class MetricSpec:
    """Which metric, in which version, with which options and answer parser."""

    name: str
    version: int
    parser: str
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DatasetSpec:
    """Where the rows come from.

    ``loader`` is one of :data:`LOADERS`, ``source`` a hub id, a URL or names of corpus sources with spaces between
    them, ``config`` and ``data_dir`` parts of a hub data set, ``num_rows`` what the split should hold (``confirmed``
    where published figures or files, or a count of the data, show it). ``where`` keeps rows whose fields have these
    values, any of them where it is a list.
    """

    loader: str
    source: str
    licence: str
    split: str
    config: str | None = None
    data_dir: str | None = None
    num_rows: int | None = None
    confirmed: bool = False
    where: dict[str, Any] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class PromptSpec:
    """What one model is asked. ``table`` is its cell of the published prompt table, verbatim; ``template`` what is
    sent, with ``{question}`` and ``{options}`` where the data has them; ``system`` a system message."""

    template: str
    table: str | None = None
    system: str | None = None


@dataclass(frozen=True)
class LabelSpec:
    """The labels of a task, and where they are from: ``references`` takes those of the rows.

    ``spelled`` maps what the data set writes (a code, a folder name) to what an answer says ("en" to "English"); what
    it does not name stays as it is.
    """

    source: str
    names: tuple[str, ...] = ()
    num_classes: int | None = None
    spelled: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """One task. ``fields`` maps our fields to those of the dataset (dots lead inwards; "=en" is the constant "en"),
    ``published`` models to figures in percent, ``cluster`` is ``(field, pattern)``: what the pattern's first group
    finds there names a speaker or clip."""

    name: str
    version: int
    title: str
    tables: tuple[str, ...]
    group: str
    dataset_names: tuple[str, ...]
    metric: MetricSpec
    dataset: DatasetSpec
    fields: dict[str, str]
    prompts: dict[str, PromptSpec]
    generation: dict[str, Any] = field(default_factory=dict)
    published: dict[str, float] = field(default_factory=dict)
    cluster: tuple[str, str] | None = None
    labels: LabelSpec | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Cluster:
    """The table [cluster] as it is written."""

    field: str
    pattern: str = "(.+)"


def read_task(path: Path) -> Task:
    """The task of a TOML file. Raises :class:`EvaluationError` that names file and key."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise EvaluationError(f"{path}: there is no such task file") from error
    except (OSError, ValueError, RecursionError) as error:  # ValueError: no UTF-8, no TOML, a number of many digits
        raise EvaluationError(f"{path}: it cannot be read as TOML ({error})") from error
    return parse_task(table, str(path))


def parse_task(table: Mapping[str, Any], where: str) -> Task:
    """A task from its table; ``where`` is what errors call it. See :func:`read_task`."""
    values = dict(table)
    metric = _record(MetricSpec, values.pop("metric", None), f"{where}: metric")
    dataset = _record(DatasetSpec, values.pop("dataset", None), f"{where}: dataset")
    entries = values.pop("prompts", {})
    if not isinstance(entries, Mapping):
        raise EvaluationError(f"{where}: prompts: it is {_shown(entries)}, and must be a table of tables, one a model")
    prompts = {model: _prompt(entry, f"{where}: prompts.{model}") for model, entry in entries.items()}
    labels = values.pop("labels", None)
    if isinstance(labels, Mapping) and labels.get("names") == []:
        raise EvaluationError(f"{where}: labels: names is empty; leave it out where the rows have the labels")
    cluster = values.pop("cluster", None)
    cluster = None if cluster is None else _record(_Cluster, cluster, f"{where}: cluster")
    task: Task = _record(
        Task,
        {
            **values,
            "metric": metric,
            "dataset": dataset,
            "prompts": prompts,
            "labels": None if labels is None else _record(LabelSpec, labels, f"{where}: labels"),
            "cluster": None if cluster is None else (cluster.field, cluster.pattern),
        },
        where,
    )
    _validate(task, where)
    return task


def split_cell(cell: str) -> tuple[str, str | None]:
    """Prompt and system message of a cell of the published prompt table ("prompt: ... / sys_prompt: ...")."""
    match = _CELL.fullmatch(cell)
    assert match is not None
    return match["prompt"], match["system"]


def _prompt(entry: Any, where: str) -> PromptSpec:
    """A prompt; what it does not give, template or system message, is that of the table's cell."""
    if isinstance(entry, Mapping) and isinstance(entry.get("table"), str):
        template, system = split_cell(entry["table"])
        entry = {"template": template, "system": system} | dict(entry)
    prompt: PromptSpec = _record(PromptSpec, entry, where)
    return prompt


def _record(kind: Any, table: Any, where: str) -> Any:
    if not isinstance(table, Mapping):
        raise EvaluationError(f"{where}: it is {_shown(table)}, and must be a table")
    known = {item.name: item for item in dataclasses.fields(kind)}
    for key in table:
        if key not in known:
            nearest = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean {nearest[0]}?" if nearest else f"; it has {', '.join(known)}"
            raise EvaluationError(f"{where}: there is no key {key!r}{hint}")
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    missing = [
        name
        for name, item in known.items()
        if name not in values and item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise EvaluationError(f"{where}: the key {missing[0]!r} is missing")
    for name, value in values.items():
        _require_type(value, str(known[name].type), f"{where}: {name}")
    return kind(**values)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < _WHOLE_LIMIT


def _is_number(value: Any) -> bool:
    """Whether it is a number that is finite."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _is_plain(value: Any) -> bool:
    """Whether JSON has it too: TOML also has dates, and numbers that are none."""
    items = value if isinstance(value, list) else [value]
    return all(isinstance(item, str | bool) or _is_number(item) for item in items)


# Of each declared type: what a value must be, and how that is said.
_TYPES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "str": (lambda value: isinstance(value, str), "a text"),
    "int": (_is_whole, "a whole number"),
    "bool": (lambda value: isinstance(value, bool), "true or false"),
    "str | None": (lambda value: value is None or isinstance(value, str), "a text"),
    "int | None": (lambda value: value is None or _is_whole(value), "a whole number"),
    "dict[str, Any]": (
        lambda value: isinstance(value, dict) and all(map(_is_plain, value.values())),
        "a table of texts, finite numbers, true, false, or lists of these",
    ),
    "dict[str, str]": (
        lambda value: isinstance(value, dict) and all(isinstance(item, str) for item in value.values()),
        "a table of texts",
    ),
    "dict[str, float]": (
        lambda value: isinstance(value, dict) and all(map(_is_number, value.values())),
        "a table of numbers",
    ),
    "tuple[str, ...]": (
        lambda value: isinstance(value, tuple) and all(isinstance(item, str) for item in value),
        "a list of texts",
    ),
}


def _require_type(value: Any, declared: str, where: str) -> None:
    declared = declared.removeprefix("<class '").removesuffix("'>").replace("typing.", "")
    fits, said = _TYPES.get(declared, (lambda _: True, ""))
    if not fits(value):
        raise EvaluationError(f"{where} is {_shown(value)}, and must be {said}")


def _shown(value: Any) -> str:
    """A value as an error shows it; some cannot be shown whole."""
    try:
        text = repr(list(value) if isinstance(value, tuple) else value)
    except (ValueError, RecursionError):
        return f"of type {type(value).__name__}, too long to be shown"
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def _validate(task: Task, where: str) -> None:
    def require(condition: bool, message: str) -> None:
        if not condition:
            raise EvaluationError(f"{where}: {message}")

    require(bool(_NAME.fullmatch(task.name)), f"name {task.name!r} has other characters than a-z, 0-9, '.' and '-'")
    require(task.version >= 1, f"version is {task.version}; it begins at 1")
    require(task.group in GROUPS, f"group {task.group!r} is not one of {', '.join(GROUPS)}")
    dataset = task.dataset
    require(dataset.loader in LOADERS, f"dataset.loader {dataset.loader!r} is not one of {', '.join(LOADERS)}")
    require(dataset.num_rows is None or dataset.num_rows > 0, f"dataset.num_rows is {dataset.num_rows}; leave it out")
    require(not dataset.confirmed or dataset.num_rows is not None, "dataset.confirmed is true without num_rows")
    require(bool(task.dataset_names), "dataset_names is empty; it holds what rows call the dataset")
    for name in task.dataset_names:
        require(any(map(str.isalnum, name)), f"dataset_names holds {name!r}, which has no letter or digit")
    require(bool(task.prompts), "prompts is empty; [prompts.midashenglm] is what our model is asked")
    for key, models in (("prompts", task.prompts), ("published", task.published)):
        for model in models:
            require(model in MODELS, f"{key}: there is no model {model!r}; there are {', '.join(MODELS)}")
    texts = {"title": task.title, "dataset.licence": dataset.licence, "dataset.split": dataset.split}
    if dataset.loader in _NEEDS_SOURCE:
        texts["dataset.source"] = dataset.source
    texts |= {f"fields.{name}": column.removeprefix("=") for name, column in task.fields.items()}
    texts |= {f"prompts.{model}.template": prompt.template for model, prompt in task.prompts.items()}
    for key, text in texts.items():
        require(bool(text.strip()), f"{key} is empty")
    _validate_generation(task.generation, where)
    _validate_metric(task, where)
    if task.labels is not None:
        _validate_labels(task.labels, where)
    for model, prompt in task.prompts.items():
        _validate_template(prompt.template, task, f"{where}: prompts.{model}")
    if task.cluster is not None:
        pattern = task.cluster[1]
        try:
            require(re.compile(pattern).groups >= 1, f"cluster.pattern {pattern!r} has no group")
        except (re.error, OverflowError, RecursionError) as error:
            raise EvaluationError(f"{where}: cluster.pattern {pattern!r} is no pattern ({error})") from error


def _validate_generation(options: Mapping[str, Any], where: str) -> None:
    for name, value in options.items():
        if name not in GENERATION:
            raise EvaluationError(
                f"{where}: generation: there is no option {name!r}; there are {', '.join(GENERATION)}"
            )
        if name in _LEAST:
            right, said = _is_whole(value) and value >= _LEAST[name], f"a whole number of at least {_LEAST[name]}"
        else:
            fits, said = _RANGES[name]
            right = _is_number(value) and fits(value)
        if not right:
            raise EvaluationError(f"{where}: generation.{name} is {_shown(value)}, and must be {said}")
    if not options.get("temperature") and not {"top_k", "top_p"}.isdisjoint(options):
        raise EvaluationError(f"{where}: generation: top_k and top_p are for sampling; give a temperature above 0 too")


def _validate_labels(labels: LabelSpec, where: str) -> None:
    from opendasheng.evaluate.metrics.text import words

    count, names = labels.num_classes, labels.names
    if count is not None and count < 2:
        raise EvaluationError(f"{where}: labels.num_classes is {count}; there are two at least, or leave it out")
    if count is not None and names and count > len(names):  # fewer: the rows need not have all that there are names of
        raise EvaluationError(f"{where}: labels.num_classes is {count}, and labels.names has only {len(names)}")
    levelled: dict[tuple[str, ...], str] = {}
    for name in names:
        if not name.strip():
            raise EvaluationError(f"{where}: labels.names holds {name!r}, which every answer would contain")
        spelled = words(name) or (name.strip(),)
        if spelled in levelled:
            both = f"{levelled[spelled]!r} and {name!r}"
            raise EvaluationError(f"{where}: labels.names holds {both}; case and signs tell no labels apart")
        levelled[spelled] = name


def _validate_metric(task: Task, where: str) -> None:
    metric = task.metric
    try:
        make_metric(metric.name, metric.version, metric.options)
    except EvaluationError as error:
        raise EvaluationError(f"{where}: metric: {error}") from error
    for name, value in metric.options.items():
        value = tuple(value) if isinstance(value, list) else value
        _require_type(value, _OPTION_TYPES.get(name, ""), f"{where}: metric: options.{name}")
    parser = metric_class(metric.name).parser
    if metric.parser != parser:
        raise EvaluationError(f"{where}: metric.parser is {metric.parser!r}; {metric.name} has {parser!r}")
    for names in _NEEDED.get(metric.name, ()):
        if not any(name in task.fields for name in names):
            raise EvaluationError(f"{where}: fields: there is no {' or '.join(names)}, which {metric.name} reads")


def _validate_template(template: str, task: Task, where: str) -> None:
    """What a template leaves open must be something that rows have."""
    if "in the data)" in template:
        raise EvaluationError(f"{where}: the cell has places for question or options; write a template with them")
    try:
        names = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise EvaluationError(f"{where}: template {template!r} is no template ({error})") from error
    for name in names:
        if name not in _PLACEHOLDERS:
            known = " and ".join(f"{{{known}}}" for known in _PLACEHOLDERS)
            raise EvaluationError(f"{where}: template has {{{name}}}; there are {known}")
        if _PLACEHOLDERS[name] not in task.fields:
            raise EvaluationError(f"{where}: template has {{{name}}}, and fields has no {_PLACEHOLDERS[name]!r}")
