"""Two models on the same questions: rows are matched, what is missing is said, and the better one is found."""

import json
import random

import pytest

from opendasheng.errors import EvaluationError
from opendasheng.evaluate.report.compare import compare, to_dict
from opendasheng.evaluate.report.compare_markdown import markdown
from opendasheng.evaluate.scoring import score_file


@pytest.fixture
def pair(rows, write):
    a = write("a.jsonl", [rows.nsynth(i, "weak", 0.2, run=True) for i in range(120)])
    b = write("b.jsonl", [rows.nsynth(i, "strong", 0.9, run=True) for i in range(119, 9, -1)])
    return a, b


def test_only_common_rows_count_and_the_rest_is_said(pair, rows, write):
    (found,) = compare(*pair, resamples=200).found
    assert (found.num_rows, found.a.num_alone, found.b.num_alone) == (110, 10, 0)
    alone = score_file(write("c.jsonl", [rows.nsynth(i, "weak", 0.2) for i in range(10, 120)]), resamples=0)
    assert (found.compat.a, found.strict.a) == (alone.compat, alone.strict)
    assert found.compat.b == score_file(pair[1], resamples=0).compat
    assert "110 rows in common; 10 only in A take no part" in markdown(compare(*pair, resamples=0))


def test_wins_and_losses_make_up_the_difference(pair):
    (found,) = compare(*pair, resamples=200).found
    assert found.wins + found.ties + found.losses == found.num_rows
    assert found.strict.difference == pytest.approx(100 * (found.wins - found.losses) / found.num_rows)
    low, high = found.strict.ci95
    assert 0 < low < found.strict.difference < high
    assert found.strict.p <= 0.01
    text = markdown(compare(*pair, resamples=200))
    assert "By strict, B is better." in text
    assert "<= 0.005" in text


def test_turned_around_it_says_the_opposite(pair):
    (there,), (back,) = compare(*pair, resamples=200).found, compare(*pair[::-1], resamples=200).found
    assert back.strict.difference == -there.strict.difference
    assert back.strict.ci95 == pytest.approx((-there.strict.ci95[1], -there.strict.ci95[0]))
    assert (back.wins, back.losses) == (there.losses, there.wins)


def test_the_order_of_rows_changes_nothing(pair):
    first = to_dict(compare(*pair, resamples=50))
    for path in pair:
        lines = path.read_text().splitlines(keepends=True)
        random.Random(1).shuffle(lines)
        path.write_text("".join(lines))
    assert json.dumps(to_dict(compare(*pair, resamples=50))) == json.dumps(first)


def test_a_model_equals_itself(pair):
    (found,) = compare(pair[0], pair[0], resamples=50).found
    assert (found.wins, found.ties, found.losses) == (0, 120, 0)
    assert (found.strict.difference, found.strict.ci95, found.strict.p) == (0.0, (0.0, 0.0), 1.0)
    assert found.pairs == ()
    assert "may be chance" in markdown(compare(pair[0], pair[0], resamples=50))


def test_where_lower_is_better_fewer_errors_win(rows, write):
    a = write("a.jsonl", [rows.speech(i, "weak", 0.3) for i in range(60)])
    b = write("b.jsonl", [rows.speech(i, "strong", 0.95, text=rows.speech(i, "weak")["text"]) for i in range(60)])
    for one in (a, b):  # both answer to the transcript of the first
        lines = [json.loads(line) for line in one.read_text().splitlines()]
        one.write_text("".join(json.dumps(line | {"text": "the cat sat"}) + "\n" for line in lines))
    right = [json.loads(line) | {"model_output": "the cat sat"} for line in b.read_text().splitlines()]
    b.write_text("".join(json.dumps(line) + "\n" for line in right))
    (found,) = compare(a, b, resamples=100).found
    assert found.strict.difference < 0
    assert (found.wins, found.losses) == (60, 0)
    assert "By strict, B is better." in markdown(compare(a, b, resamples=100))


def test_the_most_different_rows_are_shown_with_both_answers(pair):
    (found,) = compare(*pair, resamples=0, num_examples=3).found
    assert len(found.pairs) == 3
    for one in found.pairs:
        assert one.a.id == one.b.id
        assert abs(one.gain) == 1.0
        assert (one.gain > 0) == (one.b.answer == one.b.references[0])
    shown = to_dict(compare(*pair, resamples=0, num_examples=3))["comparisons"][0]["most_different"]
    assert [one["a"]["id"] for one in shown] == [one.a.id for one in found.pairs]


def test_models_that_are_asked_in_other_words_are_matched_by_question(rows, write):
    a = write("a.jsonl", [rows.choice(i, "a") for i in range(20)])
    b = write("b.jsonl", [rows.choice(i, "b", model_output="A") for i in range(5, 25)])
    (found,) = compare(a, b, resamples=0).found
    assert (found.num_rows, found.a.num_alone, found.b.num_alone) == (15, 5, 5)
    assert any("matched by audio and question" in note for note in found.notes)


def test_another_reference_on_one_side_is_said(rows, write):
    a = write("a.jsonl", [rows.nsynth(i, run=True) for i in range(5)])
    b = write("b.jsonl", [rows.nsynth(i, run=True, label=["organ"]) for i in range(5)])
    (found,) = compare(a, b, resamples=0).found
    assert "4 rows have another reference on one side than on the other" in found.notes


def test_run_folders_are_compared_task_by_task(rows, write):
    for run, tasks in (("one", "nsynth muchomusic"), ("two", "nsynth librispeech-test-clean")):
        for task in tasks.split():
            make = {"nsynth": rows.nsynth, "muchomusic": rows.choice}.get(task, rows.speech)
            path = write(f"{run}/{task}/predictions.jsonl", [make(i, run) for i in range(9)])
    found = compare(path.parents[2] / "one", path.parents[2] / "two", resamples=0)
    assert [one.task.name for one in found.found] == ["nsynth"]
    assert [(p.name, p.message) for p in found.problems] == [
        ("librispeech-test-clean", "only one of the two has it"),
        ("muchomusic", "only one of the two has it"),
    ]
    assert not compare(path.parents[2] / "one", path.parents[2] / "two", task="nsynth", resamples=0).problems


def test_a_file_of_two_models_cannot_be_one_side(rows, write):
    a = write("a.jsonl", [rows.nsynth(1, "x"), rows.nsynth(1, "y")])
    (problem,) = compare(a, a, resamples=0).problems
    assert "several models or settings (x, y)" in problem.message


def test_nothing_in_common_is_an_error(rows, write):
    a, b = write("a.jsonl", [rows.nsynth(1)]), write("b.jsonl", [rows.choice(1)])
    with pytest.raises(EvaluationError, match="no task in common"):
        compare(a, b)
    (problem,) = compare(a, write("c.jsonl", [rows.nsynth(2)]), resamples=0).problems
    assert "no question in common" in problem.message


def test_rows_with_one_id_are_matched_one_to_one(rows, write):
    a = write("a.jsonl", [rows.nsynth(1), rows.nsynth(1), rows.nsynth(2)])
    b = write("b.jsonl", [rows.nsynth(1, "b"), rows.nsynth(2, "b"), rows.nsynth(2, "b")])
    (found,) = compare(a, b, resamples=0).found
    assert (found.num_rows, found.a.num_alone, found.b.num_alone) == (2, 1, 1)
