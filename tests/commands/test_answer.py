"""caption, transcribe, tag and ask on real files: what they print, what they keep, and what survives a kill."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from opendasheng.cli import main
from opendasheng.commands.inputs import clip_id, expand
from opendasheng.engine import Engine
from opendasheng.errors import ConfigError
from opendasheng.journal import Journal


def noise(num_samples: int) -> "np.ndarray[Any, Any]":
    return np.random.default_rng(num_samples).normal(size=num_samples) * 0.1


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with six clips of different lengths, some in a sub-folder, and things that are none."""
    folder = tmp_path_factory.mktemp("clips")
    (folder / "sub").mkdir()
    for number, name in enumerate(("a.wav", "b.flac", "c.ogg", "sub/d.WAV", "sub/e.wav", "sub/f.wav")):
        soundfile.write(folder / name, noise(20_000 - 3_000 * number), 16_000)
    (folder / "notes.txt").write_text("no audio")
    soundfile.write(folder / ".hidden.wav", noise(4_000), 16_000)
    return folder


class Run:
    """Calls the command line in this process with the tests' model and few new tokens."""

    def __init__(self, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.model = model
        self.capsys = capsys

    def __call__(self, command: str, *arguments: object) -> tuple[int, list[str], list[str]]:
        """Exit code, lines of stdout, lines of stderr."""
        given = [command, "--model", self.model, "--max-new-tokens", "6", *arguments]
        code = main([str(argument) for argument in given])
        out, err = self.capsys.readouterr()
        return code, out.splitlines(), err.splitlines()


@pytest.fixture
def run(model_folder: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(model_folder, capsys)


def said(engine: Engine, path: Path, prompt: str, **options: Any) -> str:
    return engine.generate(path, prompt, **{"max_new_tokens": 6, **options}).text


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


# Questions


@pytest.mark.parametrize(
    ("command", "prompt"),
    [
        (["caption"], "What is happening in this audio? Provide a brief caption within 15 words."),
        (
            ["caption", "--style", "long"],
            "What is happening in this audio? Provide a detailed caption within 1-2 sentences.",
        ),
        (["transcribe"], "Transcribe the speech into text <|en|>"),
        (["transcribe", "--language", "vi"], "Transcribe the speech in to text <|vi|>"),
        (["tag"], "Which labels describe the sound?"),
        (["tag", "--style", "genre"], "What's the music genre?"),
        (["ask", "--question", "Who barks?"], "Who barks?"),
        (["ask", "--question", "Q?", "--context", "Rex"], "Q? The following names and terms may occur: Rex."),
    ],
)
def test_each_command_asks_its_question(command: list[str], prompt: str, run: Run, clips: Path, engine: Engine) -> None:
    code, out, err = run(*command, "--json", clips / "a.wav")
    assert (code, err) == (0, [])
    record = json.loads("\n".join(out))
    assert record["prompt"] == prompt
    assert record["text"] == said(engine, clips / "a.wav", prompt)
    assert record["audio_seconds"] == 1.25


def test_one_clip_gives_its_text_alone_and_several_a_line_each(run: Run, clips: Path, engine: Engine) -> None:
    prompt = "What?"
    code, out, _ = run("ask", "--question", prompt, clips / "a.wav")
    assert (code, "\n".join(out)) == (0, "\n".join(said(engine, clips / "a.wav", prompt).splitlines()))
    code, out, _ = run("ask", "--question", prompt, "--batch-size", 2, clips)
    names = ["a.wav", "b.flac", "c.ogg", "sub/d.WAV", "sub/e.wav", "sub/f.wav"]
    expected = [f"{clips / name}\t{' '.join(said(engine, clips / name, prompt).split())}" for name in names]
    assert (code, out) == (0, expected)


def test_choices_answer_with_one_of_them(run: Run, clips: Path) -> None:
    code, out, _ = run("tag", "--labels", "dog, cat,rain", clips)
    assert code == 0
    assert all(line.split("\t")[1] in ("dog", "cat", "rain") for line in out)
    code, out, _ = run("ask", "--question", "Q", "--choices", "a, b; c", clips / "a.wav")
    assert out[0] in ("a, b", "c")


def test_a_stream_is_the_answer(run: Run, clips: Path, engine: Engine) -> None:
    code, out, err = run("ask", "--question", "What?", "--stream", clips / "a.wav")
    assert (code, err) == (0, [])
    assert "\n".join(out) == "\n".join(said(engine, clips / "a.wav", "What?").splitlines())
    assert run("ask", "--question", "What?", "--stream", clips)[0] == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["caption", "--style", "poem", "x.wav"],
        ["tag", "--labels", "a,,b", "x.wav"],
        ["tag", "--labels", "a,a", "x.wav"],
        ["ask", "x.wav"],
        ["caption", "--max-seconds", "0", "x.wav"],
        ["caption", "--max-seconds", "nan", "x.wav"],
        ["caption", "--json", "--stream", "x.wav"],
    ],
)
def test_wrong_usage(arguments: list[str], run: Run) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(*arguments)


def test_wrong_values_are_2_and_a_missing_model_is_1(run: Run, clips: Path, tmp_path: Path) -> None:
    for wrong in (["--temperature", "-1"], ["--top-k", "3"], ["--device", "tpu"], ["--batch-size", "0"]):
        code, out, err = run("caption", *wrong, clips / "a.wav")
        assert (code, out, len(err)) == (2, [], 1), wrong
    code, out, err = run("transcribe", "--language", "russian!", clips / "a.wav")
    assert (code, out, len(err)) == (2, [], 1)
    code, out, err = run("caption", "--model", tmp_path / "gone", clips / "a.wav")
    assert (code, out, len(err)) == (1, [], 1)


# Failures


def test_each_bad_clip_is_one_line_and_the_others_are_answered(model_folder: Path, tmp_path: Path) -> None:
    good = {"8ch.wav": (np.stack([noise(24_000)] * 8, 1), 48_000), "4k.wav": (noise(4_000), 4_000)}
    good["192k.wav"] = (noise(96_000), 192_000)
    for name, (samples, rate_hz) in good.items():
        soundfile.write(tmp_path / name, samples, rate_hz)
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("this is no audio\n" * 20)
    soundfile.write(tmp_path / "torn.mp3", noise(48_000), 16_000)
    whole = (tmp_path / "torn.mp3").read_bytes()
    (tmp_path / "torn.mp3").write_bytes(whole[: len(whole) // 2])
    soundfile.write(tmp_path / "zero.wav", np.zeros(0), 16_000)
    broken = noise(16_000).astype(np.float32)
    broken[500] = np.nan
    soundfile.write(tmp_path / "nan.wav", broken, 16_000, subtype="FLOAT")
    soundfile.write(tmp_path / "10ms.wav", noise(160), 16_000)
    soundfile.write(tmp_path / "hour.wav", np.zeros(3_600 * 1_000, np.int16), 1_000)
    bad = ["10ms.wav", "empty.wav", "hour.wav", "nan.wav", "text.wav", "torn.mp3", "zero.wav", "gone.wav"]
    inputs = [*good, *bad, "http://127.0.0.1:1/dead.wav"]
    # In a process of its own: what libraries in C write to stderr shows only there.
    command = [
        sys.executable,
        "-m",
        "opendasheng",
        "caption",
        "--model",
        model_folder,
        "--max-new-tokens",
        "2",
        *inputs,
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == list(good)
    complaints = done.stderr.splitlines()
    assert len(complaints) == len(bad) + 1, done.stderr
    for name in (*bad, "http://127.0.0.1:1/dead.wav"):
        assert sum(line.startswith(f"opendasheng: {name}: ") for line in complaints) == 1, name
    assert "3600.00 s" in next(line for line in complaints if "hour.wav" in line)


def test_max_seconds_can_be_raised_lowered_and_lifted(run: Run, clips: Path) -> None:
    code, out, err = run("caption", "--max-seconds", "1", clips / "a.wav")
    assert (code, out) == (1, [])
    assert "1.25 s" in err[0]
    assert run("caption", "--max-seconds", "inf", clips / "a.wav")[0] == 0


def test_a_failure_is_a_line_of_json_too(run: Run, tmp_path: Path) -> None:
    code, out, err = run("caption", "--json", tmp_path / "gone.wav")
    assert code == 1
    assert len(err) == 1
    assert json.loads(out[0])["error"] == err[0].removeprefix("opendasheng: ")


def test_offline_fetches_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HF_HUB_OFFLINE", "OPENDASHENG_OFFLINE"):
        monkeypatch.setenv(variable, "0")
    code, _, err = run("caption", "--offline", "http://127.0.0.1:1/a.wav")
    assert code == 1
    assert "offline" in err[0]


# Inputs


def test_inputs_are_files_folders_patterns_and_urls(
    clips: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(clips)
    (tmp_path / "empty").mkdir()
    url = "https://host.org/a.wav?token=[1]"
    found, failures = expand(["sub/e.wav", ".", "**/*.wav", "no*.such", url, str(tmp_path / "empty"), "gone.wav"])
    assert found == ["sub/e.wav", "a.wav", "b.flac", "c.ogg", "sub/d.WAV", "sub/f.wav", url, "gone.wav"]
    assert [failure.split(":")[0] for failure in failures] == ["no*.such", str(tmp_path / "empty")]


def test_ids_tell_clips_apart_and_show_no_secrets() -> None:
    sources = ["a.wav", "http://h/a.wav", "http://h/a.wav?key=1", "http://h/a.wav?key=2", "a\n.wav", "\udcff.wav"]
    ids = [clip_id(source) for source in sources]
    assert len(set(ids)) == len(sources)
    assert ids[:2] == sources[:2]
    assert not any("key" in name for name in ids)
    assert all(name.isprintable() for name in ids)


def test_a_folder_without_audio_is_a_failure(run: Run, tmp_path: Path) -> None:
    code, out, err = run("caption", tmp_path)
    assert (code, out, len(err)) == (1, [], 1)
    assert str(tmp_path) in err[0]


# Output that lasts


def test_output_holds_each_clip_once_and_only_what_is_missing_is_done(
    run: Run, clips: Path, tmp_path: Path, engine: Engine
) -> None:
    output = tmp_path / "out.jsonl"
    code, out, err = run("ask", "--question", "Q", "--output", output, clips / "a.wav", clips / "sub")
    assert (code, out) == (0, [])
    assert err == [f"opendasheng: {output}: 4 answered, 0 answered before, 0 failed"]
    first = output.read_bytes()
    code, _, err = run("ask", "--question", "Q", "--output", output, "--batch-size", 1, clips)
    assert err == [f"opendasheng: {output}: 2 answered, 4 answered before, 0 failed"]
    assert output.read_bytes().startswith(first)
    records = lines_of(output)
    assert sorted(record["id"] for record in records) == sorted(expand([str(clips)])[0])
    for record in records:
        assert record["text"] == said(engine, Path(record["id"]), "Q")
        assert record["model"] == str(run.model)
        assert record["finish_reason"] in ("stop", "length")
        assert len(record["settings"]) == 12
        assert record["num_new_tokens"] <= 6


@pytest.mark.parametrize(
    "other",
    [["--question", "Other"], ["--temperature", "1", "--seed", "2"], ["--system", "S"], ["--context", "C"],
     ["--choices", "a,b"], ["--dtype", "bf16"], ["--max-new-tokens", "3"]],
)  # fmt: skip
def test_other_settings_are_other_answers(other: list[str], run: Run, clips: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    run("ask", "--question", "Q", "--output", output, clips / "a.wav")
    run("ask", "--question", "Q", *other, "--output", output, clips / "a.wav")
    run("ask", "--question", "Q", *other, "--output", output, "--batch-size", "1", clips / "a.wav")
    assert len({record["settings"] for record in lines_of(output)}) == len(lines_of(output)) == 2


def test_failures_are_kept_once_and_tried_again(run: Run, clips: Path, tmp_path: Path) -> None:
    output, late = tmp_path / "out.jsonl", tmp_path / "late.wav"
    for _ in range(2):
        code, _, err = run("caption", "--output", output, clips / "a.wav", late)
        assert code == 1
        assert "late.wav" in err[0]
        assert [("error" in record) for record in lines_of(output)].count(True) == 1
    late.write_bytes((clips / "sub/e.wav").read_bytes())
    assert run("caption", "--output", output, clips / "a.wav", late)[0] == 0
    assert [record["id"] for record in lines_of(output) if "text" in record].count(str(late)) == 1
    assert run("caption", "--output", output, late)[2] == [
        f"opendasheng: {output}: 0 answered, 1 answered before, 0 failed"
    ]


def test_a_kill_loses_nothing_and_repeats_nothing(
    run: Run, model_folder: Path, clips: Path, tmp_path: Path, engine: Engine
) -> None:
    folder, output = tmp_path / "many", tmp_path / "out.jsonl"
    folder.mkdir()
    for number in range(60):
        soundfile.write(folder / f"{number:02}.wav", noise(4_000 + 400 * number), 16_000)
    command = [sys.executable, "-m", "opendasheng", "caption", "--model", model_folder, "--max-new-tokens", "6"]
    process = subprocess.Popen([*command, "--batch-size", "2", "--output", output, folder], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while not output.exists() or output.read_bytes().count(b"\n") < 4:
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.005)
    finally:
        process.kill()
    assert process.wait() == -signal.SIGKILL
    kept = output.read_bytes()
    assert 4 <= kept.count(b"\n") < 60
    with output.open("ab") as file:  # as if the kill had come in the middle of a line
        file.write(b'{"id": "' + os.fsencode(folder / "59.wav") + b'", "text": "half an ans')
    code, _, err = run("caption", "--output", output, folder)
    assert code == 0
    assert f"{kept.count(10)} answered before" in err[0]
    assert output.read_bytes().startswith(kept)
    records = lines_of(output)
    assert sorted(record["id"] for record in records) == sorted(str(path) for path in folder.iterdir())
    prompt = records[0]["prompt"]
    assert all(record["text"] == said(engine, Path(record["id"]), prompt) for record in records)


RECORD = {"id": "a.wav", "text": "Дождь."}


@given(cut=st.integers(0, 200))
def test_a_journal_torn_anywhere_is_mended(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("journal") / "out.jsonl"
    with Journal(path, "s") as journal:
        for name in ("a.wav", "b.wav", "c.wav"):
            journal.write({**RECORD, "id": name})
    whole = path.read_bytes()
    kept = whole[: min(cut, len(whole))]
    path.write_bytes(kept)
    with Journal(path, "s") as journal:
        answered = [name for name in ("a.wav", "b.wav", "c.wav") if journal.is_answered(name)]
        assert len(answered) == kept.count(b"\n")
        for name in ("a.wav", "b.wav", "c.wav"):
            if name not in answered:
                journal.write({**RECORD, "id": name})
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    "content", [b"hello", b"hello\n", b'{"id": 1}\n', b'{"text": "a"}\n', b"[1]\n", b"RIFF\0\0\0\0", b"\n"]
)
def test_a_file_of_something_else_is_left_alone(content: bytes, run: Run, clips: Path, tmp_path: Path) -> None:
    output = tmp_path / "precious"
    output.write_bytes(content)
    code, _, err = run("caption", "--output", output, clips / "a.wav")
    assert (code, len(err)) == (2, 1)
    assert str(output) in err[0]
    assert output.read_bytes() == content


def test_two_processes_do_not_write_one_file(tmp_path: Path) -> None:
    with Journal(tmp_path / "out.jsonl", "s"), pytest.raises(ConfigError, match="another process"):
        Journal(tmp_path / "out.jsonl", "s")
    Journal(tmp_path / "out.jsonl", "s").__exit__(None, None, None)


def test_an_output_that_cannot_be_written(run: Run, clips: Path, tmp_path: Path) -> None:
    for output in (tmp_path, tmp_path / "no" / "such" / "folder.jsonl"):
        code, _, err = run("caption", "--output", output, clips / "a.wav")
        assert (code, len(err)) == (2, 1)


def test_an_empty_name_is_not_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from opendasheng.commands.inputs import expand

    (tmp_path / "a.wav").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    clips, [failure] = expand(["", "a.wav"])
    assert clips == ["a.wav"]
    assert "empty" in failure
