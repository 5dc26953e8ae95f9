"""A report is a function of the predictions, and every figure in it can be had by other means."""

import json
import random
from pathlib import Path

import numpy as np
import pytest

from opendasheng.errors import EvaluationError
from opendasheng.evaluate.metrics.base import Resources
from opendasheng.evaluate.report.data import report, to_dict
from opendasheng.evaluate.report.published import column_of
from opendasheng.evaluate.report.write import write_report
from opendasheng.evaluate.scoring import score_file

FIXTURES = Path(__file__).parents[1] / "fixtures"
FILES = {"report.json", "report.md", "report.html", "radar.svg"}


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def figure(found, task, label="mini"):
    return next(one for one in to_dict(found)["figures"] if (one["task"], one["label"]) == (task, label))


def test_the_same_predictions_give_the_same_bytes(run, letters, tmp_path):
    write_report(report([run], resources=letters, resamples=50), tmp_path / "first")
    for seed in range(3):
        for file in run.glob("*/predictions.jsonl"):
            lines = file.read_bytes().splitlines(keepends=True)
            random.Random(seed).shuffle(lines)
            file.write_bytes(b"".join(lines))
        write_report(report([run], resources=letters, resamples=50), tmp_path / "again")
        assert contents(tmp_path / "again") == contents(tmp_path / "first")
    assert set(contents(tmp_path / "first")) == FILES


def test_a_run_killed_and_resumed_ends_in_the_same_report(run, letters, tmp_path):
    write_report(report([run], resources=letters, resamples=20), tmp_path / "whole")
    file = run / "librispeech-test-clean" / "predictions.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    # Before the kill some clips failed that the second run answered, and it wrote the others first.
    before = [row | {"model_output": "", "error": "the server is away"} for row in rows[:7]]
    file.write_text("".join(json.dumps(row) + "\n" for row in [*before, *rows[15:], *rows[:15]]))
    write_report(report([run], resources=letters, resamples=20), tmp_path / "resumed")
    assert contents(tmp_path / "resumed") == contents(tmp_path / "whole")


def test_no_machine_shows_in_a_report(run, letters, tmp_path):
    named = type(letters.sentences())("/home/someone/models/letters")
    write_report(report([run], resources=Resources(sentences=lambda: named), resamples=20), tmp_path / "out")
    text = b"".join(contents(tmp_path / "out").values()).decode()
    assert "letters" in text
    for word in (str(tmp_path), "/home", "/secret", "someone"):
        assert word not in text


@pytest.mark.parametrize("name", ["NSynth", "MuChoMusic"])
def test_figures_are_those_of_the_score_command(name):
    score = score_file(FIXTURES / f"{name}.jsonl", resamples=100)
    (found,) = to_dict(report([FIXTURES / f"{name}.jsonl"], resamples=100))["figures"]
    for key in ("compat", "strict", "ci95", "ci95_strict", "num_rows", "num_skipped", "num_unparsed", "metric"):
        assert found[key] == pytest.approx(getattr(score, key), abs=1e-6), key


def test_the_paper_stands_beside_the_model_that_it_measured(rows, write):
    files = [
        write(f"{i}.jsonl", [rows.nsynth(n, name, quality) for n in range(60)])
        for i, (name, quality) in enumerate([("MiDashengLM", 0.75), ("Qwen/Qwen2.5-Omni-7B", 0.0), ("mini", 0.5)])
    ]
    found = report(files, resamples=100)
    ours, qwen, mini = (figure(found, "nsynth", label) for label in ("MiDashengLM", "Qwen/Qwen2.5-Omni-7B", "mini"))
    assert ours["paper"]["model"] == "midashenglm"
    assert ours["paper"]["difference"] == pytest.approx(ours["compat"] - 80.52, abs=1e-5)
    assert ours["paper"]["inside"] is (ours["ci95"][0] <= 80.52 <= ours["ci95"][1])
    assert (qwen["paper"]["figure"], qwen["paper"]["inside"]) == (60.45, False)
    assert mini["paper"] is None
    assert mini["paper_figures"]["kimi-audio"] == 38.09


@pytest.mark.parametrize(
    ("model", "column"),
    [
        ("MiDashengLM", "midashenglm"),
        ("mispeech/midashenglm-7b-0804-fp32", "midashenglm"),
        ("/models/MiDashengLM-7B/", "midashenglm"),
        ("MiDashengLM (mini)", None),
        ("mini", None),
        ("Qwen2.5-Omni", "qwen2.5-omni"),
        ("Qwen/Qwen2.5-Omni-7B", "qwen2.5-omni"),
        ("Qwen/Qwen2.5-Omni-3B", None),
        ("Kimi-Audio", "kimi-audio"),
        ("moonshotai/Kimi-Audio-7B-Instruct", "kimi-audio"),
        ("Kimi-Audio-Instruct", "kimi-audio"),
        ("Kimi-Audio-Instruct-7B", "kimi-audio"),
        ("", None),
    ],
)
def test_only_the_models_of_the_paper_have_its_figures(model, column):
    assert column_of(model) == column


def test_without_resamples_there_is_no_interval(rows, write):
    file = write("a.jsonl", [rows.nsynth(n, "MiDashengLM") for n in range(9)])
    one = figure(report([file], resamples=0), "nsynth", "MiDashengLM")
    assert (one["ci95"], one["ci95_strict"], one["paper"]["inside"]) == (None, None, None)
    assert one["paper"]["difference"] is not None


def test_a_stand_in_is_said_and_never_compared(rows, write, letters):
    file = write("a.jsonl", [rows.caption(n, "MiDashengLM") for n in range(9)])
    one = figure(report([file], resources=letters, resamples=10), "autoacd", "MiDashengLM")
    assert one["paper"] == {
        "model": "midashenglm",
        "figure": 66.52,
        "comparable": False,
        "difference": None,
        "inside": None,
    }
    assert any("letters stands in for the published sentence model" in note for note in one["notes"])


def test_parts_are_what_their_rows_score_alone(run, rows, write, letters):
    one = figure(report([run], resources=letters, resamples=0), "librispeech-test-clean")
    parts = {part["by"]: {p["name"]: p for p in part["parts"]} for part in one["breakdowns"]}
    assert list(parts["language"]) == ["en", "ru"]
    assert list(parts["length"]) == ["0 to 2 s", "2 to 5 s", "5 to 10 s", "10 to 30 s", "30 s and more"]
    found = [json.loads(line) for line in (run / "librispeech-test-clean" / "predictions.jsonl").open()]
    for part, belongs in (
        (parts["language"]["ru"], lambda row: row["lang"] == "ru"),
        (parts["length"]["2 to 5 s"], lambda row: row["duration_seconds"] == 2.0),
    ):
        alone = score_file(write("alone.jsonl", [row for row in found if belongs(row)]), resamples=0)
        assert part["num_rows"] == alone.num_rows > 0
        assert part["compat"] == pytest.approx(alone.compat, abs=1e-6)
        assert part["strict"] == pytest.approx(alone.strict, abs=1e-6)


def test_rows_without_a_length_are_a_part_of_their_own(rows, write):
    lengths = [0.1, 1, None, "long", float("nan"), True, -1, 30, 10**400, float("inf")]
    file = write("a.jsonl", [rows.nsynth(n, duration_seconds=length) for n, length in enumerate(lengths)])
    ((by, parts),) = [(b["by"], b["parts"]) for b in figure(report([file], resamples=0), "nsynth")["breakdowns"]]
    assert by == "length"
    assert [(part["name"], part["num_rows"]) for part in parts] == [
        ("0 to 2 s", 2),
        ("30 s and more", 1),
        ("unknown", 7),
    ]


def test_many_sources_are_cut_down_to_the_frequent_ones(rows, write):
    found = [rows.nsynth(n, source=f"source {n % 70:02d}" if n < 130 else None) for n in range(135)]
    (parts,) = [b["parts"] for b in figure(report([write("a.jsonl", found)], resamples=0), "nsynth")["breakdowns"]]
    assert len(parts) == 52
    assert [(part["name"], part["num_rows"]) for part in parts[-2:]] == [("all others", 30), ("unknown", 5)]
    assert sum(part["num_rows"] for part in parts) == 135


def test_speakers_that_a_task_names_are_told_apart(rows, write):
    found = [rows.nsynth(n, speaker="anna" if n % 3 else "ben") for n in range(9)]
    ((by, parts),) = [
        (b["by"], b["parts"]) for b in figure(report([write("a.jsonl", found)], resamples=0), "nsynth")["breakdowns"]
    ]
    assert (by, [(part["name"], part["num_rows"]) for part in parts]) == ("speaker", [("anna", 6), ("ben", 3)])


def test_failures_count_as_empty_answers(run, letters):
    one = figure(report([run], resources=letters, resamples=0), "librispeech-test-clean")
    assert (one["num_failed"], one["num_skipped"], one["num_unparsed"]) == (3, 3, 3)
    assert one["failures"][0]["count"] == 3
    assert "3 rows failed and count as empty answers" in one["notes"]
    assert one["strict"] > one["compat"], "empty answers are errors, which the published definition leaves out"


def test_what_cannot_be_scored_is_said_and_the_rest_goes_on(run, rows, write):
    broken = rows.nsynth(3)
    del broken["label"]
    file = write("broken.jsonl", [rows.nsynth(1), broken, rows.nsynth(2)])
    found = report([run, file], resamples=0)
    assert {entry.task.name for entry in found.entries} == {"nsynth", "librispeech-test-clean"}
    messages = {problem.name: problem.message for problem in found.problems}
    assert "--sentence-model" in messages["autoacd, mini (run)"]
    (said,) = (message for message in messages.values() if "'label' is missing" in message)
    assert said.startswith(f"broken.jsonl: {broken['audio']}: ")


def test_models_of_one_name_are_told_apart(rows, write):
    names = ["one/nsynth/predictions.jsonl", "two/nsynth/predictions.jsonl"]
    files = [write(name, [rows.nsynth(i, run=True) for i in range(5 + n)]) for n, name in enumerate(names)]
    assert [entry.label for entry in report(files, resamples=0).entries] == ["mini (one)", "mini (two)"]
    both = write("both.jsonl", [rows.nsynth(i, run=True, settings=s) for i in range(3) for s in ("aa", "bb")])
    labels = [entry.label for entry in report([both], resamples=0).entries]
    assert labels == ["mini (both.jsonl, settings aa)", "mini (both.jsonl, settings bb)"]
    assert [entry.label for entry in report([files[0]], resamples=0).entries] == ["mini"]


def test_clusters_are_named(rows, write):
    plain, spoken = write("a.jsonl", [rows.choice(1)]), write("b.jsonl", [rows.speech(1, cluster="anna")])
    found = report([plain, spoken, write("c.jsonl", [rows.nsynth(1)])], resamples=0)
    assert {entry.task.name: entry.clustered_by for entry in found.entries} == {
        "muchomusic": "question (each row by itself)",
        "librispeech-test-clean": "the rows' field cluster",
        "nsynth": r"field audio, pattern ^([a-z]+_[a-z]+_\d+)",
    }


def test_one_cluster_has_no_interval(rows, write):
    file = write("a.jsonl", [rows.nsynth(i, cluster="anna") for i in range(9)])
    one = figure(report([file], resamples=10), "nsynth")
    assert (one["clusters"]["num"], one["ci95"], one["ci95_strict"]) == (1, None, None)
    assert "all rows are of one cluster, so that there is no interval" in one["notes"]


def test_figures_are_rounded_alike_on_every_machine(run, letters):
    def floats(value):
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, list | tuple):
            return [number for item in value for number in floats(item)]
        return [value] if isinstance(value, float) else []

    found = floats(to_dict(report([run], resources=letters, resamples=20)))
    assert len(found) > 50
    assert all(number == round(number, 6) and np.isfinite(number) for number in found)


def test_an_audio_root_that_is_no_folder_is_an_error(run):
    with pytest.raises(EvaluationError, match="audio-root"):
        report([run], audio_root=run / "nowhere")
