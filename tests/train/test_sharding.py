"""A model in parts computes what a whole one does, each process holding its share, and what it saved fits any number
of processes."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import first_step
import pytest
import torch
from safetensors.torch import load_file

from opendasheng.errors import ConfigError
from opendasheng.train.config import DataConfig, to_json
from opendasheng.train.loop import Run
from opendasheng.train.world import World

CASES = {
    "align-whole": {"stage": "align", "sharded": False, "checkpointing": True, "eight_bit": False},
    "align": {"stage": "align", "sharded": True, "checkpointing": False, "eight_bit": False},
    "eight-bit": {"stage": "align", "sharded": True, "checkpointing": False, "eight_bit": True},
    "sft": {"stage": "sft", "sharded": True, "checkpointing": True, "eight_bit": False},
    "mae": {"stage": "mae", "sharded": True, "checkpointing": True, "eight_bit": False},
    "empty": {"stage": "align", "sharded": True, "checkpointing": False, "eight_bit": False},
}
# By four processes, of which two hold the model between them and the two others again; each has two batches a step.
HYBRID = {
    "hybrid": {"stage": "align", "sharded": True, "checkpointing": False, "eight_bit": False},
    "hybrid-sft": {"stage": "sft", "sharded": True, "checkpointing": True, "eight_bit": False},
}
# Of case empty, whose batches are of one clip each: in its first step, of which the other batches can be read.
UNREADABLE = "train-3"


@pytest.fixture(scope="module")
def configs(tiny_config, tiny_corpus, overwrite, tmp_path_factory):
    """A function that makes the config of a case, under a name; six batches make a step."""
    output = tmp_path_factory.mktemp("sharding")
    damaged = shutil.copytree(tiny_corpus, output / "damaged")
    overwrite(damaged, UNREADABLE)

    def make(case: str, name: str) -> object:
        values = (CASES | HYBRID)[case]
        config = tiny_config(output, name, steps=4, save_every=100, eval_every=100, test_clips=0)
        spelling = 0.0 if values["stage"] == "mae" else 0.3
        accumulate, over, longest = (8, 2, 0.1) if case in HYBRID else (6, 0, 1.0)
        optim = replace(
            config.optim,
            accumulate=accumulate,
            clip_norm=longest,
            spelling_weight=spelling,
            eight_bit=values["eight_bit"],
        )
        compute = replace(
            config.compute,
            sharded=values["sharded"],
            shard_over=over,
            activation_checkpointing=values["checkpointing"],
            workers=0,
        )
        model = replace(config.model, vocab_size=512)  # 4096 numbers of the embedding for each of two: 8 bits have them
        data = config.data
        if case == "empty":
            data = DataConfig(str(damaged), batch_clips=1, mixture=replace(data.mixture, mixed_share=0.0))
        return replace(config, stage=values["stage"], data=data, model=model, optim=optim, compute=compute)

    return make


def launch(configs: list, processes: int, output: Path) -> None:
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), first_step.__file__]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *command, str(output), *map(to_json, configs)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def by_two(configs):
    """Folder of what two processes computed of each case, each in a run of its own."""
    runs = [configs(case, f"{case}-two") for case in CASES]
    output = runs[0].folder.parent
    launch(runs, 2, output)
    return output


def assert_alike(alone: dict, shared: dict) -> None:
    assert alone.keys() == shared.keys()
    for name, gradient in alone.items():
        assert (shared[name] - gradient).norm() <= 1e-6 * gradient.norm() + 1e-9, name


@pytest.mark.parametrize("case", CASES)
def test_loss_gradients_and_moments_are_those_of_one_process(configs, by_two, case):
    alone, _ = first_step.first_step(configs(case, f"{case}-one"), World(), unreadable=int(case == "empty"))
    shared = load_file(by_two / f"{case}-two.safetensors")
    assert len(alone) > 10
    assert_alike(alone, shared)


def test_a_step_with_a_batch_that_cannot_be_read_is_left_out_by_both(by_two):
    run = by_two / "empty-two"
    assert [json.loads(line)["id"] for line in (run / "left_out.jsonl").read_text().splitlines()] == [UNREADABLE]
    assert [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()] == [2, 2]


def test_each_process_holds_half(by_two):
    for case, values in CASES.items():
        for rank in range(2):
            held, total = json.loads((by_two / f"{case}-two.{rank}.json").read_text())
            assert total > 20_000
            assert held == total if not values["sharded"] else held < 0.55 * total, (case, rank)


def go_on(runs: list, processes: int, output: Path) -> dict:
    """By name of the runs: the gradients of the step after what they saved, of one process, and of several."""
    for config in runs:
        shutil.copytree(config.folder, output / "kept" / config.name)
    alone = {config.name: first_step.first_step(config, World())[0] for config in runs}
    for config in runs:
        shutil.rmtree(config.folder)
        shutil.copytree(output / "kept" / config.name, config.folder)
    launch(runs, processes, output)
    return {name: (found, load_file(output / f"{name}.safetensors")) for name, found in alone.items()}


@pytest.fixture(scope="module")
def second_steps(configs, by_two, tmp_path_factory):
    """What :func:`go_on` finds of one process and of three, after two."""
    return go_on(
        [configs(case, f"{case}-two") for case in ("align", "eight-bit", "mae")], 3, tmp_path_factory.mktemp("three")
    )


@pytest.mark.parametrize("case", ["align", "eight-bit", "mae"])
def test_what_two_saved_goes_on_in_one_and_in_three(by_two, second_steps, case):
    one, three = second_steps[f"{case}-two"]
    first = load_file(by_two / f"{case}-two.safetensors")
    assert not torch.equal(one["loss"], first["loss"])
    assert_alike(one, three)


@pytest.fixture(scope="module")
def by_four(configs):
    """Folder of what four processes computed of each case of :data:`HYBRID`."""
    runs = [configs(case, f"{case}-four") for case in HYBRID]
    output = runs[0].folder.parent
    launch(runs, 4, output)
    return output


@pytest.mark.parametrize("case", HYBRID)
def test_a_model_held_twice_learns_as_one(configs, by_four, case):
    alone, run = first_step.first_step(configs(case, f"{case}-one"), World())
    [metrics] = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()][:1]
    assert metrics["grad_norm"] > run.config.optim.clip_norm  # or a length that counts both copies would not show
    assert_alike(alone, load_file(by_four / f"{case}-four.safetensors"))
    for rank in range(4):
        held, total = json.loads((by_four / f"{case}-four.{rank}.json").read_text())
        assert 0.45 * total < held < 0.55 * total


def test_what_four_saved_goes_on_in_one_and_in_two(configs, by_four, tmp_path):
    one, two = go_on([configs("hybrid", "hybrid-four")], 2, tmp_path)["hybrid-four"]
    first = load_file(by_four / "hybrid-four.safetensors")
    assert not torch.equal(one["loss"], first["loss"])
    assert_alike(one, two)


def test_processes_that_cannot_hold_a_model_between_them_are_refused(tiny_config, tmp_path):
    config = tiny_config(tmp_path, "run")
    compute = replace(config.compute, sharded=True, shard_over=2)
    config = replace(config, compute=compute, optim=replace(config.optim, accumulate=3))
    with pytest.raises(ConfigError, match="shard_over is 2: it must divide the 3 processes"):
        Run(config, World(0, 3))
    with pytest.raises(ConfigError, match="does nothing without"):
        replace(compute, sharded=False)


def test_weights_that_are_gathered_leave_no_copies_in_bf16(tiny_config, tmp_path):
    learner = Run(tiny_config(tmp_path, "run")).learner
    learner.precision = "bf16"
    for sharded in (False, True):
        learner.sharded = sharded
        with learner.computing():
            assert torch.is_autocast_cache_enabled() is not sharded
