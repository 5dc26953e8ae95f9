"""What the catalogue commands print: short enough to read, whole enough to rely on."""

import argparse
import json
from pathlib import Path

import pytest

from opendasheng.errors import EvaluationError
from opendasheng.evaluate import catalogue_command
from opendasheng.evaluate.registry import task_files, tasks

NSYNTH = next(path for path in task_files() if path.stem == "nsynth")


def run(command: str, *arguments: str) -> int:
    parser = argparse.ArgumentParser()
    getattr(catalogue_command, f"configure_{command}")(parser)
    args = parser.parse_args(list(arguments))
    return int(args.run(args))


def printed(capsys: pytest.CaptureFixture[str], command: str, *arguments: str) -> str:
    assert run(command, *arguments) == 0
    return capsys.readouterr().out


def test_list_has_a_line_for_each_task(capsys: pytest.CaptureFixture[str]) -> None:
    head, *lines, foot = printed(capsys, "list").splitlines()
    assert head.split() == ["task", "table", "metric", "rows", "paper"]
    assert {line.split()[0] for line in lines} == set(tasks())
    assert len({len(line) for line in (head, *lines)}) == 1, "columns do not line up"
    assert foot.startswith(f"{len(tasks())} tasks")
    by_name = {line.split()[0]: line.split()[1:] for line in lines}
    assert by_name["nsynth"] == ["9", "accuracy@1", "4096", "80.52"]
    assert by_name["cochlscene"] == ["9", "accuracy@1", "7687?", "74.06"]
    assert by_name["vggsound"] == ["9", "accuracy@1", "-", "52.11"]
    assert by_name["mini-asr-en"] == ["mini", "wer@1", "546", "-"]
    tables = [int(line.split()[1]) for line in lines if line.split()[1].isdigit()]
    assert tables == sorted(tables)
    assert lines[-1].split()[0].startswith("mini-")


def test_list_takes_a_group_or_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    for option, value, wanted in (
        ("--group", "asr", {task.name for task in tasks().values() if task.group == "asr"}),
        ("--table", "9", {task.name for task in tasks().values() if "9" in task.tables}),
    ):
        listed = json.loads(printed(capsys, "list", option, value, "--json"))
        assert {entry["name"] for entry in listed} == wanted
    both = json.loads(printed(capsys, "list", "--table", "9", "--group", "gender", "--json"))
    assert [(entry["name"], entry["num_rows"], entry["confirmed"]) for entry in both] == [
        ("voxceleb-gender", 4874, True)
    ]
    assert both[0]["published"]["midashenglm"] == 96.12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--group", "speech"), "there is no group 'speech'; there are captioning"),
        (("--table", "13"), "no task is of table '13'; there are tasks of 7"),
        (("--table", "9", "--group", "asr"), "no task of group 'asr' is of table '9'"),
    ],
)
def test_list_says_what_there_is(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        run("list", *arguments)


@pytest.mark.parametrize("name", sorted(tasks()))
def test_show_says_all_that_a_task_says(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    task = tasks()[name]
    whole = json.loads(printed(capsys, "show", name, "--json"))
    assert whole["name"] == name
    assert whole["prompts"]["midashenglm"]["template"] == task.prompts["midashenglm"].template
    assert whole["notes"] == list(task.notes)
    shown = printed(capsys, "show", name)
    assert max(map(len, shown.splitlines())) <= 120
    flat = " ".join(shown.split())
    labels = task.labels.names if task.labels else ()
    said = [task.title, task.dataset.source, task.dataset.licence, task.dataset.note, *task.notes, *labels]
    said += [
        json.dumps(text, ensure_ascii=False)
        for prompt in task.prompts.values()
        for text in (prompt.template, prompt.system)
        if text
    ]
    said += [f"{figure:.2f} {model}" for model, figure in task.published.items()]
    assert [text for text in said if " ".join(text.split()) not in flat] == []
    assert ("checkpoint 0804" in flat) == bool(task.published)


def test_show_takes_a_file_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(NSYNTH.read_text().replace('name = "nsynth"', 'name = "mine"'))
    assert printed(capsys, "show", str(mine)).startswith("mine (version 1): NSynth; group tagging-single")
    with pytest.raises(EvaluationError, match="did you mean nsynth"):
        run("show", "nsynt")


def test_the_bundled_files_are_right(capsys: pytest.CaptureFixture[str]) -> None:
    *lines, last = printed(capsys, "validate").splitlines()
    assert last == f"{len(tasks())} task files, 0 errors, {len(lines)} warnings"
    assert all(line.startswith("warning: ") for line in lines)
    assert "warning: audiocaps-qa: dataset.licence is 'unknown, see the source'" in "\n".join(lines)
    assert "warning: cochlscene: dataset.num_rows 7687 is not confirmed" in "\n".join(lines)
    assert not any(line.startswith("warning: nsynth") for line in lines)


def test_every_wrong_file_is_a_line_and_the_exit_code_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = NSYNTH.read_text()
    files = {
        "first": text.replace('name = "nsynth"', 'name = "first"'),
        "second": text.replace('name = "nsynth"', 'name = "second"').replace('["NSynth"]', '["n-synth"]'),
        "third": text,
        "fourth": text.replace("confirmed", "confirmd"),
        "fifth": "name = 'a\nb'",
    }
    for name, content in files.items():
        (tmp_path / f"{name}.toml").write_text(content)
    assert run("validate", *(str(tmp_path / f"{name}.toml") for name in files), str(tmp_path / "gone.toml")) == 1
    *lines, last = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in lines] == ["error"] * 5
    for line, words in zip(
        lines,
        (
            "third.toml: name is 'nsynth'",
            "fourth.toml: dataset: there is no key 'confirmd'; did you mean confirmed?",
            "fifth.toml: it cannot be read as TOML",
            "gone.toml: there is no such task file",
            "second.toml: dataset_names: 'n-synth' is a name of first.toml too",
        ),
        strict=True,
    ):
        assert words in line
    assert last == "6 task files, 5 errors, 0 warnings"
