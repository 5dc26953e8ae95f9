"""The command: side by side, as Markdown or JSON, and resumable."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest

from opendasheng.errors import ConfigError, EvaluationError
from opendasheng.evaluate.xares.command import configure_xares


def run(*words: object) -> int:
    parser = argparse.ArgumentParser()
    configure_xares(parser)
    args = parser.parse_args([str(word) for word in words])
    return args.run(args)


@pytest.fixture
def options(model_folder, corpus, tmp_path) -> list[object]:
    models = ["--model", model_folder, "--model", f"random:{model_folder}"]
    return ["--corpus", corpus, "--cache", tmp_path / "cache", "--device", "cpu", *models]


def test_a_trained_and_a_random_encoder_side_by_side(options, model_folder, tmp_path, capsys) -> None:
    assert run("kind", "gender", *options, "--seeds", "1,2", "--output", tmp_path / "out") == 0
    text, progress = capsys.readouterr()
    head = text.splitlines()[0]
    assert f"{model_folder} MLP" in head
    assert f"random:{model_folder} kNN" in head
    assert "| Speech, sound or music | accuracy | 18 | 33.3 |" in text
    assert "*weighted average*" in text
    assert "- Gender: few voices" in text
    assert "clips embedded" in progress
    assert (tmp_path / "out" / "xares.md").read_text() == text
    found = json.loads((tmp_path / "out" / "xares.json").read_text())
    assert [encoder["name"] for encoder in found["encoders"]] == [str(model_folder), f"random:{model_folder}"]
    assert len(found["results"]) == 4
    rows = {(row["encoder"], row["task"]): row for row in found["results"]}
    kind, gender = (rows[str(model_folder), name] for name in ("kind", "gender"))
    weighted = (18 * kind["mlp"] + 6 * gender["mlp"]) / 24
    assert found["averages"][str(model_folder)]["mlp"]["all"] == pytest.approx(weighted, abs=1e-3)
    with pytest.raises(EvaluationError, match="--force"):
        run("kind", *options, "--output", tmp_path / "out")
    assert run("kind", *options, "--output", tmp_path / "out", "--force", "--json") == 0
    again, progress = capsys.readouterr()
    assert json.loads(again)["seeds"] == [42]
    assert "embedded" not in progress


def test_data_of_the_package_come_with_the_figures_of_the_report(model_folder, corpus, tmp_path, capsys) -> None:
    assert run("--corpus", corpus, "--write-tars", tmp_path / "env", "gender") == 0
    assert "12 train, 6 valid, 6 test" in capsys.readouterr().out
    assert run("--data", tmp_path / "env", "--cache", tmp_path, "--model", model_folder, "--device", "cpu") == 0
    text, progress = capsys.readouterr()
    assert "98.5 | 94.9 |" in text
    assert "cremad: passed over" in progress


def test_what_is_asked_for_wrongly_is_said_in_one_line(options, corpus, tmp_path) -> None:
    for words, message in (
        ([], "name the data: --corpus FOLDER"),
        (["nonsense", *options], "no task 'nonsense' here; the tasks are kind, gender"),
        (["--data", tmp_path], "nothing in it that a task could be scored on"),
        (["--data", tmp_path, "--limit", "5"], "--limit 5 chooses clips of a corpus"),
        (["--write-tars", tmp_path], "--write-tars needs the corpus"),
        (["transcripts", *options], "--language-model"),
    ):
        with pytest.raises(EvaluationError, match=message) as caught:
            run(*words)
        assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="device"):
        run("kind", *options, "--device", "tpu")


def test_the_list_names_every_task(capsys) -> None:
    assert run("--list") == 0
    text = capsys.readouterr().out
    assert "ESC-50 (accuracy; weight 400; zenodo 14614287)" in text
    assert "Finger snap sound (accuracy; weight 5000; private)" in text
    assert len(text.splitlines()) == 2 + 9 + 27


def test_help_and_list_load_no_tensor_library() -> None:
    script = (
        "import argparse, sys; from opendasheng.evaluate.xares.command import configure_xares; "
        "p = argparse.ArgumentParser(); configure_xares(p); p.format_help(); a = p.parse_args(['--list']); a.run(a); "
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.full
def test_a_run_that_is_killed_goes_on_and_ends_in_the_same_table(options, tmp_path) -> None:
    script = (
        "import argparse, sys; from opendasheng.evaluate.xares.command import configure_xares; "
        "p = argparse.ArgumentParser(); configure_xares(p); a = p.parse_args(); sys.exit(a.run(a))"
    )
    words = [sys.executable, "-c", script, "kind", "scenes", *map(str, options), "--limit", "150"]
    cache = words.index("--cache") + 1
    whole = subprocess.run(words, capture_output=True, text=True, check=True)
    words[cache] = str(tmp_path / "killed")
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("opendasheng: scenes, ") and " embedded" in line:
            process.kill()
            break
    assert process.wait() != 0
    blocks = {path: path.stat().st_mtime_ns for path in (tmp_path / "killed").rglob("block-*.json")}
    again = subprocess.run(words, capture_output=True, text=True, check=True)
    assert again.stdout == whole.stdout
    assert {path: path.stat().st_mtime_ns for path in blocks} == blocks


def test_every_file_of_data_is_in_the_package() -> None:
    import opendasheng.evaluate.xares as room

    assert {path.name for path in Path(room.__file__).parent.glob("*.toml")} == {"tasks.toml", "corpus.toml"}
