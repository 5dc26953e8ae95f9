"""The stage mae: it learns, resumes to the same weights, and its encoder starts the next stage."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from run_metrics import lines
from safetensors.torch import load_file

from opendasheng.data.crops import Crop
from opendasheng.errors import ConfigError
from opendasheng.model import load_dasheng_encoder
from opendasheng.model.pretraining import MAEConfig
from opendasheng.train.loop import Run
from opendasheng.train.masking import MaskLearner


@pytest.fixture
def mae_run(tiny_run):
    """A function that makes the config of a run of stage mae, with single values replaced."""

    def make(name="mae", **loop):
        config = tiny_run(name, **loop)
        mae = MAEConfig(decoder_dim=16, decoder_depth=1, decoder_heads=2)
        data, optim = replace(config.data, crop_seconds=1.0), replace(config.optim, lr=3e-3)
        return replace(config, stage="mae", mae=mae, data=data, optim=optim)

    return make


def test_it_learns_and_keeps_its_encoder(mae_run):
    run = Run(mae_run(steps=80, save_every=80, eval_every=40))
    folder = run.train()
    losses = {line["step"]: line["loss"] for line in lines(run) if "loss" in line}
    dev = [line["dev_loss"] for line in lines(run) if "dev_loss" in line]
    assert losses[80] < 0.9 * losses[1]
    assert len(dev) == 2
    assert all(0 < loss < 2 for loss in dev)
    encoder = load_dasheng_encoder(folder / "model.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(encoder.parameters(), run.model.encoder.parameters(), strict=True))
    assert json.loads((run.folder / "record.json").read_text())["stage"] == "mae"


def test_resumed_equals_uninterrupted(mae_run, cut_short):
    whole = Run(mae_run("whole"))
    whole.train()
    cut_short(Run(mae_run("cut")))
    again = Run(mae_run("cut"))
    again.train()
    for name in ("model", "decoder"):
        expected, found = (load_file(run.folder / "model" / f"{name}.safetensors") for run in (whole, again))
        assert all(torch.equal(expected[key], found[key]) for key in expected)


def test_a_batch_is_cut_to_its_shortest_crop_and_never_padded(mae_run, tmp_path):
    learner = MaskLearner(mae_run(), tmp_path / "initial")
    draws = next(learner.plan.from_step(0))[1]
    batch = learner.collate(draws)
    num_frames = 1 + batch["audio"].shape[1] // 160
    assert num_frames == 4 * 2 * batch["noise"].shape[1]
    assert batch["audio"].shape[1] <= min(draw.num_samples for draw in draws)
    for row, draw in zip(batch["audio"], draws, strict=True):
        heard = learner.reader.audio(draw.index)[draw.start_samples :][: len(row)]
        assert np.array_equal(row.numpy(), heard)
    again = learner.collate(draws[::-1])
    assert torch.equal(again["noise"].flip(0), batch["noise"])  # a crop's own, whoever stands beside it
    assert learner.num_items(batch) == learner.model(learner._log_mel(batch["audio"]), batch["noise"]).mask[2].sum()


def test_crops_that_the_encoder_cannot_hear_at_once_are_refused(mae_run, tmp_path):
    config = mae_run()
    with pytest.raises(ConfigError, match=r"crop_seconds is 10\.2: this encoder hears at most 10\.08 s"):
        MaskLearner(replace(config, data=replace(config.data, crop_seconds=10.2)), tmp_path / "initial")
    MaskLearner(replace(config, data=replace(config.data, crop_seconds=10.08)), tmp_path / "other")


def test_rates_of_sources_that_are_not_there_are_refused(mae_run, tmp_path):
    config = mae_run()
    mixture = replace(config.data.mixture, repeats={"synthtic": 2.0})
    with pytest.raises(ConfigError, match=r"no source or kind 'synthtic'; did you mean 'synthetic'"):
        MaskLearner(replace(config, data=replace(config.data, mixture=mixture)), tmp_path / "initial")


def test_the_record_counts_what_was_never_drawn(mae_run, caplog):
    caplog.set_level("INFO")
    config = mae_run(steps=1)
    mixture = replace(config.data.mixture, repeats={"sound": 0.0})
    run = Run(replace(config, data=replace(config.data, mixture=mixture)))
    run.train()
    not_drawn = json.loads((run.folder / "record.json").read_text())["not_drawn"]
    assert not_drawn == {"repeats of 0": 6, "shorter than a crop may be (0.5 s)": 2}
    assert any(
        message.startswith("6 clips are not drawn: repeats of 0; the first is clip") for message in caplog.messages
    )


def test_a_step_of_two_batches_is_that_of_one(mae_run, tmp_path):
    """Each removed patch weighs the same, however the crops are put together."""
    learner = MaskLearner(mae_run(), tmp_path / "initial")
    draws = [Crop(index, 0, 8000, (index,)) for index in range(6)]
    parts = [learner.collate(draws[:2]), learner.collate(draws[2:])]
    num_items = sum(map(learner.num_items, parts))
    whole = learner.collate(draws)
    assert learner.num_items(whole) == num_items
    together = learner.loss(whole, num_items)
    apart = sum(learner.loss(part, num_items) for part in parts)
    assert together.item() == pytest.approx(apart.item(), rel=1e-5)


def test_its_encoder_starts_the_next_stage(mae_run, tiny_run):
    run = Run(mae_run())
    encoder = run.train() / "model.safetensors"
    config = tiny_run("align")
    config = replace(config, model=replace(config.model, encoder=str(encoder)))
    begun = Run(config)
    stored = load_dasheng_encoder(encoder).state_dict()
    assert all(torch.equal(stored[key], value) for key, value in begun.model.audio_encoder.state_dict().items())
    wider = replace(config, name="wider", model=replace(config.model, encoder_dim=32))
    with pytest.raises(ConfigError, match="embed_dim 16, the recipe says 32"):
        Run(wider)
