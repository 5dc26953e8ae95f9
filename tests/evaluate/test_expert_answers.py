"""Experts asked by ``opendasheng eval predict``: a tiny Whisper and a graph in the form of YAMNet."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from small_tasks import TASK_FILE, a_manifest, a_task, lines_of, write_manifest
from tiny_experts import CLASSES, write_whisper, write_yamnet

from opendasheng.audio import load_audio
from opendasheng.cli import main
from opendasheng.data.records import Sound
from opendasheng.errors import EvaluationError
from opendasheng.evaluate.answerers import Reply, WithoutOptions
from opendasheng.evaluate.asking import Question
from opendasheng.evaluate.expert_answers import WhisperAnswerer, YamnetAnswerer, language_of
from opendasheng.evaluate.registry import find_task
from opendasheng.experts.whisper import Whisper
from opendasheng.experts.yamnet import Yamnet

TAGS = (
    TASK_FILE.replace('"small"', '"tags"')
    .replace(
        'name = "wer", version = 1, parser = "transcript"', 'name = "multi_label_map", version = 1, parser = "labels"'
    )
    .replace('text = "text", lang = "=en"', 'label = "labels"')
    + '\n[labels]\nsource = "references"\n'
)


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_whisper(tmp_path_factory.mktemp("whisper") / "tiny-one")


@pytest.fixture(scope="module")
def yamnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_yamnet(tmp_path_factory.mktemp("yamnet"))


@pytest.fixture
def tasks(tmp_path: Path) -> list[Path]:
    files = [tmp_path / "small.toml", tmp_path / "tags.toml"]
    for file, text in zip(files, (TASK_FILE, TAGS), strict=True):
        file.write_text(text)
    return files


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Manifests of the same five clips, the third of which is no audio."""
    folder = tmp_path / "data"
    for name in ("small", "tags"):
        manifest = a_manifest(folder / name, 5, broken=[2])
        rows = [{**row, "labels": ["dog"]} for row in lines_of(manifest)]
        write_manifest(manifest.parent, rows)
    return folder


def predict(capsys: pytest.CaptureFixture[str], model: Path, *given: object) -> tuple[int, list[str]]:
    code = main(["eval", "predict", "--model", str(model), *map(str, given)])
    out, err = capsys.readouterr()
    assert out == ""
    return code, err.splitlines()


def text_of(answerer: WithoutOptions, audio: NDArray[np.float32]) -> str:
    """What is answered to a question about ``audio``, at 16 kHz."""
    [(_, reply)] = answerer.answers([Question("x", Sound("x", lambda: (audio, 16_000)), "P")], {})
    assert isinstance(reply, Reply)
    return reply.text


def test_whisper_answers_transcription_and_refuses_the_rest_by_name(
    capsys: pytest.CaptureFixture[str], whisper: Path, tasks: list[Path], data: Path, tmp_path: Path
) -> None:
    code, said = predict(capsys, whisper, *reversed(tasks), "--data", data, "--output", tmp_path / "out")
    assert code == 1
    assert "tags: whisper (tiny-one) answers transcription alone" in said[0]
    assert "small: 4 answered, 0 answered before, 1 failed" in said[1]
    rows = lines_of(tmp_path / "out" / "small" / "predictions.jsonl")
    assert {row["model_name"] for row in rows} == {"whisper (tiny-one)"}
    assert "2.wav" in rows[2]["error"]
    expert = Whisper(whisper)
    for number in (0, 1, 3, 4):
        audio = load_audio(data / "small" / "clips" / f"{number}.wav")
        assert rows[number]["model_output"] == expert.transcribe(audio).text
    code, said = predict(capsys, whisper, tasks[0], "--data", data, "--output", tmp_path / "less", "--limit", 1)
    assert lines_of(tmp_path / "less" / "small" / "predictions.jsonl") == rows[:1]


def test_yamnet_answers_with_its_best_labels_and_refuses_the_rest_by_name(
    capsys: pytest.CaptureFixture[str], yamnet: Path, tasks: list[Path], data: Path, tmp_path: Path
) -> None:
    code, said = predict(capsys, yamnet, *tasks, "--data", data, "--output", tmp_path / "out")
    assert code == 1
    assert "small: yamnet names labels alone" in said[0]
    assert "tags: 4 answered, 0 answered before, 1 failed" in said[1]
    rows = lines_of(tmp_path / "out" / "tags" / "predictions.jsonl")
    assert {row["model_name"] for row in rows} == {"yamnet"}
    means = Yamnet(yamnet).scores(load_audio(data / "tags" / "clips" / "0.wav")).mean(0)
    best = sorted(range(len(CLASSES)), key=lambda place: -means[place])
    wanted = [CLASSES[place] for place in best[:5] if means[place] >= means[best[0]] / 2]
    assert rows[0]["model_output"] == "; ".join(wanted)
    again = predict(capsys, yamnet / "model.onnx", tasks[1], "--data", data, "--output", tmp_path / "out")
    assert "tags: 0 answered, 4 answered before, 1 failed" in again[1][0]


def test_at_most_five_labels_are_named_and_none_far_below_the_best(yamnet: Path) -> None:
    answerer = YamnetAnswerer(yamnet)

    def answer(*means: float) -> str:
        answerer._yamnet.scores = lambda audio: np.array([means, means], dtype=np.float32)  # type: ignore[method-assign]
        return text_of(answerer, np.zeros(16_000, dtype=np.float32))

    assert answer(0.5, 0.9, 0.44, 0.1, 0.46, 0.0) == "Dog; Speech; Bell"
    assert answer(0.9, 0.9, 0.9, 0.9, 0.9, 0.9) == "; ".join(CLASSES[:5])
    assert answer(0.01, 0.0, 0.0, 0.0, 0.0, 0.0) == "Speech"


def test_clips_beyond_the_limit_are_refused(
    capsys: pytest.CaptureFixture[str], whisper: Path, yamnet: Path, tasks: list[Path], tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "long.wav", np.random.default_rng(0).normal(size=48_000) * 0.1, 16_000)
    manifest = write_manifest(tmp_path / "one", [{"audio": "../long.wav", "text": "a", "labels": ["dog"]}])
    for model, task in ((whisper, tasks[0]), (yamnet, tasks[1])):
        out = tmp_path / f"out-{task.stem}"
        code, _ = predict(capsys, model, task, "--data", manifest, "--output", out, "--max-seconds", 2)
        assert code == 1
        assert "long.wav: it is 3" in lines_of(out / task.stem / "predictions.jsonl")[0]["error"]


def test_the_language_is_that_of_the_task(whisper: Path, tmp_path: Path) -> None:
    assert language_of(find_task("mini-asr-ru")) == "ru"
    assert language_of(find_task("aishell2-mic")) == "zh"
    assert language_of(a_task({"audio": "audio", "text": "text", "lang": "lang"})) is None
    russian = a_task({"audio": "audio", "text": "text", "lang": "=ru"}, name="russian")
    many = WhisperAnswerer(write_whisper(tmp_path / "many", many_languages=True), device="cpu")
    audio = (np.random.default_rng(0).normal(size=16_000) * 0.1).astype(np.float32)
    assert text_of(many.of(russian), audio) == many._whisper.transcribe(audio, "ru").text
    with pytest.raises(EvaluationError, match=r"russian: it is in 'ru', which whisper \(tiny-one\) does not write"):
        WhisperAnswerer(whisper, device="cpu").of(russian)


def test_weights_and_precision_tell_models_apart(whisper: Path, tmp_path: Path) -> None:
    other = write_whisper(tmp_path / "other", endless=True)
    found = [WhisperAnswerer(whisper), WhisperAnswerer(whisper, dtype="float32"), WhisperAnswerer(other)]
    assert len({answerer.fingerprint for answerer in found}) == 3
    assert WhisperAnswerer(whisper).fingerprint == found[0].fingerprint


@pytest.mark.parametrize(
    "given", ["--backend engine", "--prompts midashenglm", "--revision x", "--max-new-tokens 3", "--batch-size 2"]
)
def test_options_that_say_nothing_to_an_expert_are_refused(
    capsys: pytest.CaptureFixture[str], whisper: Path, yamnet: Path, tasks: list[Path], tmp_path: Path, given: str
) -> None:
    for model in (whisper, yamnet):
        code, said = predict(capsys, model, tasks[0], "--output", tmp_path / "out", *given.split())
        assert code != 0
        assert f"leave {given.split()[0]} out" in said[-1]


def test_what_is_wrong_with_the_files_is_said_at_once(
    capsys: pytest.CaptureFixture[str], whisper: Path, yamnet: Path, tasks: list[Path], tmp_path: Path
) -> None:
    given = (tasks[0], "--output", tmp_path / "out")
    code, said = predict(capsys, yamnet, *given, "--device", "cuda")
    assert (code != 0, "YAMNet runs on the CPU" in said[-1]) == (True, True)
    (whisper / "model.bin").rename(tmp_path / "model.bin")
    code, said = predict(capsys, whisper, *given)
    (tmp_path / "model.bin").rename(whisper / "model.bin")
    assert (code != 0, "tiny-one: no model.bin" in said[-1]) == (True, True)
