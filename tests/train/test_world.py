"""Law 7: the same global batch gives the same losses and weights on one process and on two, really started."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from opendasheng.errors import ConfigError
from opendasheng.train.loop import Run
from opendasheng.train.world import World

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
vocab_size = 300
[mae]
decoder_dim = 16
decoder_depth = 1
decoder_heads = 2
[optim]
lr = 1e-3
warmup_steps = 2
accumulate = 4
[loop]
steps = {steps}
log_every = 1
save_every = 2
eval_every = 100
test_clips = 0
samples = 0
"""


@pytest.fixture
def recipe(tiny_corpus, tmp_path):
    """A function that writes a recipe of the tiny run."""

    def write(name: str, stage: str = "align", steps: int = 5, init: str = "") -> Path:
        path = tmp_path / f"{name}.toml"
        path.write_text(
            RECIPE.format(name=name, stage=stage, steps=steps, init=init, output=tmp_path, corpus=tiny_corpus)
        )
        return path

    return write


def start(recipe: Path, processes: int) -> subprocess.Popen:
    command = [sys.executable, "-m", "opendasheng", "train", str(recipe)]
    if processes > 1:
        launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
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


@pytest.mark.parametrize("stage", ["align", "mae"])
def test_two_processes_equal_one(recipe, stage):
    assert_alike(finished(recipe("one", stage), 1), finished(recipe("two", stage), 2))


def test_two_processes_equal_one_with_adapters_and_dropout(recipe):
    base = finished(recipe("base"), 1) / "model"
    assert_alike(finished(recipe("one", "sft", init=str(base)), 1), finished(recipe("two", "sft", init=str(base)), 2))


def test_two_processes_that_are_asked_to_stop_go_on_as_if_they_had_not(recipe):
    whole = finished(recipe("whole", steps=30), 2)
    path = recipe("cut", steps=30)
    process = start(path, 2)
    folder = path.with_suffix("")
    while not list(folder.glob("checkpoints/step-*")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert not (folder / "record.json").exists()
    finished(path, 2)
    by_step = {
        line["step"]: line["loss"] for line in map(json.loads, (folder / "metrics.jsonl").open()) if "loss" in line
    }
    assert [by_step[step] for step in sorted(by_step)] == losses(whole)


def test_a_step_that_cannot_be_shared_is_refused(tiny_run):
    with pytest.raises(ConfigError, match=r"accumulate is 2: 3 processes share"):
        Run(tiny_run(), World(0, 3))
