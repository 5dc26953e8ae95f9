"""The stage distil: it starts near its teacher, learns its features and the spelling, resumes, and starts align."""

from dataclasses import replace

import pytest
import torch
from run_metrics import lines
from safetensors.torch import load_file

from opendasheng.data.augment import AugmentConfig
from opendasheng.errors import ConfigError
from opendasheng.model import load_dasheng_encoder
from opendasheng.train.config import DistilConfig
from opendasheng.train.distilling import DistilLearner
from opendasheng.train.loop import Run


@pytest.fixture
def distil_run(tiny_run, tiny_whisper):
    """A function that makes the config of a run of stage distil, with single values replaced."""

    def make(name="distil", **loop):
        config = tiny_run(name, **loop)
        mixture = replace(config.data.mixture, augment=AugmentConfig(0.1, 0.3, 0.3))
        data, optim = replace(config.data, mixture=mixture), replace(config.optim, lr=1e-3)
        return replace(
            config, stage="distil", distil=DistilConfig(str(tiny_whisper), min_count=1), data=data, optim=optim
        )

    return make


def test_it_learns_and_keeps_its_encoder(distil_run):
    run = Run(distil_run(steps=120, save_every=120, eval_every=40, max_loss_jump=0.0))
    folder = run.train()
    dev = [line for line in lines(run) if "dev_loss" in line]
    assert dev[-1]["dev_features"] < 0.9 * dev[0]["dev_features"]
    assert dev[-1]["dev_ctc"] < dev[0]["dev_ctc"]
    assert all(sample.startswith("'word' <- ") for sample in dev[-1]["samples"])  # digits are not spelt
    assert all(0 <= line["dev_cer"] <= 1 for line in dev)
    encoder = load_dasheng_encoder(folder / "model.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(encoder.parameters(), run.model.encoder.parameters(), strict=True))


def test_resumed_equals_uninterrupted(distil_run, cut_short):
    whole = Run(distil_run("whole"))
    whole.train()
    cut_short(Run(distil_run("cut")))
    again = Run(distil_run("cut"))
    again.train()
    for name in ("model", "head"):
        expected, found = (load_file(run.folder / "model" / f"{name}.safetensors") for run in (whole, again))
        assert all(torch.equal(expected[key], found[key]) for key in expected)


def test_a_step_of_two_batches_is_that_of_one(distil_run, tmp_path):
    """Each patch weighs the same, however the clips are put together."""
    learner = DistilLearner(distil_run(), tmp_path / "initial")
    learner.model.eval()  # in training, encoders may pad
    draws = [draw for _, batch in zip(range(3), learner.plan.epoch(0), strict=False) for draw in batch]
    parts = [learner.collate(draws[:2]), learner.collate(draws[2:])]
    num_items = sum(map(learner.num_items, parts))
    whole = learner.collate(draws)
    assert learner.num_items(whole) == num_items
    together = learner.loss(whole, num_items)
    apart = sum(learner.loss(part, num_items) for part in parts)
    assert together.item() == pytest.approx(apart.item(), rel=1e-5)


def test_its_encoder_starts_the_next_stage(distil_run, tiny_run):
    encoder = Run(distil_run()).train() / "model.safetensors"
    config = tiny_run("align")
    begun = Run(replace(config, model=replace(config.model, encoder=str(encoder))))
    stored = load_dasheng_encoder(encoder).state_dict()
    assert all(torch.equal(stored[key], value) for key, value in begun.model.audio_encoder.state_dict().items())


def test_a_teacher_of_other_sizes_or_none_is_refused(distil_run, tmp_path):
    config = distil_run()
    wider = replace(config, model=replace(config.model, encoder_dim=32))
    with pytest.raises(ConfigError, match="are 32, 1 and 2; to start from this teacher they must be 16, 1 and 2"):
        DistilLearner(wider, tmp_path / "initial")
    with pytest.raises(ConfigError, match=r"distil\.teacher is empty"):
        DistilLearner(replace(config, distil=DistilConfig()), tmp_path / "initial")
