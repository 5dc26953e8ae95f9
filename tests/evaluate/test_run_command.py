"""``eval run``: killed on the way and called again, it ends in the report of a run that was left alone."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_tasks import TASK_FILE, a_manifest

from opendasheng.cli import main

FILES = ("report.json", "report.md", "report.html")


@pytest.fixture
def task_file(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(TASK_FILE)
    return path


def test_two_kills_do_not_show_in_the_report(model_folder: Path, task_file: Path, tmp_path: Path, capsys) -> None:
    data = a_manifest(tmp_path / "data", 40, broken=[7])

    def command(out: str) -> list[str]:
        given = ["--data", data, "--model", model_folder, "--device", "cpu", "--batch-size", "2", "--resamples", "50"]
        return ["eval", "run", str(task_file), "--output", str(tmp_path / out), *map(str, given)]

    path = tmp_path / "killed" / "small" / "predictions.jsonl"
    for num_lines in (4, 16):
        process = subprocess.Popen(
            [sys.executable, "-m", "opendasheng", *command("killed")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 120
        while not path.exists() or path.read_bytes().count(b"\n") < num_lines:
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        assert not (tmp_path / "killed" / "report.json").exists()
    assert main(command("killed")) == 1  # a broken clip is a failed row
    first = capsys.readouterr().out
    assert main(command("whole")) == 1
    assert capsys.readouterr().out == first
    for name in FILES:
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert "1 rows failed" in first


def test_nothing_to_run_is_wrong_usage(tmp_path: Path, capsys) -> None:
    assert main(["eval", "run", "--output", str(tmp_path)]) == 2
    assert "--table" in capsys.readouterr().err
    assert main(["eval", "run", "--table", "99", "--output", str(tmp_path)]) == 1
    assert "no task is of table '99'" in capsys.readouterr().err
