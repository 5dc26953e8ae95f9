"""Activation checkpointing keeps less and changes nothing."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from opendasheng.bench.plan.measure import kept_bytes
from opendasheng.train.config import ModelConfig
from opendasheng.train.loop import Run
from opendasheng.train.memory import checkpoint_activations


@pytest.mark.parametrize("stage", ["align", "mae", "sft"])
def test_a_run_with_it_ends_in_the_same_bits(tiny_run, stage):
    folders = []
    for asked in (False, True):
        config = replace(tiny_run(f"{stage}-{asked}"), stage=stage)
        run = Run(replace(config, compute=replace(config.compute, activation_checkpointing=asked)))
        folders.append(run.train())
    plain, again = (load_file(folder / "model.safetensors") for folder in folders)
    assert plain.keys() == again.keys()
    assert all(torch.equal(plain[name], again[name]) for name in plain)


def test_a_deep_model_keeps_a_fraction(tiny_run):
    config = tiny_run()
    deep = ModelConfig(
        encoder_dim=16,
        encoder_depth=8,
        encoder_heads=2,
        decoder_dim=16,
        decoder_layers=8,
        decoder_heads=2,
        decoder_kv_heads=1,
        decoder_hidden=64,
        vocab_size=300,
    )
    learner = Run(replace(config, model=deep)).learner
    batch = learner.collate(learner.plan.epoch(0)[0])

    def work():
        return learner.loss(dict(batch), learner.num_items(batch))

    before = kept_bytes(learner.model, work)
    assert checkpoint_activations(learner.model) == 16
    assert kept_bytes(learner.model, work) < 0.4 * before
