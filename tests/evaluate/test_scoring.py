"""A prediction file is scored to the digits of the published scripts, whatever the order of its rows."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from opendasheng.errors import EvaluationError
from opendasheng.evaluate.scoring import score_file

PUBLISHED = Path(__file__).parents[3] / "shared" / "published"
FIXTURES = Path(__file__).parent / "fixtures"


def rows_of(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def written(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "task", "right", "num_rows"),
    [("NSynth", "nsynth", 3298, 4096), ("MuChoMusic", "muchomusic", 847, 1187)],
)
def test_published_files_give_the_published_figures(name, task, right, num_rows):
    path = PUBLISHED / f"MiDashengLM_{name}.jsonl"
    if not path.exists():
        pytest.skip("the published prediction files are not beside this checkout")
    score = score_file(path)
    assert (score.task, score.num_rows, score.compat) == (task, num_rows, 100 * right / num_rows)
    assert score.ci95[0] < score.compat < score.ci95[1]
    assert score.notes == ()


@pytest.mark.parametrize(("name", "compat"), [("NSynth", 95.0), ("MuChoMusic", 77.5)])
def test_the_first_rows_of_published_files(name, compat):
    score = score_file(FIXTURES / f"{name}.jsonl")
    assert score.compat == compat
    assert score.num_rows == 40
    assert "this file answers 40" in score.notes[0]


@pytest.mark.parametrize("name", ["NSynth", "MuChoMusic"])
def test_order_and_line_ends_change_nothing(tmp_path, name):
    rows = rows_of(FIXTURES / f"{name}.jsonl")
    first = score_file(written(tmp_path / "a.jsonl", rows)).to_dict()
    random.Random(1).shuffle(rows)
    path = written(tmp_path / "b.jsonl", rows)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n\r\n"))
    second = score_file(path).to_dict()
    for score in (first, second):
        score.pop("provenance")
    assert first == second


def test_the_task_may_be_named_or_follow_from_the_rows(tmp_path):
    rows = [{**row, "dataset_name": "mine"} for row in rows_of(FIXTURES / "NSynth.jsonl")]
    path = written(tmp_path / "p.jsonl", rows)
    with pytest.raises(EvaluationError, match=r"row 1: dataset_name 'mine' belongs to no task.*--task"):
        score_file(path)
    assert score_file(path, "nsynth").compat == score_file(FIXTURES / "NSynth.jsonl").compat
    with pytest.raises(EvaluationError, match=r"no task 'nsinth'; did you mean nsynth"):
        score_file(path, "nsinth")


def test_rows_of_two_tasks_are_refused(tmp_path):
    rows = rows_of(FIXTURES / "NSynth.jsonl")[:2] + rows_of(FIXTURES / "MuChoMusic.jsonl")[:1]
    with pytest.raises(EvaluationError, match=r"row 3: .*muchomusic.*nsynth"):
        score_file(written(tmp_path / "p.jsonl", rows))


def test_answers_given_twice_are_told(tmp_path):
    rows = rows_of(FIXTURES / "NSynth.jsonl")
    score = score_file(written(tmp_path / "p.jsonl", [*rows, rows[0]]))
    assert "1 rows answer a question that another row answers too" in score.notes[0]


@pytest.mark.parametrize("field", ["model_output", "label", "dataset_name"])
def test_a_missing_field_is_named_with_its_row(tmp_path, field):
    rows = rows_of(FIXTURES / "NSynth.jsonl")
    del rows[4][field]
    with pytest.raises(EvaluationError, match=rf"p\.jsonl: row 5: field '{field}' is missing"):
        score_file(written(tmp_path / "p.jsonl", rows))


def test_intervals_resample_clusters(tmp_path):
    """Forty speakers that are all right or all wrong leave far more open than four hundred clips would."""
    rows = [
        {
            "dataset_name": "LibriSpeech_test-clean",
            "audio": f"{speaker}-1-{clip}.flac",
            "lang": "en",
            "text": "a dog barks",
            "model_output": "a dog barks" if speaker % 2 else "a dog meows",
        }
        for speaker in range(40)
        for clip in range(10)
    ]
    score = score_file(written(tmp_path / "p.jsonl", rows))
    assert score.num_clusters == 40
    assert score.compat == pytest.approx(100 / 6)
    assert 8 < score.ci95[1] - score.ci95[0] < 13  # binomial over 40: 10.3; over 400: 3.3


def test_an_interval_over_few_speakers_says_so(tmp_path):
    rows = [row | {"cluster": f"speaker {number % 3}"} for number, row in enumerate(rows_of(FIXTURES / "NSynth.jsonl"))]
    path = written(tmp_path / "a.jsonl", rows)
    assert "the rows are of 3 speakers or sources alone" in score_file(path, resamples=10).notes[-1]
    assert not any("alone" in note for note in score_file(path, resamples=0).notes)
    assert not any("alone" in note for note in score_file(written(tmp_path / "b.jsonl", rows[:3]), resamples=10).notes)


def test_a_sentence_metric_needs_its_model_named():
    with pytest.raises(EvaluationError, match="--sentence-model"):
        score_file(FIXTURES / "AutoACD.jsonl")


def test_a_million_rows_fit_in_a_gigabyte(tmp_path):
    """Held to on a tenth of that: what grows with the rows stays below 700 bytes a row."""
    path = tmp_path / "p.jsonl"
    with path.open("w") as file:
        for i in range(100_000):
            row = {
                "dataset_name": "NSynth",
                "audio": f"a_b_{i % 99}-{i}",
                "label": ["bass"],
                "model_output": f"bass {i}",
            }
            file.write(json.dumps(row) + "\n")
    script = (
        "import resource, sys; from opendasheng.evaluate.scoring import score_file;"
        "size = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
        "score_file(sys.argv[1], resamples=0); print(size())"
    )
    sizes = []
    for file in (FIXTURES / "NSynth.jsonl", path):
        done = subprocess.run([sys.executable, "-c", script, file], capture_output=True, text=True, check=True)
        sizes.append(int(done.stdout))
    assert (sizes[1] - sizes[0]) * 1024 / 100_000 < 700
