"""A full disk ends a run with words, whatever is being written, and the same command goes on."""

from dataclasses import replace

import pytest
import torch
from full_disk import fill, largest_file, small_disk
from safetensors.torch import load_file

from opendasheng.errors import TrainingError
from opendasheng.train.config import DistilConfig
from opendasheng.train.loop import Run
from opendasheng.train.metrics import Metrics


def test_a_full_disk_ends_the_run_and_what_is_there_goes_on(tiny_run, cut_short):
    whole = Run(tiny_run("whole"))
    whole.train()
    cut_short(Run(tiny_run("full")))
    with largest_file(4_000), pytest.raises(TrainingError, match=r"step-00000004: this checkpoint cannot be written"):
        Run(tiny_run("full")).train()
    folder = whole.folder.parent / "full"
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == ["step-00000002", "step-00000003"]
    again = Run(tiny_run("full"))
    again.train()
    a, b = (load_file(run.folder / "model" / "model.safetensors") for run in (whole, again))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_on_a_disk_that_has_no_room_left_it_is_the_same(tiny_config, cut_short, tmp_path):
    """A real one: a small tmpfs, filled to the last byte."""
    whole = Run(tiny_config(tmp_path, "whole"))
    whole.train()
    with small_disk(tmp_path / "disk", 2**22) as disk:
        cut_short(Run(tiny_config(disk, "full")))
        ballast = fill(disk)
        with pytest.raises(TrainingError, match=r"cannot be written .*No space left"):
            Run(tiny_config(disk, "full")).train()
        ballast.unlink()
        again = Run(tiny_config(disk, "full"))
        again.train()
        a, b = (load_file(run.folder / "model" / "model.safetensors") for run in (whole, again))
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("stage", ["align", "distil", "mae"])
def test_a_first_model_that_cannot_be_written_is_named(tiny_run, tiny_whisper, stage):
    config = replace(tiny_run(), stage=stage, distil=DistilConfig(str(tiny_whisper), min_count=1))
    with largest_file(4_000), pytest.raises(TrainingError, match=r"run/initial cannot be written .*no checkpoint"):
        Run(config)


def test_a_finished_model_that_cannot_be_written_is_named_and_written_by_the_same_command(tiny_run):
    config = tiny_run(steps=2)
    run = Run(config)
    save = run.learner.save

    def save_on_full_disk(folder):
        with largest_file(4_000):
            save(folder)

    run.learner.save = save_on_full_disk
    with pytest.raises(TrainingError, match=r"run/model cannot be written .*last checkpoint is .*step-00000002: make"):
        run.train()
    assert not (run.folder / "model").exists()
    assert Run(config).train() == run.folder / "model"


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(("tensorboard", "told"), [(False, r"metrics\.jsonl"), (True, "tensorboard")])
def test_metrics_that_cannot_be_written_name_the_last_checkpoint(tiny_run, cut_short, tensorboard, told):
    config = tiny_run()
    config = replace(config, loop=replace(config.loop, tensorboard=tensorboard))
    cut_short(Run(config))
    run = Run(config)
    metrics = run.folder / "metrics.jsonl"
    kept, [*_, events] = metrics.read_text(), sorted((run.folder / "tensorboard").glob("*")) or [metrics]
    if tensorboard:
        metrics.write_text("")  # which is written first
    message = rf"run/{told} cannot be written .*File too large.*last checkpoint is .*step-00000003: make room, and"
    with largest_file(events.stat().st_size + 10), pytest.raises(TrainingError, match=message):
        run._metrics.write({"step": 4, "loss": 1.0})
    metrics.write_text(kept)
    assert Run(config).train() is not None


def test_a_folder_of_tensorboard_that_cannot_be_written_is_named(tiny_run, cut_short):
    config = tiny_run()
    config = replace(config, loop=replace(config.loop, tensorboard=True))
    cut_short(Run(config))
    with largest_file(10), pytest.raises(TrainingError, match=r"run/tensorboard cannot be written .*step-00000003"):
        Metrics(config.folder, tensorboard=True)


def test_a_bad_batch_that_cannot_be_written_is_still_said_to_be_bad(tiny_run):
    config = tiny_run()
    run = Run(replace(config, compute=replace(config.compute, workers=0)))
    with torch.no_grad():
        run.model.audio_projector.net[0].weight.fill_(float("nan"))
    message = r"loss is nan at step 0; .*bad_batch\.json cannot be written .*File too large.*no checkpoint"
    with largest_file(10), pytest.raises(TrainingError, match=message):
        run.train()
