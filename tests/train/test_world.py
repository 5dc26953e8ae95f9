"""Law 7: the same global batch gives the same losses and weights on one process and on two, really started."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from opendasheng.errors import ConfigError
from opendasheng.train.checkpoint import checkpoints
from opendasheng.train.loop import Run
from opendasheng.train.world import World, world

RECIPE = """
name = "{name}"
stage = "{stage}"
seed = 3
output = "{output}"
[data]
corpus = "{corpus}"
batch_seconds = 4.0
batch_clips = 4
crop_seconds = 1.0
[data.mixture]
mixed_share = 0.3
[model]
init = "{init}"
encoder_dim = 16
encoder_depth = 1
encoder_heads = 2
decoder_dim = 16
decoder_layers = 1
decoder_heads = 2
decoder_kv_heads = 1
decoder_hidden = 32
vocab_size = 512
[mae]
decoder_dim = 16
decoder_depth = 1
decoder_heads = 2
[optim]
lr = 1e-3
warmup_steps = 2
accumulate = {accumulate}
eight_bit = {eight_bit}
average_share = 0.2
[compute]
sharded = {sharded}
activation_checkpointing = {checkpointing}
[loop]
steps = {steps}
log_every = 1
save_every = 2
eval_every = 100
test_clips = 0
samples = 1
"""

PLAIN = {
    "stage": "align",
    "steps": 5,
    "init": "",
    "accumulate": 4,
    "eight_bit": "false",
    "sharded": "false",
    "checkpointing": "false",
}


def written(folder: Path, corpus: Path, name: str, values: dict) -> Path:
    path = folder / f"{name}.toml"
    path.write_text(RECIPE.format(**(PLAIN | values), name=name, output=folder, corpus=corpus))
    return path


@pytest.fixture
def recipe(tiny_corpus, tmp_path):
    """A function that writes a recipe of the tiny run."""
    return lambda name, **values: written(tmp_path, tiny_corpus, name, values)


@pytest.fixture(scope="module")
def alone(tiny_corpus, tmp_path_factory):
    """The folder of a finished run of stage align by one process."""
    return finished(written(tmp_path_factory.mktemp("alone"), tiny_corpus, "align", {}), 1)


def start(recipe: Path, processes: int, *options: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "opendasheng", "train", str(recipe)]
    if processes > 1:
        launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), *options]
        command = [sys.executable, *launch, *command[1:]]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)


def finished(recipe: Path, processes: int) -> Path:
    process = start(recipe, processes)
    _, said = process.communicate()
    assert process.returncode == 0, said
    return recipe.with_suffix("")


def losses(folder: Path) -> list[float]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


def assert_alike(one: Path, other: Path) -> None:
    assert losses(one) == pytest.approx(losses(other), rel=1e-5)
    a, b = (load_file(folder / "model" / "model.safetensors") for folder in (one, other))
    assert a.keys() == b.keys()
    for name in a:
        # Adam divides a gradient by its own size, so that rounding of the smallest ones shows.
        assert torch.allclose(a[name], b[name], rtol=1e-4, atol=2e-5), name


def test_two_processes_equal_one(recipe, alone):
    assert_alike(alone, finished(recipe("two"), 2))


@pytest.mark.full
def test_two_processes_equal_one_without_questions(recipe):
    one, two = (recipe(name, stage="mae") for name in ("one", "two"))
    assert_alike(finished(one, 1), finished(two, 2))


def test_two_processes_with_a_part_of_the_model_each_equal_one_with_all_of_it(recipe, alone):
    assert_alike(alone, finished(recipe("two", sharded="true", checkpointing="true"), 2))


@pytest.mark.full
@pytest.mark.parametrize("sharded", ["false", "true"])
def test_two_processes_equal_one_with_adapters_and_dropout(recipe, alone, sharded):
    base = alone / "model"
    one, two = (recipe(name, stage="sft", init=str(base), sharded=sharded) for name in ("one", "two"))
    assert_alike(finished(one, 1), finished(two, 2))


@pytest.mark.full
@pytest.mark.parametrize("small", ["false", "true"])
def test_two_processes_that_are_asked_to_stop_go_on_as_if_they_had_not(recipe, small):
    whole = finished(recipe("whole", steps=16, sharded=small, eight_bit=small), 2)
    path = recipe("cut", steps=16, sharded=small, eight_bit=small)
    folder = cut_short(path, 2)
    finished(path, 2)
    assert last_losses(folder) == losses(whole)


def cut_short(path: Path, processes: int) -> Path:
    """Start a run and ask it to stop once there is a checkpoint; its folder."""
    process, folder = start(path, processes), path.with_suffix("")
    wait_for_a_checkpoint(process, folder)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate()
    assert not (folder / "record.json").exists()
    assert "asked to stop" in said
    taken = [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert checkpoints(folder / "checkpoints")[-1].name.endswith(f"-{taken[-1]:08d}"), said
    return folder


def wait_for_a_checkpoint(process: subprocess.Popen, folder: Path) -> None:
    while not list(folder.glob("checkpoints/step-*")):
        assert process.poll() is None
        time.sleep(0.05)


def last_losses(folder: Path) -> list[float]:
    """By step, of one that was done again the last."""
    lines = map(json.loads, (folder / "metrics.jsonl").open())
    by_step = {line["step"]: line["loss"] for line in lines if "loss" in line}
    return [by_step[step] for step in sorted(by_step)]


@pytest.mark.full
@pytest.mark.parametrize("sharded", ["false", "true"])
def test_what_two_processes_saved_one_and_three_go_on_from(recipe, sharded):
    whole = finished(recipe("whole", steps=30, accumulate=6), 1)
    path = recipe("cut", steps=30, accumulate=6, sharded=sharded)
    folder = cut_short(path, 2)
    kept = folder.with_name("kept")
    shutil.copytree(folder, kept)
    for processes in (1, 3):
        finished(path, processes)
        assert last_losses(folder) == pytest.approx(losses(whole), rel=1e-5)
        shutil.rmtree(folder)
        shutil.copytree(kept, folder)


@pytest.mark.full
@pytest.mark.parametrize("sharded", ["false", "true"])
def test_a_process_that_is_killed_is_started_again_and_the_run_ends_as_if_it_had_not(recipe, sharded):
    whole = finished(recipe("whole", steps=30, sharded=sharded), 2)
    path = recipe("hit", steps=30, sharded=sharded)
    process, folder = start(path, 2, "--max-restarts", "1"), path.with_suffix("")
    wait_for_a_checkpoint(process, folder)
    os.kill(process_of_rank(1, str(path)), signal.SIGKILL)
    _, said = process.communicate()
    assert process.returncode == 0, said
    assert "resumed at step" in said
    assert last_losses(folder) == losses(whole)


def process_of_rank(rank: int, argument: str) -> int:
    """The process with this rank and this argument, which is no reader of clips but their parent."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            arguments, environment = ((folder / name).read_bytes().split(b"\0") for name in ("cmdline", "environ"))
        except OSError:  # it has ended, or is another user's
            continue
        if argument.encode() in arguments and f"RANK={rank}".encode() in environment:
            found.append(int(folder.name))
    return min(found)


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"WORLD_SIZE": "2"}, "RANK is not set, and WORLD_SIZE is 2; torchrun sets them all"),
        ({"WORLD_SIZE": "2", "RANK": "2"}, "RANK is '2' and no number from 0 to 1"),
        ({"WORLD_SIZE": "2", "RANK": "1"}, "MASTER_PORT is not set"),
        ({"WORLD_SIZE": "2", "RANK": "1", "MASTER_PORT": "70000"}, "MASTER_PORT is '70000' and no number from 0 to"),
        ({"WORLD_SIZE": "2", "RANK": "1", "MASTER_PORT": "29500"}, "MASTER_ADDR is not set"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE is '0' and no number from 1"),
        ({"WORLD_SIZE": ""}, "WORLD_SIZE is '' and no number from 1"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE is 'two' and no number from 1"),
    ],
)
def test_an_environment_that_torchrun_does_not_make_is_refused(monkeypatch, environment, told):
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=told), world():
        pass


def test_a_step_that_cannot_be_shared_is_refused(tiny_run):
    with pytest.raises(ConfigError, match=r"accumulate is 2: 3 processes share"):
        Run(tiny_run(), World(0, 3))
