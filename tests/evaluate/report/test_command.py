"""``opendasheng eval report`` and ``eval compare``: text to stdout, files whole, exit codes that tell."""

import json

import pytest

from opendasheng.cli import main
from opendasheng.evaluate.report import command, compare, data


def test_the_report_goes_to_stdout_and_into_files(run, tmp_path, capsys):
    out = tmp_path / "new" / "out"
    assert main(["eval", "report", str(run / "nsynth"), "--output", str(out), "--resamples", "20"]) == 0
    shown = capsys.readouterr()
    assert shown.out == (out / "report.md").read_text(encoding="utf-8")
    assert "| NSynth | mini | accuracy@1 | 40 |" in shown.out
    assert sorted(path.name for path in out.iterdir()) == ["report.html", "report.json", "report.md"]
    assert "wrote" in shown.err
    assert "ours - paper" not in shown.out, "the paper has no figure of mini"


def test_json_is_the_file(run, tmp_path, capsys):
    arguments = ["eval", "report", str(run / "nsynth"), "--output", str(tmp_path / "out"), "--no-intervals", "--json"]
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert shown == (tmp_path / "out" / "report.json").read_text()
    found = json.loads(shown)
    assert found["schema"] == 1
    assert found["figures"][0]["ci95"] is None


def test_what_cannot_be_scored_is_exit_code_1_and_the_rest_is_reported(run, capsys):
    assert main(["eval", "report", str(run), "--no-intervals"]) == 1
    shown = capsys.readouterr()
    assert "| NSynth | mini |" in shown.out
    assert "> **Not scored:** autoacd, mini" in shown.out
    assert "opendasheng: autoacd, mini: this metric compares sentence vectors" in shown.err


def test_a_picture_that_no_longer_fits_is_removed(run, rows, write, tmp_path, capsys):
    for task, make in (("muchomusic", rows.choice),):
        write(f"run/{task}/predictions.jsonl", [make(i) for i in range(5)])
    out = ["--output", str(tmp_path / "out"), "--no-intervals"]
    assert main(["eval", "report", str(run), *out]) == 1
    assert (tmp_path / "out" / "radar.svg").is_file()
    assert main(["eval", "report", str(run / "nsynth"), *out]) == 0
    assert not (tmp_path / "out" / "radar.svg").exists()


def test_a_readme_is_brought_up_to_date(rows, write, tmp_path, capsys):
    readme = tmp_path / "README.md"
    readme.write_text("a\n<!-- paper:begin -->\n<!-- paper:end -->\nb\n")
    file = write("a.jsonl", [rows.nsynth(i, "MiDashengLM") for i in range(30)])
    arguments = ["eval", "report", str(file), "--update", str(readme), "--resamples", "20"]
    assert main(arguments) == 0
    assert "| NSynth | accuracy@1 | 30 | 80.52 |" in readme.read_text()
    assert main(arguments) == 0
    assert "nothing to change" in capsys.readouterr().err


def test_compare_prints_markdown_or_json(rows, write, capsys):
    a = write("a.jsonl", [rows.nsynth(i, "weak", 0.1) for i in range(50)])
    b = write("b.jsonl", [rows.nsynth(i, "strong", 0.9) for i in range(50)])
    assert main(["eval", "compare", str(a), str(b), "--resamples", "100"]) == 0
    assert "B is better" in capsys.readouterr().out
    assert main(["eval", "compare", str(a), str(b), "--json", "--no-intervals", "--examples", "2"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["comparisons"]
    assert (found["num_rows"], found["compat"]["p"], len(found["most_different"])) == (50, None, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["report", "nowhere"], "no such file"),
        (["report", "{run}", "--audio-root", "nowhere"], "--audio-root"),
        (["report", "{run}/nsynth", "--output", "{run}/nsynth/predictions.jsonl"], "choose another --output"),
        (["compare", "{run}/nsynth", "{run}/librispeech-test-clean"], "no task in common"),
    ],
)
def test_mistakes_are_one_line(run, capsys, arguments, message):
    assert main(["eval", *(argument.format(run=run) for argument in arguments), "--no-intervals"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_counts_are_whole_numbers(run, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["eval", "report", str(run), "--worst", "-1"])
    assert stop.value.code == 2
    assert "whole number" in capsys.readouterr().err


def test_help_tells_the_numbers_that_are_used():
    assert command._WORST == data.WORST == compare.EXAMPLES
