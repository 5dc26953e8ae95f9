"""``opendasheng eval predict``: which tasks, which model, and what it says."""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from small_tasks import TASK_FILE, a_manifest, lines_of

from opendasheng.cli import main
from opendasheng.engine import Engine
from opendasheng.errors import CheckpointError, ConfigError, EvaluationError
from opendasheng.evaluate.answerers import DISPLAY, EngineAnswerer, display_name, family_of
from opendasheng.evaluate.endpoint import EndpointAnswerer
from opendasheng.evaluate.predict_command import _PROMPTS, _device, answerer_of, chosen_tasks, configure_predict
from opendasheng.evaluate.registry import tasks
from opendasheng.evaluate.task import MODELS


@pytest.fixture
def task_file(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(TASK_FILE)
    return path


def arguments(*given: object) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    configure_predict(parser)
    return parser.parse_args(["small", "--output", "out", *map(str, given)])


class Run:
    def __init__(self, capsys: pytest.CaptureFixture[str], model: Path) -> None:
        self.capsys, self.model = capsys, model

    def __call__(self, *given: object) -> tuple[int, list[str]]:
        code = main(["eval", "predict", "--model", str(self.model), "--device", "cpu", *map(str, given)])
        out, err = self.capsys.readouterr()
        assert out == ""
        return code, err.splitlines()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], model_folder: Path) -> Run:
    return Run(capsys, model_folder)


def test_a_task_is_predicted_and_summed_up(run: Run, task_file: Path, tmp_path: Path, engine: Engine) -> None:
    data, out = a_manifest(tmp_path / "data", 4), tmp_path / "out"
    path = out / "small" / "predictions.jsonl"
    code, said = run(task_file, "--data", data, "--output", out, "--limit", 3, "--max-new-tokens", 3)
    assert code == 0
    cut = sum(row["finish_reason"] == "length" for row in lines_of(path))
    assert said == [f"opendasheng: small: 3 answered, 0 answered before, 0 failed, {cut} cut at max_new_tokens: {path}"]
    first = data.parent / "clips" / "0.wav"
    assert lines_of(path)[0]["model_output"] == engine.generate(first, "Write it down.", max_new_tokens=3).text
    code, said = run(task_file, "--data", data, "--output", out, "--max-new-tokens", 3, "--batch-size", 1)
    assert said[0].startswith("opendasheng: small: 1 answered, 3 answered before, 0 failed")


def test_rows_that_failed_and_tasks_that_cannot_be_run_make_the_exit_code(
    run: Run, task_file: Path, tmp_path: Path
) -> None:
    data = a_manifest(tmp_path / "data", 2, broken=[0])
    code, said = run("vggsound", task_file, "--data", data, "--output", tmp_path / "out")
    assert code == 1
    assert "vggsound" not in said[1]
    assert "clips/0.wav: there is no column 'label' (label)" in said[0]
    assert "small: 1 answered, 0 answered before, 1 failed" in said[1]
    code, said = run("no-such-task", "--output", tmp_path / "out")
    assert code == 1
    assert "there is no task 'no-such-task'" in said[0]


def test_tasks_are_named_by_patterns_and_files(task_file: Path) -> None:
    def names(*given: str) -> list[str]:
        return [task.name for task in chosen_tasks(list(given))]

    mini = [name for name in tasks() if name.startswith("mini-")]
    assert names("mini-*") == mini
    assert 3 < len(mini) < len(tasks())
    assert names("nsynth", "ns*", "nsynth") == ["nsynth"]
    assert names(str(task_file), "autoacd") == ["small", "autoacd"]
    with pytest.raises(EvaluationError, match=r"no task matches 'maxi-\*'"):
        names("maxi-*")


# Which model


def test_names_tell_families_and_are_shown_as_scorers_know_them() -> None:
    assert set(DISPLAY) == set(MODELS) == set(_PROMPTS)
    for name, family, shown in (
        ("mini", "midashenglm", "MiDashengLM (mini)"),
        ("mispeech/midashenglm-7b-0804-fp32", "midashenglm", "MiDashengLM-7b-0804-fp32"),
        ("/runs/MiDashengLM/", "midashenglm", "MiDashengLM"),
        ("Qwen/Qwen2.5-Omni-3B", "qwen2.5-omni", "Qwen2.5-Omni-3B"),
        ("kimi_audio", "kimi-audio", "Kimi-Audio"),
    ):
        assert (family_of(name), display_name(name, family)) == (family, shown)
    assert display_name("/some/run-12", "midashenglm") == "MiDashengLM (run-12)"
    assert family_of("whisper-large") is None


def a_folder(folder: Path, model_type: str) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(f'{{"model_type": "{model_type}"}}')
    return folder


def test_the_backend_follows_from_the_model(model_folder: Path, tmp_path: Path) -> None:
    from opendasheng.evaluate.baselines import QwenOmniAnswerer

    ours = answerer_of(arguments("--model", model_folder))
    assert isinstance(ours, EngineAnswerer)
    qwen = answerer_of(arguments("--model", a_folder(tmp_path / "a", "qwen2_5_omni")))
    assert isinstance(qwen, QwenOmniAnswerer)
    assert qwen.model_name == "Qwen2.5-Omni (a)"
    server = answerer_of(arguments("--endpoint", "http://x", "--model", "kimi-audio", "--concurrency", 2))
    assert isinstance(server, EndpointAnswerer)
    with pytest.raises(ConfigError, match="transformers has no class for a 'kimi-audio' model"):
        answerer_of(arguments("--model", "moonshotai/Kimi-Audio-7B-Instruct"))
    with pytest.raises(ConfigError, match="a MiDashengLM is run by our engine; leave --backend transformers out"):
        answerer_of(arguments("--model", model_folder, "--backend", "transformers"))
    with pytest.raises(ConfigError, match="the engine runs MiDashengLM"):
        answerer_of(arguments("--model", tmp_path / "a", "--backend", "engine"))
    with pytest.raises(ConfigError, match="needs the address of a server"):
        answerer_of(arguments("--backend", "endpoint"))
    with pytest.raises(ConfigError, match="--endpoint and --backend engine do not belong together"):
        answerer_of(arguments("--endpoint", "http://x", "--backend", "engine"))
    with pytest.raises(ConfigError, match="baselines answer one clip at a time"):
        answerer_of(arguments("--model", tmp_path / "a", "--batch-size", 4))
    with pytest.raises(ConfigError, match="--batch-size is for models on this machine"):
        answerer_of(arguments("--endpoint", "http://x", "--model", "kimi-audio", "--batch-size", 4))
    with pytest.raises(CheckpointError, match="no such folder"):
        answerer_of(arguments("--model", tmp_path / "none"))


def test_weights_precision_and_backend_tell_models_apart(model_folder: Path) -> None:
    def fingerprint(*given: object) -> str:
        return answerer_of(arguments("--model", model_folder, *given)).fingerprint

    base = fingerprint()
    assert base == fingerprint("--batch-size", 3, "--device", "cpu")
    assert base != fingerprint("--dtype", "bfloat16")
    at_server = answerer_of(arguments("--model", "midashenglm", "--endpoint", "http://a")).fingerprint
    assert at_server == answerer_of(arguments("--model", "midashenglm", "--endpoint", "http://b:2")).fingerprint
    assert at_server != base


def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "secret")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    given = ("--endpoint", "http://x", "--model", "midashenglm")

    def sent(*more: str) -> str | None:
        answerer: Any = answerer_of(arguments(*given, *more))
        return answerer._servers.client(1).headers.get("Authorization")

    assert sent() is None
    assert sent("--api-key-env", "MY_KEY") == "Bearer secret"


def test_each_process_has_a_device_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    assert _device(arguments()) == "auto"
    monkeypatch.setenv("LOCAL_RANK", "5")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert _device(arguments()) == "auto"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert _device(arguments()) == "cuda:1"
    assert _device(arguments("--device", "cpu")) == "cpu"


def test_help_loads_no_tensor_library() -> None:
    script = (
        "import sys; from opendasheng.cli import main\n"
        "try: main(['eval', 'predict', '--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'numpy', 'transformers', 'datasets'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "mini-*" in done.stdout


@pytest.mark.parametrize("given", [("--limit", "0"), ("--timeout", "-1"), ("--max-seconds", "nan"), ("--prompts", "x")])
def test_impossible_values_are_refused(given: tuple[str, str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        arguments(*given)
    assert stopped.value.code == 2
