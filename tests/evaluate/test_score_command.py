"""``opendasheng score`` as a user runs it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from opendasheng import cli
from opendasheng.evaluate import score_command, statistics

FIXTURES = Path(__file__).parent / "fixtures"
CONTRACT = ["task", "metric", "compat", "strict", "num_rows", "num_skipped", "num_unparsed", "ci95"]


def test_json_is_one_object_with_the_keys_of_the_contract(capsys):
    assert cli.main(["score", str(FIXTURES / "NSynth.jsonl"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found)[: len(CONTRACT)] == CONTRACT
    assert found["compat"] == 95.0
    assert found["ci95"][0] <= 95.0 <= found["ci95"][1]


def test_text_shows_both_figures_the_interval_and_the_paper(capsys):
    assert cli.main(["score", str(FIXTURES / "NSynth.jsonl"), "--resamples", "50"]) == 0
    said = capsys.readouterr().out
    for words in ("compat", "strict", "95.00", "95 % interval", "80.52", "midashenglm", "higher is better"):
        assert words in said
    assert cli.main(["score", str(FIXTURES / "NSynth.jsonl"), "--no-intervals"]) == 0
    assert "interval" not in capsys.readouterr().out


def test_an_error_is_one_line_and_exit_1(capsys, tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text('{"dataset_name": "NSynth", "label": [], "model_output": ""}\n')
    assert cli.main(["score", str(path)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "row 1: field 'label' is an empty list" in captured.err


@pytest.mark.parametrize("arguments", [[], ["x.jsonl", "--resamples", "-1"], ["x.jsonl", "--seed", "x"]])
def test_wrong_usage_is_exit_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["score", *arguments])
    assert caught.value.code == 2


def test_the_default_is_that_of_the_statistics():
    assert score_command._RESAMPLES == statistics.RESAMPLES


@pytest.mark.parametrize(
    ("row", "needed"),
    [
        ({"dataset_name": "LibriSpeech_test-clean", "text": "a", "lang": "en"}, {"rapidfuzz", "whisper_normalizer"}),
        ({"dataset_name": "FSD50K", "label": ["a"], "model_name": "m"}, set()),
    ],
)
def test_scoring_text_loads_no_tensor_library(tmp_path, row, needed):
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps({**row, "model_output": "a"}) + "\n")
    heavy = {"torch", "transformers", "sklearn", "scipy", "sentence_transformers", "pandas", "soundfile"}
    script = (
        f"import sys; from opendasheng.cli import main; main(['score', {str(path)!r}]);"
        f"print(sorted({heavy | needed} & {{name.partition('.')[0] for name in sys.modules}}), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == str(sorted(needed))
