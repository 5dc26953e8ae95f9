"""Task files: what is wrong with one is said before a run, with the file and the key."""

import copy
import dataclasses
import datetime
import math
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opendasheng.errors import DashengError, EvaluationError
from opendasheng.evaluate.task import (
    GENERATION,
    DatasetSpec,
    LabelSpec,
    MetricSpec,
    PromptSpec,
    Task,
    parse_task,
    read_task,
    split_cell,
)

VALID = """
name = "birds"
version = 1
title = "Birds"
tables = []
group = "tagging-single"
dataset_names = ["Birds"]
notes = ["A note."]

[metric]
name = "accuracy"
version = 1
parser = "label"

[dataset]
loader = "jsonl"
source = "https://example.org/birds"
licence = "CC0-1.0"
split = "test"
num_rows = 10
confirmed = true
where = { kind = ["song", "call"] }

[fields]
audio = "audio"
label = "species"
question = "q"

[labels]
source = "references"
names = ["wren", "robin"]
spelled = { w = "wren" }

[prompts.midashenglm]
table = "prompt: Which bird? / sys_prompt: You know birds."

[prompts.kimi-audio]
template = "{question} Which bird?"

[generation]
max_new_tokens = 8

[published]
midashenglm = 12

[cluster]
field = "audio"
pattern = "^([a-z]+)"
"""
FILE = "birds.toml"
SPECS = (Task, MetricSpec, DatasetSpec, PromptSpec, LabelSpec)
DAY = datetime.date(1979, 1, 1)


def table() -> dict[str, Any]:
    return tomllib.loads(VALID)


def changed(path: str, value: Any) -> dict[str, Any]:
    """The valid table with another value at ``path``, keys joined by "/"; None takes the key away."""
    found = table()
    *parents, key = path.split("/")
    inner = found
    for parent in parents:
        inner = inner[parent]
    inner[key] = value
    if value is None:
        del inner[key]
    return found


def test_a_task_holds_what_its_file_says(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(VALID)
    task = read_task(tmp_path / FILE)
    assert (task.name, task.metric.name, task.dataset.num_rows) == ("birds", "accuracy", 10)
    assert task.dataset.where == {"kind": ["song", "call"]}
    assert task.labels is not None
    assert task.labels.names == ("wren", "robin")
    assert task.labels.spelled == {"w": "wren"}
    assert task.cluster == ("audio", "^([a-z]+)")
    assert task.prompts["midashenglm"].template == "Which bird?"
    assert task.prompts["midashenglm"].system == "You know birds."
    assert task.prompts["kimi-audio"].table is None


@pytest.mark.parametrize(
    ("cell", "prompt", "system"),
    [
        ("Transcribe the speech in to text <|vi|>", "Transcribe the speech in to text <|vi|>", None),
        ("prompt: What? / sys_prompt: You are.", "What?", "You are."),
        ("What / which? / sys_prompt: You are.", "What / which?", "You are."),
    ],
)
def test_a_cell_is_a_prompt_and_perhaps_a_system_message(cell: str, prompt: str, system: str | None) -> None:
    assert split_cell(cell) == (prompt, system)


def test_a_template_of_its_own_keeps_the_system_message_of_the_cell() -> None:
    entry = {"table": "prompt: (Question in the data) / sys_prompt: You help.", "template": "{question}"}
    prompt = parse_task(changed("prompts/midashenglm", entry), FILE).prompts["midashenglm"]
    assert (prompt.template, prompt.system) == ("{question}", "You help.")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("titel", "x", "birds.toml: there is no key 'titel'; did you mean title?"),
        ("zzz", "x", "birds.toml: there is no key 'zzz'; it has name"),
        ("metric/parsr", "x", "birds.toml: metric: there is no key 'parsr'; did you mean parser?"),
        ("dataset/num_row", 1, "birds.toml: dataset: there is no key 'num_row'; did you mean num_rows?"),
        ("prompts/midashenglm/sytem", "x", "birds.toml: prompts.midashenglm: there is no key 'sytem'"),
        ("labels/name", [], "birds.toml: labels: there is no key 'name'; did you mean names?"),
        ("cluster/patern", "x", "birds.toml: cluster: there is no key 'patern'; did you mean pattern?"),
        ("title", None, "birds.toml: the key 'title' is missing"),
        ("dataset/licence", None, "birds.toml: dataset: the key 'licence' is missing"),
        ("metric", None, "birds.toml: metric: it is None, and must be a table"),
        ("cluster/field", None, "birds.toml: cluster: the key 'field' is missing"),
        ("version", "1", "birds.toml: version is '1', and must be a whole number"),
        ("version", True, "birds.toml: version is True, and must be a whole number"),
        ("version", 0, "birds.toml: version is 0; it begins at 1"),
        ("title", 5, "birds.toml: title is 5, and must be a text"),
        ("tables", [7], "birds.toml: tables is [7], and must be a list of texts"),
        ("tables", "7", "birds.toml: tables is '7', and must be a list of texts"),
        ("dataset/num_rows", 1.5, "birds.toml: dataset: num_rows is 1.5, and must be a whole number"),
        ("dataset/num_rows", 0, "birds.toml: dataset.num_rows is 0"),
        ("dataset/num_rows", None, "birds.toml: dataset.confirmed is true without num_rows"),
        ("dataset/confirmed", "yes", "birds.toml: dataset: confirmed is 'yes', and must be true or false"),
        ("fields/label", ["a"], "birds.toml: fields is"),
        (
            "published/midashenglm",
            "12",
            "birds.toml: published is {'midashenglm': '12'}, and must be a table of numbers",
        ),
        ("prompts", ["x"], "birds.toml: prompts: it is ['x'], and must be a table of tables"),
        ("prompts/midashenglm", "x", "birds.toml: prompts.midashenglm: it is 'x', and must be a table"),
        ("generation", 5, "birds.toml: generation is 5, and must be a table"),
        ("metric/options", "x", "birds.toml: metric: options is 'x', and must be a table"),
        ("dataset/where", ["x"], "birds.toml: dataset: where is ['x'], and must be a table"),
        ("cluster", "audio", "birds.toml: cluster: it is 'audio', and must be a table"),
        ("labels", "x", "birds.toml: labels: it is 'x', and must be a table"),
        ("name", "Birds!", "birds.toml: name 'Birds!' has other characters"),
        ("group", "birds", "birds.toml: group 'birds' is not one of asr"),
        ("dataset/loader", "zip", "birds.toml: dataset.loader 'zip' is not one of huggingface"),
        ("dataset_names", [], "birds.toml: dataset_names is empty"),
        ("dataset_names", ["--"], "birds.toml: dataset_names holds '--'"),
        ("prompts", {}, "birds.toml: prompts is empty"),
        ("prompts/gpt", {"template": "x"}, "birds.toml: prompts: there is no model 'gpt'"),
        ("published/gpt", 1.0, "birds.toml: published: there is no model 'gpt'"),
        ("metric/name", "acuracy", "birds.toml: metric: there is no metric 'acuracy'; there are wer"),
        ("metric/version", 9, "birds.toml: metric: metric accuracy@9 is not in this release, which has accuracy@1"),
        ("metric/options", {"labls": []}, "birds.toml: metric: metric accuracy has no option 'labls'; it has labels"),
        ("metric/parser", "text", "birds.toml: metric.parser is 'text'; accuracy has 'label'"),
        (
            "generation/max_tokens",
            8,
            "birds.toml: generation: there is no option 'max_tokens'; there are max_new_tokens",
        ),
        ("fields/label", None, "birds.toml: fields: there is no label, which accuracy reads"),
        ("cluster/pattern", "(", "birds.toml: cluster.pattern '(' is no pattern"),
        ("cluster/pattern", "(a{9999999999})", "birds.toml: cluster.pattern '(a{9999999999})' is no pattern"),
        ("cluster/pattern", "a+", "birds.toml: cluster.pattern 'a+' has no group"),
        (
            "prompts/kimi-audio/template",
            "{labels}",
            "birds.toml: prompts.kimi-audio: template has {labels}; there are {question}",
        ),
        ("prompts/kimi-audio/template", "{options}", "template has {options}, and fields has no 'choices'"),
        (
            "prompts/kimi-audio/template",
            "{question",
            "birds.toml: prompts.kimi-audio: template '{question' is no template",
        ),
        (
            "prompts/kimi-audio",
            {"table": "(Question in the data)"},
            "birds.toml: prompts.kimi-audio: the cell has places",
        ),
    ],
)
def test_a_slip_is_named_with_file_and_key(path: str, value: Any, message: str) -> None:
    with pytest.raises(EvaluationError) as raised:
        parse_task(changed(path, value), FILE)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("version", 2**63, "version is 9223372036854775808, and must be a whole number"),
        pytest.param(
            "version",
            10**5_000,
            "version is of type int, too long to be shown, and must be a whole number",
            id="long",
        ),
        ("title", " ", "title is empty"),
        ("title", ["x"] * 999, "'x', 'x',..., and must be a text"),
        ("dataset/licence", "", "dataset.licence is empty"),
        ("dataset/split", " \n", "dataset.split is empty"),
        ("dataset", {**table()["dataset"], "loader": "mecat", "source": ""}, "dataset.source is empty"),
        ("dataset/where", {"day": DAY}, "dataset: where is {'day': datetime.date(1979, 1, 1)}, and must be a table of"),
        ("dataset/where", {"share": [0.5, math.nan]}, "dataset: where is {'share': [0.5, nan]}, and must be"),
        ("fields/label", "", "fields.label is empty"),
        ("fields/label", "=", "fields.label is empty"),
        ("prompts/midashenglm", {"template": ""}, "prompts.midashenglm.template is empty"),
        ("prompts/midashenglm", {"table": " / sys_prompt: x"}, "prompts.midashenglm.template is empty"),
        ("published/midashenglm", math.nan, "published is {'midashenglm': nan}, and must be a table of numbers"),
        ("published/midashenglm", 10**400, "published is {'midashenglm': 1000000000"),
        ("labels/num_classes", -1, "labels.num_classes is -1; there are two at least"),
        ("labels/num_classes", 1, "labels.num_classes is 1; there are two at least"),
        ("labels/num_classes", 3, "labels.num_classes is 3, and labels.names has only 2"),
        ("labels/names", [], "labels: names is empty; leave it out where the rows have the labels"),
        ("labels/names", ["wren", " "], "labels.names holds ' ', which every answer would contain"),
        ("labels/names", ["(", "( "], "labels.names holds '(' and '( '; case and signs tell no labels apart"),
        ("labels/names", ["wren", "wren"], "labels.names holds 'wren' and 'wren'"),
        ("labels/names", ["Sea-gull", "x", "sea gull"], "labels.names holds 'Sea-gull' and 'sea gull'"),
        ("metric/options", {"labels": "wren"}, "metric: options.labels is 'wren', and must be a list of texts"),
        ("metric/options", {"labels": [1]}, "metric: options.labels is [1], and must be a list of texts"),
        ("metric/options", {"labels": DAY}, "metric: options is {'labels': datetime.date(1979, 1, 1)}, and must be"),
        ("generation/max_new_tokens", -1, "generation.max_new_tokens is -1, and must be a whole number of at least 1"),
        ("generation/max_new_tokens", 1.5, "generation.max_new_tokens is 1.5, and must be"),
        ("generation/max_new_tokens", True, "generation.max_new_tokens is True, and must"),
        ("generation/seed", -1, "generation.seed is -1, and must be a whole number of at least 0"),
        ("generation/temperature", -0.1, "generation.temperature is -0.1, and must be 0 (greedy) or more"),
        ("generation/temperature", "warm", "generation.temperature is 'warm', and must be 0 (greedy) or more"),
        ("generation/top_k", 5, "generation: top_k and top_p are for sampling; give a temperature above 0 too"),
        ("generation", {"temperature": 1, "top_p": 1.5}, "generation.top_p is 1.5, and must be within (0, 1]"),
        ("generation", {"repetition_penalty": 0}, "generation.repetition_penalty is 0, and must be more than 0"),
        ("generation/max_new_tokens", math.inf, "generation is {'max_new_tokens': inf}, and must be a table"),
        ("generation/max_new_tokens", DAY, "generation is {'max_new_tokens': datetime.date(1979, 1, 1)}, and must be"),
    ],
)
def test_nonsense_is_named_with_file_and_key(path: str, value: Any, message: str) -> None:
    with pytest.raises(EvaluationError) as raised:
        parse_task(changed(path, value), FILE)
    assert str(raised.value).startswith(f"{FILE}: ")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 300


def test_the_rows_need_not_have_all_labels_that_have_names() -> None:
    names = ["wren", "robin", "C", "C#", "("]
    labels = parse_task(changed("labels", {"source": "a list", "names": names, "num_classes": 3}), FILE).labels
    assert labels is not None
    assert (labels.num_classes, labels.names) == (3, tuple(names))
    assert parse_task(changed("labels", {"source": "a list", "num_classes": 527}), FILE).labels is not None


def test_only_what_is_fetched_needs_a_source() -> None:
    dataset = {**table()["dataset"], "source": ""}
    assert parse_task(changed("dataset", dataset), FILE).dataset.source == ""
    assert parse_task(changed("dataset", {**dataset, "loader": "corpus"}), FILE).dataset.source == ""


NO_TOML = {
    "torn": b"name = ",
    "no UTF-8": b"\xff\xfe",
    "twice": b"name = 'a'\nname = 'b'",
    "deep": b"a = " + b"[" * 5_000 + b"]" * 5_000,
    "long": b"version = " + b"9" * 5_000,
}


@pytest.mark.parametrize("content", NO_TOML.values(), ids=NO_TOML)
def test_what_is_no_toml_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / FILE
    path.write_bytes(content)
    with pytest.raises(EvaluationError, match=r"birds\.toml: it cannot be read as TOML"):
        read_task(path)
    with pytest.raises(EvaluationError, match=r"none\.toml: there is no such task file"):
        read_task(tmp_path / "none.toml")
    with pytest.raises(EvaluationError, match="it cannot be read as TOML"):
        read_task(tmp_path / "a\0b.toml")


def test_a_value_that_nests_too_deep_to_be_shown_is_named(tmp_path: Path) -> None:
    path = tmp_path / FILE
    deep = f"title{'.a' * 2_000} = 1"
    path.write_text(VALID.replace('title = "Birds"', deep))
    with pytest.raises(EvaluationError, match=r"birds\.toml: title is of type dict, too long to be shown, and must"):
        read_task(path)


def test_a_mark_at_the_beginning_is_no_part_of_the_file(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"\xef\xbb\xbf" + VALID.encode())
    assert read_task(tmp_path / FILE) == parse_task(table(), FILE)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def paths(inner: Any, before: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = [before] if before else []
    if isinstance(inner, dict):
        found += [path for key, value in inner.items() for path in paths(value, (*before, key))]
    return found


@given(st.sampled_from(paths(table())), VALUES)
def test_any_value_parses_or_is_an_error_with_the_file(path: tuple[str, ...], value: Any) -> None:
    found = copy.deepcopy(table())
    inner = found
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    message = None
    try:
        parse_task(found, FILE)
    except EvaluationError as error:
        message = str(error)
    assert message is None or message.startswith(f"{FILE}: ")


KNOWN_KEYS = str(table()) + str([one.name for kind in SPECS for one in dataclasses.fields(kind)])


@given(
    st.sampled_from([path for path in paths(table()) if path[0] not in ("fields", "published", "generation")]),
    st.data(),
)
def test_a_key_that_is_not_known_is_named(path: tuple[str, ...], data: st.DataObject) -> None:
    name = data.draw(st.text(min_size=1, max_size=8).filter(lambda text: text not in KNOWN_KEYS))
    found = copy.deepcopy(table())
    inner = found
    for key in path:
        inner = inner[key] if isinstance(inner[key], dict) else inner
    if path[:2] in (("dataset", "where"), ("labels", "spelled")) or path == ("prompts",):
        inner = found
    inner[name] = 1
    with pytest.raises(EvaluationError) as raised:
        parse_task(found, FILE)
    assert repr(name) in str(raised.value)


def test_generation_options_are_those_of_the_engine() -> None:
    from opendasheng.model.generation import GenerationOptions

    assert set(GENERATION) == {field.name for field in dataclasses.fields(GenerationOptions)}


@given(
    st.dictionaries(
        st.sampled_from(GENERATION),
        st.integers(-2, 3) | st.floats() | st.booleans() | st.text(max_size=2) | st.integers(min_value=2**62),
        max_size=3,
    )
)
def test_generation_is_refused_where_the_engine_would_refuse_it(options: dict[str, Any]) -> None:
    from opendasheng.model.generation import GenerationOptions

    def is_taken(call: Callable[[], object]) -> bool:
        try:
            call()
        except DashengError:
            return False
        return True

    taken = is_taken(lambda: parse_task(changed("generation", options), FILE))
    assert taken == is_taken(lambda: GenerationOptions.of(options))
