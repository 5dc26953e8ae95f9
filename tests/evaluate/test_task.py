"""Task files: what is wrong with one is said before a run, with the file and the key."""

import copy
import dataclasses
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opendasheng.errors import EvaluationError
from opendasheng.evaluate.task import GENERATION, parse_task, read_task, split_cell

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


@pytest.mark.parametrize("content", [b"name = ", b"\xff\xfe", b"name = 'a'\nname = 'b'"])
def test_what_is_no_toml_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / FILE
    path.write_bytes(content)
    with pytest.raises(EvaluationError, match=r"birds\.toml: it cannot be read as TOML"):
        read_task(path)
    with pytest.raises(EvaluationError, match=r"none\.toml: there is no such task file"):
        read_task(tmp_path / "none.toml")


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


@given(
    st.sampled_from([path for path in paths(table()) if path[0] not in ("fields", "published", "generation")]),
    st.data(),
)
def test_a_key_that_is_not_known_is_named(path: tuple[str, ...], data: st.DataObject) -> None:
    name = data.draw(st.text(min_size=1, max_size=8).filter(lambda text: text not in str(table())))
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
