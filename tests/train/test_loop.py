"""Law 6: a run that was stopped or killed and resumed equals one that was not. And a run learns, and stops on NaN."""

import json
import os
import shutil
import signal
import threading

import pytest
import torch
from safetensors.torch import load_file

from opendasheng.errors import TrainingError
from opendasheng.model import MiDashengLMModel
from opendasheng.train.loop import Run


def _losses(run):
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line["loss"] for line in lines if "loss" in line}


def test_resumed_equals_uninterrupted(tiny_run):
    whole = Run(tiny_run("whole"))
    finished = whole.train()
    cut = Run(tiny_run("cut"))
    cut.config = cut.config  # the run of three steps is the same run, killed
    take = cut._one_step

    def stop_after_three(batches):
        result = take(batches)
        cut._stop = cut.step == 2
        return result

    cut._one_step = stop_after_three
    assert cut.train() is None
    again = Run(tiny_run("cut"))
    assert again.train() == again.folder / "model"
    assert _losses(again) == _losses(whole)
    expected, resumed = (load_file(run / "model.safetensors") for run in (finished, again.folder / "model"))
    assert expected.keys() == resumed.keys()
    assert all(torch.equal(expected[name], resumed[name]) for name in expected)


def test_killed_between_checkpoints_equals_uninterrupted(tiny_run):
    """As after kill -9: what came after the last checkpoint is lost and done again."""
    whole = Run(tiny_run("whole"))
    whole.train()
    killed = Run(tiny_run("killed"))
    killed.train()
    for checkpoint in sorted((killed.folder / "checkpoints").iterdir())[1:]:
        shutil.rmtree(checkpoint)
    shutil.rmtree(killed.folder / "model")
    (killed.folder / "checkpoints" / ".step-00000006.tmp").mkdir()
    again = Run(tiny_run("killed"))
    again.train()
    a, b = (load_file(run.folder / "model" / "model.safetensors") for run in (whole, again))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_sigterm_saves_and_ends_cleanly(tiny_run):
    run = Run(tiny_run(steps=10_000, save_every=10_000, eval_every=10_000))
    threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGTERM)).start()
    assert run.train() is None
    saved = sorted((run.folder / "checkpoints").iterdir())
    assert [path.name for path in saved] == [f"step-{run.step:08d}"]
    assert 0 < run.step < 10_000


def test_a_run_learns_and_its_model_loads(tiny_run):
    run = Run(tiny_run(steps=60, save_every=60, eval_every=30))
    model = MiDashengLMModel.from_pretrained(run.train())
    losses = _losses(run)
    assert losses[60] < 0.6 * losses[1]
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), run.model.parameters(), strict=True))
    dev = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()][-1]
    assert dev["dev_loss"] > 0
    assert dev["samples"]


def test_a_loss_that_is_not_finite_stops_and_names_the_clips(tiny_run):
    run = Run(tiny_run())
    with torch.no_grad():
        run.model.audio_projector.net[0].weight.fill_(float("nan"))
    with pytest.raises(TrainingError, match="loss is nan at step 0"):
        run.train()
    saved = json.loads((run.folder / "bad_batch.json").read_text())
    assert saved["clips"][0]["id"].startswith("train-")


def test_another_config_in_the_same_folder_is_refused(tiny_run):
    Run(tiny_run())
    with pytest.raises(TrainingError, match="another run"):
        Run(tiny_run(steps=7))
