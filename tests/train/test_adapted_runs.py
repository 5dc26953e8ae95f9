"""Runs of the stages after the first: adapters and parts that learn, through checkpoints and to the end."""

from dataclasses import replace

import pytest
import torch
from peft import PeftModel
from run_metrics import losses
from safetensors.torch import load_file

from opendasheng.errors import ConfigError
from opendasheng.model import MiDashengLMModel
from opendasheng.train.loop import Run


@pytest.fixture
def adapted_run(tiny_run):
    """A function that makes the config of a run of a later stage, from the model of a finished first one."""
    base = Run(tiny_run("base"))
    folder = base.train()

    def make(name, stage="pretrain", **changes):
        config = tiny_run(name)
        config = replace(config, model=replace(config.model, init=str(folder)), stage=stage)
        return replace(config, **changes)

    return make


def test_resumed_equals_uninterrupted_with_adapters_and_dropout(adapted_run, cut_short):
    whole = Run(adapted_run("whole"))
    finished = whole.train()
    cut_short(Run(adapted_run("cut")))
    again = Run(adapted_run("cut"))
    again.train()
    assert losses(again) == losses(whole)
    for name in ("model/model.safetensors", "adapter/adapter_model.safetensors"):
        expected, resumed = (load_file(run.folder / name) for run in (whole, again))
        assert all(torch.equal(expected[key], resumed[key]) for key in expected)
    merged = MiDashengLMModel.from_pretrained(finished).state_dict()  # by the names of the model without adapters
    base = MiDashengLMModel.from_pretrained(whole.config.model.init)
    peft = PeftModel.from_pretrained(base, whole.folder / "adapter").merge_and_unload().state_dict()
    assert peft.keys() == merged.keys()
    assert all(torch.equal(tensor, merged[name]) for name, tensor in peft.items())


def test_only_what_the_stage_trains_changes(adapted_run):
    run = Run(adapted_run("sft", stage="sft"))
    before = {name: p.clone() for name, p in run.model.named_parameters()}
    run.train()
    changed = {name for name, p in run.model.named_parameters() if not torch.equal(p, before[name])}
    assert any("lora_B" in name for name in changed)
    assert any(name.startswith("audio_encoder.") for name in changed)
    assert not [name for name in changed if name.startswith("decoder.") and "lora_" not in name]
    adapted = {name.split(".lora_")[0].rpartition(".")[2] for name in changed if "lora_" in name}
    assert adapted == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


def test_parts_can_be_chosen(adapted_run):
    config = adapted_run("projector")
    run = Run(
        replace(config, model=replace(config.model, trains=("audio_projector",)), lora=replace(config.lora, rank=2))
    )
    learning = {name for name, p in run.model.named_parameters() if p.requires_grad}
    assert {name.partition(".")[0] for name in learning if "lora_" not in name} == {"audio_projector"}
    whole = adapted_run("whole")
    whole = Run(replace(whole, model=replace(whole.model, trains=("decoder",))))
    assert not [name for name, _ in whole.model.named_parameters() if "lora_" in name]
    with pytest.raises(ConfigError, match="no part 'head'"):
        replace(config, model=replace(config.model, trains=("head",)))


def test_checkpoints_hold_what_learns(adapted_run):
    run = Run(adapted_run("small"))
    run.train()
    [*_, last] = sorted((run.folder / "checkpoints").iterdir())
    stored = {name for path in last.glob("*.safetensors") for name in load_file(path)}
    assert any(name.startswith("model.") and "lora_A" in name for name in stored)
    assert any(name.startswith("optimizer.") and "lora_A" in name for name in stored)
    assert not [name for name in stored if ".decoder." in name and "lora_" not in name]
