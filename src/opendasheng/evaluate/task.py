"""A task: one dataset, what is asked of it, and how answers are scored, as a versioned TOML file.

The bundled ones lie in ``tasks/``; a file of one's own has the same form. :func:`parse_task` refuses what it does not
know, so that a slip is found before a run and not after it.
"""

import dataclasses
import difflib
import re
import string
import tomllib
from collections.abc import Mapping
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
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise EvaluationError(f"{path}: there is no such task file") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise EvaluationError(f"{path}: it cannot be read as TOML ({error})") from error
    return parse_task(table, str(path))


def parse_task(table: Mapping[str, Any], where: str) -> Task:
    """A task from its table; ``where`` is what errors call it. See :func:`read_task`."""
    values = dict(table)
    metric = _record(MetricSpec, values.pop("metric", None), f"{where}: metric")
    dataset = _record(DatasetSpec, values.pop("dataset", None), f"{where}: dataset")
    entries = values.pop("prompts", {})
    if not isinstance(entries, Mapping):
        raise EvaluationError(f"{where}: prompts: it is {entries!r}, and must be a table of tables, one a model")
    prompts = {model: _prompt(entry, f"{where}: prompts.{model}") for model, entry in entries.items()}
    labels = values.pop("labels", None)
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
        raise EvaluationError(f"{where}: it is {table!r}, and must be a table")
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


# Of each declared type: what a value must be, and how that is said.
_TYPES: dict[str, tuple[type | tuple[type, ...], str]] = {
    "str": (str, "a text"),
    "int": (int, "a whole number"),
    "bool": (bool, "true or false"),
    "str | None": ((str, type(None)), "a text"),
    "int | None": ((int, type(None)), "a whole number"),
    "dict[str, Any]": (dict, "a table"),
    "dict[str, str]": (dict, "a table of texts"),
    "dict[str, float]": (dict, "a table of numbers"),
    "tuple[str, ...]": (tuple, "a list of texts"),
}


def _require_type(value: Any, declared: str, where: str) -> None:
    declared = declared.removeprefix("<class '").removesuffix("'>").replace("typing.", "")
    if declared not in _TYPES:
        return
    wanted, said = _TYPES[declared]
    right = isinstance(value, wanted) and not (isinstance(value, bool) and declared.startswith("int"))
    if right and declared == "tuple[str, ...]":
        right = all(isinstance(item, str) for item in value)
    if right and declared in ("dict[str, str]", "dict[str, float]"):
        inner = str if declared == "dict[str, str]" else (int, float)
        right = all(isinstance(item, inner) and not isinstance(item, bool) for item in value.values())
    if not right:
        shown = list(value) if isinstance(value, tuple) else value
        raise EvaluationError(f"{where} is {shown!r}, and must be {said}")


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
    for name in task.generation:
        require(name in GENERATION, f"generation: there is no option {name!r}; there are {', '.join(GENERATION)}")
    _validate_metric(task, where)
    for model, prompt in task.prompts.items():
        _validate_template(prompt.template, task, f"{where}: prompts.{model}")
    if task.cluster is not None:
        pattern = task.cluster[1]
        try:
            require(re.compile(pattern).groups >= 1, f"cluster.pattern {pattern!r} has no group")
        except re.error as error:
            raise EvaluationError(f"{where}: cluster.pattern {pattern!r} is no pattern ({error})") from error


def _validate_metric(task: Task, where: str) -> None:
    metric = task.metric
    try:
        make_metric(metric.name, metric.version, metric.options)
    except EvaluationError as error:
        raise EvaluationError(f"{where}: metric: {error}") from error
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
