"""What a model is asked is what the published files show, and a row says all of it but the answer."""

import json
from pathlib import Path
from typing import Any

import pytest
from small_tasks import a_task

from opendasheng.data.records import Sound
from opendasheng.errors import EvaluationError
from opendasheng.evaluate.asking import Asker, key_of, lettered, with_answer
from opendasheng.evaluate.datasets import Example
from opendasheng.evaluate.registry import find_task, tasks
from opendasheng.evaluate.task import Task

FIXTURES = Path(__file__).parent / "fixtures"
PUBLISHED = Path(__file__).resolve().parents[3] / "shared" / "published"


def an_example(**fields: Any) -> Example:
    return Example("one", Sound("one.wav", lambda: b""), {"audio": "one.wav", **fields})


def an_asker(task: Task, prompts: str = "midashenglm", **more: Any) -> Asker:
    about = {"model_name": "MiDashengLM", "fingerprint": "f", "generation": {"max_new_tokens": 4}, **more}
    return Asker(task, prompts=prompts, **about)


def asked(task: Task, example: Example, prompts: str = "midashenglm") -> dict[str, Any]:
    question, row = an_asker(task, prompts).question(example)
    assert question.prompt == row["prompt"]
    return {**row, "system": question.system}


def published_rows(name: str) -> list[dict[str, Any]]:
    whole = PUBLISHED / f"MiDashengLM_{name}.jsonl"
    path = whole if whole.is_file() else FIXTURES / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_prompts_of_muchomusic_are_the_published_ones() -> None:
    rows = published_rows("MuChoMusic")
    assert len(rows) in (40, 1187)
    for row in rows:
        for choices, answer in (
            (row["choices"], row["answer"]),
            # as the data set on the hub has them
            ([f"({'ABCD'[n]}) {choice}" for n, choice in enumerate(row["choices"])], f"({row['answer']}) x"),
        ):
            example = an_example(question=row["question"], choices=choices, answer=answer)
            made = asked(find_task("muchomusic"), example)
            assert made["prompt"] == row["prompt"]
            assert made["choices"] == row["choices"]
            assert made["dataset_name"] == row["dataset_name"]


@pytest.mark.parametrize("name", ["NSynth", "AutoACD"])
def test_prompts_without_places_are_the_published_ones(name: str) -> None:
    task = find_task(name.lower())
    for row in published_rows(name)[:5]:
        fields = {key: row[key] for key in ("text", "label", "lang") if key in row}
        made = asked(task, an_example(**fields))
        assert {key: made[key] for key in ("prompt", "dataset_name", *fields)} == {
            key: row[key] for key in ("prompt", "dataset_name", *fields)
        }


CHOICES = ["Reggae", "Pop music", "Latin rock", "Ska"]


def test_each_model_is_asked_in_its_own_way() -> None:
    example = an_example(question="Which genre?", choices=CHOICES, answer="C")
    task = find_task("muchomusic")
    qwen, kimi = asked(task, example, "qwen2.5-omni"), asked(task, example, "kimi-audio")
    assert qwen["prompt"] == (
        "Which genre? Please choose the answer from the following options: "
        "['Reggae', 'Pop music', 'Latin rock', 'Ska']."
    )
    assert qwen["system"] == "You are an audio question answering model."
    assert kimi["prompt"].startswith("Which genre?\n(A) Reggae\n(B) Pop music\n(C) Latin rock\n(D) Ska\nAnswer with")
    assert (kimi["system"], kimi["answer"]) == (None, "C")
    assert qwen["answer"] == "Latin rock"  # which is what it can answer with


@pytest.mark.parametrize(
    ("choices", "answer", "letter"),
    [
        (CHOICES, "C", "C"),
        (CHOICES, "Latin rock", "Latin rock"),
        (CHOICES, "(C) Latin rock", "C"),
        (CHOICES, "(C) Ska", "(C) Ska"),  # names two choices: left for the metric to judge
        (["(A) x", "(B) y"], "(B) y", "B"),
        (["A. x", "B. y"], "B. y", "B"),
        (["(B) x", "(A) y"], "(B) x", "(B) x"),  # not letters of their own
        (["A", "B", "C"], "B", "B"),
        (CHOICES, "F", "F"),
    ],
)
def test_the_right_choice_is_named_as_rows_name_it(choices: list[str], answer: str, letter: str) -> None:
    made = asked(find_task("muchomusic"), an_example(question="q", choices=choices, answer=answer))
    assert made["answer"] == letter


def test_braces_in_the_data_are_text() -> None:
    made = asked(find_task("muchomusic"), an_example(question="{options} {x", choices=["{question}", "%s"], answer="A"))
    assert made["prompt"].startswith("{options} {x\n(A) {question}\n(B) %s\n")


def test_options_stand_one_in_a_line() -> None:
    assert lettered(["x", "y"]) == "(A) x\n(B) y"
    assert lettered([]) == ""


@pytest.mark.parametrize("name", sorted(tasks()))
def test_every_task_can_be_asked(name: str) -> None:
    task = tasks()[name]
    fields = {field: ["x", "y"] if field in ("label", "choices") else "x" for field in task.fields if field != "id"}
    for prompts in task.prompts:
        made = asked(task, an_example(**{**fields, "audio": "one.wav"}), prompts)
        assert made["prompt"].strip()
        assert "in the data" not in made["prompt"]


def test_a_model_without_a_prompt_is_refused() -> None:
    with pytest.raises(EvaluationError, match="small: it has no prompt for kimi-audio; --prompts may be midashenglm"):
        an_asker(a_task(), "kimi-audio")


def test_rows_have_the_published_order_and_begin_with_their_id() -> None:
    _, row = an_asker(a_task()).question(an_example(text="t", lang="en", cluster="anna"))
    said = {"model_output": "x", "duration_seconds": 0.5, "finish_reason": "stop"}
    done = with_answer(row, said)
    assert list(done) == [
        *("id", "dataset_name", "audio", "text", "lang", "prompt", "model_output", "model_name", "task", "cluster"),
        *("duration_seconds", "finish_reason", "settings"),
    ]
    failed = with_answer(row, {"error": "broken"})
    assert (failed["model_output"], failed["error"]) == ("", "broken")
    assert json.dumps(done).startswith('{"id": ')
    assert key_of(done) == key_of(failed) == key_of(row)


def test_settings_are_of_the_run_and_keys_of_the_row() -> None:
    def settings(task: Task, **more: Any) -> str:
        return an_asker(task, **more).settings

    base = settings(a_task())
    assert len(base) == 12
    assert base == settings(a_task())
    others = [
        settings(a_task(template="Else.")),
        settings(a_task(version=2)),
        settings(a_task(name="other")),
        settings(a_task(prompts={"midashenglm": {"template": "Write it down.", "system": "s"}})),
        settings(a_task(), fingerprint="g"),
        settings(a_task(), generation={"max_new_tokens": 5}),
    ]
    assert len({base, *others}) == len(others) + 1
    _, row = an_asker(a_task()).question(an_example(text="t"))
    keys = {key_of({**row, name: "else"}) for name in ("id", "text", "prompt", "audio", "model_name", "settings")}
    assert len({key_of(row), *keys}) == 7
