"""Rows become groups by task, model and settings; their order, repetitions and folders leave no trace."""

import random
import tracemalloc

import pytest

from opendasheng.errors import EvaluationError
from opendasheng.evaluate.report import piles
from opendasheng.evaluate.report.gather import by_message, gather
from opendasheng.evaluate.task import parse_task


def shape(groups):
    return [(group.task.name, group.model, group.source.name, len(group.rows)) for group in groups]


def test_run_folders_and_files_lie_side_by_side(run, rows, write):
    file = write("other/answers.jsonl", [rows.nsynth(i, "b") for i in range(3)] + [rows.choice(1, "b")])
    groups, problems = gather([run, file, run / "nsynth" / "predictions.jsonl"])
    assert shape(groups) == [
        ("autoacd", "mini", "autoacd/predictions.jsonl", 20),
        ("librispeech-test-clean", "mini", "librispeech-test-clean/predictions.jsonl", 30),
        ("muchomusic", "b", "answers.jsonl", 1),
        ("nsynth", "b", "answers.jsonl", 3),
        ("nsynth", "mini", "nsynth/predictions.jsonl", 40),
    ]
    assert problems == []


def test_what_is_in_a_group_does_not_depend_on_the_order(rows, write):
    found = [rows.nsynth(i % 30) for i in range(40)]
    (first,), _ = gather([write("a.jsonl", found)])
    random.Random(0).shuffle(found)
    (second,), _ = gather([write("a.jsonl", found)])
    assert first.sha256 == second.sha256
    assert [row.fields for row in first.rows] == [row.fields for row in second.rows]
    assert len(first.rows) == 40, "rows of a plain file all count"
    (other,), _ = gather([write("a.jsonl", found[1:])])
    assert other.sha256 != first.sha256


@pytest.mark.parametrize("order", [1, -1])
def test_of_a_row_tried_again_the_answer_counts(rows, write, order):
    answer, others = rows.nsynth(1, run=True), [rows.nsynth(2, run=True), rows.nsynth(3, run=True, error="c")]
    lines = [answer | {"error": "a", "model_output": ""}, answer | {"error": "b", "model_output": ""}, answer, answer]
    again = others[1] | {"error": "d"}
    (group,), _ = gather([write("run/nsynth/predictions.jsonl", [*lines, *others, again][::order])])
    assert [(row.fields["id"], "error" in row.fields) for row in group.rows] == [
        ("nsynth-1", False),
        ("nsynth-2", False),
        ("nsynth-3", True),
    ]
    assert [(failure.reason, failure.count) for failure in group.failures] == [("c", 1)]


def test_answers_of_other_settings_are_another_group(rows, write):
    found = [rows.nsynth(1, run=True), rows.nsynth(1, run=True, settings="ffff")]
    groups, _ = gather([write("run/nsynth/predictions.jsonl", found)])
    assert [(group.settings, len(group.rows)) for group in groups] == [("0123456789ab", 1), ("ffff", 1)]


def test_failures_are_counted_by_reason_and_show_no_folder(run):
    groups, _ = gather([run])
    (failure,) = next(group for group in groups if group.task.name == "librispeech-test-clean").failures
    assert failure.reason == "CLIP: it is N s long; take at most N s"
    assert (failure.count, failure.ids) == (3, ("librispeech-11", "librispeech-20", "librispeech-5"))


def test_a_failed_row_without_an_answer_has_an_empty_one(rows, write):
    row = rows.nsynth(1, run=True, error="no such file")
    del row["model_output"]
    (group,), _ = gather([write("a.jsonl", [row])])
    assert group.rows[0].text("model_output") == ""


def test_a_broken_file_does_not_keep_the_others_away(run, rows, write, tmp_path):
    write("bad.jsonl", [rows.nsynth(1, dataset_name="Nowhere")])
    (tmp_path / "torn.jsonl").write_text('{"id": "x", "audio')
    groups, problems = gather([tmp_path / "bad.jsonl", tmp_path / "torn.jsonl", run])
    assert len(groups) == 3
    assert [problem.name for problem in problems] == ["bad.jsonl", "torn.jsonl"]
    assert "belongs to no task" in problems[0].message
    assert "not JSON" in problems[1].message
    assert str(tmp_path) not in problems[0].message + problems[1].message


def test_a_task_may_be_named(rows, write, run):
    found = [rows.nsynth(i, dataset_name="my own set") for i in range(3)]
    groups, _ = gather([write("a.jsonl", found), run], "nsynth")
    assert shape(groups) == [("nsynth", "mini", "a.jsonl", 3), ("nsynth", "mini", "nsynth/predictions.jsonl", 40)]
    with pytest.raises(EvaluationError, match="there is no task 'nsinth'"):
        gather([run], "nsinth")
    with pytest.raises(EvaluationError, match="no predictions of task fsd50k"):
        gather([run], "fsd50k")


def test_rows_may_be_of_a_task_of_ones_own(rows, write):
    table = {
        "name": "drums",
        "version": 3,
        "title": "Drums",
        "tables": [],
        "group": "tagging-single",
        "dataset_names": ["Drums"],
        "metric": {"name": "accuracy", "version": 1, "parser": "label"},
        "dataset": {"loader": "jsonl", "source": "drums.jsonl", "licence": "CC0", "split": "test"},
        "fields": {"audio": "audio", "label": "label"},
        "prompts": {"midashenglm": {"template": "Which drum?"}},
    }
    file = write("a.jsonl", [rows.nsynth(1, dataset_name="Drums", task="drums")])
    groups, problems = gather([file], tasks=[parse_task(table, "drums.toml")])
    assert (shape(groups), problems) == ([("drums", "mini", "a.jsonl", 1)], [])
    assert gather([file])[0] == []


@pytest.mark.parametrize(("name", "message"), [("nothing", "no such file"), ("empty", "no predictions")])
def test_a_path_without_predictions_is_an_error(tmp_path, name, message):
    (tmp_path / "empty").mkdir()
    with pytest.raises(EvaluationError, match=message):
        gather([tmp_path / name])


def test_problems_of_one_kind_are_said_once(rows, write):
    files = [write(f"{name}.jsonl", [rows.caption(1)]) for name in ("a", "b")]
    _, problems = gather([*files, write("c.jsonl", [rows.caption(1, dataset_name=5)])])
    assert len(problems) == 1
    assert [problem.name for problem in by_message([*problems, *problems])] == ["c.jsonl; c.jsonl"]


def test_rows_are_not_held_in_memory(rows, write, monkeypatch):
    monkeypatch.setattr(piles, "_HELD_CHARACTERS", 10**6)
    file = write("a.jsonl", [rows.nsynth(i, text="x" * 1000) for i in range(20_000)])
    tracemalloc.start()
    try:
        (group,), _ = gather([file])
        assert sum(1 for _ in group.rows) == 20_000
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 12 * 2**20  # the rows are 24 MB of text
