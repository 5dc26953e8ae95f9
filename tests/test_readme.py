"""The README's commands and snippets are run as they stand, with the bundled model; its demo prints what it shows."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from opendasheng import prompts
from opendasheng.cli import COMMANDS

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(
    r"^```(\w*)\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
)
COMMAND_LINES = [
    line.split("  #")[0].strip()
    for language, block in BLOCKS
    if not language
    for line in block.splitlines()
    if line.startswith("opendasheng ")
]
# What a command may not do here: take minutes, or reach for packages. Their options are checked all the same.
TOO_LONG = ("corpus", "train", "export", "bench", "curate", "eval run")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the files that the README's commands name."""
    (tmp_path / "recordings").mkdir()
    (tmp_path / "archive").mkdir()
    tone = 0.1 * np.sin(np.arange(16_000) / 5)
    for name in (
        "rain.wav",
        "clip.wav",
        "clip.flac",
        "talk.mp3",
        "a.wav",
        "b.wav",
        "recordings/c.ogg",
        "archive/d.wav",
    ):
        soundfile.write(tmp_path / name, tone, 16_000)
    (tmp_path / "results" / "mini-asr-en").mkdir(parents=True)
    row = {"dataset_name": "mini-asr-en", "lang": "en", "text": "all agents are busy", "model_output": "agents"}
    (tmp_path / "results" / "mini-asr-en" / "predictions.jsonl").write_text(json.dumps(row) + "\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _run(arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", "opendasheng", *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )


def test_the_readme_shows_commands():
    assert {shlex.split(line)[1] for line in COMMAND_LINES} == set(COMMANDS) | {"info"}


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_a_command_does_what_it_says(line, folder):
    arguments = shlex.split(line)[1:]
    if arguments[0] in TOO_LONG or " ".join(arguments[:2]) in TOO_LONG:
        told = " ".join(_run([*part, "--help"], folder).stdout for part in (arguments[:1], arguments[:2]))
        assert all(argument in told for argument in arguments if argument.startswith("--"))
        return
    done = _run(arguments, folder)
    assert done.returncode == 0, done.stderr
    written = Path(arguments[arguments.index("--output") + 1]) if "--output" in arguments else None
    assert done.stdout.strip() or (written is not None and _holds_something(written))


def _holds_something(path):
    paths = path.iterdir() if path.is_dir() else [path]
    return any(part.stat().st_size for part in paths)


def test_the_demo_prints_what_the_readme_shows():
    done = _run(["caption", "examples/clips"], ROOT)
    assert done.returncode == 0, done.stderr
    shown = [block for language, block in BLOCKS if not language and block.startswith("examples/clips/")]
    assert shown == [done.stdout]


def test_the_python_of_the_readme_runs(folder, capsys):
    code = next(block for language, block in BLOCKS if language == "python" and "opendasheng.load" in block)
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out.strip()
    asked = re.findall(r'prompt="([^"]+)"', code)
    published = {prompts.styled(task, style) for task in ("caption", "tag") for style in prompts.styles(task)}
    assert set(asked) <= published
