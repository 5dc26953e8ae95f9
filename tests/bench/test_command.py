"""``opendasheng bench`` from its arguments to its file."""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from opendasheng.bench import command, report, threads
from opendasheng.errors import ConfigError

COMMITTED = sorted((Path(__file__).resolve().parents[2] / "docs" / "benchmarks").glob("*.json"))


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in threads.VARIABLES:
        monkeypatch.setenv(variable, "1")


def bench(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    command.configure(parser)
    args = parser.parse_args(arguments)
    return args.run(args)


def assert_is_a_result(result: dict[str, Any]) -> None:
    low, high = result["interval"]
    assert low <= result["ratio"] <= high
    assert low > 0
    assert result["goal"] is None or result["goal"] > 1
    assert result["bound"] is None or result["bound"] > 0
    assert result["command"].startswith("opendasheng bench ")
    for side in ("ours", "theirs"):
        assert result[side]["name"]
        for clock in ("cpu_seconds", "wall_seconds"):
            times = result[side][clock]
            assert 0 < times["min"] <= times["median"] <= times["max"]
    assert result["ratio"] == pytest.approx(
        result["theirs"]["cpu_seconds"]["median"] / result["ours"]["cpu_seconds"]["median"], rel=2e-3
    )


def assert_is_a_document(found: dict[str, Any]) -> None:
    assert set(found) == {"machine", "versions", "results", "macs", "batches", "plans"}
    assert {"cpu", "cores", "memory_gib"} <= set(found["machine"])
    assert {"opendasheng", "python", "torch", "transformers", "numpy"} <= set(found["versions"])
    for result in found["results"]:
        assert_is_a_result(result)


def test_all_topics_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "made" / "cpu.json"
    assert bench("--runs", "2", "--seconds", "1", "--encoder-size", "tiny", "--output", str(output)) == 0
    out, err = capsys.readouterr()
    found = json.loads(output.read_text())
    assert_is_a_document(found)
    assert [result["name"] for result in found["results"]] == [
        "frontend, 1 s, transformers numpy",
        "frontend, 1 s, Qwen2.5-Omni",
        "encoder tiny, 1 s, Qwen2.5-Omni",
        "training, 8 clips of the mix, random batches of 32",
    ]
    assert all(f"| {result['name']} |" in out for result in found["results"])
    assert "| encoder, 30 s | 4" in out
    assert "| ours | 3" in out
    assert len(found["plans"]) == 12
    assert found["batches"]["random"]["computed"] > 2.9 * found["batches"]["random"]["useful"]
    assert "its goal of 300" in out
    assert "2 runs are a trial" in err
    assert "run 2 of 2" in err
    assert found["results"][2]["command"] == "opendasheng bench encoder --runs 2 --seconds 1 --encoder-size tiny"
    assert not list(output.parent.glob("tmp*"))


def test_json_of_one_topic(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench("encoder", "--runs", "2", "--seconds", "0.5", "--encoder-size", "tiny", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert_is_a_document(found)
    (result,) = found["results"]
    assert result["goal"] is None
    assert result["bound"] > 0
    assert found["macs"] == {}


def test_macs_alone_load_no_model() -> None:
    script = (
        "import argparse, sys; from opendasheng.bench import command; parser = argparse.ArgumentParser();"
        "command.configure(parser); args = parser.parse_args(['macs', '--json']);"
        "assert not {'numpy', 'torch'} & set(sys.modules); assert args.run(args) == 0;"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    macs = json.loads(done.stdout)["macs"]
    assert macs["encoder, 30 s"]["theirs"] / macs["encoder, 30 s"]["ours"] == pytest.approx(1.98, abs=0.01)


@pytest.mark.parametrize(
    "words", [["speed"], ["--runs", "0"], ["--seconds", "0.1"], ["--encoder-size", "huge"], ["--mfu", "2"]]
)
def test_wrong_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        bench(*words)
    assert stopped.value.code == 2
    assert words[-1] in capsys.readouterr().err


def test_a_foreign_output_is_refused_before_measuring(tmp_path: Path) -> None:
    foreign = tmp_path / "package.json"
    for text in ("not JSON", "[]", '{"name": "x"}'):
        foreign.write_text(text)
        with pytest.raises(ConfigError, match=r"package\.json.*--output"):
            bench("encoder", "--encoder-size", "1.2b", "--output", str(foreign))
        assert foreign.read_text() == text


def result(name: str, ratio: float, runs: int = 7) -> dict[str, Any]:
    return {"name": name, "ratio": ratio, "runs": runs, "goal": None, "interval": [ratio, ratio]}


def found(*results: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "machine": {"cpu": "one"},
        "versions": {"torch": "2"},
        "results": list(results),
        "macs": {},
        "batches": {},
        "plans": {},
        **changes,
    }


def test_merging_replaces_by_name_and_keeps_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "cpu.json"
    report.merge(path, found(result("a", 1.0), result("b", 2.0), macs={"x": 1}))
    report.merge(path, found(result("b", 3.0), result("c", 4.0), macs={"y": 2}))
    merged = json.loads(path.read_text())
    assert [(each["name"], each["ratio"]) for each in merged["results"]] == [("a", 1.0), ("b", 3.0), ("c", 4.0)]
    assert merged["macs"] == {"x": 1, "y": 2}


@pytest.mark.parametrize("changes", [{"machine": {"cpu": "two"}}, {"versions": {"torch": "3"}}])
def test_results_of_two_machines_are_not_mixed(tmp_path: Path, changes: dict[str, Any]) -> None:
    path = tmp_path / "cpu.json"
    report.merge(path, found(result("a", 1.0), result("b", 2.0)))
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="'a' would stay"):
        report.merge(path, found(result("b", 3.0), **changes))
    assert path.read_bytes() == before
    report.merge(path, found(result("b", 3.0), result("a", 4.0), **changes))
    merged = json.loads(path.read_text())
    assert merged.items() >= changes.items()


def test_a_trial_replaces_no_result(tmp_path: Path) -> None:
    path = tmp_path / "cpu.json"
    report.merge(path, found(result("a", 1.0, runs=2)))
    report.merge(path, found(result("a", 2.0, runs=7)))
    with pytest.raises(ConfigError, match="measured with 7 runs and 3 cannot replace it"):
        report.merge(path, found(result("a", 3.0, runs=3)))
    assert json.loads(path.read_text())["results"][0]["ratio"] == 2.0


def test_verdict_is_by_the_interval() -> None:
    verdicts = [report.verdict({"goal": goal, "interval": [2.0, 3.0]}) for goal in (1.9, 2.0, 2.5, 3.0, 3.1, None)]
    assert verdicts == ["meets", "meets", "open", "open", "below", ""]


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.name)
def test_committed_results_are_results(path: Path) -> None:
    committed = report.read(path)
    assert_is_a_document(committed)
    assert committed["results"] or committed["plans"]
    assert all(each["runs"] >= 7 for each in committed["results"])


def test_plans_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "plan.json"
    asked = ["plan", "--stage", "align", "sft", "--gpus", "8", "80", "--layout", "sharded", "hybrid", "whole"]
    assert bench(*asked, "--output", str(output)) == 0
    out = capsys.readouterr().out
    found = json.loads(output.read_text())
    assert_is_a_document(found)
    assert len(found["plans"]) == 2 * 2 * 3 * 2
    align = found["plans"]["7b align, 80 GPUs, hybrid, checkpointing, bf16, fp32 optimizer, 1 x 32 x 10 s"]
    assert align["fits"]
    assert align["parameters"] == align["learning"] == 8_281_739_904
    assert not any(plan["fits"] for name, plan in found["plans"].items() if "align" in name and "whole" in name)
    assert out.count("| align |") == out.count("| sft |") == 12
    assert bench("plan", "--stage", "pretrain", "--gpus", "8", "--output", str(output)) == 0
    assert len(json.loads(output.read_text())["plans"]) == 26


def test_a_plan_is_measured_and_traced(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["plan", "--model", "mini", "--stage", "align", "--clips", "2", "--clip-seconds", "4", "--json"]
    assert bench(*options, "--measure", "--checkpointing", "off") == 0
    (measured,) = json.loads(capsys.readouterr().out)["plans"].values()
    assert measured["measured"]["kept"] == pytest.approx(measured["bytes"]["kept"]["total"], rel=1e-3)
    assert measured["measured"]["macs"] == measured["macs"]["total"]
    assert bench(*options, "--trace", "--gpus", "2", "--checkpointing", "on") == 0
    (traced,) = json.loads(capsys.readouterr().out)["plans"].values()
    assert traced["traced_peak"] == pytest.approx(traced["bytes"]["peak"], rel=0.15)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--clip-seconds", "0.1"], "0.19 s or longer"),
        (["--measure", "--clips", "500"], "--measure is for small models"),
        (["--model", "nowhere"], "nowhere: no '7b'"),
    ],
)
def test_a_plan_that_cannot_be(words: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        bench("plan", *words)


def test_without_what_training_needs_plans_are_made_and_steps_refused() -> None:
    program = """
import sys
sys.modules["peft"] = None
from opendasheng.cli import main
plan = ["bench", "plan", "--model", "mini", "--stage", "align", "--gpus", "8"]
print([main(plan), main([*plan, "--measure"]), main([*plan, "--trace"])])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[0, 2, 2]", done.stderr
    for option in ("--measure", "--trace"):
        assert f"{option} needs the extra: pip install 'opendasheng[train]'" in done.stderr
