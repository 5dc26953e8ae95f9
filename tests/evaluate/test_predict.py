"""Predictions with a real model: rows as published, the same after kills, on any number of processes and batches."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from small_tasks import TASK_FILE, TEXT, a_manifest, a_task, lines_of, write_manifest

from opendasheng.engine import Engine
from opendasheng.errors import ConfigError, DashengError, EvaluationError
from opendasheng.evaluate.answerers import EngineAnswerer, Outcome, Reply
from opendasheng.evaluate.asking import Question
from opendasheng.evaluate.datasets import TaskData
from opendasheng.evaluate.predict import Counts, Ranks, predict_task
from opendasheng.evaluate.scoring import score_file

NUM_CLIPS = 12


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of clips of different lengths; one of them is no audio."""
    return a_manifest(tmp_path_factory.mktemp("clips"), NUM_CLIPS, broken=[4])


@pytest.fixture(scope="module")
def answerer(model_folder: Path, engine: Engine) -> EngineAnswerer:
    return EngineAnswerer(str(model_folder), device="cpu", engine=engine)


def predict(answerer: Any, clips: Path, folder: Path, **more: Any) -> Counts:
    task = more.pop("task", a_task())
    return predict_task(task, answerer, TaskData(task, clips), folder, bar=False, **more)


class Echo:
    """Answers with the prompt, in pairs that are turned round; ``fails`` maps ids to errors."""

    model_name = "MiDashengLM"
    family = "midashenglm"
    fingerprint = "echo"

    def __init__(self, fails: Mapping[str, str] | None = None) -> None:
        self.fails = dict(fails or {})
        self.asked: list[str] = []

    def generation(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return dict(options)

    def answers(self, questions: Iterable[Question], generation: Mapping[str, Any]) -> Iterator[tuple[int, Outcome]]:
        waiting: list[tuple[int, Question]] = []
        for item in enumerate(questions):
            waiting.append(item)
            if len(waiting) == 2:
                yield from map(self._answer, reversed(waiting))
                waiting.clear()
        yield from map(self._answer, waiting)

    def _answer(self, item: tuple[int, Question]) -> tuple[int, Outcome]:
        number, question = item
        self.asked.append(question.name)
        if question.name in self.fails:
            return number, EvaluationError(self.fails[question.name])
        return number, Reply(f"{question.prompt} {question.name}", 1.0)


# Rows


def test_rows_have_the_published_schema_and_what_the_model_says(
    answerer: EngineAnswerer, engine: Engine, clips: Path, tmp_path: Path
) -> None:
    counts = predict(answerer, clips, tmp_path)
    assert (counts.num_rows, counts.num_answered, counts.num_before, counts.num_failed) == (NUM_CLIPS, 11, 0, 1)
    assert counts.complete
    assert counts.path == tmp_path / "small" / "predictions.jsonl"
    rows = lines_of(counts.path)
    assert [row["audio"] for row in rows] == [f"clips/{number}.wav" for number in range(NUM_CLIPS)]
    assert {(row["dataset_name"], row["lang"], row["task"]) for row in rows} == {("Small", "en", "small")}
    assert {row["prompt"] for row in rows} == {"Write it down."}
    assert len({row["settings"] for row in rows}) == 1
    assert all("MiDashengLM" in row["model_name"] for row in rows)
    for number, row in enumerate(rows):
        assert row["text"] == f"text {number}"
        if number == 4:
            assert row["model_output"] == ""
            assert row["error"].startswith("clips/4.wav: ")
            continue
        path = clips.parent / row["audio"]
        result = engine.generate(path, "Write it down.", max_new_tokens=6)
        assert (row["model_output"], row["finish_reason"]) == (result.text, result.finish_reason)
        assert row["duration_seconds"] == round(result.audio_seconds, 3)
    assert counts.num_cut == sum(row.get("finish_reason") == "length" for row in rows) > 0


def test_what_is_written_can_be_scored(answerer: EngineAnswerer, clips: Path, tmp_path: Path) -> None:
    counts = predict(answerer, clips, tmp_path)
    score = score_file(counts.path, a_task(), resamples=0)
    assert score.num_rows == NUM_CLIPS
    assert score.num_skipped >= 1  # the clip that failed


def test_system_messages_reach_the_model(answerer: EngineAnswerer, engine: Engine, clips: Path, tmp_path: Path) -> None:
    task = a_task(prompts={"midashenglm": {"template": "Q", "system": "You are a clerk."}})
    rows = lines_of(predict(answerer, clips, tmp_path, task=task, limit=2).path)
    for row in rows:
        path = clips.parent / row["audio"]
        said = engine.generate(path, "Q", system="You are a clerk.", max_new_tokens=6).text
        assert row["model_output"] == said


@pytest.mark.parametrize("batch_size", [1, 3])
def test_batches_change_nothing(
    batch_size: int, model_folder: Path, engine: Engine, answerer: EngineAnswerer, clips: Path, tmp_path: Path
) -> None:
    other = EngineAnswerer(str(model_folder), device="cpu", engine=engine, batch_size=batch_size)
    predict(answerer, clips, tmp_path / "a")
    predict(other, clips, tmp_path / "b")
    one, two = (tmp_path / name / "small" / "predictions.jsonl" for name in "ab")
    assert one.read_bytes() == two.read_bytes()


def test_generation_is_the_tasks_unless_told_otherwise(
    answerer: EngineAnswerer, engine: Engine, clips: Path, tmp_path: Path
) -> None:
    [row] = lines_of(predict(answerer, clips, tmp_path, limit=1, generation={"max_new_tokens": 2}).path)
    path = clips.parent / row["audio"]
    assert row["model_output"] == engine.generate(path, "Write it down.", max_new_tokens=2).text
    with pytest.raises(ConfigError, match="unknown generation option 'max_tokens'"):
        predict(answerer, clips, tmp_path, generation={"max_tokens": 2})


def test_a_clip_that_is_too_long_fails_alone(model_folder: Path, engine: Engine, clips: Path, tmp_path: Path) -> None:
    short = EngineAnswerer(str(model_folder), engine=engine, max_seconds=0.6)
    counts = predict(short, clips, tmp_path)
    errors = [row["error"] for row in lines_of(counts.path) if "error" in row]
    assert 1 < len(errors) == counts.num_failed < NUM_CLIPS
    assert sum("the limit is 0.6 s" in error for error in errors) == len(errors) - 1


def test_data_and_prompts_are_checked_before_the_model_is_loaded(clips: Path, tmp_path: Path) -> None:
    class Unloadable(Echo):
        def answers(self, questions: Any, generation: Any) -> Any:
            raise AssertionError("the model was asked")

    task = a_task({**TEXT, "text": "words"})
    path = write_manifest(tmp_path, [{"audio": "a.wav", "words": "x"}, {"audio": "b.wav"}])
    with pytest.raises(EvaluationError, match=r"b\.wav: there is no column 'words'"):
        predict(Unloadable(), path, tmp_path, task=task)
    with pytest.raises(EvaluationError, match="it has no prompt for kimi-audio"):
        predict(Unloadable(), clips, tmp_path, prompts="kimi-audio")
    predict(Echo(), clips, tmp_path)
    counts = predict(Unloadable(), clips, tmp_path)  # there is nothing to ask
    assert counts.num_before == NUM_CLIPS


# Resuming


def test_what_is_answered_is_not_asked_again_and_what_failed_is(clips: Path, tmp_path: Path) -> None:
    first = Echo({"clips/2.wav": "away", "clips/3.wav": "away"})
    assert predict(first, clips, tmp_path).num_failed == 2
    again = Echo({"clips/3.wav": "away"})
    counts = predict(again, clips, tmp_path)
    assert sorted(again.asked) == ["clips/2.wav", "clips/3.wav"]
    assert (counts.num_answered, counts.num_before, counts.num_failed) == (1, NUM_CLIPS - 2, 1)
    last = Echo()
    assert predict(last, clips, tmp_path).num_failed == 0
    assert last.asked == ["clips/3.wav"]
    predict(Echo(), clips, tmp_path / "whole")
    whole = (tmp_path / "whole" / "small" / "predictions.jsonl").read_bytes()
    assert (tmp_path / "small" / "predictions.jsonl").read_bytes() == whole


def test_a_limit_takes_the_first_and_loses_no_others(clips: Path, tmp_path: Path) -> None:
    predict(Echo(), clips, tmp_path)
    whole = (tmp_path / "small" / "predictions.jsonl").read_bytes()
    few = predict(Echo(), clips, tmp_path, limit=3)
    assert [row["audio"] for row in lines_of(few.path)] == [f"clips/{number}.wav" for number in range(3)]
    echo = Echo()
    predict(echo, clips, tmp_path)
    assert echo.asked == []
    assert few.path.read_bytes() == whole


def test_a_changed_reference_is_asked_anew(tmp_path: Path) -> None:
    rows = [{"audio": f"{number}.wav", "text": f"text {number}"} for number in range(4)]
    predict(Echo(), write_manifest(tmp_path, rows), tmp_path)
    rows[2]["text"] = "corrected"
    echo = Echo()
    counts = predict(echo, write_manifest(tmp_path, rows), tmp_path)
    assert echo.asked == ["2.wav"]
    assert [row["text"] for row in lines_of(counts.path)] == ["text 0", "text 1", "corrected", "text 3"]


def test_an_error_of_ours_ends_the_run_and_keeps_the_rows(clips: Path, tmp_path: Path) -> None:
    class Breaking(Echo):
        def _answer(self, item: tuple[int, Question]) -> tuple[int, Outcome]:
            if len(self.asked) == 5:
                raise RuntimeError("out of memory")
            return super()._answer(item)

    with pytest.raises(RuntimeError, match="out of memory"):
        predict(Breaking(), clips, tmp_path)
    echo = Echo()
    predict(echo, clips, tmp_path)
    assert len(echo.asked) == NUM_CLIPS - 5


def test_halves_of_characters_are_no_answer_and_no_reason(clips: Path, tmp_path: Path) -> None:
    class Rubbish(Echo):
        def _answer(self, item: tuple[int, Question]) -> tuple[int, Outcome]:
            number, outcome = super()._answer(item)
            return number, outcome if isinstance(outcome, DashengError) else Reply("an \ud83d answer", 1.0)

    rows = lines_of(predict(Rubbish({"clips/2.wav": "no \udcff.wav\nis here"}), clips, tmp_path, limit=3).path)
    assert [row.get("error", row["model_output"]) for row in rows] == [*["an ? answer"] * 2, "no ?.wav is here"]


def command(model: Path, clips: Path, output: Path, *more: str) -> list[str]:
    task = output.parent / "small.toml"
    task.write_text(TASK_FILE)
    given = ["--model", str(model), "--data", str(clips), "--output", str(output), "--device", "cpu", *more]
    return [sys.executable, "-m", "opendasheng", "eval", "predict", str(task), *given]


def test_a_kill_loses_nothing_and_repeats_nothing(model_folder: Path, answerer: EngineAnswerer, tmp_path: Path) -> None:
    clips = a_manifest(tmp_path / "data", 40, broken=[7])
    given = command(model_folder, clips, tmp_path / "run", "--batch-size", "2")
    path = tmp_path / "run" / "small" / "predictions.jsonl"
    process = subprocess.Popen(given, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while not path.exists() or path.read_bytes().count(b"\n") < 5:
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.002)
    finally:
        process.kill()
    assert process.wait() == -signal.SIGKILL
    kept = path.read_bytes()
    assert 5 <= kept.count(b"\n") < 40
    with path.open("ab") as file:  # as if the kill had come in the middle of a line
        file.write(b'{"id": "clips/39.wav", "model_out')
    answered = sum("error" not in json.loads(line) for line in kept.splitlines())
    counts = predict(answerer, clips, tmp_path / "run")
    assert (counts.num_answered, counts.num_before, counts.num_failed) == (39 - answered, answered, 1)
    assert set(kept.splitlines()) <= set(path.read_bytes().splitlines())
    predict(answerer, clips, tmp_path / "other")
    assert path.read_bytes() == (tmp_path / "other" / "small" / "predictions.jsonl").read_bytes()
    assert [file.name for file in path.parent.iterdir()] == ["predictions.jsonl"]


# Several processes


def test_processes_are_those_of_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Ranks.of_environment() == Ranks(0, 1)
    monkeypatch.setenv("RANK", "2")
    assert Ranks.of_environment() == Ranks(0, 1)
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert Ranks.of_environment() == Ranks(2, 3)
    for rank, total in (("3", "3"), ("-1", "2"), ("x", "2"), ("0", "0")):
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("WORLD_SIZE", total)
        with pytest.raises(EvaluationError, match="RANK is"):
            Ranks.of_environment()


def test_each_process_asks_its_share_and_the_last_puts_all_together(clips: Path, tmp_path: Path) -> None:
    predict(Echo(), clips, tmp_path / "one")
    asked = []
    for rank in (2, 0, 1):
        echo = Echo()
        counts = predict(echo, clips, tmp_path / "three", ranks=Ranks(rank, 3))
        assert counts.complete == (rank == 1)
        assert counts.num_answered == NUM_CLIPS // 3
        asked += echo.asked
    assert len(set(asked)) == len(asked) == NUM_CLIPS
    one, three = (tmp_path / name / "small" / "predictions.jsonl" for name in ("one", "three"))
    assert one.read_bytes() == three.read_bytes()
    assert list(three.parent.iterdir()) == [three]


def test_another_number_of_processes_goes_on_from_the_same_rows(clips: Path, tmp_path: Path) -> None:
    predict(Echo({"clips/3.wav": "away"}), clips, tmp_path, ranks=Ranks(0, 3))
    echo = Echo()
    assert not predict(echo, clips, tmp_path, ranks=Ranks(1, 2)).complete
    assert sorted(echo.asked) == sorted(f"clips/{number}.wav" for number in (1, 3, 5, 7, 11))
    echo = Echo()
    counts = predict(echo, clips, tmp_path)
    assert sorted(echo.asked) == sorted(f"clips/{number}.wav" for number in (2, 4, 8, 10))
    assert counts.complete
    predict(Echo(), clips, tmp_path / "whole")
    assert counts.path.read_bytes() == (tmp_path / "whole" / "small" / "predictions.jsonl").read_bytes()


def start(given: list[str], rank: int, total: int) -> "subprocess.Popen[str]":
    environment = {**os.environ, "RANK": str(rank), "WORLD_SIZE": str(total), "LOCAL_RANK": str(rank)}
    return subprocess.Popen(given, stderr=subprocess.PIPE, text=True, env=environment)


def test_two_real_processes_write_what_one_does(model_folder: Path, answerer: EngineAnswerer, tmp_path: Path) -> None:
    clips = a_manifest(tmp_path / "data", 15)
    given = command(model_folder, clips, tmp_path / "two")
    processes = [start(given, rank, 2) for rank in range(2)]
    said = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert "".join(said).count("another process puts the rows together") == 1
    predict(answerer, clips, tmp_path / "one")
    one, two = (tmp_path / name / "small" / "predictions.jsonl" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    assert list(two.parent.iterdir()) == [two]


@pytest.mark.full
def test_processes_that_are_killed_again_and_again_end_in_the_same_file(
    model_folder: Path, answerer: EngineAnswerer, tmp_path: Path
) -> None:
    clips = a_manifest(tmp_path / "data", 120, broken=[11])
    given = command(model_folder, clips, tmp_path / "run", "--batch-size", "2")
    folder = tmp_path / "run" / "small"

    def num_rows() -> int:
        return sum(path.read_bytes().count(b"\n") for path in folder.glob("*.jsonl")) if folder.exists() else 0

    for total in (2, 3, 1):
        processes = [start(given, rank, total) for rank in range(total)]
        before, deadline = num_rows(), time.monotonic() + 180
        while num_rows() < before + 12 and time.monotonic() < deadline:
            assert any(process.poll() is None for process in processes)
            time.sleep(0.002)
        for process in processes:
            process.kill()
            process.communicate()
    processes = [start(given, rank, 2) for rank in range(2)]
    said = [process.communicate(timeout=180)[1] for process in processes]
    assert "unexpected" not in "".join(said), said
    predict(answerer, clips, tmp_path / "other")
    other = tmp_path / "other" / "small" / "predictions.jsonl"
    assert (folder / "predictions.jsonl").read_bytes() == other.read_bytes()
    assert [path.name for path in folder.iterdir()] == ["predictions.jsonl"]


def test_outcomes_of_the_engine_are_replies_or_errors(answerer: EngineAnswerer, clips: Path) -> None:
    task = a_task()
    questions = [Question(one.id, one.audio, "Q") for one in TaskData(task, clips).examples()]
    outcomes = dict(answerer.answers(questions, {"max_new_tokens": 2}))
    assert sorted(outcomes) == list(range(NUM_CLIPS))
    assert isinstance(outcomes[4], DashengError)
    assert all(isinstance(outcomes[number], Reply) for number in outcomes if number != 4)
