"""Law 6 with a real process: kill -9 at a step that nobody chose, and the same command goes on to the same bits; and
the end of a run that is asked to stop there."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from opendasheng.train.config import to_json
from opendasheng.train.loop import Run

STEPS = 120
PROGRAM = """
import json, sys, torch
from opendasheng.recipe import from_dict
from opendasheng.train.config import RunConfig
from opendasheng.train.loop import Run
torch.set_num_threads(1)
Run(from_dict(RunConfig, json.loads(sys.argv[1]), "argument")).train()
"""


def _losses(folder):
    """By step; of one that was done again, each time."""
    found = {}
    for line in (folder / "metrics.jsonl").read_text().splitlines():
        values = json.loads(line)
        if "loss" in values:
            found.setdefault(values["step"], []).append(values["loss"])
    return found


def _start(config):
    return subprocess.Popen([sys.executable, "-c", PROGRAM, to_json(config)], stderr=subprocess.PIPE)


def _num_steps(folder):
    path = folder / "metrics.jsonl"
    return path.read_bytes().count(b'"loss"') if path.is_file() else 0


def test_killed_at_a_random_step_it_ends_in_the_same_bits(tiny_run):
    config = tiny_run("whole", steps=STEPS, save_every=7, eval_every=STEPS)
    config = replace(config, compute=replace(config.compute, threads=1))
    whole = Run(config)
    whole.train()
    config = replace(config, name="killed")
    folder = whole.folder.parent / "killed"
    process = _start(config)
    wanted = random.SystemRandom().randrange(8, STEPS - 20)
    while _num_steps(folder) < wanted and process.poll() is None:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "it ended before it could be killed"
    assert not (folder / "model").exists()
    process = _start(config)
    told = process.communicate()[1].decode()
    assert process.returncode == 0, told
    once = {step: found[0] for step, found in _losses(whole.folder).items()}
    found = _losses(folder)
    assert list(once) == sorted(found)
    assert all(loss == once[step] for step, losses in found.items() for loss in losses)
    a, b = (load_file(path / "model" / "model.safetensors") for path in (whole.folder, folder))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_asked_to_stop_at_its_very_end_a_run_saves_its_weights_and_the_same_command_tests_them(tiny_run):
    run = Run(tiny_run(test_clips=2))
    validate = run.learner.validate

    def end(which):
        os.kill(os.getpid(), which)
        return {}

    def ask_to_stop(tell):
        return end(signal.SIGTERM) if run.step == run.num_steps else validate(tell)

    run.learner.validate = ask_to_stop
    run.learner.finish = lambda: end(signal.SIGINT)
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    try:
        with pytest.raises(KeyboardInterrupt):  # of the test: the last validation went on
            run.train()
    finally:
        signal.signal(signal.SIGINT, usual)
    saved = load_file(run.folder / "model" / "model.safetensors")
    assert not (run.folder / "record.json").exists()
    again = Run(tiny_run(test_clips=2))
    assert again.train() == run.folder / "model"
    assert json.loads((run.folder / "record.json").read_text())["test"]
    assert all(torch.equal(saved[name], tensor) for name, tensor in again.model.named_parameters() if name in saved)
